"""Lists: aligned columns, whole on a terminal and plain in a pipe."""

import io

import pytest
from rich.console import Console

from cli import status, tables

HEAD = ("QUOTA", "USED", "NOTE")
ROWS = [("vpcs", 12, "[red]x[/red]"), ("rules_per_group", "-", ""), ("instances", 3, "y " * 60)]


def shown(terminal: bool, rows=ROWS) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=20, color_system=None)
    tables.show(HEAD, rows, console)
    return console.file.getvalue().splitlines()


def test_columns_are_aligned_and_nothing_is_cut_off():
    assert shown(terminal=False) == [
        "vpcs             12  [red]x[/red]",
        "rules_per_group   -",
        f"instances         3  {('y ' * 60).rstrip()}",
    ]


def test_a_terminal_has_a_head():
    head, *rows = shown(terminal=True)
    assert (
        head == "QUOTA            USED  NOTE" and rows[0] == "vpcs               12  [red]x[/red]"
    )
    assert shown(terminal=True, rows=[]) == ["QUOTA  USED  NOTE"]
    assert shown(terminal=False, rows=[]) == []


def host(number: int, health: str = "up", orphans=()) -> dict:
    return {
        "name": f"host-{number}",
        "host_id": f"h-{number}",
        "health": health,
        "hypervisor": "kvm",
        "hypervisor_away": "",
        "availability_zones": ["us-east-1a", "us-east-1b"],
        "instances": 2,
        "orphans": list(orphans),
        **{f"{what}_used": "1" for what in ("vcpus", "memory_mib", "disk_gib")},
        **dict.fromkeys(("vcpus", "memory_mib", "disk_gib"), "10"),
    }


def test_a_host_says_all_its_zones():
    assert "us-east-1a,us-east-1b" in status.described(host(1))
    assert len(status.hosts_row(host(1))) == len(status.HOSTS_HEAD)


def test_a_host_says_that_its_hypervisor_is_away():
    away = host(1) | {"hypervisor_away": "libvirt went away"}
    assert "work there waits: libvirt went away" in status.described(away)
    assert "kvm (away)" in status.hosts_row(away)


def test_a_host_says_what_it_has_that_the_database_does_not_know():
    older = host(1, orphans=["pet"]) | {"unknown": ["i-1", "vol-1"]}
    assert "not in the database, which is an older copy: i-1, vol-1" in status.described(older)
    assert status.hosts_row(older)[-1] == "pet i-1 vol-1"


def test_hosts_are_in_the_order_that_people_count():
    names = [one["name"] for one in sorted(map(host, (10, 9, 2)), key=status.by_name)]
    assert names == ["host-2", "host-9", "host-10"]


def test_few_hosts_are_listed():
    assert list(status.host_lines([host(1), host(2)])) == [
        status.described(host(1)),
        status.described(host(2)),
    ]


@pytest.mark.parametrize(("silent", "named"), [(2, 2), (30, status.NAMED_HOSTS)])
def test_many_hosts_are_counted_and_those_to_look_at_are_named(silent, named):
    hosts = [host(number, "silent") for number in range(silent)]
    hosts += [host(number + 100) for number in range(100)] + [host(999, orphans=["stray"])]
    total, *rest = status.host_lines(hosts)
    count = silent + 101
    assert total == (
        f"{count} hosts: {silent} silent, 101 up; {2 * count} instances, {count}/{10 * count} "
        f"vCPUs, {count}/{10 * count} MiB, {count}/{10 * count} GiB"
    )
    assert len([line for line in rest if ": silent" in line]) == named
    if named == silent:
        assert "unknown domains: stray" in rest[-1]
    else:
        assert rest[-1] == f"and {silent + 1 - named} more: `./pileus host list` shows them"
