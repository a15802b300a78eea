"""The cloud that API tests call: unmodified boto3 against real services with fake guests.

    def test_it(cloud, account):
        reservation = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)

``cloud`` is one for all tests of a run (tests/harness/wired.py): each test has accounts of its own,
and what it launched is terminated when it ends. ``other`` is a second customer. A test that needs a
cloud of its own (another configuration, faults that touch everybody) makes a WiredCloud itself.
"""

import itertools

import pytest

from tests.harness.wired import WiredCloud

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    with WiredCloud(tmp_path_factory.mktemp("cloud"), hosts=2) as cloud:
        yield cloud


@pytest.fixture
def account(cloud):
    """A customer of her own for each test; her instances go with it."""
    made = cloud.account(f"customer-{next(_numbers)}")
    yield made
    made.terminate_all()


@pytest.fixture
def other(cloud):
    """Another customer, who must see nothing of the first."""
    made = cloud.account(f"customer-{next(_numbers)}")
    yield made
    made.terminate_all()
