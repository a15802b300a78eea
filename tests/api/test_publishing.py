"""A public image is found by everybody: who may publish one, the operator says by a quota."""

import hashlib
import json

from tests.api.asking import launch_one, refused

DISK = bytes(510) + b"\x55\xaa" + bytes(512)
NAME = "public_images_per_account"
EVERYBODY = {"Add": [{"Group": "all"}]}


def allow(cloud, account, limit: int) -> None:
    path = f"/v1/accounts/{account.account_id}/quotas/{NAME}"
    cloud.operator.api("PUT", path, {"limit": limit})


JSON = {"Content-Type": "application/json"}


def registered(account, name: str, **more) -> str:
    answer = account.send(
        "POST",
        "/v1/image-uploads?disk_format=raw",
        DISK,
        {"Content-Type": "application/octet-stream"},
        service="pileus",
    )
    assert answer.status == 200, answer.data
    location = "upload:" + hashlib.sha256(DISK).hexdigest()
    return account.ec2.register_image(Name=name, ImageLocation=location, **more)["ImageId"]


def publish(account, image_id: str) -> None:
    account.ec2.modify_image_attribute(ImageId=image_id, LaunchPermission=EVERYBODY)


def named(account, name: str, **more) -> list[str]:
    filters = [{"Name": "name", "Values": [name]}]
    found = account.ec2.describe_images(Filters=filters, **more)["Images"]
    return [image["ImageId"] for image in found]


def test_a_stranger_publishes_nothing_until_the_operator_says_so(cloud, account, other):
    image_id = registered(account, "pileus-demo")
    asked = {"ImageId": image_id, "LaunchPermission": EVERYBODY}
    assert refused(account.ec2.modify_image_attribute, **asked) == "ResourceLimitExceeded"
    body = {"name": "x-native", "image_location": f"upload:{hashlib.sha256(DISK).hexdigest()}"}
    answer = account.send(
        "POST", "/v1/images", json.dumps(body | {"public": True}), JSON, service="pileus"
    )
    assert answer.json()["error"]["kind"] == "QUOTA"
    assert named(other, "pileus-demo") == [] and named(account, "x-native") == []

    allow(cloud, account, 1)
    publish(account, image_id)
    publish(account, image_id)  # it is that already
    assert named(other, "pileus-demo") == [image_id]
    second = registered(account, "second")
    asked = {"ImageId": second, "LaunchPermission": EVERYBODY}
    assert refused(account.ec2.modify_image_attribute, **asked) == "ResourceLimitExceeded"
    account.ec2.deregister_image(ImageId=image_id)
    publish(account, second)


def test_sharing_with_one_account_needs_no_right(cloud, account, other):
    image_id = registered(account, "shared")
    account.ec2.modify_image_attribute(
        ImageId=image_id, LaunchPermission={"Add": [{"UserId": other.account_id}]}
    )
    assert launch_one(cloud, other, ImageId=image_id)


def test_the_hint_of_up_finds_no_strangers_image(cloud, account, other):
    """`--owners amazon`, as `pileus up` prints it: what bears it is the operator's alone."""
    allow(cloud, account, 1)
    publish(account, registered(account, "any-name"))
    assert named(other, "any-name") and named(other, "any-name", Owners=["amazon"]) == []
    assert cloud.image_id in [
        image["ImageId"] for image in other.ec2.describe_images(Owners=["amazon"])["Images"]
    ]
