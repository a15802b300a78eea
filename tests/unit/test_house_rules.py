"""The house's rules that a machine can check: imports, which files use the outside, sizes."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("gateway", "controller", "hostagent", "cli")
SOURCES = [
    path
    for room in (*ROOMS, "protos")
    for path in sorted((ROOT / room).rglob("*.py"))
    if not path.stem.endswith(("_pb2", "_pb2_grpc"))
]
TESTS = [path for room in ("tests", "bench") for path in sorted((ROOT / room).rglob("*.py"))]
LONGEST_FILE = 400
LONGEST_FUNCTION = 70
PURE = (
    "controller/compute/scheduling",
    "controller/compute/instances/state.py",
    "controller/compute/instances/settings.py",
    "controller/compute/types/rules.py",
    "controller/storage/devices.py",
    "controller/network/blocks.py",
    "controller/network/names.py",
)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def under(path: Path, *places: str) -> bool:
    relative = path.relative_to(ROOT).as_posix()
    return any(relative == place or relative.startswith(place + "/") for place in places)


def reaches(names: set[str], *modules: str) -> set[str]:
    return {
        name
        for name in names
        for module in modules
        if name == module or name.startswith(module + ".")
    }


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_room_imports_protos_and_itself_only(path):
    own = path.relative_to(ROOT).parts[0]
    others = [room for room in ROOMS if room != own]
    assert not reaches(imports(path), *others, "tests", "bench")


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_outside_things_are_used_in_one_place(path):
    names = imports(path)
    if not under(path, "hostagent/kernel/shell.py", "cli"):
        assert not reaches(names, "subprocess"), "commands run in hostagent/kernel/shell.py"
    if not under(path, "hostagent/compute/hypervisors/libvirt"):
        assert not reaches(names, "libvirt", "libvirt_qemu"), "libvirt is imported by its driver"
    if not under(path, "controller"):
        assert not reaches(names, "peewee", "playhouse"), "only the controller has a database"


@pytest.mark.parametrize("path", [path for path in SOURCES if under(path, "controller")], ids=name)
def test_rows_have_a_type(path):
    """``Session.rows``, ``one`` and ``value`` answer Any where they are not told (0412)."""
    if under(path, "controller/kernel"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            untold = node.func.attr in ("rows", "one", "value") and len(node.args) == 1
            assert not untold, f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", [path for path in SOURCES if under(path, "controller")], ids=name)
def test_a_read_says_for_whom(path):
    """Without a call nobody is asked whether he may see it (0411); ITSELF is the controller."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("db.read"):
            assert node.args, f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("place", PURE)
def test_pure_parts_are_pure(place):
    paths = [path for path in SOURCES if under(path, place)]
    assert paths, f"{place} is not there"
    for path in paths:
        assert not reaches(
            imports(path),
            *("peewee", "controller.kernel.database", "controller.tables"),
            *("grpc", "protos.rpc", "time", "random"),
        )


def test_the_gateways_two_apis_do_not_know_each_other():
    for path in SOURCES:
        if under(path, "gateway/ec2"):
            assert not reaches(imports(path), "gateway.native")
        if under(path, "gateway/native.py", "gateway/native"):
            assert not reaches(imports(path), "gateway.ec2")
        if under(path, "gateway/aws"):
            assert not reaches(
                imports(path), "gateway.ec2", "gateway.sts", "gateway.iam", "gateway.native"
            )


def test_a_file_is_a_sitting_a_test_too():
    lengths = {name(path): path.read_text().count("\n") for path in (*SOURCES, *TESTS)}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_FILE} == {}


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_function_is_a_screen(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_every_module_says_what_it_is(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body, "a module's head says what it is"
