"""The aws CLI, version 1."""

import json


def test_who_am_i(customer, twice):
    answer = json.loads(customer.run(["aws", "sts", "get-caller-identity"]))
    assert answer["Account"] == customer.account.account_id
