"""Network interfaces and what hangs on them, in the order of calls of Terraform's AWS provider.

From terraform-provider-aws, internal/service/ec2: create, refresh (nothing differs), change,
refresh, destroy.
"""

import pytest

from tests.api.asking import described, refused, the_one
from tests.harness.waiting import wait_until


def by(name, *values) -> dict:
    return {"Name": name, "Values": list(values)}


class Terraform:
    """The provider's finders and waiters for one account."""

    def __init__(self, account):
        self.account, self.ec2 = account, account.ec2

    @property
    def subnet(self) -> dict:
        return self.ec2.describe_subnets(Filters=[by("default-for-az", "true")])["Subnets"][0]

    def interface(self, nic_id: str) -> dict:
        found = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[nic_id])
        return the_one(found["NetworkInterfaces"])

    def create_interface(self, **more) -> dict:
        more.setdefault("SubnetId", self.subnet["SubnetId"])
        made = self.ec2.create_network_interface(**more)["NetworkInterface"]
        nic_id = made["NetworkInterfaceId"]
        self.ec2.get_waiter("network_interface_available").wait(
            NetworkInterfaceIds=[nic_id], WaiterConfig={"Delay": 0, "MaxAttempts": 1}
        )
        return self.interface(nic_id)

    def attached(self, attachment_id: str) -> list[str]:
        """What the provider looks at until it is "attached", or there is none any more."""
        found = self.ec2.describe_network_interfaces(
            Filters=[by("attachment.attachment-id", attachment_id)]
        )
        return [each["Attachment"]["Status"] for each in found["NetworkInterfaces"]]

    def attach(self, nic_id: str, instance_id: str, index: int) -> str:
        made = self.ec2.attach_network_interface(
            NetworkInterfaceId=nic_id, InstanceId=instance_id, DeviceIndex=index
        )
        attachment_id = made["AttachmentId"]
        wait_until("attached", lambda: self.attached(attachment_id) == ["attached"])
        return attachment_id

    def detach(self, attachment_id: str) -> None:
        self.ec2.detach_network_interface(AttachmentId=attachment_id, Force=True)
        wait_until("detached", lambda: self.attached(attachment_id) == [])

    def delete_interface(self, nic_id: str) -> None:
        self.ec2.delete_network_interface(NetworkInterfaceId=nic_id)
        gone = refused(self.ec2.describe_network_interfaces, NetworkInterfaceIds=[nic_id])
        assert gone == "InvalidNetworkInterfaceID.NotFound"

    def launch(self, cloud, **more) -> str:
        made = self.ec2.run_instances(
            ImageId=cloud.image_id, InstanceType="t2.micro", MinCount=1, MaxCount=1, **more
        )
        instance_id = the_one(made["Instances"])["InstanceId"]
        self.account.wait_for("running", instance_id)
        return instance_id


@pytest.fixture
def terraform(account) -> Terraform:
    return Terraform(account)


def ips_of(nic: dict) -> list[str]:
    return [each["PrivateIpAddress"] for each in nic["PrivateIpAddresses"]]


def test_aws_network_interface(terraform):
    ec2 = terraform.ec2
    vpc = terraform.subnet["VpcId"]
    group = ec2.create_security_group(GroupName="eni", Description="d", VpcId=vpc)["GroupId"]
    tags = [{"Key": "Name", "Value": "primary_network_interface"}]
    nic = terraform.create_interface(
        ClientToken="terraform-2026",
        Description="d",
        Groups=[group],
        PrivateIpAddresses=[
            {"PrivateIpAddress": "172.31.0.100", "Primary": True},
            {"PrivateIpAddress": "172.31.0.101", "Primary": False},
        ],
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}],
    )
    nic_id = nic["NetworkInterfaceId"]
    assert terraform.interface(nic_id) == nic
    assert (nic["Status"], nic["Description"], nic["InterfaceType"]) == (
        "available",
        "d",
        "interface",
    )
    assert (nic["TagSet"], nic["SourceDestCheck"]) == (tags, True)
    assert ips_of(nic) == ["172.31.0.100", "172.31.0.101"]
    assert nic["PrivateIpAddress"] == "172.31.0.100"
    assert [each["GroupId"] for each in nic["Groups"]] == [group]
    for absent in ("Attachment", "Association"):
        assert absent not in nic

    # private_ips, source_dest_check, security_groups and description change
    ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=nic_id, PrivateIpAddresses=["172.31.0.101"]
    )
    ec2.assign_private_ip_addresses(NetworkInterfaceId=nic_id, PrivateIpAddresses=["172.31.0.102"])
    counted = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=nic_id, SecondaryPrivateIpAddressCount=1
    )
    drawn = the_one(counted["AssignedPrivateIpAddresses"])["PrivateIpAddress"]
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=nic_id, SourceDestCheck={"Value": False}
    )
    default = the_one(
        ec2.describe_security_groups(Filters=[by("group-name", "default")])["SecurityGroups"]
    )
    ec2.modify_network_interface_attribute(NetworkInterfaceId=nic_id, Groups=[default["GroupId"]])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=nic_id, Description={"Value": "new"})
    seen = terraform.interface(nic_id)
    assert ips_of(seen) == ["172.31.0.100", "172.31.0.102", drawn]
    assert (seen["Description"], seen["SourceDestCheck"]) == ("new", False)
    assert [each["GroupId"] for each in seen["Groups"]] == [default["GroupId"]]
    shown = ec2.describe_network_interface_attribute(
        NetworkInterfaceId=nic_id, Attribute="sourceDestCheck"
    )
    assert shown["SourceDestCheck"] == {"Value": False}
    ec2.reset_network_interface_attribute(
        NetworkInterfaceId=nic_id, SourceDestCheck="sourceDestCheck"
    )
    assert terraform.interface(nic_id)["SourceDestCheck"] is True
    terraform.delete_interface(nic_id)
    ec2.delete_security_group(GroupId=group)


def test_aws_network_interface_attachment(cloud, terraform):
    instance_id = terraform.launch(cloud)
    nic_id = terraform.create_interface()["NetworkInterfaceId"]
    attachment_id = terraform.attach(nic_id, instance_id, 1)
    seen = terraform.interface(nic_id)
    assert seen["Status"] == "in-use"
    attachment = seen["Attachment"]
    assert attachment["AttachmentId"] == attachment_id
    assert (attachment["InstanceId"], attachment["DeviceIndex"]) == (instance_id, 1)
    assert (attachment["Status"], attachment["DeleteOnTermination"]) == ("attached", False)
    instance = described(terraform.account, instance_id)
    nics = instance["NetworkInterfaces"]
    assert [each["Attachment"]["DeviceIndex"] for each in nics] == [0, 1]
    assert nics[1]["NetworkInterfaceId"] == nic_id
    assert nics[1]["PrivateIpAddresses"][0]["Primary"] is True
    assert instance["PrivateIpAddress"] == nics[0]["PrivateIpAddress"]

    in_use = refused(terraform.ec2.delete_network_interface, NetworkInterfaceId=nic_id)
    assert in_use == "InvalidNetworkInterface.InUse"
    primary = nics[0]["Attachment"]["AttachmentId"]
    refusal = refused(terraform.ec2.detach_network_interface, AttachmentId=primary)
    assert refusal == "OperationNotPermitted"
    ambiguous = refused(
        terraform.ec2.modify_instance_attribute,
        InstanceId=instance_id,
        Groups=[nics[0]["Groups"][0]["GroupId"]],
    )
    assert ambiguous == "InvalidInstanceID"
    third = terraform.create_interface()["NetworkInterfaceId"]
    full = refused(
        terraform.ec2.attach_network_interface,
        NetworkInterfaceId=third,
        InstanceId=instance_id,
        DeviceIndex=2,
    )
    assert full == "AttachmentLimitExceeded"

    terraform.detach(attachment_id)
    gone = refused(terraform.ec2.detach_network_interface, AttachmentId=attachment_id)
    assert gone == "InvalidAttachmentID.NotFound"
    assert terraform.interface(nic_id)["Status"] == "available"
    for each in (nic_id, third):
        terraform.delete_interface(each)


def test_aws_instance_with_network_interface_blocks(cloud, terraform):
    ids = [terraform.create_interface()["NetworkInterfaceId"] for _ in range(2)]
    instance_id = terraform.launch(
        cloud,
        NetworkInterfaces=[
            {
                "NetworkInterfaceId": nic_id,
                "DeviceIndex": index,
                "DeleteOnTermination": False,
                "NetworkCardIndex": 0,
            }
            for index, nic_id in enumerate(ids)
        ],
    )
    instance = described(terraform.account, instance_id)
    nics = instance["NetworkInterfaces"]
    assert [each["NetworkInterfaceId"] for each in nics] == ids
    assert [each["Attachment"]["DeleteOnTermination"] for each in nics] == [False, False]
    assert [each["Attachment"]["NetworkCardIndex"] for each in nics] == [0, 0]
    assert {each["Attachment"]["Status"] for each in nics} == {"attached"}
    terraform.ec2.terminate_instances(InstanceIds=[instance_id])
    terraform.account.wait_for("terminated", instance_id)
    for nic_id in ids:
        assert terraform.interface(nic_id)["Status"] == "available"
        terraform.delete_interface(nic_id)


def test_aws_eip_on_a_particular_private_address(cloud, terraform):
    ec2 = terraform.ec2
    nic = terraform.create_interface(SecondaryPrivateIpAddressCount=1)
    nic_id, ips = nic["NetworkInterfaceId"], ips_of(nic)
    made = []
    for private_ip in ips:
        allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
        the_one(ec2.describe_addresses(AllocationIds=[allocation])["Addresses"])
        association = ec2.associate_address(
            AllocationId=allocation,
            NetworkInterfaceId=nic_id,
            PrivateIpAddress=private_ip,
            AllowReassociation=True,
        )["AssociationId"]
        found = ec2.describe_addresses(Filters=[by("association-id", association)])["Addresses"]
        address = the_one(found)
        assert (address["PrivateIpAddress"], address["NetworkInterfaceId"]) == (private_ip, nic_id)
        names = ec2.describe_addresses_attribute(
            AllocationIds=[allocation], Attribute="domain-name"
        )
        assert names["Addresses"] == []  # those that have a name in the reverse zone
        made.append(address)
    seen = terraform.interface(nic_id)
    public = [each["Association"]["PublicIp"] for each in seen["PrivateIpAddresses"]]
    assert public == [each["PublicIp"] for each in made]
    assert seen["Association"]["AllocationId"] == made[0]["AllocationId"]
    for address in made:
        busy = refused(ec2.release_address, AllocationId=address["AllocationId"])
        assert busy == "InvalidIPAddress.InUse"
        ec2.disassociate_address(AssociationId=address["AssociationId"])
        ec2.release_address(AllocationId=address["AllocationId"])
    terraform.delete_interface(nic_id)
