"""`./pileus test`: which environments, and one line with all counts."""

from collections import Counter

import pytest

from cli import testing

JUNIT = '<testsuites><testsuite errors="{}" failures="{}" skipped="{}" tests="{}"/></testsuites>'


@pytest.mark.parametrize(
    ("arguments", "environments", "rest"),
    [
        ([], ["lint", "unit", "clients", "real"], []),
        (["-e", "unit"], ["unit"], []),
        (["-e", "unit,lint", "--", "-k", "pki"], ["unit", "lint"], ["--", "-k", "pki"]),
        (["--", "-x"], ["lint", "unit", "clients", "real"], ["--", "-x"]),
    ],
)
def test_environments(arguments, environments, rest):
    assert testing.choose(arguments) == (environments, rest)


def test_several_environments_run_two_at_once_and_one_says_what_it_does_meanwhile():
    assert testing.tox_words(["unit"], ["--", "-x"]) == ["run", "-e", "unit", "--", "-x"]
    assert testing.tox_words(["clients", "real"], ["--", "-x"]) == (
        ["run-parallel", "--parallel", "2", "-e", "clients,real", "--", "-x"]
    )


def test_counts_of_all_environments(tmp_path):
    (tmp_path / "unit.xml").write_text(JUNIT.format(1, 2, 3, 20))
    (tmp_path / "real.xml").write_text(JUNIT.format(0, 0, 0, 5))
    assert testing.count(tmp_path) == {"passed": 19, "failed": 3, "skipped": 3}
    assert testing.count(tmp_path / "nowhere") == {}


def test_the_last_line():
    assert testing.summary(Counter(passed=3)) == "3 passed, 0 failed"
    assert (
        testing.summary(Counter(passed=3, failed=1, skipped=2)) == "3 passed, 1 failed, 2 skipped"
    )


def test_the_real_tests_are_counted_without_running_them():
    assert testing._real_tests() > 10
