"""What the controller has answered, and what it must therefore keep to.

The simulation notes each call where the controller finished it, which is more than the customer
heard: an answer that the network lost counts too. From answers alone this builds what the database
must say from then on (``instances``, ``groups``, ``rules``, ``addresses``, ``tags``, ``quotas`` and
``holdings``); ``invariants/promises`` and ``holdings`` compare. What a call did that the controller
did not survive is not known: the account is then read anew from the database (``adopt``).

Promises that can be checked on the spot leave their breaches in ``breaches``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from protos.errors import CloudError, Kind
from tests.harness.customers import Call, Customer
from tests.harness.holdings import Holdings
from tests.harness.records import Records

_ID = re.compile(rb"(?:i|ami|vol|snap|vpc|subnet|eni|sg|sgr|key|eipalloc|rtb|igw|acl)-[0-9a-f]{17}")
_OWNED = (
    ("instance", "instance_id"),
    ("volume", "volume_id"),
    ("snapshot", "snapshot_id"),
    ("image", "image_id"),
    ("vpc", "vpc_id"),
    ("subnet", "subnet_id"),
    ("network_interface", "network_interface_id"),
    ("security_group", "group_id"),
    ("security_group_rule", "rule_id"),
    ("key_pair", "key_pair_id"),
    ("public_address", "allocation_id"),
    ("route_table", "route_table_id"),
    ("internet_gateway", "internet_gateway_id"),
    ("network_acl", "network_acl_id"),
)


@dataclass
class Promised:
    """What answers said of an instance."""

    account_id: str
    desired: str
    client_token: str
    instance_type: str
    shutdown_behavior: str


class Answers:
    """See the module's head. Ids map to what was promised of them."""

    def __init__(self, records: Records):
        self.instances: dict[str, Promised] = {}
        self.groups: dict[str, str] = {}  # id -> account
        self.rules: dict[str, str] = {}  # id -> group
        self.addresses: dict[str, str | None] = {}  # allocation -> instance; None: not known
        self.tags: dict[tuple[str, str], str | None] = {}  # None: not there
        self.quotas: dict[tuple[str, str], int] = {}
        self.holdings = Holdings(records)
        self.breaches: list[str] = []
        self.changes = 0  # of all this
        self._records = records
        self._owners: dict[bytes, str] = {}
        self._shown: set[tuple[str, bytes]] = set()  # account, what another showed it

    def breach(self, what: str) -> None:
        self.changes += 1
        self.breaches.append(what)

    def asked(self, call: Call) -> None:
        """A call has arrived, and it is not known what becomes of it."""
        self.changes += 1
        self.holdings.asked(call)

    def answered(self, customer: Customer, call: Call, answer) -> None:
        """The controller finished a call: from now on it is bound by it."""
        self.changes += 1
        self._look_for_trespass(customer, call, answer.SerializeToString())
        self._show(customer, call)
        self.holdings.answered(customer.account_id, call, answer)
        learn = _LEARN.get((call.service, call.method))
        if learn is not None:
            learn(self, customer.account_id, call.request, answer)

    def refused(self, customer: Customer, call: Call, refusal: CloudError, kept: bool) -> None:
        """``kept``: a transaction was committed on its way, which it should not have been."""
        self.changes += 1
        name = f"{call.service}.{call.method}"
        if refusal.kind is Kind.BUG:
            self.breaches.append(f"{name} is a defect: {refusal.because!r}")
        if kept:
            self.breaches.append(f"{name} was refused ({refusal!r}) and left something behind")
        self._look_for_trespass(customer, call, refusal.message.encode())

    def cut(self, customer: Customer, call: Call, at: str, kept: bool) -> None:
        """The controller lost its power in the middle of a call."""
        self.changes += 1
        if kept and at == "commit:before":
            self.breaches.append(f"{call.service}.{call.method} was cut at {at}, yet it was kept")
        if kept:
            self._show(customer, call)
            self.adopt(getattr(call.request, "account_id", "") or customer.account_id)

    def adopt(self, account_id: str) -> None:
        """Takes what the database says of an account for what was promised."""
        self.changes += 1
        self.groups |= {
            row["group_id"]: account_id
            for row in self._of("security_group", account_id)
            if row["group_name"] != "default"  # which comes and goes with its VPC
        }
        self.groups = self._only_present(self.groups, "security_group", "group_id")
        for row in self._of("security_group_rule", account_id):
            if row["group_id"] in self.groups and row["rule_id"] not in self.rules:
                self.rules[row["rule_id"]] = row["group_id"]
        self.rules = self._only_present(self.rules, "security_group_rule", "rule_id")
        for row in self._of("instance", account_id):
            self.instances[row["instance_id"]] = Promised(
                account_id,
                row["desired"],
                row["client_token"],
                row["instance_type"],
                row["shutdown_behavior"],
            )
        self.holdings.adopt(account_id)
        self.addresses = self._only_present(self.addresses, "public_address", "allocation_id")
        self.addresses |= {
            row["allocation_id"]: None
            for row in self._of("public_address", account_id)
            if row["allocation_id"]
        }
        self.tags = {
            key: value for key, value in self.tags.items() if not self._is_of(key, account_id)
        }
        self.quotas = {key: limit for key, limit in self.quotas.items() if key[0] != account_id}

    def ended(self, instance_id: str, desired: str) -> None:
        """By itself, with a reason: what was promised of it is now what that led to."""
        self.changes += 1
        self.instances[instance_id].desired = desired
        if desired == "terminated":
            _give_up(self, instance_id, None)

    def forget_instance(self, instance_id: str) -> None:
        """It was seen gone for long enough: it and its tags need no longer be told of."""
        self.changes += 1
        self.instances.pop(instance_id, None)
        self.tags = {key: value for key, value in self.tags.items() if key[0] != instance_id}

    def has_several_addresses(self, instance_id: str) -> bool:
        nics = [
            row["network_interface_id"]
            for row in self._records.table("held_interface")
            if row["instance_id"] == instance_id
        ]
        more = self._records.table("secondary_address")
        return len(nics) > 1 or any(row["network_interface_id"] in nics for row in more)

    def forget_holders(self, account_id: str) -> None:
        """Its addresses may have moved with interfaces."""
        for row in self._of("public_address", account_id):
            if row["allocation_id"] in self.addresses:
                self.addresses[row["allocation_id"]] = None

    def _of(self, table: str, account_id: str) -> list:
        return [row for row in self._records.table(table) if row["account_id"] == account_id]

    def _only_present(self, known: dict, table: str, key: str) -> dict:
        present = {row[key] for row in self._records.table(table)}
        return {name: value for name, value in known.items() if name in present}

    def _is_of(self, key: tuple[str, str], account_id: str) -> bool:
        return self._owner(key[0].encode()) in ("", account_id)

    # An account never sees another's.

    def _look_for_trespass(self, customer: Customer, call: Call, said: bytes) -> None:
        asked = set(_ID.findall(call.request.SerializeToString()))
        for name in sorted(set(_ID.findall(said)) - asked):
            owner = self._owner(name)
            known = (customer.account_id, name) in self._shown
            if owner not in ("", customer.account_id) and not known and not customer.operator:
                self.breaches.append(
                    f"{call.service}.{call.method} told {customer.name} of {name.decode()}, "
                    f"which is {owner}'s"
                )

    def _show(self, customer: Customer, call: Call) -> None:
        """What a customer has used of another's, and the snapshots of an image that she launched,
        she sees in what was made of them."""
        named = set(_ID.findall(call.request.SerializeToString()))
        if (call.service, call.method) == ("Instances", "Run"):
            named |= {
                row["snapshot_id"].encode()
                for row in self._records.table("image_block_device")
                if row["image_id"] == call.request.image_id
            }
        self._shown |= {(customer.account_id, name) for name in named}

    def _owner(self, name: bytes) -> str:
        if name not in self._owners:
            for table, key in _OWNED:
                for row in self._records.rows(f'SELECT {key}, account_id FROM "{table}"'):
                    if row[key]:
                        self._owners[row[key].encode()] = row["account_id"] or ""
        return self._owners.get(name, "")


# What each answered call binds the controller to: (answers, account, request, answer).


def _ran(self: Answers, account_id: str, request, answer) -> None:
    if any(nic.network_interface_id for nic in request.network_interfaces):
        self.forget_holders(account_id)
    for instance in answer.instances:
        if instance.instance_id in self.instances:
            continue  # the same token again
        self.instances[instance.instance_id] = Promised(
            account_id,
            "running",
            request.client_token,
            instance.instance_type,
            request.instance_initiated_shutdown_behavior or "stop",
        )
        for specification in request.tag_specifications:
            for tag in specification.tags:
                self.tags[instance.instance_id, tag.key] = tag.value


def _wants(desired: str) -> Callable:
    def learn(self: Answers, account_id: str, request, answer) -> None:
        for change in answer.changes:
            promised = self.instances.get(change.instance_id)
            if promised is None or promised.account_id != account_id:
                self.breaches.append(f"{change.instance_id} was never promised to {account_id}")
            elif promised.desired == "terminated" != desired:
                self.breaches.append(f"{change.instance_id} was terminated, now {desired}")
            elif change.previous_state != change.current_state:  # else it was so, or is on its way
                promised.desired = desired
                if desired == "terminated":  # its addresses are given up, sooner or later
                    _give_up(self, change.instance_id, None)

    return learn


def _give_up(self: Answers, instance_id: str, now: str | None) -> None:
    for allocation_id, holder in self.addresses.items():
        if holder == instance_id:
            self.addresses[allocation_id] = now


def _modified(self: Answers, account_id: str, request, answer) -> None:
    promised = self.instances[request.instance_id]
    promised.instance_type = request.instance_type or promised.instance_type
    behavior = request.instance_initiated_shutdown_behavior
    promised.shutdown_behavior = behavior or promised.shutdown_behavior


def _group_made(self: Answers, account_id: str, request, answer) -> None:
    """With the rules that a new group has by itself."""
    self.groups[answer.group_id] = account_id
    for row in self._records.table("security_group_rule"):
        if row["group_id"] == answer.group_id:
            self.rules[row["rule_id"]] = answer.group_id


def _group_gone(self: Answers, account_id: str, request, answer) -> None:
    self.groups.pop(request.group_id, None)
    self.rules = {rule: group for rule, group in self.rules.items() if group != request.group_id}
    self.tags = {key: value for key, value in self.tags.items() if key[0] != request.group_id}


def _authorized(self: Answers, account_id: str, request, answer) -> None:
    self.rules.update((rule.rule_id, rule.group_id) for rule in answer.rules)


def _revoked(self: Answers, account_id: str, request, answer) -> None:
    for rule in answer.revoked:
        self.rules.pop(rule.rule_id, None)


def _allocated(self: Answers, account_id: str, request, answer) -> None:
    self.addresses[answer.allocation_id] = ""


def _associated(self: Answers, account_id: str, request, answer) -> None:
    """Which of several private addresses had one before is not followed."""
    if not request.instance_id or self.has_several_addresses(request.instance_id):
        self.forget_holders(account_id)
        return
    _give_up(self, request.instance_id, "")
    self.addresses[request.allocation_id] = request.instance_id


def _interfaces_changed(self: Answers, account_id: str, request, answer) -> None:
    self.forget_holders(account_id)


def _disassociated(self: Answers, account_id: str, request, answer) -> None:
    """The answer does not say from what: what has no interface now may have lost it just so."""
    held = {row["allocation_id"] for row in self._records.rows(ASSOCIATIONS)}
    for allocation_id in self.addresses:
        if allocation_id not in held:
            self.addresses[allocation_id] = ""


ASSOCIATIONS = """
SELECT allocation_id, instance_id FROM public_address
JOIN held_interface USING (public_ip) WHERE allocation_id IS NOT NULL
"""


def _released(self: Answers, account_id: str, request, answer) -> None:
    self.addresses.pop(request.allocation_id, None)


def _tagged(self: Answers, account_id: str, request, answer) -> None:
    for resource_id in request.resource_ids:
        for tag in request.tags:
            self.tags[resource_id, tag.key] = tag.value


def _untagged(self: Answers, account_id: str, request, answer) -> None:
    for resource_id in request.resource_ids:
        for tag in request.tags:
            self.tags[resource_id, tag.key] = None


def _quota_set(self: Answers, account_id: str, request, answer) -> None:
    self.quotas[request.account_id, request.name] = request.limit


_LEARN: dict[tuple[str, str], Callable] = {
    ("Instances", "Run"): _ran,
    ("Instances", "Start"): _wants("running"),
    ("Instances", "Stop"): _wants("stopped"),
    ("Instances", "Terminate"): _wants("terminated"),
    ("Instances", "ModifyAttribute"): _modified,
    ("SecurityGroups", "Create"): _group_made,
    ("SecurityGroups", "Delete"): _group_gone,
    ("SecurityGroups", "AuthorizeIngress"): _authorized,
    ("SecurityGroups", "AuthorizeEgress"): _authorized,
    ("SecurityGroups", "RevokeIngress"): _revoked,
    ("SecurityGroups", "RevokeEgress"): _revoked,
    ("Addresses", "Allocate"): _allocated,
    ("Addresses", "Associate"): _associated,
    ("Addresses", "Disassociate"): _disassociated,
    ("Addresses", "Release"): _released,
    ("NetworkInterfaces", "Attach"): _interfaces_changed,
    ("NetworkInterfaces", "Detach"): _interfaces_changed,
    ("NetworkInterfaces", "Delete"): _interfaces_changed,
    ("NetworkInterfaces", "AssignPrivateAddresses"): _interfaces_changed,
    ("NetworkInterfaces", "UnassignPrivateAddresses"): _interfaces_changed,
    ("Tags", "Create"): _tagged,
    ("Tags", "Delete"): _untagged,
    ("Quotas", "Set"): _quota_set,
}
