"""Ansible's collection amazon.aws: instances with all that they have, and the inventory."""

import pytest

pytestmark = pytest.mark.timeout(900)  # a module takes a second, on a busy machine three


def test_instances(playbooks, twice):
    playbooks.play("instances.yml", changes=True)
    playbooks.play("instances.yml", changes=False)
    found = playbooks.inventory("servers.aws_ec2.yml")
    assert found["type_t2_nano"]["hosts"] == ["web"]
    assert found["group_default"]["hosts"] == ["web"]
    seen = found["_meta"]["hostvars"]["web"]
    assert seen["ansible_host"] == seen["private_ip_address"]
    playbooks.play("instances_life.yml")
    playbooks.play("instances_gone.yml")
