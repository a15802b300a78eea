"""The reconcile task that asks whether the database agrees with itself."""

import pytest

from controller.identity.quotas.rules import CHARGED
from controller.kernel.call import system_call
from controller.tables.identity import Quota
from tests.unit.controller.cloud import Cloud


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


@pytest.mark.parametrize("name", CHARGED)
def test_a_charge_for_what_is_not_there_is_found(cloud, name):
    assert cloud.discrepancies() == []
    account_id = cloud.alice.account_id
    is_it = (Quota.account_id == account_id) & (Quota.name == name)
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Quota, {"used": Quota.used + 1}, is_it)
    (found,) = cloud.discrepancies()
    assert found.startswith(f"account {account_id} is charged ")
    assert f" {name}, has " in found
