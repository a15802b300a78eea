"""Districts stand on floors: a package imports downwards only, and no circle leads back to it."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Room -> its districts from the ground up. What is in none of them (app, server, __main__ …) wires
# the rest and may import all of it; config is what the operator wrote, and imports nothing.
FLOORS = {
    "controller": ("kernel", "tables", "identity", "hosts", "network", "storage", "compute"),
}
GROUND = "config"


def packages(room: str) -> dict[str, set[str]]:
    """Each package of a district, and each file that stands in one by itself, with the others that
    it imports: {"controller.network.vpcs": {"controller.kernel.lookup", …}, …}."""
    modules = {}
    for path in (ROOT / room).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        modules[".".join(parts).removesuffix(".__init__")] = path
    graph = defaultdict(set)
    for module, path in modules.items():
        own = _package(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                named = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in named:
                found = name if name in modules else name.rpartition(".")[0]
                if found in modules and _package(found) != own:
                    graph[own].add(_package(found))
    return graph


def _package(module: str) -> str:
    return ".".join(module.split(".")[:3])


def _floor(room: str, package: str) -> int:
    district = (*package.split("."), "")[1]
    if district == GROUND:
        return -1
    floors = FLOORS[room]
    return floors.index(district) if district in floors else len(floors)


@pytest.mark.parametrize("room", FLOORS)
def test_every_folder_is_a_district(room):
    folders = {path.name for path in (ROOT / room).iterdir() if (path / "__init__.py").exists()}
    assert folders == set(FLOORS[room])


@pytest.mark.parametrize("room", FLOORS)
def test_no_import_points_upwards(room):
    upward = [
        f"{importer} imports {imported}"
        for importer, found in packages(room).items()
        for imported in found
        if _floor(room, importer) < _floor(room, imported)
    ]
    assert upward == []


@pytest.mark.parametrize("room", FLOORS)
def test_no_circle_of_packages(room):
    graph = packages(room)
    standing = set(graph)
    while ready := [one for one in standing if not (graph[one] & standing)]:
        standing -= set(ready)
    assert standing == set(), "these import each other, or what does"
