"""What the machine can do, as `up` says it."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from cli import checks, up
from cli.cloud import Cloud, Wishes

INTEL, BARE = "flags\t\t: fpu vmx sse2\n", "flags\t\t: fpu sse2\n"
CLOUD = Cloud(
    *("auto", "127.0.0.1", 8773, 1, "us-east-1", "us-east-1a"),
    *("100.64.0.0/24", "100.65.0.0/16", "pileus", 7701, 7702, 7711),
)


@pytest.mark.parametrize(
    ("cpuinfo", "device", "lacks"),
    [
        (INTEL, True, ""),
        (BARE, True, "this CPU shows no vmx or svm flag"),
        (INTEL, False, "kvm cannot be opened (No such file or directory)"),
    ],
)
def test_what_kvm_needs(tmp_path, cpuinfo, device, lacks):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    if device:
        (tmp_path / "kvm").write_text("")
    found = checks.kvm_lacks(tmp_path / "cpuinfo", tmp_path / "kvm")
    assert found.endswith(lacks) and bool(found) == bool(lacks)


@pytest.mark.parametrize(
    ("line", "network", "device"),
    [
        ("default via 192.0.2.1 dev eth0", "0.0.0.0/0", "eth0"),
        ("198.51.100.7 via 100.65.0.2 dev pv1", "198.51.100.7/32", "pv1"),
        ("unreachable 100.65.0.0/16 proto static metric 67923", "100.65.0.0/16", "?"),
    ],
)
def test_what_is_routed_is_taken(line, network, device):
    assert checks._route(line.split()) == checks.Route(IPv4Network(network), device)


@pytest.mark.parametrize(
    ("asked", "lacks", "chosen"),
    [
        ("auto", "", ("kvm", "")),
        ("auto", "no flag", ("qemu", "no flag")),
        ("qemu", "no flag", ("qemu", "")),
        ("fake", "no flag", ("fake", "")),
    ],
)
def test_what_auto_means(asked, lacks, chosen):
    assert checks.hypervisor(asked, lambda: lacks) == chosen


def test_what_auto_means_here_may_be_asked_for_later():
    here, _ = checks.hypervisor("auto", checks.kvm_lacks)
    other = {"kvm": "qemu", "qemu": "kvm"}[here]
    for asked, recorded, left in (
        (here, "auto", None),
        (other, "auto", other),
        ("fake", "auto", "fake"),
        (here, "fake", here),
        (None, "auto", None),
    ):
        known = replace(CLOUD, hypervisor=recorded)
        assert up._as_recorded(Wishes(hypervisor=asked), known).hypervisor == left
    assert up._as_recorded(Wishes(hypervisor=here), None).hypervisor == here


def test_the_first_step_says_what_was_chosen_and_why():
    emulated = up._described(replace(CLOUD, hypervisor="qemu"), "no flag")
    assert "hypervisor qemu (no flag: guests are emulated)" in emulated
    assert "hypervisor kvm, public" in up._described(replace(CLOUD, hypervisor="kvm"), "")
    assert (
        up._described(replace(CLOUD, hypervisor="fake", hosts=2), "") == "2 fake hosts, no guests"
    )
