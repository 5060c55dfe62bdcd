"""What a journal's row says, and which item it speaks of: pure functions, without a file.

An item is known by a hash, so that no name, URL or secret is ever in the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import InvalidRequest, Problem, describe
from ..models import PresignedPost, PresignedRequest, S3Object
from .items import Download, FormUpload, Item, Upload
from .paths import Directory

KEY_BYTES = 16


class State(IntEnum):
    """How far an item is."""

    BEGUN = 0
    DONE = 1
    FAILED = 2


# --- which item this is -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemKey:
    """`row` finds an item's row, by its `id` if it has one; `what` says what it moves."""

    row: bytes
    what: bytes


def item_key(item: Item, absolute: Callable[[str], str]) -> ItemKey:
    """Who `item` is in every run: its kind, what it moves (host, path, version, part) and the local side.

    Nothing of a signature counts (`X-Amz-*`), so an item that is signed anew is the same. `absolute` makes a path
    independent of the working directory. Raises `InvalidRequest` for what no later run could do again.
    """
    match item:
        case Download():
            words = [*_place(item.source, item.params), *_target(item, absolute)]
        case Upload():
            words = [*_place(item.destination, item.params), *_origin(item.source, absolute)]
        case FormUpload():
            words = [*_place(item.destination, item.fields), *_origin(item.source, absolute)]
        case _:
            raise InvalidRequest(Problem("item", "a Download, Upload or FormUpload", describe(item)))
    what = _digest("item", type(item).__name__, *words)
    return ItemKey(what if item.id is None else _digest("id", item.id), what)


def _digest(*words: object) -> bytes:
    text = json.dumps([str(word) for word in words])
    return hashlib.sha256(text.encode()).digest()[:KEY_BYTES]


def _place(place: object, params: Mapping[str, Any] | None) -> list[object]:
    match place:
        case S3Object():
            given = params if isinstance(params, Mapping) else {}
            named = [given.get(name, "") for name in ("VersionId", "PartNumber", "UploadId")]
            return ["object", place.bucket, place.key, place.version_id or "", *named]
        case PresignedPost():
            return ["form", *_address(place.url), place.fields.get("key", "")]
        case PresignedRequest():
            return ["url", *_address(place.url)]
        case _:
            return ["url", *_address(str(place))]


def _address(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        # The transport says what is wrong with it.
        return [url]
    query = parse_qs(parts.query)
    named = [query.get(name, [""])[0] for name in ("versionId", "partNumber", "uploadId")]
    return [parts.netloc.rpartition("@")[2].lower(), parts.path, *named]


def _target(item: Download, absolute: Callable[[str], str]) -> list[str]:
    match item.destination:
        case Directory():
            return ["folder", absolute(os.fspath(item.destination.root)), item.destination.name_for(item.source)]
        case str() | os.PathLike():
            return ["file", absolute(os.fspath(item.destination))]
        case _:
            raise InvalidRequest(
                Problem("destination", "a path or a Directory, in a run with a journal", describe(item.destination))
            )


def _origin(source: object, absolute: Callable[[str], str]) -> list[str]:
    match source:
        case str() | os.PathLike():
            return ["file", absolute(os.fspath(source))]
        case bytes() | bytearray() | memoryview():
            return ["bytes", hashlib.sha256(source).hexdigest()]
        case _:
            raise InvalidRequest(Problem("source", "a path or bytes, in a run with a journal", describe(source)))


# --- what its row says ------------------------------------------------------------------------------------------------


class Verdict(Enum):
    """What is to be done about an item."""

    MOVE = "move it"
    SKIP = "done before, or already in this run"
    REFUSE = "its id is another item's"


@dataclass(frozen=True, slots=True)
class Row:
    what: bytes
    run: int
    state: State
    memo: str | None


def verdict(row: Row | None, what: bytes, run: int) -> Verdict:
    """What the row of an item that moves `what` says in run number `run`."""
    if row is None:
        return Verdict.MOVE
    if row.what != what:
        return Verdict.REFUSE
    return Verdict.SKIP if row.state is State.DONE or row.run == run else Verdict.MOVE


def settings_text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def job_problem(told: tuple[str, str], job: str, settings: str) -> str:
    """Why a journal that was begun with the name and settings `told` is not this job's; empty if it is."""
    if told[0] != job:
        return f"it is of the job {told[0]!r}, not of {job!r}"
    before, now = json.loads(told[1]), json.loads(settings)
    changed = [
        f"{name}={before.get(name)!r}, now {now.get(name)!r}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    return f"the job was begun with {'; '.join(changed)}" if changed else ""
