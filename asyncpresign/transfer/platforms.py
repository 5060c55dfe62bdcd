"""Which file calls an operating system has: one value, read once, so that every branch is tested on every system.

It never makes a call itself. https://docs.python.org/3/library/os.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Platform:
    """The capabilities of a system, and its flags for `os.open` (0 where it has none).

    Attributes:
        positional: `pread` and `pwrite` exist.
        folder_descriptors: files can be named relative to the descriptor of a folder.
        hard_links: `link` exists.
        link_options: `link` takes `follow_symlinks`.
        fchmod: the permissions of an open file can be set.
        binary: flags of every open: no text mode (Windows), not inherited by child processes.
        no_follow: fails on a symbolic link.
        no_wait: does not wait for the other end of a pipe.
        folder: opens a folder for its names only; it needs no permission to list it where the system can do that.
        folder_sync: opens a folder so that it can be synced; 0 where folders cannot be.
        user: returns the effective user id.
    """

    positional: bool
    folder_descriptors: bool
    hard_links: bool
    link_options: bool
    fchmod: bool
    binary: int
    no_follow: int
    no_wait: int
    folder: int
    folder_sync: int
    user: Callable[[], int] | None


# What is called relative to a folder's descriptor. Python does not list `replace`, which takes them where `rename` does.
_RELATIVE = ("open", "stat", "mkdir", "unlink", "rename")


def platform_of(system: Any) -> Platform:
    """The platform whose `os` module is `system`, or in tests a namespace with the names of another one."""

    def flag(name: str) -> int:
        value: int = getattr(system, name, 0)
        return value

    relative: frozenset[object] = getattr(system, "supports_dir_fd", frozenset())
    directory = flag("O_DIRECTORY")
    return Platform(
        positional=hasattr(system, "pread") and hasattr(system, "pwrite"),
        folder_descriptors=bool(directory) and all(getattr(system, name, None) in relative for name in _RELATIVE),
        hard_links=hasattr(system, "link"),
        link_options=getattr(system, "link", None) in getattr(system, "supports_follow_symlinks", frozenset()),
        fchmod=hasattr(system, "fchmod"),
        binary=flag("O_BINARY") | flag("O_CLOEXEC"),
        no_follow=flag("O_NOFOLLOW"),
        no_wait=flag("O_NONBLOCK"),
        folder=directory | flag("O_PATH") | flag("O_CLOEXEC"),
        folder_sync=directory,
        user=getattr(system, "geteuid", None),
    )


PLATFORM = platform_of(os)
