"""Whole prefixes and whole trees, as the items they are made of; what has no place on the other side is refused by name."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice

from ..errors import InvalidRequest, Problem, UnsafePathError
from ..models import S3Object
from .exchange import Exchange
from .items import Download, Item, Status, TransferResult, Upload
from .job import Settled, refused
from .listing import Listed, ObjectInfo
from .paths import Directory, Names, check_patterns, key_below, matches, name_below
from .tree import Found, folding, walk

# Files that a thread looks for at once.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which names are moved; see `paths.matches`. Raises `InvalidRequest`."""

    include: Sequence[str]
    exclude: Sequence[str]

    def __post_init__(self) -> None:
        problems = [*check_patterns("include", self.include), *check_patterns("exclude", self.exclude)]
        if problems:
            raise InvalidRequest(*problems)

    def has(self, name: str) -> bool:
        return matches(name, self.include, self.exclude)


async def downloads_below(
    exchange: Exchange, objects: AsyncGenerator[Listed], prefix: str, root: str | os.PathLike[str], wanted: Wanted
) -> AsyncGenerator[Item | Settled]:
    """A `Download` for each of `objects`, named below `root` as it is below `prefix`.

    Raises `LocalFileError` when there can be no folder at `root`.
    """
    fold = await exchange.threads.run(folding, os.fspath(root), exchange.edge.token())
    if fold is None and prefix and not prefix.endswith("/"):
        # Two keys may have one name then: `a` + `/x`, and `a/x` beside `a`.
        fold = str
    names = Names(fold)
    async with aclosing(objects):
        async for info in objects:
            if isinstance(info, ObjectInfo) and wanted.has(name := name_below(info.object.key, prefix)):
                yield _download(info, Directory(root, name=name), name, names)


def _download(info: ObjectInfo, destination: Directory, name: str, names: Names) -> Item | Settled:
    item = Download(info.object, destination)
    if name[-1:] in ("", "/") and not info.size:
        # What consoles make to show an empty folder.
        return Settled(TransferResult(item, Status.SKIPPED))
    if other := names.clash(name):
        expected = "a name that the disk can tell from the others, and none of theirs for its folder"
        return Settled(refused(item, UnsafePathError(Problem("key", expected, f"{name!r} beside {other!r}"))))
    return item


async def uploads_below(
    exchange: Exchange, root: str | os.PathLike[str], bucket: str, prefix: str, wanted: Wanted
) -> AsyncGenerator[Item | Settled]:
    """An `Upload` for each file below `root`. Raises `LocalFileError` when that is no folder that can be read."""
    found = walk(os.fspath(root))
    while batch := await exchange.threads.run(_some, found):
        for file in batch:
            if wanted.has(file.name):
                item = Upload(file.path, S3Object(bucket, key_below(prefix, file.name)))
                yield item if file.error is None else Settled(refused(item, file.error))


def _some(found: Iterator[Found]) -> list[Found]:
    return list(islice(found, BATCH))
