"""aws_instance as Terraform's AWS provider makes, refreshes, changes and destroys one.

From terraform-provider-aws, internal/service/ec2/ec2_instance.go. ``read`` is resourceInstanceRead:
what the provider would hold in its state, by the names that a configuration has for it.
"""

from tests.api.asking import described, the_one

NAMED = [{"Key": "Name", "Value": "web"}]
METADATA = {
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "HttpPutResponseHopLimit": 2,
    "HttpTokens": "required",
    "InstanceMetadataTags": "disabled",
}


class Resource:
    """One aws_instance."""

    def __init__(self, account, instance_id: str):
        self.account, self.ec2, self.id = account, account.ec2, instance_id

    def read(self) -> dict:
        """Every call of a refresh, in order."""
        instance = described(self.account, self.id)
        kinds = self.ec2.describe_instance_types(InstanceTypes=[instance["InstanceType"]])
        kind = the_one(kinds["InstanceTypes"])
        template = [
            {"Name": "resource-id", "Values": [self.id]},
            {"Name": "key", "Values": ["aws:ec2launchtemplate:id"]},
        ]
        assert self.ec2.describe_tags(Filters=template)["Tags"] == []
        the_one(self.ec2.describe_vpcs(VpcIds=[instance["VpcId"]])["Vpcs"])
        state = _of_instance(instance)
        state["instance_initiated_shutdown_behavior"] = self.attribute(
            "instanceInitiatedShutdownBehavior"
        )
        state["block_devices"] = self._block_devices(instance)
        for name, attribute in (
            ("disable_api_stop", "disableApiStop"),
            ("disable_api_termination", "disableApiTermination"),
            ("user_data", "userData"),
        ):
            state[name] = self.attribute(attribute)
        if kind["BurstablePerformanceSupported"]:
            credits = self.ec2.describe_instance_credit_specifications(InstanceIds=[self.id])
            (credited,) = credits["InstanceCreditSpecifications"]
            state["cpu_credits"] = credited["CpuCredits"]
        return state

    def attribute(self, name: str):
        answer = self.ec2.describe_instance_attribute(InstanceId=self.id, Attribute=name)
        return answer[name[0].upper() + name[1:]].get("Value")

    def _block_devices(self, instance) -> dict:
        """readBlockDevicesFromInstance: the mapping, and every volume of it."""
        mapped = {each["Ebs"]["VolumeId"]: each for each in instance["BlockDeviceMappings"]}
        volumes = self.ec2.describe_volumes(VolumeIds=list(mapped))["Volumes"]
        assert {each["VolumeId"] for each in volumes} == set(mapped)
        return {
            mapped[each["VolumeId"]]["DeviceName"]: {
                "volume_id": each["VolumeId"],
                "size": each["Size"],
                "type": each["VolumeType"],
                "iops": each.get("Iops"),
                "throughput": each.get("Throughput"),
                "encrypted": each["Encrypted"],
                "snapshot_id": each.get("SnapshotId", ""),
                "tags": each.get("Tags"),
                "delete_on_termination": mapped[each["VolumeId"]]["Ebs"]["DeleteOnTermination"],
                "attached": [(one["Device"], one["State"]) for one in each["Attachments"]],
            }
            for each in volumes
        }

    def set(self, **attribute) -> None:
        self.ec2.modify_instance_attribute(InstanceId=self.id, **attribute)

    def set_stopped(self, **attribute) -> None:
        """modifyInstanceAttributeWithStopStart."""
        self.ec2.stop_instances(InstanceIds=[self.id])
        self.account.wait_for("stopped", self.id)
        self.set(**attribute)
        self.ec2.start_instances(InstanceIds=[self.id])
        self.account.wait_for("running", self.id)

    def destroy(self) -> None:
        self.set(DisableApiTermination={"Value": False})
        self.ec2.terminate_instances(InstanceIds=[self.id])
        self.account.wait_for("terminated", self.id)


def _of_instance(instance: dict) -> dict:
    """What resourceInstanceRead takes of DescribeInstances alone."""
    interfaces = instance["NetworkInterfaces"]
    primary = the_one([each for each in interfaces if each["Attachment"]["DeviceIndex"] == 0])
    addresses = primary["PrivateIpAddresses"]
    return {
        "ami": instance["ImageId"],
        "state": instance["State"]["Name"],
        "availability_zone": instance["Placement"]["AvailabilityZone"],
        "placement_group": instance["Placement"]["GroupName"],
        "tenancy": instance["Placement"]["Tenancy"],
        "capacity_reservation": instance["CapacityReservationSpecification"],
        "cpu_options": instance["CpuOptions"],
        "ebs_optimized": instance["EbsOptimized"],
        "enclave_options": instance["EnclaveOptions"],
        "hibernation": instance["HibernationOptions"],
        "instance_type": instance["InstanceType"],
        "key_name": instance.get("KeyName"),
        "maintenance_options": instance["MaintenanceOptions"],
        "metadata_options": instance["MetadataOptions"],
        "monitoring": instance["Monitoring"]["State"],
        "private_dns_name_options": instance["PrivateDnsNameOptions"],
        "private_ip": instance["PrivateIpAddress"],
        "secondary_private_ips": [
            each["PrivateIpAddress"] for each in addresses if not each["Primary"]
        ],
        "associate_public_ip_address": "Association" in primary,
        "ipv6_addresses": primary["Ipv6Addresses"],
        "source_dest_check": instance["SourceDestCheck"],
        "subnet_id": instance["SubnetId"],
        "tags": {each["Key"]: each["Value"] for each in instance.get("Tags", ())},
        "vpc_security_group_ids": {each["GroupId"] for each in instance["SecurityGroups"]},
        "network_interface": [
            (
                each["Attachment"]["DeviceIndex"],
                each["Attachment"]["NetworkCardIndex"],
                each["Attachment"]["DeleteOnTermination"],
                each["NetworkInterfaceId"],
            )
            for each in interfaces
        ],
    }


def differences(before: dict, after: dict) -> dict:
    """What a plan would show between two refreshes."""
    assert before.keys() == after.keys()
    return {name: after[name] for name in after if after[name] != before[name]}


def create(cloud, account, **more) -> Resource:
    """resourceInstanceCreate with what buildInstanceOpts sends of its own."""
    image = the_one(account.ec2.describe_images(ImageIds=[cloud.image_id])["Images"])
    root = {"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeSize": 8, "VolumeType": "gp2"}}
    asked = {
        "InstanceType": "t3.micro",
        "BlockDeviceMappings": [root],
        "CreditSpecification": {"CpuCredits": "standard"},
        "DisableApiStop": False,
        "DisableApiTermination": False,
        "EbsOptimized": False,
        "EnclaveOptions": {"Enabled": False},
        "HibernationOptions": {"Configured": False},
        "MaintenanceOptions": {"AutoRecovery": "default"},
        "MetadataOptions": METADATA,
        "Monitoring": {"Enabled": False},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": NAMED}],
        **more,
    }
    made = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1, **asked)
    resource = Resource(account, the_one(made["Instances"])["InstanceId"])
    account.wait_for("running", resource.id)
    return resource
