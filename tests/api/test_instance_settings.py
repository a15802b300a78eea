"""Monitoring, metadata options, password data and the attribute that can be reset, over the wire:
written, then read back through every describe that shows them."""

import datetime

from tests.api.asking import described, found, launch_one, refused, status_of
from tests.harness.waiting import wait_until

NOBODYS = "i-0123456789abcdef0"


def test_monitoring_is_on_and_off(cloud, account, other):
    ec2, one = account.ec2, launch_one(cloud, account)

    def state(call) -> str:
        (answer,) = call(InstanceIds=[one])["InstanceMonitorings"]
        assert answer["InstanceId"] == one
        return answer["Monitoring"]["State"]

    assert described(account, one)["Monitoring"] == {"State": "disabled"}
    assert status_of(ec2.monitor_instances, InstanceIds=[one], DryRun=True)[0] == 412
    assert [state(ec2.monitor_instances) for _ in range(2)] == ["pending", "enabled"]
    assert described(account, one)["Monitoring"] == {"State": "enabled"}
    assert found(account, monitoring_state=["enabled"]) == {one}
    assert [state(ec2.unmonitor_instances) for _ in range(2)] == ["disabling", "disabled"]
    assert described(account, one)["Monitoring"] == {"State": "disabled"}
    for who, names, code in (
        (other, [one], "InvalidInstanceID.NotFound"),
        (account, [one, NOBODYS], "InvalidInstanceID.NotFound"),
        (account, ["i-x"], "InvalidInstanceID.Malformed"),
    ):
        assert refused(who.ec2.monitor_instances, InstanceIds=names) == code
    assert described(account, one)["Monitoring"] == {"State": "disabled"}


def test_metadata_options_change_while_it_runs(cloud, account, other):
    ec2, one = account.ec2, launch_one(cloud, account)
    modify = ec2.modify_instance_metadata_options
    wanted = {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 2,
        "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "enabled",
    }
    assert status_of(modify, InstanceId=one, DryRun=True, **wanted) == (412, "DryRunOperation")
    answer = modify(InstanceId=one, **wanted)
    assert answer["InstanceId"] == one
    assert answer["InstanceMetadataOptions"] == {"State": "pending", **wanted}
    applied = {"State": "applied", **wanted}
    wait_until("applied", lambda: described(account, one)["MetadataOptions"] == applied)
    by_tokens = {"metadata_options.http_tokens": ["required"]}
    assert found(account, **by_tokens) == {one}
    again = modify(InstanceId=one, HttpTokens="optional")["InstanceMetadataOptions"]
    assert again == {**wanted, "HttpTokens": "optional", "State": "pending"}
    wait_until("applied", lambda: found(account, **{"metadata_options.state": ["applied"]}))
    assert refused(modify, InstanceId=one, HttpPutResponseHopLimit=65) == "InvalidParameterValue"
    assert refused(modify, InstanceId=one, HttpPutResponseHopLimit=0) == "InvalidParameterValue"
    assert refused(modify, InstanceId=NOBODYS) == "InvalidInstanceID.NotFound"
    assert refused(modify, InstanceId="i-x") == "InvalidInstanceID.Malformed"
    theirs = other.ec2.modify_instance_metadata_options
    assert refused(theirs, InstanceId=one, HttpTokens="required") == "InvalidInstanceID.NotFound"


def test_a_linux_guests_password_data_is_empty(cloud, account, other):
    ec2, one = account.ec2, launch_one(cloud, account)
    answer = ec2.get_password_data(InstanceId=one)
    assert (answer["InstanceId"], answer["PasswordData"]) == (one, "")
    assert answer["Timestamp"] == described(account, one)["LaunchTime"]
    assert answer["Timestamp"] <= datetime.datetime.now(datetime.UTC)
    assert refused(ec2.get_password_data, InstanceId=NOBODYS) == "InvalidInstanceID.NotFound"
    assert refused(ec2.get_password_data, InstanceId="i-x") == "InvalidInstanceID.Malformed"
    assert refused(other.ec2.get_password_data, InstanceId=one) == "InvalidInstanceID.NotFound"
    assert status_of(ec2.get_password_data, InstanceId=one, DryRun=True)[0] == 412


def test_the_source_check_is_reset(cloud, account):
    ec2, one = account.ec2, launch_one(cloud, account)
    ec2.modify_instance_attribute(InstanceId=one, SourceDestCheck={"Value": False})

    def shown() -> list[bool]:
        nic = described(account, one)["NetworkInterfaces"][0]
        attribute = ec2.describe_instance_attribute(InstanceId=one, Attribute="sourceDestCheck")
        interfaces = ec2.describe_network_interfaces(
            NetworkInterfaceIds=[nic["NetworkInterfaceId"]]
        )
        return [
            described(account, one)["SourceDestCheck"],
            nic["SourceDestCheck"],
            attribute["SourceDestCheck"]["Value"],
            interfaces["NetworkInterfaces"][0]["SourceDestCheck"],
        ]

    assert shown() == [False] * 4
    ec2.reset_instance_attribute(InstanceId=one, Attribute="sourceDestCheck")
    assert shown() == [True] * 4
    kernel = refused(ec2.reset_instance_attribute, InstanceId=one, Attribute="kernel")
    assert kernel == "UnsupportedOperation"
