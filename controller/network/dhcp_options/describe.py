"""Reading sets of DHCP options, with EC2's filters for them. Called by the service (rpc)."""

from itertools import groupby
from typing import NamedTuple

from peewee import SQL

from controller.identity.pages import by_owner, owned_page
from controller.kernel.database import Session
from controller.kernel.filters import Condition, any_of, column
from controller.kernel.rows import columns
from controller.network.dhcp_options.rules import OWNED
from controller.tables.network import DhcpOption, DhcpOptions
from protos.cloud.v1 import networks_pb2

_VALUES = DhcpOption.select(SQL("1")).where(
    DhcpOption.dhcp_options_id == DhcpOptions.dhcp_options_id
)
DHCP_FILTERS: dict[str, Condition] = {
    "dhcp-options-id": column(DhcpOptions.dhcp_options_id),
    "owner-id": column(DhcpOptions.account_id),
    "key": any_of(_VALUES, DhcpOption.key),
    "value": any_of(_VALUES, DhcpOption.value),
}


class SetRow(NamedTuple):
    dhcp_options_id: str
    account_id: str


class OptionRow(NamedTuple):
    dhcp_options_id: str
    key: str
    position: int
    value: str


def describe_dhcp_options(
    session: Session, account_id: str, request: networks_pb2.DescribeDhcpOptionsRequest
) -> networks_pb2.DescribeDhcpOptionsResponse:
    asked = request.dhcp_options_ids
    rows, token, tagged = owned_page(
        session, account_id, OWNED, SetRow, DHCP_FILTERS, asked, request
    )
    set_ids = [row.dhcp_options_id for row in rows]
    query = DhcpOption.select(*columns(OptionRow, DhcpOption))
    values = by_owner(session, query, OptionRow, DhcpOption.dhcp_options_id, set_ids)
    sets = [
        networks_pb2.DhcpOptions(
            dhcp_options_id=row.dhcp_options_id,
            owner_id=row.account_id,
            options=_options(values[row.dhcp_options_id]),
            tags=tagged[row.dhcp_options_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeDhcpOptionsResponse(dhcp_options=sets, next_token=token)


def _options(rows: list[OptionRow]) -> list[networks_pb2.DhcpOption]:
    rows.sort(key=lambda row: (row.key, row.position))
    return [
        networks_pb2.DhcpOption(key=key, values=[row.value for row in group])
        for key, group in groupby(rows, key=lambda row: row.key)
    ]
