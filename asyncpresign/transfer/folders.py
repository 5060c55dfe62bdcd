"""Names in a folder that is held open, so that a link planted later never leads a read or a write somewhere else.

A path is resolved once, from its root on, one folder after the other and without following links; from then on files are
named relative to the folder's descriptor. A link below the root is followed only when it stays below: it is resolved, and
the resolved path is walked without following any. Systems without such descriptors (`Platform.folder_descriptors`) check
the folders of the path before each step instead.

All calls are short enough for the event loop if the disk is quick (`Threads.look`). They raise `OSError`, and `ValueError`
for a path that no system can hold.
https://pubs.opengroup.org/onlinepubs/9799919799/functions/open.html
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .files import Threads
from .platforms import PLATFORM, Platform

_JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT, which only Windows' `stat` module names
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL


class LinkInPath(Exception):
    """A folder below the root, or the file itself, is a symbolic link that is not to be followed."""


class Spot:
    """The place of one file: `name` in a folder that is held open until `close`.

    `path` is the file's path for messages, and `status` what stood there when the place was opened (never a link).
    """

    __slots__ = ("_below", "_descriptor", "_folder", "_identity", "_platform", "name", "path", "status")

    def __init__(self, folder: str, below: Sequence[str], descriptor: int | None, name: str, path: str, platform: Platform):
        self.name: str = name
        self.path: str = path
        self._folder = folder
        self._below = below
        self._descriptor = descriptor
        self._platform = platform
        self.status: os.stat_result | None = None
        try:
            self._identity = _identity(os.stat(folder) if descriptor is None else os.fstat(descriptor))
            self.status = self.look(name)
        except BaseException:
            self.close()
            raise
        if self.status is not None and _is_link(self.status):
            self.close()
            raise LinkInPath

    def close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    # --- files of the folder ------------------------------------------------------------------------------------------

    def look(self, name: str) -> os.stat_result | None:
        """The status of `name` itself, not of what it links to; None if there is nothing."""
        try:
            return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int) -> int:
        """Open a file that is there. Fails for a link; never waits for a pipe."""
        platform = self._platform
        return os.open(self._at(name), flags | platform.binary | platform.no_follow | platform.no_wait, dir_fd=self._descriptor)

    def create(self, name: str, mode: int | None) -> int:
        """Open a new file; fails if anything is there. `mode`, if not None, are its permissions whatever the umask is."""
        flags = _NEW | self._platform.binary | self._platform.no_follow
        file = os.open(self._at(name), flags, 0o666 if mode is None else mode, dir_fd=self._descriptor)
        if mode is not None and self._platform.fchmod:
            try:
                os.fchmod(file, mode)
            except OSError:
                # Not every file system has permissions.
                os.close(file)
                self.unlink(name)
                raise
        return file

    def adopt(self, name: str, identity: str, end: int) -> int | None:
        """Open the file of `identity` that an earlier process left, if it has at least `end` bytes; None if it is another.

        It is regular, ours, on this disk and has no other name.
        """
        if not self._could_be_ours(self.look(name)):
            return None
        file = self.open(name, os.O_RDWR)
        fits = False
        try:
            status = os.fstat(file)
            fits = self._could_be_ours(status) and identity_of(status) == identity and status.st_size >= end
        finally:
            if not fits:
                os.close(file)
        return file if fits else None

    def _could_be_ours(self, status: os.stat_result | None) -> bool:
        if status is None:
            return False
        user = self._platform.user
        regular = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
        return regular and status.st_dev == self._identity[0] and (user is None or status.st_uid == user())

    def unlink(self, name: str) -> None:
        os.unlink(self._at(name), dir_fd=self._descriptor)

    def publish(self, temporary: str, status: os.stat_result, exclusive: bool) -> None:
        """Give `temporary`, which must still be the file of `status`, the name of this place.

        Fails when the path has led to another folder meanwhile, or if `exclusive` and there is a file of that name.
        """
        self._check_folder()
        found = self.look(temporary)
        if found is None or _identity(found) != _identity(status):
            raise OSError(errno.ESTALE, "its temporary file was replaced while it was written")
        if exclusive:
            self._link(temporary)
        else:
            self._replace(temporary)

    def _replace(self, temporary: str) -> None:
        os.replace(self._at(temporary), self._at(self.name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def _link(self, temporary: str) -> None:
        """A rename that replaces nothing, where the file system can do that in one step."""
        if self._linked(temporary):
            self.unlink(temporary)
        elif self.look(self.name) is None:
            self._replace(temporary)
        else:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _linked(self, temporary: str) -> bool:
        if not self._platform.hard_links:
            return False
        options = {"follow_symlinks": False} if self._platform.link_options else {}
        here = self._descriptor
        try:
            os.link(self._at(temporary), self._at(self.name), src_dir_fd=here, dst_dir_fd=here, **options)
        except FileExistsError:
            raise
        except OSError:
            return False
        return True

    def sync(self) -> None:
        """Have a new name outlive a loss of power too."""
        _sync(self._at(os.curdir), self._descriptor, self._platform)

    def _check_folder(self) -> None:
        """Raises when the path does not lead here any more."""
        status = None
        for folder in self._below:
            status = os.lstat(folder)
            if _is_link(status) or not stat.S_ISDIR(status.st_mode):
                status = None
                break
        else:
            status = status or os.stat(self._folder)
        if status is None or _identity(status) != self._identity:
            raise OSError(errno.ESTALE, "its folder was moved or replaced while it was written")

    def _at(self, name: str) -> str:
        if self._descriptor is not None:
            return name
        return os.path.join(self._folder, name)


def _is_link(status: os.stat_result) -> bool:
    """Whether it leads elsewhere: a symbolic link, or a junction of Windows, which Python calls a folder."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def identity_of(status: os.stat_result) -> str:
    """Which file of the system `status` is of, as a journal keeps it."""
    return "{:x}:{:x}".format(*_identity(status))


async def open_spot(threads: Threads, call: Callable[..., Spot], *arguments: Any, syncs: bool = False) -> Spot:
    """What `call` returns, which is closed if the caller is cancelled meanwhile. One that `syncs` waits for the disk."""
    opened: list[Spot] = []
    try:
        await (threads.run if syncs else threads.look)(lambda: opened.append(call(*arguments)))
        return opened.pop()
    finally:
        for spot in opened:
            spot.close()


# --- from a path to a place -------------------------------------------------------------------------------------------


def spot_at(path: str, platform: Platform = PLATFORM) -> Spot:
    """The place that `path` names. Links in it are followed, also the last one: they are the caller's."""
    try:
        return _spot_at(path, path, platform)
    except LinkInPath:
        pass
    try:
        return _spot_at(os.path.realpath(path), path, platform)
    except LinkInPath:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def _spot_at(path: str, shown: str, platform: Platform) -> Spot:
    folder, name = os.path.split(path)
    folder = folder or os.curdir
    descriptor = os.open(folder, platform.folder) if platform.folder_descriptors else None
    return Spot(folder, (), descriptor, name, shown, platform)


def spot_below(
    root: str, name: str, *, make: bool, durable: bool = False, follow: bool = True, platform: Platform = PLATFORM
) -> Spot:
    """The place of the file `name`, a path with `/`, below `root`, whose own links are followed.

    Folders that are missing are made if `make`, and outlive a loss of power if `durable`. Links below are followed, if
    `follow`, as far as they stay below `root`.
    Raises `LinkInPath` for one that is not followed.
    """
    path = os.path.join(root, *name.split("/"))
    try:
        return _spot_below(root, name.split("/"), path, make, durable, platform)
    except LinkInPath:
        if not follow:
            raise
    top, real = os.path.realpath(root), os.path.realpath(path)
    above = top if top.endswith(os.sep) else top + os.sep
    if not real.startswith(above):
        raise LinkInPath
    try:
        return _spot_below(top, real.removeprefix(above).split(os.sep), path, make, durable, platform)
    except LinkInPath:
        # A loop, or one that has only just been planted.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None


def _spot_below(root: str, pieces: Sequence[str], path: str, make: bool, durable: bool, platform: Platform) -> Spot:
    below: list[str] = []
    folder = root
    descriptor = _open_root(root, make, durable, platform)
    for piece in pieces[:-1]:
        folder = os.path.join(folder, piece)
        below.append(folder)
        try:
            inner = _enter(folder if descriptor is None else piece, descriptor, make, durable, platform)
        finally:
            if descriptor is not None:
                os.close(descriptor)
        descriptor = inner
    return Spot(folder, below, descriptor, pieces[-1], path, platform)


def _open_root(root: str, make: bool, durable: bool, platform: Platform) -> int | None:
    try:
        if platform.folder_descriptors:
            return os.open(root, platform.folder)
        os.stat(root)
    except FileNotFoundError:
        if not make:
            raise
        make_folders(root, durable=durable, platform=platform)
        return _open_root(root, False, False, platform)
    return None


def make_folders(path: str, *, durable: bool, platform: Platform = PLATFORM) -> None:
    """Make the folder `path` and those above it that are missing. Each outlives a loss of power if `durable`."""
    changed: list[str] = []
    if durable:
        folder = os.path.abspath(path)
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
            changed.append(folder)
    os.makedirs(path, exist_ok=True)
    for folder in changed:
        _sync(folder, None, platform)


def _sync(folder: str, descriptor: int | None, platform: Platform) -> None:
    """Have the names in `folder` outlive a loss of power; Windows has no such call."""
    if platform.folder_sync:
        opened = os.open(folder, os.O_RDONLY | platform.folder_sync | platform.binary, dir_fd=descriptor)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _enter(name: str, descriptor: int | None, make: bool, durable: bool, platform: Platform) -> int | None:
    """The descriptor of the folder `name`, made if it is missing. Raises `LinkInPath`."""
    try:
        return _open_folder(name, descriptor, platform)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=descriptor)
    if durable:
        _sync(os.path.dirname(name) or os.curdir, descriptor, platform)
    return _open_folder(name, descriptor, platform)


def _open_folder(name: str, descriptor: int | None, platform: Platform) -> int | None:
    if platform.folder_descriptors:
        try:
            return os.open(name, platform.folder | platform.no_follow, dir_fd=descriptor)
        except FileNotFoundError:
            raise
        except OSError as error:
            # Systems name a link in the place of a folder differently.
            failure: OSError | None = error
    else:
        failure = None
    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    if _is_link(status):
        raise LinkInPath
    if failure is not None:
        raise failure
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return None
