"""Ansible's collection amazon.aws: networks, and what this cloud has not."""

import pytest

pytestmark = pytest.mark.timeout(900)  # a module takes a second, on a busy machine three


def test_networks(playbooks, twice):
    playbooks.play("networks.yml", changes=True)
    playbooks.play("networks.yml", changes=False)
    playbooks.play("networks_gone.yml")


def test_what_is_not_here(playbooks):
    playbooks.play("lacking.yml")
