"""Calls about instances, as an account's, and what they are charged: for tests of their life."""

from controller.tables.hosts import Host
from controller.tables.identity import Quota
from protos.cloud.v1 import instances_pb2

Modify = instances_pb2.ModifyInstanceAttributeRequest


def used(cloud):
    """(vcpus, memory, disk) of the host, and what the account is charged."""
    with cloud.db.read() as session:
        host = session.one(Host.select())
        quotas = {
            row.name: row.used
            for row in session.rows(
                Quota.select().where(Quota.account_id == cloud.alice.account_id)
            )
        }
    charged = tuple(quotas[name] for name in ("instances", "vcpus", "memory_mib"))
    return (host.vcpus_used, host.memory_mib_used, host.disk_gib_used), charged


def changes(answer):
    return [(one.previous_state, one.current_state) for one in answer.changes]


def modify(cloud, instance_id, **attribute):
    return cloud.instances.ModifyAttribute(
        Modify(instance_id=instance_id, **attribute), caller=cloud.alice.caller()
    )


def attributes(cloud, instance_id):
    return cloud.instances.DescribeAttributes(
        instances_pb2.InstanceRequest(instance_id=instance_id), caller=cloud.alice.caller()
    )
