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
WALL_CLOCKS = {  # may be set: for what time it is, never for how long something took
    "controller/server.py": "stamps that users see, and the age of files",
    "gateway/server.py": "dates of signatures",
    "hostagent/service.py": "stamps that users see, and epochs, which grow in any case",
    "cli/pki.py": "certificates are valid from and until",
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 70
# Files that put others under their names by themselves. All others call protos/files, which is safe
# against a power failure.
WRITES_FILES = {
    "protos/files.py": "is how",
    "protos/build.py": "generates sources",
    "controller/storage/images/store.py": "syncs what it has streamed, and its folder",
    "controller/storage/blocks/store.py": "syncs too; what it sets aside is moved",
    "hostagent/storage/images/cache.py": "syncs what it has streamed, and its folder",
    "hostagent/storage/images/fake.py": "syncs what it has streamed",
    "hostagent/storage/volumes/qcow2.py": "syncs what qemu-img has made, and its folder",
    "hostagent/network/dnsmasq.py": "looks what is there, and writes anew what is not as it should",
    "hostagent/network/namespaces.py": "kernel settings",
    "cli/bootstrap.py": "begins before there are packages; a stamp that cannot be read is none",
    "cli/demo_image/build.py": "syncs what it has built, and the cache",
    "cli/demo_image/contents.py": "what it writes goes into the image",
    "cli/demo_image/disk.py": "what it writes goes into the image",
    "cli/libvirtd.py": "qemu.conf and virtlogd.conf are written at each start",
    "cli/locking.py": "requirements/ is in git",
}
# Threads whose end ends nothing: somebody waits for it, or it is only a fake's.
THREADS = {
    "protos/threads.py": "is how",
    "protos/unix_socket.py": "a connection's own: with it that ends",
    "hostagent/network/namespaces.py": "whoever began it waits for what it answers or raises",
    "hostagent/driver_factory.py": "a Timer of the fake hypervisor",
}
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


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_how_long_something_takes_is_no_affair_of_the_walls_clock(path):
    read = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    found = read & {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow"}
    assert not found or name(path) in WALL_CLOCKS


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
def test_what_is_read_back_survives_a_power_failure(path):
    if name(path) in WRITES_FILES or under(path, "gateway"):
        return
    for call in calls(path):
        one_path = len(call.args) == 1 and not call.keywords  # a text's has two, a record's fields
        replaces = call.func.attr == "replace" and (
            one_path or ast.unparse(call.func.value) == "os"
        )
        renames = call.func.attr in ("write_text", "write_bytes", "rename") or replaces
        assert not renames, f"line {call.lineno}: protos.files.write_whole writes files"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_thread_that_fails_ends_its_process(path):
    if name(path) in THREADS or under(path, "gateway"):
        return
    for call in calls(path):
        assert call.func.attr not in ("Thread", "Timer"), (
            f"line {call.lineno}: protos.threads.vital"
        )


def calls(path: Path) -> list[ast.Call]:
    """Of methods and of modules' functions."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


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
