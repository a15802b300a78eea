"""``authorize``: the one place that decides whether a principal may do something.

Asked by the guard before every rpc, with what the request tells, and by the rules (through
``Session.authorize``) once they have read what the request does not tell: that a group of a name is
sg-…, which tags a resource has, which subnet a launch takes where none was named. Both must
consent. Another one can be passed to ``app.build``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from controller.kernel.call import Principal
from protos.nouns import NOUNS

# Condition keys and their values, as IAM spells them: {"ec2:InstanceType": ["t3.micro"]}.
Context = Mapping[str, Sequence[str]]
NOTHING: Context = MappingProxyType({})
SHARED = frozenset(name for name, noun in NOUNS.items() if noun.shared)
# The operator's own actions: accounts, quotas, hosts. EC2's are everybody's.
_OPERATORS = "pileus:"


class Resource(NamedTuple):
    """What an action is done to.

    arn: IAM's name of it; "*" where the action has no resource level, and ":instance/*" for an
    instance that is made. context: condition keys that are this resource's alone. read: its context
    is complete. Until then the resource has been named and not looked at, and a condition on its
    tags cannot be answered yet: that question comes a second time.
    """

    arn: str
    context: Context = NOTHING
    read: bool = False


Authorize = Callable[[Principal, str, Sequence[Resource], Context], bool]


def authorize(
    principal: Principal, action: str, resources: Sequence[Resource], context: Context
) -> bool:
    """Whether ``principal`` may do ``action`` to every one of ``resources``; to some, where none is
    known yet. ``context``: condition keys of the request as a whole.

    There are no policies yet: an account's principals may do everything to what is the account's.
    """
    return principal.operator or not action.startswith(_OPERATORS)


class Lazy(Mapping[str, Sequence[str]]):
    """A context that is read when somebody first looks into it."""

    def __init__(self, read: Callable[[], Context]):
        self._read = read

    @cached_property
    def _context(self) -> Context:
        return self._read()

    def __getitem__(self, key: str) -> Sequence[str]:
        return self._context[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._context)

    def __len__(self) -> int:
        return len(self._context)


def arn(service: str, region: str, account_id: str, noun: str, identifier: str) -> str:
    """A resource's name. service: "ec2" or "pileus". What accounts can share is named without its
    owner, as it can be another account's."""
    owner = "" if noun in SHARED else account_id
    return f"arn:aws:{service}:{region}:{owner}:{noun}/{identifier}"
