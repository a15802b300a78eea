"""Instances: look at them, start, stop, reboot, terminate them, read their consoles."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Literal

from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views import instances as views
from gateway.ec2.views.shared import token
from protos.cloud.v1 import instances_pb2


def describe_instances(
    call: Call,
    *,
    instance_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> dict:
    request = instances_pb2.DescribeInstancesRequest(
        instance_ids=instance_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=instance_ids),
    )
    answer = call.clients.instances.Describe(request, caller=call.caller)
    return {
        "Reservations": [views.reservation(each) for each in answer.reservations],
        "NextToken": token(answer.next_token),
    }


def describe_instance_status(
    call: Call,
    *,
    instance_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_all_instances: bool = False,
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> dict:
    request = instances_pb2.DescribeInstanceStatusRequest(
        instance_ids=instance_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=instance_ids),
        include_all_instances=include_all_instances,
    )
    answer = call.clients.instances.DescribeStatus(request, caller=call.caller)
    return {
        "InstanceStatuses": [views.instance_status(each) for each in answer.statuses],
        "NextToken": token(answer.next_token),
    }


def start_instances(
    call: Call,
    *,
    instance_ids: Sequence[str],
    additional_info: str = "",  # harmless: reserved by EC2, means nothing there either
) -> dict:
    request = instances_pb2.InstancesRequest(instance_ids=instance_ids)
    answer = call.clients.instances.Start(request, caller=call.caller)
    return {"StartingInstances": [views.state_change(each) for each in answer.changes]}


def stop_instances(
    call: Call,
    *,
    instance_ids: Sequence[str],
    force: bool = False,
    hibernate: Literal[False] = False,  # harmless: only "no" is taken
    skip_os_shutdown: Literal[False] = False,  # harmless: only "no" is taken
) -> dict:
    request = instances_pb2.StopInstancesRequest(instance_ids=instance_ids, force=force)
    answer = call.clients.instances.Stop(request, caller=call.caller)
    return {"StoppingInstances": [views.state_change(each) for each in answer.changes]}


def reboot_instances(call: Call, *, instance_ids: Sequence[str]) -> None:
    request = instances_pb2.InstancesRequest(instance_ids=instance_ids)
    call.clients.instances.Reboot(request, caller=call.caller)


def terminate_instances(
    call: Call,
    *,
    instance_ids: Sequence[str],
    force: bool = False,  # harmless: a guest that does not obey is ended here in any case
    skip_os_shutdown: bool = False,  # harmless: a terminated guest's disk is gone either way
) -> dict:
    request = instances_pb2.InstancesRequest(instance_ids=instance_ids)
    answer = call.clients.instances.Terminate(request, caller=call.caller)
    return {"TerminatingInstances": [views.state_change(each) for each in answer.changes]}


def get_console_output(
    call: Call,
    *,
    instance_id: str,
    latest: bool = False,  # harmless: it is always the latest
) -> dict:
    request = instances_pb2.InstanceRequest(instance_id=instance_id)
    answer = call.clients.instances.GetConsoleOutput(request, caller=call.caller)
    return {
        "InstanceId": answer.instance_id,
        "Timestamp": answer.timestamp_ms,
        "Output": b64encode(answer.output).decode(),
    }


def describe_instance_credit_specifications(
    call: Call,
    *,
    instance_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> dict:
    request = instances_pb2.DescribeCreditSpecificationsRequest(
        instance_ids=instance_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=instance_ids),
    )
    answer = call.clients.instances.DescribeCreditSpecifications(request, caller=call.caller)
    return {
        "InstanceCreditSpecifications": [
            {"InstanceId": each.instance_id, "CpuCredits": each.cpu_credits}
            for each in answer.specifications
        ],
        "NextToken": token(answer.next_token),
    }
