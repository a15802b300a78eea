"""Who may use a snapshot or an image, as EC2's Modify…Attribute actions say it in two ways.

A structure of additions and removals, or an OperationType with accounts and groups. Called by
snapshots and images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.aws.renderers import View
from gateway.ec2.parameters import combination, invalid


@dataclass(frozen=True)
class Permission:
    """An account, or the group of all accounts."""

    group: str = ""
    user_id: str = ""


@dataclass(frozen=True)
class PermissionChanges:
    add: Sequence[Permission] = ()
    remove: Sequence[Permission] = ()


@dataclass(frozen=True)
class Sharing:
    """What a Modify…Attribute asks for, said in either of EC2's two ways."""

    add_account_ids: Sequence[str]
    remove_account_ids: Sequence[str]
    public: bool | None


def permissions(public: bool, account_ids: Sequence[str]) -> list[View]:
    every: list[View] = [{"Group": "all"}] if public else []
    every += [{"UserId": account_id} for account_id in account_ids]
    return every


def sharing(
    changes: PermissionChanges | None,
    operation_type: str,
    user_ids: Sequence[str],
    group_names: Sequence[str],
) -> Sharing | None:
    """None where nothing is said. Raises INVALID for both ways at once, and what neither is."""
    flat = bool(operation_type or user_ids or group_names)
    if changes is not None and flat:
        raise combination("Permissions can be given as a structure or by OperationType, not both.")
    if flat:
        if operation_type not in ("add", "remove"):
            raise invalid(f"Value ({operation_type}) for parameter operationType is invalid.")
        named = [Permission(user_id=user_id) for user_id in user_ids]
        named += [Permission(group=group) for group in group_names]
        adds = operation_type == "add"
        changes = PermissionChanges(named if adds else (), () if adds else named)
    if changes is None or not (changes.add or changes.remove):
        return None
    return Sharing(_accounts(changes.add), _accounts(changes.remove), _public(changes))


def _accounts(given: Sequence[Permission]) -> list[str]:
    for each in given:
        if bool(each.group) == bool(each.user_id) or each.group not in ("", "all"):
            raise invalid("A permission names a UserId, or the Group all.")
    return [each.user_id for each in given if each.user_id]


def _public(changes: PermissionChanges) -> bool | None:
    added = any(each.group for each in changes.add)
    removed = any(each.group for each in changes.remove)
    if added and removed:
        raise combination("The group all cannot be added and removed at once.")
    return added if added or removed else None
