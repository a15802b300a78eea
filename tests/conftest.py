"""Options that all tests share."""

import os

import pytest

SEEDS = int(os.environ.get("PILEUS_SEEDS", "1000"))


def pytest_addoption(parser):
    group = parser.getgroup("pileus")
    group.addoption("--seeds", type=int, default=SEEDS, help="how many seeds the simulation runs")
    group.addoption("--first-seed", type=int, default=1, help="the first of them")
    group.addoption("--seed", type=int, default=None, help="run this seed only")
    group.addoption("--long", action="store_true", help="ten times the calls and faults per seed")


def pytest_generate_tests(metafunc):
    """A test with the argument ``seed`` runs once for each seed."""
    if "seed" in metafunc.fixturenames:
        config = metafunc.config
        first, only = config.getoption("--first-seed"), config.getoption("--seed")
        seeds = [only] if only is not None else range(first, first + config.getoption("--seeds"))
        metafunc.parametrize("seed", seeds)


@pytest.fixture(scope="session")
def is_long(request) -> bool:
    return request.config.getoption("--long")
