"""Folders: where in a `Directory` a download goes, what files a tree holds, and what the disk takes for one name.

Beside `files` the only module that looks at the file system. `destination_of` makes calls that are short enough for the
event loop; the others are for threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unicodedata import normalize

from ..errors import InvalidRequest, LocalFileError, Problem, UnsafePathError, describe
from ..models import PresignedRequest, S3Object
from .items import Destination, Place
from .paths import Directory, folded


def destination_of(source: PresignedRequest | str | S3Object, destination: Destination) -> Place:
    """`destination`, or the path that a `Directory` gives `source`, whose folders are there then.

    Raises `UnsafePathError` when the path leads out of the root, through a link that is there now too; `LocalFileError`.
    """
    if not isinstance(destination, Directory):
        return destination
    root = os.fspath(destination.root)
    path = os.path.join(root, *destination.name_for(source).split("/"))
    try:
        if leads_out(root, path):
            expected = "a key whose path stays below the Directory"
            refused = Problem("key", expected, f"{path!r}, a symbolic link out of it")
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return path
    except OSError as error:
        raise LocalFileError(error.strerror or type(error).__name__, path=path) from None
    except ValueError:
        raise InvalidRequest(Problem("root", "a path that the system can hold", describe(root))) from None
    raise UnsafePathError(refused)


def leads_out(root: str, path: str) -> bool:
    """Whether `path`, with its links followed, is not below `root`."""
    top = os.path.realpath(root)
    return not os.path.realpath(path).startswith(top if top.endswith(os.sep) else top + os.sep)


def absolute(path: str) -> str:
    """`path` as it is whatever the working directory."""
    return os.path.abspath(path)


# --- whole trees ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a root: its `name` there, with `/`, and its `path`; `problem` says why it is none to be read."""

    name: str
    path: str
    problem: str = ""
    is_link: bool = False


def walk(root: str, below: str = "") -> Iterator[Found]:
    """All files below `root`, in the order of their names. Links are not followed. Raises `LocalFileError` for `root`."""
    folder = os.path.join(root, below) if below else root
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name + "/" * entry.is_dir(follow_symlinks=False))
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or type(error).__name__
        if not below:
            raise LocalFileError(told, path=folder) from None
        yield Found(below, folder, told)
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from walk(root, name)
        elif entry.is_symlink():
            yield Found(name, entry.path, "a symbolic link", is_link=True)
        else:
            # What is no regular file is refused where it is opened.
            yield Found(name, entry.path)


def folding(root: str, token: str) -> Callable[[str], str] | None:
    """What file names the disk under `root`, which is made, takes for one: None when it takes each for itself.

    Found by making a folder, called by `token`, and looking for it by other names. Raises `LocalFileError`.
    """
    name = f".asyncpresign-{token}-\u00e9"
    try:
        os.makedirs(root, exist_ok=True)
        os.mkdir(os.path.join(root, name))
        try:
            others = (name.upper(), normalize("NFD", name))
            mixes = any(os.path.isdir(os.path.join(root, other)) for other in others)
        finally:
            os.rmdir(os.path.join(root, name))
    except OSError as error:
        raise LocalFileError(error.strerror or type(error).__name__, path=root) from None
    return folded if mixes else None
