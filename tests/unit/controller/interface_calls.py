"""Calls about network interfaces, as an account's: for tests of their rules."""

from protos.cloud.v1 import common_pb2, quotas_pb2
from protos.cloud.v1 import network_interfaces_pb2 as nics_pb2
from protos.cloud.v1 import networks_pb2 as pb
from tests.unit.controller.cloud import Account


def ask(cloud, method, request, service="NetworkInterfaces", account=None):
    caller = (account or cloud.alice).caller()
    return getattr(cloud.client(service), method)(request, caller=caller)


def subnet_of(cloud, zone="us-east-1a"):
    answer = ask(cloud, "DescribeSubnets", pb.DescribeSubnetsRequest(), "Networks")
    return next(one for one in answer.subnets if one.availability_zone == zone)


def make(cloud, **more):
    more.setdefault("subnet_id", subnet_of(cloud).subnet_id)
    return ask(cloud, "Create", nics_pb2.CreateNetworkInterfaceRequest(**more))


def shown(cloud, nic_id, account=None):
    request = pb.DescribeNetworkInterfacesRequest(network_interface_ids=[nic_id])
    answer = ask(cloud, "DescribeNetworkInterfaces", request, "Networks", account)
    return answer.network_interfaces[0]


def found(cloud, name, *values):
    request = pb.DescribeNetworkInterfacesRequest(
        filters=[common_pb2.Filter(name=name, values=values)]
    )
    answer = ask(cloud, "DescribeNetworkInterfaces", request, "Networks")
    return {one.network_interface_id for one in answer.network_interfaces}


def attach(cloud, nic, instance_id, index=1):
    request = nics_pb2.AttachNetworkInterfaceRequest(
        network_interface_id=nic.network_interface_id, instance_id=instance_id, device_index=index
    )
    return ask(cloud, "Attach", request).attachment_id


def detach(cloud, attachment_id, force=False):
    request = nics_pb2.DetachNetworkInterfaceRequest(attachment_id=attachment_id, force=force)
    ask(cloud, "Detach", request)


def delete(cloud, nic):
    ask(cloud, "Delete", nics_pb2.NetworkInterfaceRequest(network_interface_id=nic))


def used(cloud):
    request = quotas_pb2.ListQuotasRequest(account_id=cloud.alice.account_id)
    operator = Account(cloud.alice.account_id, operator=True)
    answer = ask(cloud, "List", request, "Quotas", operator)
    return {one.name: one.used for one in answer.quotas}["network_interfaces"]


def modify(cloud, nic, **change):
    request = nics_pb2.ModifyNetworkInterfaceAttributeRequest(
        network_interface_id=nic.network_interface_id, **change
    )
    ask(cloud, "ModifyAttribute", request)


def attributes(cloud, nic):
    request = nics_pb2.NetworkInterfaceRequest(network_interface_id=nic.network_interface_id)
    return ask(cloud, "DescribeAttributes", request)


def assign(cloud, nic, *addresses, count=0, again=False):
    request = nics_pb2.AssignPrivateAddressesRequest(
        network_interface_id=nic.network_interface_id,
        private_ip_addresses=addresses,
        count=count,
        allow_reassignment=again,
    )
    return list(ask(cloud, "AssignPrivateAddresses", request).private_ip_addresses)


def unassign(cloud, nic, *addresses):
    request = nics_pb2.UnassignPrivateAddressesRequest(
        network_interface_id=nic.network_interface_id, private_ip_addresses=addresses
    )
    ask(cloud, "UnassignPrivateAddresses", request)
