"""A gateway with a pretended controller, for this folder's tests."""

import boto3
import pytest
from botocore.config import Config

from tests.unit.gateway import world as worlds
from tests.unit.gateway.serving import serving


@pytest.fixture
def world():
    return worlds.World()


@pytest.fixture(scope="module")
def _served():
    world = worlds.World()
    with world.listening() as url:
        yield world, url


@pytest.fixture
def served(_served):
    """(world, boto3 EC2 client) of a gateway that listens; what was asked before is forgotten."""
    world, url = _served
    identity = world.clients.identity
    for name in worlds.STUBS:
        service = getattr(world.clients, name)
        service.calls.clear()
        if service is not identity:
            service.answers.clear()
    # What botocore would refuse by itself must be refused by the gateway as well.
    config = Config(parameter_validation=False, retries={"max_attempts": 0})
    return world, boto3.client("ec2", endpoint_url=url, config=config, **worlds.credentials())


@pytest.fixture
def port():
    """Of an HTTP server that echoes."""
    with serving() as port:
        yield port
