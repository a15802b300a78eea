"""An instance as the controller tells of one: for tests of what boto3 is told."""

from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2
from tests.unit.gateway.world import ACCOUNT

LAUNCHED = 1_769_860_800_123
LENT = networks_pb2.NetworkInterfaceAssociation(public_ip="100.64.0.7", ip_owner_id="amazon")


def nic():
    return networks_pb2.NetworkInterface(
        network_interface_id="eni-1",
        owner_id=ACCOUNT,
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        status="in-use",
        mac_address="02:00:00:00:00:01",
        private_ip_address="172.31.0.4",
        source_dest_check=True,
        groups=[networks_pb2.GroupIdentifier(group_id="sg-1", group_name="default")],
        attachment=networks_pb2.NetworkInterfaceAttachment(
            attachment_id="eni-attach-1",
            instance_id="i-1",
            instance_owner_id=ACCOUNT,
            status="attached",
            attach_time_ms=LAUNCHED,
            delete_on_termination=True,
        ),
        association=LENT,
        private_ip_addresses=[
            networks_pb2.InterfaceAddress(
                private_ip_address="172.31.0.4", primary=True, association=LENT
            ),
            networks_pb2.InterfaceAddress(private_ip_address="172.31.0.5"),
        ],
    )


def instance(state="running", **more):
    return instances_pb2.Instance(
        instance_id="i-1",
        image_id="ami-1",
        state=state,
        launch_time_ms=LAUNCHED,
        instance_type="t2.micro",
        availability_zone="us-east-1a",
        tenancy="default",
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        private_ip_address="172.31.0.4",
        public_ip_address="100.64.0.7",
        architecture="x86_64",
        root_device_name="/dev/vda",
        source_dest_check=True,
        vcpus=1,
        security_groups=[networks_pb2.GroupIdentifier(group_id="sg-1", group_name="default")],
        network_interfaces=[nic()],
        block_devices=[
            instances_pb2.InstanceBlockDevice(
                device_name="/dev/vda",
                volume_id="vol-1",
                status="attached",
                attach_time_ms=LAUNCHED,
                delete_on_termination=True,
            )
        ],
        metadata_options=instances_pb2.MetadataOptions(
            state="applied",
            http_tokens="optional",
            http_put_response_hop_limit=1,
            http_endpoint="enabled",
            http_protocol_ipv6="disabled",
            instance_metadata_tags="disabled",
        ),
        tags=[common_pb2.Tag(key="Name", value="")],
        **more,
    )
