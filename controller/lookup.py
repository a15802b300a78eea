"""Finding what a caller named by id: well formed, his own, there. The same for every noun.

Called by the rules and describes of all nouns. EC2's rules (docs/ec2.md, 28 and 40): a malformed
id is its own error; an id that names nothing is an error also beside filters; what belongs to
another account is not there.
"""

from collections.abc import Sequence

from peewee import Field, ModelSelect

from controller.db.filters import Page
from controller.db.session import Session
from protos import ids
from protos.errors import CloudError, Kind, missing_parameter

MAX_IDS = 1000

# EC2's words for "not there", where they differ from "The <noun> ID '<id>' does not exist".
_WORDS = {
    "instance": "The instance ID '{}' does not exist",
    "image": "The image id '[{}]' does not exist",
    "volume": "The volume '{}' does not exist.",
    "snapshot": "The snapshot '{}' does not exist.",
    "security-group": "The security group '{}' does not exist",
    "security-group-rule": "The security group rule ID '{}' does not exist",
    "key-pair": "The key pair '{}' does not exist",
    "elastic-ip": "The allocation ID '{}' does not exist",
    "elastic-ip-association": "The association ID '{}' does not exist",
    "volume-modification": "Modification for volume '{}' does not exist.",
    "network-interface": "The networkInterface ID '{}' does not exist",
    "network-interface-attachment": "The interface attachment ID '{}' does not exist",
    "route-table": "The routeTable ID '{}' does not exist",
    "route-table-association": "The association ID '{}' does not exist",
    "internet-gateway": "The internetGateway ID '{}' does not exist",
    "network-acl": "The networkAcl ID '{}' does not exist",
    "dhcp-options": "The dhcpOptions ID '{}' does not exist",
}


def not_found(noun: str, identifier: str) -> CloudError:
    words = _WORDS.get(noun, f"The {noun} ID '{{}}' does not exist")
    return CloudError(Kind.NOT_FOUND, words.format(identifier), noun=noun, id=identifier)


def check_ids(noun: str, identifiers: Sequence[str]) -> None:
    """Raises MALFORMED_ID for the first that cannot be an id of the noun, INVALID for too many."""
    if len(identifiers) > MAX_IDS:
        raise CloudError(
            Kind.INVALID, f"At most {MAX_IDS} IDs can be given at once.", noun="parameter"
        )
    for identifier in identifiers:
        if not ids.is_well_formed(identifier, noun):
            raise CloudError(
                Kind.MALFORMED_ID,
                f'Invalid id: "{identifier}" (expecting "{ids.PREFIXES[noun]}-...")',
                noun=noun,
                id=identifier,
            )


def select_page(
    session: Session,
    query: ModelSelect,
    key: Field,
    noun: str,
    identifiers: Sequence[str],
    conditions: Sequence,
    page: Page,
    *,
    absent: str = "",
) -> tuple[list, str]:
    """A Describe's rows and the token of its next page.

    ``query`` selects the caller's rows of the noun, its first column ``key``; ``identifiers``
    those asked for, or none; ``conditions`` the filters; ``absent`` what is not there, where that
    is another noun. Raises MALFORMED_ID, INVALID for another list's token, and NOT_FOUND for ids
    that name nothing, whatever the filters say.
    """
    page.expect(noun)
    check_ids(noun, identifiers)
    wanted = query.where(key.in_(list(identifiers))) if identifiers else query
    rows = session.rows(page.of(wanted.where(*conditions) if conditions else wanted, key))
    check_found(session, wanted, absent or noun, identifiers, {row[0] for row in rows})
    return page.cut(rows, lambda row: row[0])


def find_one(
    session: Session, query: ModelSelect, key: Field, noun: str, identifier: str, parameter: str
):
    """The row of ``query``, which selects the caller's rows of the noun, of this id, a value of
    ``key``. ``parameter``: what names it in a request. Raises INVALID where nothing does,
    MALFORMED_ID, NOT_FOUND."""
    if not identifier:
        raise missing_parameter(parameter)
    check_ids(noun, [identifier])
    row = session.one(query.where(key == identifier))
    if row is None:
        raise not_found(noun, identifier)
    return row


def check_found(
    session: Session, wanted: ModelSelect, noun: str, asked: Sequence[str], found: set[str]
) -> None:
    """Raises NOT_FOUND for the first of ``asked`` that ``wanted``, without filters, has not."""
    if all(identifier in found for identifier in asked):
        return
    there = {row[0] for row in session.tuples(wanted)}
    for identifier in asked:
        if identifier not in there:
            raise not_found(noun, identifier)
