"""Districts stand on floors: a package imports downwards only, and no circle leads back to it."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Room -> its floors from the ground up, each of one district, or of several that do not know each
# other. What is in none of them (app, server, __main__ …) wires the rest and may import all of it.
FLOORS = {
    "controller": ("kernel", "tables", "identity", "hosts", "network", "storage", "compute"),
    "hostagent": ("kernel", "network storage", "compute"),
}
GROUND = {"controller.config"}  # what the operator wrote; it imports nothing


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


def _district(package: str) -> str:
    return (*package.split("."), "")[1]


def _floor(room: str, package: str) -> int:
    if package in GROUND:
        return -1
    floors = [floor.split() for floor in FLOORS[room]]
    found = [number for number, floor in enumerate(floors) if _district(package) in floor]
    return found[0] if found else len(floors)


def _may_import(room: str, importer: str, imported: str) -> bool:
    mine, its = _floor(room, importer), _floor(room, imported)
    same = mine == len(FLOORS[room]) or _district(importer) == _district(imported)
    return mine > its or (mine == its and same)


@pytest.mark.parametrize("room", FLOORS)
def test_every_folder_is_a_district(room):
    folders = {path.name for path in (ROOT / room).iterdir() if (path / "__init__.py").exists()}
    assert folders == set(" ".join(FLOORS[room]).split())


@pytest.mark.parametrize("room", FLOORS)
def test_no_import_points_upwards_or_sideways(room):
    upward = [
        f"{importer} imports {imported}"
        for importer, found in packages(room).items()
        for imported in found
        if not _may_import(room, importer, imported)
    ]
    assert upward == []


@pytest.mark.parametrize("room", FLOORS)
def test_no_circle_of_packages(room):
    graph = packages(room)
    standing = set(graph)
    while ready := [one for one in standing if not (graph[one] & standing)]:
        standing -= set(ready)
    assert standing == set(), "these import each other, or what does"
