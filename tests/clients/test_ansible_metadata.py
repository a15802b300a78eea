"""Ansible's ec2_metadata_facts, against the metadata service.

The module asks 169.254.169.254, which only a guest reaches; here it asks it through the service
itself as its HTTP proxy.
"""

import random

import pytest

from hostagent.network.metadata_http import Caller
from hostagent.network.metadata_server import MetadataServer, open_listener
from hostagent.network.metadata_tokens import Tokens
from hostagent.network.metadata_tree import tree_of
from protos.cloud.v1 import instances_pb2
from tests.unit.network import specs


@pytest.fixture
def metadata_service():
    """Its address; whoever asks from here is the first guest of the specs."""
    guest, _ = specs.guests()
    options = instances_pb2.MetadataOptions(http_tokens="required")
    server = MetadataServer(Tokens(b"secret", lambda: 0, random.Random(1).randbytes))
    tree = tree_of(specs.vpc(), guest, region="us-east-1")
    server.update("vpc-1", {"127.0.0.1": Caller("i-1", tree, options)})
    listener = open_listener("127.0.0.1", 0)
    host, port = listener.getsockname()
    server.listen("vpc-1", listener)
    yield f"http://{host}:{port}"
    server.stop()


def test_facts(playbooks, metadata_service):
    playbooks.play("metadata.yml", metadata_service=metadata_service)
