"""Folders: where in a `Directory` a download goes, what files a tree holds, and what the disk takes for one name.

`destination_of` makes calls that are short enough for the event loop; the others are for threads.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unicodedata import normalize

from ..errors import InvalidRequest, LocalFileError, PresignError, Problem, UnsafePathError, describe
from ..models import PresignedRequest, S3Object
from .files import local_error
from .folders import LinkInPath, Spot, identity_of, make_folders, spot_below
from .paths import Directory, folded
from .sinks import regular
from .sources import TreePath


def destination_of(
    source: PresignedRequest | str | S3Object, destination: Directory, make: bool = True, durable: bool = False
) -> Spot:
    """The place that a `Directory` gives `source`, held open, whose folders are made if `make`, and for good if `durable`.

    Raises `UnsafePathError` when the path leads out of the root, through a link that is there; `LocalFileError`.
    """
    root = os.fspath(destination.root)
    name = destination.name_for(source)
    path = os.path.join(root, *name.split("/"))
    try:
        spot = spot_below(root, name, make=make, durable=durable)
    except LinkInPath:
        expected = "a key whose path stays below the Directory"
        refused = Problem("key", expected, f"{path!r}, a symbolic link out of it")
    except OSError as error:
        raise local_error(error, path) from None
    except ValueError:
        raise InvalidRequest(Problem("root", "a path that the system can hold", describe(root))) from None
    else:
        return regular(spot)
    raise UnsafePathError(refused)


def absolute(path: str) -> str:
    """`path` as it is whatever the working directory; `..` leads to where the system takes it, also behind a link.

    Raises `LocalFileError` when the working directory is gone.
    """
    try:
        folder, name = os.path.split(path)
        if os.pardir in folder.replace(os.altsep or os.sep, os.sep).split(os.sep):
            path = os.path.join(os.path.realpath(folder), name)
        return os.path.abspath(path)
    except OSError as error:
        raise local_error(error, path) from None


class Locator:
    """Which file a path names: one string for every way to name it, by relative paths, links and, where the disk mixes them
    up, by case and Unicode forms.
    """

    # Folders that are remembered, so that a file costs two looks at the disk.
    MOST = 1000

    def __init__(self, mixes: Callable[[str], bool] | None = None) -> None:
        self._mixes = mixes or mixes_case
        self._folders: dict[tuple[str, int, int], tuple[str, bool]] = {}

    def locate(self, path: str) -> str:
        """Raises `OSError` and `ValueError`."""
        if os.path.islink(path):
            path = os.path.realpath(path)
        folder, name = os.path.split(path)
        real, mixes = self._folder(folder or os.curdir)
        found = os.path.join(real, name)
        return folded(found) if mixes else found

    def identify(self, file: object) -> tuple[str, str, bool]:
        """The inode of an open file of the caller's, the path at which it was opened, as `locate` returns it, and whether that
        path still leads to it.

        Empty strings for what has no descriptor, or is a device, which takes what many write, and for a file without a path.
        """
        try:
            status = os.fstat(file.fileno())  # type: ignore[attr-defined]
        except Exception:  # noqa: BLE001 (the caller's own object)
            return "", "", False
        if stat.S_ISCHR(status.st_mode):
            return "", "", False
        try:
            name = os.fsdecode(file.name)  # type: ignore[attr-defined]
            path, is_there = self.locate(name), os.path.samestat(os.stat(name), status)
        except Exception:  # noqa: BLE001 (the caller's own object; many have no name)
            path, is_there = "", False
        return identity_of(status), path, is_there

    def inode(self, path: str) -> str:
        """Of the file that is there, as `identify` says it; an empty string if there is none."""
        try:
            return identity_of(os.stat(path))
        except (OSError, ValueError):
            return ""

    def _folder(self, folder: str) -> tuple[str, bool]:
        try:
            status = os.stat(folder)
        except FileNotFoundError:
            # It will be made; the disk of what there is of its path decides.
            real = os.path.realpath(folder)
            return real, self._mixes(real)
        # By what it is, too: the path may lead to another folder later.
        key = (folder, status.st_dev, status.st_ino)
        if key not in self._folders:
            if len(self._folders) >= self.MOST:
                self._folders.clear()
            real = os.path.realpath(folder)
            self._folders[key] = real, self._mixes(real)
        return self._folders[key]


def mixes_case(folder: str) -> bool:
    """Whether the disk of `folder`, a resolved path, takes names for one that differ in case: by looking for a folder of the
    path by another one. By what is usual on the system where no folder of that disk has letters in its name.
    """
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    disk = os.lstat(folder).st_dev
    while (above := os.path.dirname(folder)) != folder and os.lstat(above).st_dev == disk:
        name = os.path.basename(folder)
        if (other := name.swapcase()) != name:
            try:
                return os.path.samestat(os.lstat(folder), os.lstat(os.path.join(above, other)))
            except OSError:
                return False
        folder = above
    return sys.platform in ("darwin", "win32")


# --- whole trees ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a root: its `name` there, with `/`, and its `path`; `error` says why it cannot be read."""

    name: str
    path: str
    error: PresignError | None = None


def walk(root: str) -> Iterator[Found]:
    """All files below `root`, in the order of their names. Links are not followed. Raises `LocalFileError` for `root`.

    A folder that cannot be read is found as a file with an `error`. What is in memory grows with the depth of the tree and
    the number of entries of the folders on the way, and no folder stays open.
    """
    # Entries that are left of each folder on the way, the next one last.
    above: list[list[tuple[str, str, bool, bool]]] = [_entries(root, "")]
    while above:
        if not above[-1]:
            above.pop()
            continue
        name, path, is_folder, is_link = above[-1].pop()
        if not is_folder:
            # What is no regular file is refused where it is opened.
            yield Found(name, TreePath(path, root, name), _linked(path) if is_link else None)
            continue
        try:
            above.append(_entries(path, f"{name}/"))
        except LocalFileError as error:
            yield Found(name, path, error)


def _linked(path: str) -> UnsafePathError:
    return UnsafePathError(Problem("source", "a file of the tree itself", f"{path!r}, a symbolic link"))


def _entries(folder: str, prefix: str) -> list[tuple[str, str, bool, bool]]:
    """Names, paths, and whether they are folders or links, of what is in `folder`; the last name first."""
    try:
        with os.scandir(folder) as found:
            entries = [
                (f"{prefix}{entry.name}", entry.path, entry.is_dir(follow_symlinks=False), entry.is_symlink())
                for entry in found
            ]
    except (OSError, ValueError) as error:
        raise local_error(error, folder) from None
    # As keys, in which a folder's name is followed by a slash.
    return sorted(entries, key=lambda entry: entry[0] + "/" * entry[2], reverse=True)


def folding(root: str, token: str) -> Callable[[str], str] | None:
    """What file names the disk under `root`, which is made, takes for one: None when it takes each for itself.

    Found by making a folder, called by `token`, and looking for it by other names. Raises `LocalFileError`.
    """
    name = f".asyncpresign-{token}-\u00e9"
    try:
        make_folders(root, durable=True)
        os.mkdir(os.path.join(root, name))
        try:
            others = (name.upper(), normalize("NFD", name))
            mixes = any(os.path.isdir(os.path.join(root, other)) for other in others)
        finally:
            os.rmdir(os.path.join(root, name))
    except OSError as error:
        raise local_error(error, root) from None
    return folded if mixes else None
