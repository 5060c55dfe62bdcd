"""What a journal's row says, and which item it speaks of: pure functions, without a file.

An item is known by a hash, so that no name, URL or secret is ever in the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum, IntEnum
from typing import Any
from urllib.parse import urlsplit

from .._vendors import VENDORS, identity_query, signed_by
from ..errors import InvalidRequest, Problem, describe
from ..models import PresignedPost, PresignedRequest, S3Object
from .files import path_of
from .items import Download, FormUpload, Item, Upload
from .paths import Directory

KEY_BYTES = 16


class State(IntEnum):
    """How far an item is."""

    BEGUN = 0
    DONE = 1
    FAILED = 2


# --- which item this is -----------------------------------------------------------------------------------------------


# Options of an item that decide neither what is moved nor where to: what the bytes are expected to be, what is done about a
# file that is there, and the caller's name for it. `source`, `destination` and `params` are taken apart below.
_NOT_DECIDING = frozenset({"source", "destination", "params", "size", "id", "if_exists", "conditions"})

_DECIDING = {
    kind: [(field.name, field.default) for field in fields(kind) if field.name not in _NOT_DECIDING]
    for kind in (Download, Upload, FormUpload)
}

# What proves who sends a request: signed anew, it is another. A cookie may say which object is meant.
_SIGNATURE_NAMES = frozenset(name for vendor in VENDORS for name in vendor.names if name.startswith("x-"))
_PROVING_HEADERS = frozenset({"authorization", "proxy-authorization", "date", "user-agent", "host"}) | _SIGNATURE_NAMES
_PROVING_FIELDS = frozenset({"policy"}) | _SIGNATURE_NAMES
_PORTS = {"http": 80, "https": 443}
# Levels of containers in a parameter.
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class ItemKey:
    """`row` finds an item's row, by its `id` if it has one; `what` says what it moves, `path` which file it ends in."""

    row: bytes
    what: bytes
    path: bytes | None = None


def item_key(item: Item, absolute: Callable[[str], str], located: str | None = None) -> ItemKey:
    """Who `item` is in every run: all that decides what is moved and where to, and nothing of a signature.

    An item that is signed anew is the same. `absolute` makes a path independent of the working directory; `located` is the
    file in which a download ends, the same for every way to name it, where that can be said. Raises `InvalidRequest` for
    what no later run could do again, and for parameters whose equals no later run could recognise.
    """
    match item:
        case Download():
            sides = [_remote(item.source, item.params), ["file", located or absolute(_target(item))]]
        case Upload():
            sides = [_remote(item.destination, item.params), _origin(item.source, absolute)]
        case FormUpload():
            sides = [_remote(item.destination, None), _origin(item.source, absolute)]
        case _:
            raise InvalidRequest(Problem("item", "a Download, Upload or FormUpload", describe(item)))
    what = _digest("item", type(item).__name__, *sides, _options(item))
    row = what if item.id is None else _digest("id", canonical("id", item.id))
    return ItemKey(row, what, None if located is None else path_key(located))


def path_key(path: str) -> bytes:
    """What stands for a path in a journal."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def _digest(*words: object) -> bytes:
    return hashlib.sha256(json.dumps(words).encode()).digest()[:KEY_BYTES]


def _options(item: Item) -> list[object]:
    """The options that decide, where they are not as nobody gave them, so that an option that is new changes no key."""
    given = [(name, getattr(item, name), default) for name, default in _DECIDING[type(item)]]
    return [[name, canonical(name, value)] for name, value, default in given if value is not None and value != default]


def canonical(argument: str, value: object, depth: int = 0) -> object:
    """`value`, of any type that parameters have, in JSON types: equal for equal values in every process, and for no others.

    Raises `InvalidRequest` for a type that has no such form.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if -(2**63) <= value < 2**63 else ["int", hex(value)]
        case float():
            return ["float", value.hex()]
        case bytes() | bytearray() | memoryview():
            return ["bytes", hashlib.sha256(value).hexdigest()]
        case datetime():
            return ["time", (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()]
        case date() | time():
            return ["date", value.isoformat()]
        case timedelta():
            return ["seconds", value.days, value.seconds, value.microseconds]
        case os.PathLike():
            return ["path", os.fspath(value)]
        case _:
            pass
    if depth < _DEEPEST:
        match value:
            case Mapping():
                pairs = [[canonical(argument, each, depth + 1) for each in pair] for pair in value.items()]
                # Names are compared as they are, which is quick, and also beside keys of other types.
                return ["map", sorted(pairs, key=lambda pair: pair[0] if type(pair[0]) is str else json.dumps(pair[0]))]
            case AbstractSet():
                return ["set", sorted((canonical(argument, each, depth + 1) for each in value), key=json.dumps)]
            case Sequence():
                return ["list", *(canonical(argument, each, depth + 1) for each in value)]
            case _:
                pass
    raise InvalidRequest(
        Problem(argument, "values that a later run can compare: numbers, strings, bytes, times", describe(value))
    )


def _remote(place: object, params: Mapping[str, Any] | None) -> list[object]:
    match place:
        case S3Object():
            given = params if isinstance(params, Mapping) else {}
            return ["object", canonical("params", {**place.to_params(), **given})]
        case PresignedPost():
            return ["form", *_address(place.url), _fields(place.fields)]
        case PresignedRequest():
            return ["url", *_address(place.url), _headers(place.headers)]
        case _:
            return ["url", *_address(str(place)), []]


def _address(url: str) -> list[object]:
    """Scheme, user, host, port if it is not the scheme's, path as it is written, and what the query says of the object."""
    try:
        parts = urlsplit(url)
        port = None if parts.port == _PORTS.get(parts.scheme) else parts.port
    except ValueError:
        # The transport says what is wrong with it.
        return [url]
    user = parts.netloc.rpartition("@")[0].partition(":")[0]
    return [parts.scheme, user, parts.hostname or "", port, parts.path or "/", list(identity_query(parts.query))]


def _headers(headers: Mapping[str, str]) -> list[list[str]]:
    return sorted([name.lower(), value] for name, value in headers.items() if name.lower() not in _PROVING_HEADERS)


def _fields(fields: Mapping[str, str]) -> list[list[str]]:
    """The fields of a form less those of its signature. `Expires` is one of the object's."""
    vendors = signed_by(frozenset(name.lower() for name in fields))
    proof = _PROVING_FIELDS.union(*(vendor.secrets for vendor in vendors if not vendor.is_generic))
    # Two names that differ in case only are two fields.
    return sorted([name.lower(), value] for name, value in fields.items() if name.lower() not in proof)


def _target(item: Download) -> str:
    path = local_path(item)
    if path is None:
        raise InvalidRequest(
            Problem("destination", "a path or a Directory, in a run with a journal", describe(item.destination))
        )
    return path


def local_path(item: Download) -> str | None:
    """The path that a download ends in; None if it goes to no path. Raises `InvalidRequest`."""
    match item.destination:
        case Directory():
            return os.path.join(path_of("root", item.destination.root), *item.destination.name_for(item.source).split("/"))
        case str() | os.PathLike():
            return path_of("destination", item.destination)
        case _:
            return None


def _origin(source: object, absolute: Callable[[str], str]) -> list[str]:
    match source:
        case str() | os.PathLike():
            return ["file", absolute(path_of("source", source))]
        case bytes() | bytearray() | memoryview():
            return ["bytes", hashlib.sha256(source).hexdigest()]
        case _:
            raise InvalidRequest(Problem("source", "a path or bytes, in a run with a journal", describe(source)))


# --- what its row says ------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """What is to be done about an item."""

    MOVE = "move it"
    SKIP = "an equal item is done"
    WAIT = "an equal item is under way in this run"
    REFUSE = "its id is another item's"
    CLASH = "its path is another item's"
    DAMAGED = "its row cannot be read"


@dataclass(frozen=True, slots=True)
class Row:
    what: bytes
    run: int
    state: State
    memo: Mapping[str, Any] | None = None

    def same_item(self, run: int) -> Verdict:
        """What is done in run number `run` about an item equal to the row's. One that failed may be tried again."""
        if self.state is State.DONE:
            return Verdict.SKIP
        return Verdict.WAIT if self.state is State.BEGUN and self.run == run else Verdict.MOVE


def row_of(values: Sequence[object]) -> Row:
    """A row as it is read from a file that anybody may have written to. Raises `ValueError`."""
    what, run, state, memo = values
    if not isinstance(what, bytes) or not isinstance(run, int) or not isinstance(state, int):
        raise ValueError("not what was written")  # noqa: TRY004 (one error for all damage)
    return Row(what, run, State(state), memo_of(memo))


def verdict(row: Row | None, what: bytes, run: int, holder: Row | None = None) -> Verdict:
    """What is done in run number `run` about an item that moves `what`: by its `row`, and the `holder` of its path, another
    item's row.
    """
    if row is not None and row.what != what:
        return Verdict.REFUSE
    told = Verdict.MOVE if row is None else row.same_item(run)
    if told is not Verdict.MOVE or holder is None:
        return told
    told = holder.same_item(run)
    return told if told is Verdict.MOVE or holder.what == what else Verdict.CLASH


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value < 2**63


# What is saved of an item between runs, by its members: of an upload in parts, and of a download in ranges.
_MEMOS: tuple[Mapping[str, Callable[[object], bool]], ...] = (
    {"upload_id": lambda value: isinstance(value, str) and value != "", "part_size": _is_size},
    {
        "etag": lambda value: value is None or isinstance(value, str),
        "size": _is_size,
        "part_size": _is_size,
        "done": lambda value: isinstance(value, str) and value != "" and set(value) <= set("0123456789abcdef"),
        "file": lambda value: isinstance(value, str),
    },
)


def memo_of(text: object) -> Mapping[str, Any] | None:
    """What `text`, in JSON, says. Raises `ValueError` for what was never saved so."""
    if text is None:
        return None
    try:
        found = json.loads(text) if isinstance(text, str | bytes) else text
    except RecursionError:
        found = None
    if isinstance(found, dict):
        for members in _MEMOS:
            if found.keys() == members.keys() and all(holds(found[name]) for name, holds in members.items()):
                return found
    raise ValueError("not what was saved")


def settings_text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def job_problem(told: tuple[str, str], job: str, settings: str) -> str:
    """Why a journal that was begun with the name and settings `told` is not this job's; empty if it is."""
    if told[0] != job:
        return f"it is of the job {told[0]!r}, not of {job!r}"
    before, now = json.loads(told[1]), json.loads(settings)
    if not isinstance(before, dict):
        raise ValueError("not what was written")  # noqa: TRY004 (one error for all damage)
    changed = [
        f"{name}={before.get(name)!r}, now {now.get(name)!r}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    return f"the job was begun with {'; '.join(changed)}" if changed else ""
