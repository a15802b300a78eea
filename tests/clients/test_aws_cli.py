"""The aws CLI, version 1: each noun made, described, modified, waited for and deleted."""

import json
import re

import pytest


class Aws:
    """``aws ec2 ...`` as the customer would type it."""

    def __init__(self, customer):
        self._customer = customer

    def __call__(self, *words):
        """What a command answers, as its JSON says; None where it prints nothing."""
        said = self._customer.run(["aws", "ec2", *words])
        return json.loads(said) if said.strip() else None

    def text(self, *words) -> list[str]:
        """What a command prints for scripts."""
        return self._customer.run(["aws", "ec2", *words, "--output", "text"]).split()

    def refusal(self, *words) -> str:
        """The code that a command ends with."""
        with pytest.raises(AssertionError) as failure:
            self(*words)
        return re.search(r"An error occurred \(([\w.]+)\)", str(failure.value))[1]

    def when(self, state: str, *instance_ids: str) -> None:
        """Waits, more often than ``aws ec2 wait`` would, and then as that does."""
        self._customer.account.wait_for(state, *instance_ids)
        self("wait", f"instance-{state}", "--instance-ids", *instance_ids)


@pytest.fixture
def aws(customer) -> Aws:
    return Aws(customer)


@pytest.fixture
def instance(aws, customer):
    """The id of one that runs; gone when the test is done."""
    launch = ("--image-id", customer.image_id, "--instance-type", "t3.micro", "--count", "1")
    (made,) = aws.text("run-instances", *launch, "--query", "Instances[].InstanceId")
    aws.when("running", made)
    yield made
    aws("terminate-instances", "--instance-ids", made)
    aws.when("terminated", made)


def test_who_am_i(customer, twice):
    answer = json.loads(customer.run(["aws", "sts", "get-caller-identity"]))
    assert answer["Account"] == customer.account.account_id


def test_pages_queries_and_tables(aws, customer, twice):
    named = ("--query", "InstanceTypes[].InstanceType")
    everything = aws("describe-instance-types", *named)
    assert aws("describe-instance-types", "--page-size", "5", *named) == everything
    first = aws("describe-instance-types", "--max-items", "3")
    rest = aws("describe-instance-types", "--starting-token", first["NextToken"], *named)
    assert [one["InstanceType"] for one in first["InstanceTypes"]] + rest == everything
    sorted_by = "sort_by(InstanceTypes,&MemoryInfo.SizeInMiB)[0].InstanceType"
    assert aws.text("describe-instance-types", "--query", sorted_by) == ["t2.nano"]
    table = customer.run(["aws", "ec2", "describe-regions", "--output", "table"])
    assert "| us-east-1" in table.replace("|  us", "| us")
    assert aws("describe-volumes", "--no-paginate") == {"Volumes": []}
    assert aws.text("describe-volumes") == []


def test_dry_runs_and_refusals(aws, customer, twice):
    launch = ("run-instances", "--image-id", customer.image_id, "--instance-type", "t3.micro")
    assert aws.refusal(*launch, "--dry-run") == "DryRunOperation"
    assert aws.refusal("create-vpc", "--cidr-block", "10.1.0.0/16", "--dry-run") == (
        "DryRunOperation"
    )
    absent = ("--instance-ids", "i-0123456789abcdef0")
    assert aws.refusal("describe-instances", *absent) == "InvalidInstanceID.NotFound"
    assert aws.refusal("create-nat-gateway", "--subnet-id", "subnet-1") == "UnsupportedOperation"
    assert aws("describe-instances") == {"Reservations": []}


def test_a_launch_from_a_file(aws, customer, tmp_path, twice):
    skeleton = aws("run-instances", "--generate-cli-skeleton")
    assert "ImageId" in skeleton
    user_data = tmp_path / "user-data"
    user_data.write_text("#!/bin/sh\necho hello\n")
    written = tmp_path / "launch.json"
    launch = {
        "ImageId": customer.image_id,
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "from a file"}]}
        ],
    }
    written.write_text(json.dumps(launch))
    files = ("--cli-input-json", f"file://{written}", "--user-data", f"file://{user_data}")
    (made,) = aws("run-instances", *files)["Instances"]
    one = made["InstanceId"]
    aws("wait", "instance-exists", "--instance-ids", one)
    aws.when("running", one)
    named = (
        "--filters",
        "Name=tag:Name,Values=from a file",
        "Name=instance-state-name,Values=running",
    )
    found = "Reservations[].Instances[].[InstanceId,Tags[0].Value]"
    assert aws("describe-instances", *named, "--query", found) == [[one, "from a file"]]
    attribute = ("describe-instance-attribute", "--instance-id", one, "--attribute")
    assert aws.text(*attribute, "userData", "--query", "UserData.Value") == [
        "IyEvYmluL3NoCmVjaG8gaGVsbG8K"
    ]
    assert "login" in aws("get-console-output", "--instance-id", one)["Output"]
    aws("terminate-instances", "--instance-ids", one)
    aws.when("terminated", one)


def test_power_and_attributes(aws, instance, twice):
    mine = ("--instance-ids", instance)
    status = aws("describe-instance-status", *mine)["InstanceStatuses"][0]
    assert status["InstanceStatus"]["Status"] in ("initializing", "ok")
    assert aws("reboot-instances", *mine) is None
    protect = ("modify-instance-attribute", "--instance-id", instance)
    aws(*protect, "--disable-api-termination")
    assert aws.refusal("terminate-instances", *mine) == "OperationNotPermitted"
    aws(*protect, "--no-disable-api-termination")
    (change,) = aws("stop-instances", *mine)["StoppingInstances"]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == (
        "running",
        "stopping",
    )
    aws.when("stopped", instance)
    aws(*protect, "--instance-type", "Value=t3.nano")
    aws("start-instances", *mine)
    aws.when("running", instance)
    kind = "Reservations[].Instances[].InstanceType"
    assert aws.text("describe-instances", *mine, "--query", kind) == ["t3.nano"]
    aws("create-tags", "--resources", instance, "--tags", "Key=a,Value=1", "Key=b,Value=")
    tags = aws("describe-tags", "--filters", f"Name=resource-id,Values={instance}")["Tags"]
    assert [(tag["Key"], tag["Value"]) for tag in tags] == [("a", "1"), ("b", "")]
    aws("delete-tags", "--resources", instance, "--tags", "Key=a")


def test_volumes_snapshots_and_images(aws, instance, twice):
    zone = aws.text("describe-availability-zones", "--query", "AvailabilityZones[0].ZoneName")[0]
    made = aws("create-volume", "--availability-zone", zone, "--size", "1", "--volume-type", "gp3")
    volume = made["VolumeId"]
    aws("wait", "volume-available", "--volume-ids", volume)
    where = ("--instance-id", instance, "--device", "/dev/sdf")
    aws("attach-volume", "--volume-id", volume, *where)
    aws("wait", "volume-in-use", "--volume-ids", volume)
    held = ("--filters", f"Name=attachment.instance-id,Values={instance}")
    assert volume in aws.text("describe-volumes", *held, "--query", "Volumes[].VolumeId")
    snapshot = aws("create-snapshot", "--volume-id", volume, "--description", "of aws")[
        "SnapshotId"
    ]
    aws("wait", "snapshot-completed", "--snapshot-ids", snapshot)
    change = aws("modify-volume", "--volume-id", volume, "--size", "2")["VolumeModification"]
    assert (change["OriginalSize"], change["TargetSize"]) == (1, 2)
    named = ("--instance-id", instance, "--name", "of aws", "--no-reboot")
    image = aws("create-image", *named)["ImageId"]
    aws("wait", "image-available", "--image-ids", image)
    everyone = ("--launch-permission", "Add=[{Group=all}]")
    aws("modify-image-attribute", "--image-id", image, *everyone)
    public = ("--owners", "self", "--filters", "Name=is-public,Values=true")
    assert aws.text("describe-images", *public, "--query", "Images[].ImageId") == [image]
    aws("deregister-image", "--image-id", image, "--delete-associated-snapshots")
    aws("delete-snapshot", "--snapshot-id", snapshot)
    aws("detach-volume", "--volume-id", volume)
    aws("wait", "volume-available", "--volume-ids", volume)
    aws("delete-volume", "--volume-id", volume)
    aws("wait", "volume-deleted", "--volume-ids", volume)
    assert aws("describe-snapshots", "--owner-ids", "self") == {"Snapshots": []}


def test_keys_groups_and_addresses(aws, instance, tmp_path, twice):
    material = ("create-key-pair", "--key-name", "aws", "--query", "KeyMaterial")
    assert "PRIVATE" in aws.text(*material)
    aws("wait", "key-pair-exists", "--key-names", "aws")
    public = tmp_path / "key.pub"
    public.write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDIhz2GK/XCUj4i6Q5yQJNL1MKMY0RxzPV2QrBqfHrDq a"
    )
    given = ("--key-name", "given", "--public-key-material", f"fileb://{public}")
    assert aws("import-key-pair", *given)["KeyName"] == "given"
    for name in ("aws", "given"):
        aws("delete-key-pair", "--key-name", name)
    group = aws("create-security-group", "--group-name", "aws", "--description", "d")["GroupId"]
    aws("wait", "security-group-exists", "--group-ids", group)
    rule = ("--group-id", group, "--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0")
    aws("authorize-security-group-ingress", *rule)
    assert aws.refusal("authorize-security-group-ingress", *rule) == "InvalidPermission.Duplicate"
    whole = ("--ip-permissions", "IpProtocol=50,IpRanges=[{CidrIp=10.0.0.0/8,Description=esp}]")
    aws("authorize-security-group-ingress", "--group-id", group, *whole)
    (seen,) = aws("describe-security-groups", "--group-ids", group)["SecurityGroups"]
    ports = {one["IpProtocol"]: one.get("FromPort") for one in seen["IpPermissions"]}
    assert ports == {"tcp": 22, "50": None}
    aws("revoke-security-group-ingress", *rule)
    aws("delete-security-group", "--group-id", group)
    address = aws("allocate-address", "--domain", "vpc")["AllocationId"]
    held = aws("associate-address", "--allocation-id", address, "--instance-id", instance)
    (seen,) = aws("describe-addresses", "--allocation-ids", address)["Addresses"]
    assert (seen["InstanceId"], seen["AssociationId"]) == (instance, held["AssociationId"])
    aws("disassociate-address", "--association-id", held["AssociationId"])
    aws("release-address", "--allocation-id", address)


def test_a_network_of_ones_own(aws, twice):
    vpc = aws("create-vpc", "--cidr-block", "10.4.0.0/16")["Vpc"]["VpcId"]
    mine = ("--vpc-id", vpc)
    aws("wait", "vpc-available", "--vpc-ids", vpc)
    aws("modify-vpc-attribute", *mine, "--enable-dns-hostnames")
    asked = ("describe-vpc-attribute", *mine, "--attribute", "enableDnsHostnames")
    assert aws(*asked)["EnableDnsHostnames"] == {"Value": True}
    subnet = aws("create-subnet", *mine, "--cidr-block", "10.4.1.0/24")["Subnet"]["SubnetId"]
    aws("wait", "subnet-available", "--subnet-ids", subnet)
    aws("modify-subnet-attribute", "--subnet-id", subnet, "--map-public-ip-on-launch")
    gateway = aws.text("create-internet-gateway", "--query", "InternetGateway.InternetGatewayId")[0]
    aws("attach-internet-gateway", "--internet-gateway-id", gateway, *mine)
    table = aws("create-route-table", *mine)["RouteTable"]["RouteTableId"]
    anywhere = ("--route-table-id", table, "--destination-cidr-block", "0.0.0.0/0")
    assert aws("create-route", *anywhere, "--gateway-id", gateway) == {"Return": True}
    joined = aws("associate-route-table", "--route-table-id", table, "--subnet-id", subnet)
    targets = ("--query", "RouteTables[].Routes[].GatewayId")
    assert aws.text("describe-route-tables", "--route-table-ids", table, *targets) == [
        "local",
        gateway,
    ]
    nic = aws("create-network-interface", "--subnet-id", subnet)["NetworkInterface"]
    named = ("--network-interface-ids", nic["NetworkInterfaceId"])
    aws("wait", "network-interface-available", *named)
    assert aws.refusal("delete-subnet", "--subnet-id", subnet) == "DependencyViolation"
    aws("delete-network-interface", "--network-interface-id", nic["NetworkInterfaceId"])
    aws("disassociate-route-table", "--association-id", joined["AssociationId"])
    aws("delete-route", *anywhere)
    aws("delete-route-table", "--route-table-id", table)
    aws("detach-internet-gateway", "--internet-gateway-id", gateway, *mine)
    aws("delete-internet-gateway", "--internet-gateway-id", gateway)
    aws("delete-subnet", "--subnet-id", subnet)
    aws("delete-vpc", *mine)
