"""The disk in memory: what the transfer calls of `os`, with what POSIX promises about it and no more.

The seam is the name `os` in the few modules that may make file calls (tests/test_architecture.py lists them); `mounted` puts a
`Disk` in its place. A call may fail or take long. `after_power_loss` returns the disk as a machine finds it that lost power:
bytes are certain that were there at the file's last fsync, names that were there at their folder's last one; of what came
later any part may be there. `after_kill` returns it as the death of the process alone leaves it: all that was written.

There are no symbolic links, and permissions are kept but not enforced.
https://pubs.opengroup.org/onlinepubs/9799919799/functions/fsync.html
"""

from __future__ import annotations

import errno
import os
import posixpath
import random
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from asyncpresign.transfer import files, folders, sinks, sources, tree

MODULES = (files, folders, sinks, sources, tree)
FIRST_DESCRIPTOR = 1_000_000
DEVICE = 77


class Node:
    """A file or a folder. `synced` is what of it outlives a loss of power: bytes, or entries."""

    __slots__ = ("data", "entries", "links", "mode", "modified", "number", "path", "synced")

    def __init__(self, number: int, mode: int, path: str) -> None:
        self.number = number
        self.mode = mode
        self.path = path
        self.links = 1
        self.modified = number
        self.data = bytearray()
        self.entries: dict[str, Node] = {}
        self.synced: Any = {} if stat.S_ISDIR(mode) else None

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def status(self) -> os.stat_result:
        seconds = self.modified // 10**9
        values = (self.mode, self.number, DEVICE, self.links, os.geteuid(), 0, len(self.data), seconds, seconds, seconds)
        return os.stat_result(values, {"st_mtime_ns": self.modified})


class Entry:
    """As `os.scandir` yields it."""

    def __init__(self, folder: str, name: str, node: Node) -> None:
        self.name = name
        self.path = posixpath.join(folder, name)
        self._node = node

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._node.is_folder

    def is_symlink(self) -> bool:
        return False


def failure(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)


class Disk:
    """`before` is called with the name and the path of every call and may raise; `published` when a file gets a name."""

    def __init__(self) -> None:
        self._numbers = 100
        self.root = self._node(stat.S_IFDIR | 0o755, "/")
        self._open: dict[int, Node] = {}
        self._descriptors = FIRST_DESCRIPTOR
        self.dead = False
        self.calls = 0
        self.before: Callable[[str, str], None] = lambda call, path: None
        self.published: Callable[[str, bytes], None] = lambda path, data: None
        self.path = SimpleNamespace(
            join=posixpath.join,
            split=posixpath.split,
            basename=posixpath.basename,
            dirname=posixpath.dirname,
            abspath=posixpath.abspath,
            realpath=posixpath.normpath,
            samestat=posixpath.samestat,
            islink=lambda path: False,
            isdir=lambda path: (node := self._find(path)) is not None and node.is_folder,
            lexists=lambda path: self._find(path) is not None,
        )

    def __getattr__(self, name: str) -> Any:
        """Constants and pure functions are the system's own; a call that is not here is an error of the simulation."""
        if name.startswith(("O_", "SEEK_")) or name in ("fspath", "PathLike", "strerror", "sep", "altsep", "curdir", "pardir"):
            return getattr(os, name)
        raise AttributeError(f"the simulated disk has no os.{name}")

    @property
    def open_descriptors(self) -> list[str]:
        return [node.path for node in self._open.values()]

    # --- names --------------------------------------------------------------------------------------------------------

    def _node(self, mode: int, path: str) -> Node:
        self._numbers += 1
        return Node(self._numbers, mode, path)

    def _ask(self, call: str, path: str) -> None:
        if self.dead:
            raise failure(errno.EIO, path)
        self.calls += 1
        self.before(call, path)

    def _find(self, path: str, start: Node | None = None) -> Node | None:
        node: Node | None = self.root if start is None or path.startswith("/") else start
        for piece in path.split("/"):
            if piece in ("", "."):
                continue
            if node is None or not node.is_folder:
                return None
            node = node.entries.get(piece)
        return node

    def _place(self, path: str, dir_fd: int | None) -> tuple[Node, str]:
        """The folder that `path` is in, and its name there."""
        start = None if dir_fd is None else self._open[dir_fd]
        above, name = posixpath.split(path)
        folder = self._find(above, start) if above else start or self.root
        if folder is None:
            raise failure(errno.ENOENT, path)
        if not folder.is_folder:
            raise failure(errno.ENOTDIR, path)
        return folder, name

    def _there(self, path: str, dir_fd: int | None) -> Node:
        start = None if dir_fd is None else self._open[dir_fd]
        node = self._find(path, start)
        if node is None:
            raise failure(errno.ENOENT, path)
        return node

    # --- the calls of `os` --------------------------------------------------------------------------------------------

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        self._ask("open", path)
        folder, name = self._place(path, dir_fd)
        node = self._there(path, dir_fd) if name in ("", ".") else folder.entries.get(name)
        if flags & os.O_CREAT:
            if node is not None and flags & os.O_EXCL:
                raise failure(errno.EEXIST, path)
            if node is None:
                node = folder.entries[name] = self._node(stat.S_IFREG | (mode & 0o666), posixpath.join(folder.path, name))
        if node is None:
            raise failure(errno.ENOENT, path)
        if flags & os.O_DIRECTORY and not node.is_folder:
            raise failure(errno.ENOTDIR, path)
        self._descriptors += 1
        self._open[self._descriptors] = node
        return self._descriptors

    def close(self, fd: int) -> None:
        if self._open.pop(fd, None) is None:
            raise failure(errno.EBADF, str(fd))

    def _of(self, call: str, fd: int) -> Node:
        node = self._open.get(fd)
        if node is None:
            raise failure(errno.EBADF, str(fd))
        self._ask(call, node.path)
        return node

    def fstat(self, fd: int) -> os.stat_result:
        return self._of("fstat", fd).status()

    def stat(self, path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        self._ask("stat", path)
        return self._there(path, dir_fd).status()

    def lstat(self, path: str) -> os.stat_result:
        return self.stat(path)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        return bytes(self._of("pread", fd).data[offset : offset + length])

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        node = self._of("pwrite", fd)
        if len(node.data) < offset:
            node.data.extend(bytes(offset - len(node.data)))
        node.data[offset : offset + len(data)] = data
        self._touch(node)
        return len(data)

    def ftruncate(self, fd: int, size: int) -> None:
        node = self._of("ftruncate", fd)
        del node.data[size:]
        node.data.extend(bytes(size - len(node.data)))
        self._touch(node)

    def fchmod(self, fd: int, mode: int) -> None:
        node = self._of("fchmod", fd)
        node.mode = stat.S_IFMT(node.mode) | mode

    def fsync(self, fd: int) -> None:
        node = self._of("fsync", fd)
        node.synced = dict(node.entries) if node.is_folder else bytes(node.data)

    def _touch(self, node: Node) -> None:
        self._numbers += 1
        node.modified = self._numbers

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        self._ask("unlink", path)
        folder, name = self._place(path, dir_fd)
        node = folder.entries.get(name)
        if node is None:
            raise failure(errno.ENOENT, path)
        if node.is_folder:
            raise failure(errno.EISDIR, path)
        del folder.entries[name]
        node.links -= 1

    def replace(self, src: str, dst: str, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self._ask("replace", dst)
        source, old = self._place(src, src_dir_fd)
        target, new = self._place(dst, dst_dir_fd)
        node = source.entries.get(old)
        if node is None:
            raise failure(errno.ENOENT, src)
        there = target.entries.get(new)
        if there is not None and there.is_folder:
            raise failure(errno.EISDIR, dst)
        del source.entries[old]
        target.entries[new] = node
        node.path = posixpath.join(target.path, new)
        self.published(node.path, bytes(node.data))

    def link(
        self,
        src: str,
        dst: str,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        self._ask("link", dst)
        source, old = self._place(src, src_dir_fd)
        target, new = self._place(dst, dst_dir_fd)
        if new in target.entries:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), dst)
        node = target.entries[new] = source.entries[old]
        node.links += 1
        self.published(posixpath.join(target.path, new), bytes(node.data))

    def mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self._ask("mkdir", path)
        folder, name = self._place(path, dir_fd)
        if name in folder.entries:
            raise failure(errno.EEXIST, path)
        folder.entries[name] = self._node(stat.S_IFDIR | 0o755, posixpath.join(folder.path, name))

    def makedirs(self, path: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        node, at = self.root, "/"
        for piece in path.strip("/").split("/"):
            at = posixpath.join(at, piece)
            if piece not in node.entries:
                self.mkdir(at)
            elif not node.entries[piece].is_folder:
                raise failure(errno.EEXIST, at)
            node = node.entries[piece]

    def rmdir(self, path: str) -> None:
        self._ask("rmdir", path)
        folder, name = self._place(path, None)
        if folder.entries[name].entries:
            raise failure(errno.ENOTEMPTY, path)
        del folder.entries[name]

    @contextmanager
    def scandir(self, path: str) -> Iterator[Iterator[Entry]]:
        self._ask("scandir", path)
        node = self._there(path, None)
        if not node.is_folder:
            raise failure(errno.ENOTDIR, path)
        yield iter([Entry(path, name, child) for name, child in node.entries.items()])

    # --- for the simulation -------------------------------------------------------------------------------------------

    def make_folder(self, path: str) -> Node:
        """A folder that is there and synced before anything begins."""
        folder = self.root
        for piece in path.strip("/").split("/"):
            at = posixpath.join(folder.path, piece)
            folder.synced.setdefault(piece, folder.entries.setdefault(piece, self._node(stat.S_IFDIR | 0o755, at)))
            folder = folder.entries[piece]
        return folder

    def write_file(self, path: str, data: bytes) -> None:
        """The same of a file."""
        folder = self.make_folder(posixpath.dirname(path))
        node = self._node(stat.S_IFREG | 0o644, path)
        node.data[:] = data
        node.synced = data
        folder.entries[posixpath.basename(path)] = folder.synced[posixpath.basename(path)] = node

    def read_file(self, path: str) -> bytes | None:
        node = self._find(path)
        return None if node is None or node.is_folder else bytes(node.data)

    def files(self, folder: str = "/") -> dict[str, bytes]:
        """All files below `folder`, by their paths."""
        found: dict[str, bytes] = {}
        start = self._find(folder)
        pending = [(folder.rstrip("/"), start)] if start is not None else []
        while pending:
            path, node = pending.pop()
            for name, child in sorted(node.entries.items()):
                if child.is_folder:
                    pending.append((f"{path}/{name}", child))
                else:
                    found[f"{path}/{name}"] = bytes(child.data)
        return found

    def after_kill(self) -> Disk:
        """All that was written is there; who had it open is not."""
        return self._next(self.root)

    def after_power_loss(self, chance: random.Random) -> Disk:
        """What was synced is there, and of the rest any part."""
        made: dict[int, Node] = {}

        def survived(node: Node) -> Node:
            if node.number in made:
                return made[node.number]
            copy = made[node.number] = Node(node.number, node.mode, node.path)
            copy.modified = node.modified
            if node.is_folder:
                for name in sorted({*node.entries, *node.synced}):
                    states = [node.entries.get(name), node.synced.get(name)]
                    chosen = states[0] if states[0] is states[1] else chance.choice(states)
                    if chosen is not None:
                        copy.entries[name] = survived(chosen)
                copy.synced = dict(copy.entries)
            else:
                copy.data[:] = _torn(bytes(node.data), node.synced, chance)
                copy.synced = bytes(copy.data)
            return copy

        return self._next(survived(self.root))

    def _next(self, root: Node) -> Disk:
        self.dead = True
        disk = Disk()
        disk.root = root
        disk._numbers = self._numbers + 1000
        disk._descriptors = self._descriptors
        return disk


def _torn(written: bytes, synced: bytes | None, chance: random.Random) -> bytes:
    """What a file may hold that was not synced since `synced` was."""
    if written == synced:
        return written
    before = b"" if synced is None else synced
    draw = chance.random()
    if draw < 0.3:
        return written
    if draw < 0.5:
        return before
    at = chance.randrange(len(written) + 1)
    # New bytes up to some place, behind it old ones, or zeros where the size was written and the bytes were not.
    rest = before[at:] if draw < 0.75 else bytes(len(written) - at)
    return written[:at] + rest


@contextmanager
def mounted(disk: Disk) -> Iterator[None]:
    """The file calls of the transfer go to `disk` while this is open."""
    before = [(module, module.os) for module in MODULES]  # type: ignore[attr-defined]
    for module in MODULES:
        module.os = disk  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, system in before:
            module.os = system  # type: ignore[attr-defined]
