"""Callers without a key must not make the gateway fail: each case was once an internal error."""

import pytest
from lxml import etree

from gateway.aws import model
from gateway.aws.renderers import Renderers

FOREIGN = (
    "AWS4-HMAC-SHA256 Credential=AKIA0/20260101/us-east-1/ec2/aws4_request, "
    f"SignedHeaders=date;host, Signature={'0' * 64}"
)


def code(answer) -> str:
    return etree.fromstring(answer.data).findtext(".//Code")


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 9999 23:59:59 -2359",  # in UTC no datetime any more
        "Tue, 99999999999999999999 Jan 2020 00:00:00 GMT",
        "Tue, 01 Jan 99999999999 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "never",
    ],
)
def test_a_date_beyond_all_dates(world, date):
    headers = {"Authorization": FOREIGN, "Date": date}
    answer = world.http.get("/?Action=DescribeVpcs", headers=headers)
    assert (answer.status_code, code(answer)) == (400, "IncompleteSignature")


@pytest.mark.parametrize("expires", ["9" * 5000, "%D9%A3", "0", "604801", "1e3", ""])
def test_a_lifetime_that_is_no_number(world, expires):
    answer = world.http.get(
        "/?Action=DescribeVpcs&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z"
        "&X-Amz-Credential=AKIA0%2F20260101%2Fus-east-1%2Fec2%2Faws4_request"
        f"&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}&X-Amz-Expires={expires}"
    )
    assert (answer.status_code, code(answer)) == (400, "IncompleteSignature")


@pytest.mark.parametrize("letter", ["\x00", "\x07", "\x1f", "\ud800", "\uffff"])
def test_no_letter_makes_an_answer_unreadable(letter):
    """A host's or a web server's words may end up in a state reason."""
    render = Renderers(model.load("ec2")).of("DescribeImages")
    text = render({"Images": [{"Description": f"a{letter}<b"}]})
    root = etree.fromstring(f"<r>{text}</r>")
    assert root.findtext(".//description") == "a\ufffd<b"


def test_what_scripts_index_is_there_though_empty():
    """boto3's instance["PublicDnsName"] is "" while it is pending, on EC2 too; never a KeyError."""
    render = Renderers(model.load("ec2")).of("DescribeInstances")
    instance = {
        "PrivateDnsName": "",
        "PublicDnsName": "",
        "StateTransitionReason": "",
        "Placement": {"GroupName": ""},
        "NetworkInterfaces": [{"Description": ""}],
    }
    text = render({"Reservations": [{"Instances": [instance]}]})
    for element in ("privateDnsName", "dnsName", "reason", "groupName", "description"):
        assert f"<{element}/>" in text
