"""Our dataclasses are dataclasses: whatever can be done with the standard library's gives the same with ours."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import asyncpresign
from asyncpresign import Credentials, PresignedPost, PresignedRequest, Problem, S3Object
from asyncpresign._values import dataclass, maker


class Written:
    """As it stands in a module."""

    name: str
    size: int
    note: str | None = None
    parts: tuple[int, ...] = (1, 2)

    def twice(self) -> int:
        return 2 * self.size


class Checked:
    size: int

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("a size is not negative")

    def __repr__(self) -> str:
        return "..."


def twins(written: type) -> tuple[Any, Any]:
    """Ours, and the standard library's."""
    return tuple(
        decorate(frozen=True, slots=True)(type(written.__name__, (), dict(vars(written))))
        for decorate in (dataclass, dataclasses.dataclass)
    )


OURS, THEIRS = twins(Written)
VALUES = {"expires_at": datetime(2026, 3, 1, tzinfo=UTC), "headers": {"a": "b"}, "fields": {"a": "b"}}

DONE: dict[str, Callable[[Any], Any]] = {
    "made": lambda cls: cls("a", 1, parts=()).twice(),
    "one argument short": lambda cls: cls("a"),
    "one too many": lambda cls: cls("a", 1, None, (), 5),
    "an unknown one": lambda cls: cls("a", 1, other=5),
    "shown": lambda cls: repr(cls("a", 1)),
    "equal": lambda cls: (cls("a", 1) == cls("a", 1), cls("a", 1) == cls("a", 2), cls("a", 1) == ("a", 1, None, (1, 2))),
    "hashed": lambda cls: hash(cls("a", 1)) == hash(("a", 1, None, (1, 2))),
    "unhashable": lambda cls: hash(cls("a", [])),
    "assigned": lambda cls: setattr(cls("a", 1), "name", "b"),
    "deleted": lambda cls: delattr(cls("a", 1), "name"),
    "without a place": lambda cls: vars(cls("a", 1)),
    "matched": lambda cls: _matched(cls, cls("a", 1)),
    "replaced": lambda cls: dataclasses.astuple(dataclasses.replace(cls("a", 1), size=2)),
    "replaced by nothing known": lambda cls: dataclasses.replace(cls("a", 1), other=2),
    "fields": lambda cls: [(one.name, one.type, one.default) for one in dataclasses.fields(cls)],
    "fields of one": lambda cls: [one.name for one in dataclasses.fields(cls("a", 1))],
    "fields of a subclass": lambda cls: [one.name for one in dataclasses.fields(type("Sub", (cls,), {}))],
    "as a dict": lambda cls: dataclasses.asdict(cls("a", 1)),
    "as a dataclass": lambda cls: (dataclasses.is_dataclass(cls), dataclasses.is_dataclass(cls("a", 1))),
    "signature": lambda cls: [(one.name, one.default) for one in inspect.signature(cls).parameters.values()],
    "annotations": inspect.get_annotations,
    "docstring": lambda cls: cls.__doc__,
    "copied": lambda cls: dataclasses.astuple(copy.deepcopy(cls("a", 1, parts=[1]))),
}


def _matched(cls: Any, one: Any) -> Any:
    match one:
        case cls(name, size=size):
            return name, size


def outcome(done: Callable[[Any], Any], cls: Any) -> Any:
    try:
        return done(cls)
    except Exception as error:  # noqa: BLE001 (it is compared)
        return type(error), str(error)


@pytest.mark.parametrize("done", DONE.values(), ids=DONE)
def test_what_is_done_with_a_dataclass(done: Callable[[Any], Any]) -> None:
    assert outcome(done, OURS) == outcome(done, THEIRS)


def test_a_check_is_made_when_one_is_made() -> None:
    for cls in twins(Checked):
        assert repr(cls(1)) == "..."
        with pytest.raises(ValueError, match="a size is not negative"):
            cls(-1)
        with pytest.raises(ValueError, match="a size is not negative"):
            dataclasses.replace(cls(1), size=-1)


@pytest.mark.parametrize("cls", [Credentials, PresignedPost, PresignedRequest, Problem, S3Object])
def test_public_values_are_dataclasses(cls: Any) -> None:
    shape = dataclasses.fields(cls)
    one = cls(**{field.name: VALUES.get(field.name, field.name) for field in shape})
    assert dataclasses.replace(one) == one
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.copy(one) == one
    assert one.__replace__() == one
    assert {field.name for field in shape} == set(cls.__slots__)


def test_a_maker_makes_what_the_class_does() -> None:
    made = maker(OURS)("a", 1, None, (1, 2))
    assert type(made) is OURS
    assert made == OURS("a", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.name
    with pytest.raises(TypeError):
        maker(OURS)("a", 1)


def test_others_options_are_refused() -> None:
    with pytest.raises(TypeError, match="frozen"):
        dataclass(frozen=False, slots=True)  # type: ignore[call-overload]


@pytest.mark.integration
def test_the_fields_are_made_for_whoever_asks_and_for_nobody_else() -> None:
    program = """
import sys
from asyncpresign import S3Object
one = S3Object("bucket", "key")
assert one == S3Object("bucket", "key") and repr(one) and hash(one)
assert "dataclasses" not in sys.modules
try:
    one.key = "other"
except AttributeError as error:
    print(type(error).__module__, error)
import dataclasses
print(dataclasses.asdict(one))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout.splitlines() == [
        "dataclasses cannot assign to field 'key'",
        "{'bucket': 'bucket', 'key': 'key', 'version_id': None}",
    ]


# --- all dataclasses of the package -----------------------------------------------------------------------------------

# Those whose fields change: counts of a run, and what a connection has seen.
CHANGING = {"TransferReport", "_Node"}


def dataclasses_of_the_package() -> dict[str, type]:
    names = [info.name for info in pkgutil.walk_packages(asyncpresign.__path__, "asyncpresign.") if "testing" not in info.name]
    modules = [importlib.import_module(name) for name in names if not name.startswith("asyncpresign.cli")]
    found = {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == module.__name__
    }
    assert len(found) > 60
    return found


def test_dataclasses_are_frozen_and_have_slots() -> None:
    changing = {value.__name__ for value in dataclasses_of_the_package().values() if "__setattr__" not in dir_of(value)}
    without_slots = {value.__name__ for value in dataclasses_of_the_package().values() if "__slots__" not in vars(value)}
    assert (changing, without_slots) == (CHANGING, set())


def dir_of(kind: type) -> set[str]:
    """Names that the class or a base other than `object` defines."""
    return {name for each in kind.__mro__[:-1] for name in vars(each)}


# What no repr shows, because it may grant access or is long; those without a repr of their own making are tested elsewhere.
HIDDEN = {"SignedURL": {"query", "session_token", "signature"}}


def test_fields_that_a_repr_hides() -> None:
    hidden = {
        value.__name__: {field.name for field in dataclasses.fields(value) if not field.repr}
        for value in dataclasses_of_the_package().values()
    }
    assert {name: fields for name, fields in hidden.items() if fields} == HIDDEN
