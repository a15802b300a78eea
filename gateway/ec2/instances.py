"""Instances: look at them, start, stop, reboot, terminate them, read their consoles; what can be
set of them beside their attributes."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.aws.errors import answer_to
from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.launch import MetadataOptions, metadata_options_of
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views import instances as views
from gateway.ec2.views.shared import token
from protos.cloud.v1 import common_pb2, instances_pb2
from protos.errors import from_detail


@dataclass(frozen=True)
class InstanceCreditSpecification:
    instance_id: str = ""
    cpu_credits: str = ""


def describe_instances(
    call: Call,
    *,
    instance_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> View:
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
) -> View:
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
) -> View:
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
) -> View:
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
) -> View:
    request = instances_pb2.InstancesRequest(instance_ids=instance_ids)
    answer = call.clients.instances.Terminate(request, caller=call.caller)
    return {"TerminatingInstances": [views.state_change(each) for each in answer.changes]}


def get_console_output(
    call: Call,
    *,
    instance_id: str,
    latest: bool = False,  # harmless: it is always the latest
) -> View:
    request = instances_pb2.InstanceRequest(instance_id=instance_id)
    answer = call.clients.instances.GetConsoleOutput(request, caller=call.caller)
    return {
        "InstanceId": answer.instance_id,
        "Timestamp": answer.timestamp_ms,
        "Output": b64encode(answer.output).decode(),
    }


def get_password_data(call: Call, *, instance_id: str) -> View:
    request = instances_pb2.InstanceRequest(instance_id=instance_id)
    answer = call.clients.instances.GetPasswordData(request, caller=call.caller)
    return {
        "InstanceId": answer.instance_id,
        "Timestamp": answer.timestamp_ms,
        "PasswordData": answer.password_data,
    }


def monitor_instances(call: Call, *, instance_ids: Sequence[str]) -> View:
    request = instances_pb2.InstancesRequest(instance_ids=instance_ids)
    return _monitorings(call.clients.instances.Monitor(request, caller=call.caller))


def unmonitor_instances(call: Call, *, instance_ids: Sequence[str]) -> View:
    request = instances_pb2.InstancesRequest(instance_ids=instance_ids)
    return _monitorings(call.clients.instances.Unmonitor(request, caller=call.caller))


def _monitorings(answer: instances_pb2.InstanceMonitorings) -> View:
    return {
        "InstanceMonitorings": [
            {"InstanceId": each.instance_id, "Monitoring": {"State": each.state}}
            for each in answer.instances
        ]
    }


def modify_instance_metadata_options(
    call: Call,
    *,
    instance_id: str,
    http_tokens: str = "",
    http_put_response_hop_limit: int | None = None,
    http_endpoint: str = "",
    http_protocol_ipv6: str = "",
    instance_metadata_tags: str = "",
) -> View:
    options = metadata_options_of(
        MetadataOptions(
            http_tokens=http_tokens,
            http_put_response_hop_limit=http_put_response_hop_limit,
            http_endpoint=http_endpoint,
            http_protocol_ipv6=http_protocol_ipv6,
            instance_metadata_tags=instance_metadata_tags,
        )
    )
    request = instances_pb2.ModifyMetadataOptionsRequest(instance_id=instance_id, options=options)
    answer = call.clients.instances.ModifyMetadataOptions(request, caller=call.caller)
    return {
        "InstanceId": instance_id,
        "InstanceMetadataOptions": views.metadata_options(answer),
    }


def describe_instance_credit_specifications(
    call: Call,
    *,
    instance_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
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


def modify_instance_credit_specification(
    call: Call,
    *,
    instance_credit_specifications: Sequence[InstanceCreditSpecification],
    client_token: str = "",  # harmless: said twice it is done once
) -> View:
    request = instances_pb2.ModifyCreditSpecificationsRequest(
        specifications=[
            instances_pb2.CreditSpecification(
                instance_id=each.instance_id, cpu_credits=each.cpu_credits
            )
            for each in instance_credit_specifications
        ]
    )
    answer = call.clients.instances.ModifyCreditSpecifications(request, caller=call.caller)
    return {
        "SuccessfulInstanceCreditSpecifications": [
            {"InstanceId": each} for each in answer.changed_instance_ids
        ],
        "UnsuccessfulInstanceCreditSpecifications": [
            {"InstanceId": each.instance_id, "Error": _error(each.error)}
            for each in answer.refusals
        ],
    }


def _error(detail: common_pb2.ErrorDetail) -> View:
    error = from_detail(detail)
    return {"Code": answer_to(error, "ec2").code, "Message": error.message}
