"""fog-aws, Ruby's: its models and collections (fog/flow.rb)."""

import json
from pathlib import Path

SCRIPT = Path(__file__).parent / "fog" / "flow.rb"


def test_a_users_round(customer, twice):
    customer.needs(Path("/usr/lib/ruby/vendor_ruby/fog/aws.rb").exists(), "ruby-fog-aws")
    seen = json.loads(customer.run(["ruby", SCRIPT, customer.image_id]))
    assert seen["absent"] == (
        "Fog::AWS::Compute::NotFound: The instance ID 'i-0123456789abcdef0' does not exist"
    )
    assert seen["in_use"].startswith("Fog::AWS::Compute::Error: DependencyViolation => ")
    assert seen["rules"] == [["tcp", 22, 22], ["tcp", 80, 81], ["tcp", 90, 90]]
    assert seen["left"] == 2
    assert seen["server"] == {
        "flavor_id": "t1.micro",  # what it launches by itself
        "key_name": "fog",
        "tags": {"Name": "fog", "empty": None},  # so fog reads an empty value
        "groups": ["fog"],
        "state": "running",
    }
    assert seen["volume"] == {"device": "/dev/sdf", "size": 1, "type": "gp3", "tags": {"a": "b"}}
    assert seen["snapshot"] == {"description": "of fog", "volume_size": 1, "progress": "100%"}
    assert seen["image"] == {"name": "of fog", "description": "d", "is_public": False}
    assert (seen["volumes"], seen["grown"], seen["snapshots"]) == (2, 2, 0)
    assert (seen["association"], seen["addresses"], seen["resized"]) == ("eipassoc-", 0, "t3.nano")
    assert seen["vpc"] == {
        "cidr_block": "10.6.0.0/16",
        "tags": {"Name": "fog"},
        "tenancy": "default",
        "is_default": False,
    }
    assert seen["routes"] == ["10.6.0.0/16", "0.0.0.0/0"]
    assert seen["zones"] == ["us-east-1a"]
    right = ("absent_key", "key", "console", "address", "dns", "nic")
    assert {name: seen[name] for name in right} == dict.fromkeys(right, True)
    assert seen["inside"] is False, "it has a public address"
