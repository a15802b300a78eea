"""What is known of a resource that has been read: condition keys of its row and of its tags.

Handed to ``authorize`` as a resource's context. Nothing is read before somebody looks: while no
policy has a condition on a resource, its facts cost no statement.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property

from controller.identity.authorize import NOTHING, Context, Lazy, arn
from controller.kernel.columns import BooleanField
from controller.kernel.database import Session
from controller.kernel.owned import Owned
from controller.tables.identity import Tag


class Facts:
    """Of some resources of a noun, all read by the first look at any."""

    def __init__(self, session: Session, owned: Owned | None, names: Sequence[str], region: str):
        self._session, self._owned, self._names, self._region = session, owned, names, region

    def of(self, name: str) -> Context:
        return Lazy(lambda: self.all.get(name, NOTHING))

    @cached_property
    def all(self) -> Mapping[str, Context]:
        if self._owned is None:
            return {}
        owner, keys = self._session.call.account_id, self._owned.facts
        tagged = self._owned.key
        named = self._owned.arn_name or tagged
        references = {key: of for key, of in keys.items() if isinstance(of, tuple)}
        columns = [of[1] if isinstance(of, tuple) else of for of in keys.values()]
        names = list(self._names)
        is_it = named.in_(names) | tagged.in_(names)  # a key pair is named by either
        query = named.model.select(named, tagged, *columns).where(is_it)
        if not self._owned.noun.shared:
            query = query.where(self._owned.owner == owner)
        rows = self._session.tuples(query)
        tags = self._tags([row[1] for row in rows])
        found: dict[str, Context] = {}
        for row in rows:
            facts = dict(tags[row[1]])
            for key, value in zip(keys, row[2:], strict=True):
                if key in references and value:
                    value = arn("ec2", self._region, owner, references[key][0], value)
                if isinstance(keys[key], BooleanField):
                    value = "true" if value else "false"
                if value not in ("", None):
                    facts[key] = [str(value)]
            found[row[0]] = found[row[1]] = facts
        return found

    def _tags(self, ids: Sequence[str]) -> Mapping[str, Context]:
        """The caller's own: those of what is shared are its owner's alone."""
        found: dict[str, dict[str, list[str]]] = defaultdict(dict)
        own = (Tag.resource_id.in_(ids), Tag.account_id == self._session.call.account_id)
        query = Tag.select(Tag.resource_id, Tag.key, Tag.value).where(*own)
        for resource_id, key, value in self._session.tuples(query):
            for prefix in ("aws", "ec2"):
                found[resource_id][f"{prefix}:ResourceTag/{key}"] = [value]
        return found
