"""A network of the tenant's own, for real: two subnets, one routed; an interface plugged into a
guest that runs there gets its address by itself, is answered on, and goes again.
"""

import subprocess

import pytest

from tests.real.real_cloud import eventually, ssh

FAST = {"Delay": 1, "MaxAttempts": 180}


@pytest.fixture(scope="module")
def ec2(cloud):
    return cloud.ec2(cloud.account("networks"))


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def vpc(ec2) -> dict[str, str]:
    """Ids of a VPC with an open group, a subnet that is routed and one that is not."""
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    public, private = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"]
        for block in ("10.7.1.0/24", "10.7.2.0/24")
    )
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=public)
    group = ec2.create_security_group(GroupName="open", Description="all", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="-1", CidrIp="0.0.0.0/0")
    return {"public": public, "private": private, "group": group, "table": table}


@pytest.fixture(scope="module")
def guests(ec2, vpc, key) -> tuple[str, str]:
    """Instances in the routed subnet, with a public address, and in the other."""
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=key.with_suffix(".pub").read_bytes())
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["pileus-demo"]}])["Images"]
    ids = []
    for subnet, public in ((vpc["public"], True), (vpc["private"], False)):
        nic = {
            "DeviceIndex": 0,
            "SubnetId": subnet,
            "Groups": [vpc["group"]],
            "AssociatePublicIpAddress": public,
        }
        run = ec2.run_instances(
            ImageId=image["ImageId"],
            InstanceType="t2.nano",
            MinCount=1,
            MaxCount=1,
            KeyName="mine",
            NetworkInterfaces=[nic],
        )
        ids.append(run["Instances"][0]["InstanceId"])
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=ids, WaiterConfig=FAST)
    return tuple(ids)


def described(ec2, instance_id: str) -> dict:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return reservation["Instances"][0]


def interface(ec2, name: str) -> dict:
    (found,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[name])["NetworkInterfaces"]
    return found


def says(address: str, key, command: str) -> str:
    """What the command says over SSH, once the guest lets us in."""

    def attempt():
        said = ssh(address, key, f"{command}\necho done")
        return said if said and said.endswith("done\n") else None

    return eventually(attempt, f"ssh to {address}").removesuffix("done\n")


def test_guests_reach_one_another_and_the_outside_as_routed(ec2, vpc, guests, key):
    routed, hidden = (described(ec2, each) for each in guests)
    public, private = routed["PublicIpAddress"], hidden["PrivateIpAddress"]
    assert routed["PrivateIpAddress"].startswith("10.7.1.") and private.startswith("10.7.2.")
    name = hidden["PrivateDnsName"]
    assert says(public, key, f"sudo ping -q -c 1 -W 2 {private} >&2 || echo lost") == ""
    assert private in says(public, key, f"nslookup {name} 2>&1 || true")
    ec2.delete_route(RouteTableId=vpc["table"], DestinationCidrBlock="0.0.0.0/0")
    eventually(lambda: ssh(public, key, "true") is None, "cut off", 20, 0.1)
    gateways = ec2.describe_internet_gateways(
        Filters=[{"Name": "attachment.state", "Values": ["available"]}]
    )["InternetGateways"]
    (gateway,) = [
        each["InternetGatewayId"]
        for each in gateways
        if each["Attachments"][0]["VpcId"] == routed["VpcId"]
    ]
    ec2.create_route(RouteTableId=vpc["table"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    assert says(public, key, "true") == ""


def test_an_interface_is_plugged_into_a_guest_and_taken_from_it(ec2, vpc, guests, key):
    routed, _ = guests
    public = described(ec2, routed)["PublicIpAddress"]
    made = ec2.create_network_interface(SubnetId=vpc["public"], Groups=[vpc["group"]])
    nic = made["NetworkInterface"]["NetworkInterfaceId"]
    own = made["NetworkInterface"]["PrivateIpAddress"]
    attached = ec2.attach_network_interface(
        NetworkInterfaceId=nic, InstanceId=routed, DeviceIndex=1
    )
    eventually(lambda: interface(ec2, nic)["Attachment"]["Status"] == "attached", "attached", 60)
    eventually(lambda: own in says(public, key, "ip addr show eth1"), f"{own} on eth1", 30)

    elastic = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=elastic["AllocationId"], NetworkInterfaceId=nic)
    assert "eth1" in says(elastic["PublicIp"], key, f"ip -o addr show | grep {own}")
    mac = made["NetworkInterface"]["MacAddress"]
    base = f"http://169.254.169.254/latest/meta-data/network/interfaces/macs/{mac}"
    token = "$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "
    token += "http://169.254.169.254/latest/api/token)"
    told = says(public, key, f'curl -sf -H "X-aws-ec2-metadata-token: {token}" {base}/public-ipv4s')
    assert told.strip() == elastic["PublicIp"]

    ec2.release_address(AllocationId=_let_go(ec2, elastic["AllocationId"]))
    ec2.detach_network_interface(AttachmentId=attached["AttachmentId"])
    eventually(lambda: interface(ec2, nic)["Status"] == "available", "available", 60)
    eventually(lambda: "eth1" not in says(public, key, "ls /sys/class/net"), "no eth1", 30)
    ec2.delete_network_interface(NetworkInterfaceId=nic)


def _let_go(ec2, allocation: str) -> str:
    (address,) = ec2.describe_addresses(AllocationIds=[allocation])["Addresses"]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    return allocation


def test_all_of_it_goes(cloud, ec2, guests):
    ec2.terminate_instances(InstanceIds=list(guests))
    ec2.get_waiter("instance_terminated").wait(InstanceIds=list(guests), WaiterConfig=FAST)
