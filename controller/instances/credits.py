"""DescribeInstanceCreditSpecifications: how burstable instances are credited. Called by
instances/rpc. No guest is throttled here; what is shown is EC2's default of the instance type."""

from controller.call import Call
from controller.db.filters import column, page_of, where
from controller.db.schema import Instance, InstanceType
from controller.db.session import Database
from controller.lookup import select_page
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind

_FILTERS = {"instance-id": column(Instance.instance_id)}


def describe(
    db: Database, call: Call, request: instances_pb2.DescribeCreditSpecificationsRequest
) -> instances_pb2.DescribeCreditSpecificationsResponse:
    """Raises INVALID for one named that is not burstable; unnamed ones are left out."""
    ids = request.instance_ids
    page = page_of(request.page, explicit_ids=ids)
    conditions = where(_FILTERS, request.filters)
    query = (
        Instance.select(Instance.instance_id, Instance.instance_type, InstanceType.burstable)
        .join(InstanceType, on=InstanceType.name == Instance.instance_type)
        .where(Instance.account_id == call.account_id)
    )
    if not ids:
        query = query.where(InstanceType.burstable)
    with db.read() as session:
        rows, next_token = select_page(
            session, query, Instance.instance_id, "instance", ids, conditions, page
        )
    for row in rows:
        if not row.burstable:
            raise CloudError(
                Kind.INVALID,
                f"The instance '{row.instance_id}' is not a burstable performance instance.",
                noun="parameter",
            )
    return instances_pb2.DescribeCreditSpecificationsResponse(
        specifications=[
            instances_pb2.CreditSpecification(
                instance_id=row.instance_id,
                cpu_credits="standard" if row.instance_type.startswith("t2.") else "unlimited",
            )
            for row in rows
        ],
        next_token=next_token,
    )
