"""Folders: where in a `Directory` a download goes, what files a tree holds, and what the disk takes for one name.

Beside `files` the only module that looks at the file system. `destination_of` makes calls that are short enough for the
event loop; the others are for threads.
"""

from __future__ import annotations

import os

from ..errors import InvalidRequest, LocalFileError, Problem, UnsafePathError, describe
from ..models import PresignedRequest, S3Object
from .items import Destination, Place
from .paths import Directory


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
