"""What the tests of this folder ask again and again."""

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def refused(call, **parameters) -> str:
    """The code of the error that a boto3 call ends in."""
    with pytest.raises(ClientError) as failure:
        call(**parameters)
    return failure.value.response["Error"]["Code"]


def status_of(call, **parameters) -> tuple[int, str]:
    with pytest.raises(ClientError) as failure:
        call(**parameters)
    answer = failure.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def the_one(found: list) -> dict:
    """Terraform insists on exactly one."""
    (only,) = found
    return only


def launch(cloud, who, count=1, **more) -> list[dict]:
    """Instances, running."""
    given = {"ImageId": cloud.image_id, "MinCount": count, "MaxCount": count, **more}
    made = who.ec2.run_instances(**given)["Instances"]
    who.wait_for("running", *(instance["InstanceId"] for instance in made))
    return made


def launch_one(cloud, who, **more) -> str:
    """The id of an instance that runs."""
    return launch(cloud, who, **more)[0]["InstanceId"]


def described(who, instance_id) -> dict:
    seen = who.ec2.describe_instances(InstanceIds=[instance_id])
    return seen["Reservations"][0]["Instances"][0]


def found(who, **filters) -> set[str]:
    """Ids of the instances that filters find: found(alice, image_id=[...])."""
    given = [
        {"Name": name.replace("_", "-").replace("--", ":"), "Values": values}
        for name, values in filters.items()
    ]
    return {
        instance["InstanceId"]
        for reservation in who.ec2.describe_instances(Filters=given)["Reservations"]
        for instance in reservation["Instances"]
    }


def filtered(call, key, name, *values):
    return call(Filters=[{"Name": name, "Values": list(values)}])[key]


def public_key() -> bytes:
    """A fresh key pair's public half, as ssh-keygen writes it."""
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" me@here\n"
