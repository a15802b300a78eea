"""How burstable instances are credited: said by a launch, shown by
DescribeInstanceCreditSpecifications, changed by ModifyInstanceCreditSpecification.

Called by compute/rpc, launch/plan and attributes. No guest is throttled here: the option is kept
and shown. As EC2 has it, an instance gets its option once, from its launch or with its first
burstable type, and keeps it whatever its type becomes.
"""

from typing import NamedTuple

from controller.compute.instances.rules import find_staying
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.filters import column, page_of, where
from controller.kernel.lookup import select_page
from controller.tables.compute import Instance, InstanceType
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, missing_parameter, to_detail

STANDARD, UNLIMITED = "standard", "unlimited"
_FILTERS = {"instance-id": column(Instance.instance_id)}
_STANDARD_FAMILIES = {"t2"}  # EC2 User Guide, "Burstable performance instances"; later ones are not


class CreditRow(NamedTuple):
    instance_id: str
    cpu_credits: str
    burstable: bool


def choose(asked: str, type_name: str, burstable: bool) -> str:
    """What a new instance has; '' where there is nothing to be had. Raises INVALID."""
    if asked:
        check_choice(asked)
        if not burstable:
            raise _not_burstable(type_name)
    return asked or (default(type_name) if burstable else "")


def check_choice(asked: str) -> None:
    if asked not in (STANDARD, UNLIMITED):
        raise CloudError(
            Kind.INVALID,
            f"Value ({asked}) for parameter CpuCredits is invalid. "
            f"Valid values are '{STANDARD}' and '{UNLIMITED}'.",
            noun="parameter",
        )


def default(type_name: str) -> str:
    """Of a burstable type."""
    return STANDARD if type_name.partition(".")[0] in _STANDARD_FAMILIES else UNLIMITED


def describe(
    db: Database, call: Call, request: instances_pb2.DescribeCreditSpecificationsRequest
) -> instances_pb2.DescribeCreditSpecificationsResponse:
    """Those named; where none is, those that are (or, before they got another type, were) credited
    without limit. Raises INVALID for one named that is not burstable."""
    ids = request.instance_ids
    page = page_of(request.page, explicit_ids=ids)
    conditions = where(_FILTERS, request.filters)
    query = (
        Instance.select(Instance.instance_id, Instance.cpu_credits, InstanceType.burstable)
        .join(InstanceType, on=InstanceType.name == Instance.instance_type)
        .where(Instance.account_id == call.account_id)
    )
    if not ids:
        query = query.where(Instance.cpu_credits == UNLIMITED)
    with db.read(call) as session:
        rows, next_token = select_page(
            session, query, Instance.instance_id, "instance", ids, conditions, page, row=CreditRow
        )
    for row in rows:
        if ids and not row.burstable:
            raise CloudError(
                Kind.INVALID,
                f"The instance '{row.instance_id}' is not a burstable performance instance.",
                noun="parameter",
            )
    return instances_pb2.DescribeCreditSpecificationsResponse(
        specifications=[
            instances_pb2.CreditSpecification(
                instance_id=row.instance_id, cpu_credits=row.cpu_credits
            )
            for row in rows
        ],
        next_token=next_token,
    )


def modify(
    db: Database, call: Call, request: instances_pb2.ModifyCreditSpecificationsRequest
) -> instances_pb2.ModifyCreditSpecificationsResponse:
    """Each by itself, in their order. Raises INVALID where one is not even a choice."""
    if not request.specifications:
        raise missing_parameter("InstanceCreditSpecification")
    for one in request.specifications:
        check_choice(one.cpu_credits)
    answer = instances_pb2.ModifyCreditSpecificationsResponse()
    with db.write(call) as tx:
        for one in request.specifications:
            try:
                _modify(tx, one)
                answer.changed_instance_ids.append(one.instance_id)
            except CloudError as refusal:  # nothing was written for it
                if refusal.kind is Kind.DENIED:
                    raise
                answer.refusals.add(instance_id=one.instance_id, error=to_detail(refusal))
    return answer


def _modify(tx: Transaction, one: instances_pb2.CreditSpecification) -> None:
    (row,) = find_staying(tx, tx.call.account_id, [one.instance_id], "modified")
    burstable = InstanceType.select(InstanceType.burstable).where(
        InstanceType.name == row.instance_type
    )
    if not tx.value(burstable, bool):
        raise _not_burstable(row.instance_type)
    named = Instance.instance_id == row.instance_id
    tx.advance(Instance, {"cpu_credits": one.cpu_credits}, named)


def _not_burstable(type_name: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"The {type_name} instance type does not support CPU credits.",
        noun="parameter",
        reason="credits-not-supported",
    )
