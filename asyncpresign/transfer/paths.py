"""Which file a key may become: pure functions over texts; nothing here looks at a disk (`tree` does).

S3 says nothing of paths: a key is any text of up to 1,024 bytes. A key becomes a path only when every piece of it is the
name of a file on the system at hand, and never one that leads elsewhere; nothing is cleaned, cut or replaced, since two
keys would then share a file. https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from ..errors import InvalidRequest, Problem, UnsafePathError, describe, redact
from ..models import PresignedRequest, S3Object

_DRIVE = re.compile("[A-Za-z]:")
_SURROGATE = re.compile("[\ud800-\udfff]")
# What Windows takes for something else than a letter of a name, or for a device.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_WINDOWS = re.compile(
    r'[\x00-\x1f<>:"|?*\\]|[. ]$|^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?: *\.|$)', re.IGNORECASE
)
# What is a path on every system but Windows, as most keys are: it is asked for more than once an item.
_PLAIN = re.compile("[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*").fullmatch
SHOWN = 200


def relative_name(key: str, *, windows: bool = sys.platform == "win32") -> str:
    """`key` as a path below a folder, with `/`. Raises `UnsafePathError` for one that leads out of it or cannot be a path.

    `..`, a drive letter and a leading slash are refused on every system, with either slash.
    """
    if not windows and _PLAIN(key):
        return key
    if reason := _unsafe(key, windows):
        shown = repr(key) if len(key) <= SHOWN else f"{key[:SHOWN]!r} and {len(key) - SHOWN} characters more"
        expected = "a key that is a path below the Directory"
        raise UnsafePathError(Problem("key", expected, f"{redact(shown)}, which {reason}", "give the Directory a name= for it"))
    return key


def _unsafe(key: str, windows: bool) -> str:
    pieces = key.split("/")
    reasons = {
        "is empty": not key,
        "has a NUL": "\0" in key,
        "is not Unicode": _SURROGATE.search(key),
        "is absolute": key[:1] in ("/", "\\"),
        "begins with a drive letter": _DRIVE.match(key),
        "has '..'": ".." in re.split(r"[/\\]", key),
        "ends as a folder does": key.endswith("/"),
        "has an empty piece or '.'": "" in pieces or "." in pieces,
        "no file of Windows can be called": windows and any(map(_WINDOWS.search, pieces)),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def key_of(source: PresignedRequest | str | S3Object) -> str:
    """The key that names a download's file: an object's whole key; of a URL, which may have the bucket in its path, the
    last piece."""
    if isinstance(source, S3Object):
        return source.key
    url = source.url if isinstance(source, PresignedRequest) else str(source)
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        # No URL, as the transport would say.
        return ""


@dataclass(frozen=True, slots=True)
class Directory:
    """A download's destination that takes its file's name from the key, and never leaves `root`.

    Of an `S3Object` the whole key is the path below `root`, of a URL the last piece of its path; `name`, with `/` between
    folders, replaces it. Folders are made as they are needed. A name that would lead out of `root`, by `..`, a drive letter or
    a symbolic link, or that no file can have, is an `UnsafePathError` of that download. Raises `InvalidRequest`.
    """

    root: str | os.PathLike[str]
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        problems = []
        if (
            not isinstance(self.root, str | os.PathLike)
            or not isinstance(os.fspath(self.root), str)
            or not os.fspath(self.root)
        ):
            problems.append(Problem("root", "the path of a folder", describe(self.root)))
        if self.name is not None and not isinstance(self.name, str):
            problems.append(Problem("name", "a path below root, with '/'", describe(self.name)))
        if problems:
            raise InvalidRequest(*problems)

    def name_for(self, source: PresignedRequest | str | S3Object) -> str:
        """The path below `root`, with `/`. Raises `UnsafePathError`."""
        return relative_name(key_of(source) if self.name is None else self.name)


# --- many keys, one folder --------------------------------------------------------------------------------------------


def folded(name: str) -> str:
    """What is equal for names that a file system without case, or without Unicode forms, takes for one."""
    return normalize("NFC", normalize("NFD", name).casefold())


class Names:
    """Tells names that cannot be files of one folder together: one is a folder of another's, or the system mixes them up.

    `fold` gives what the system compares; with None it compares names as they are, and they have to come in S3's order, by
    which a name stands before all that it is a folder of: then only the names that are prefixes of the present one are
    remembered, else all are.
    """

    def __init__(self, fold: Callable[[str], str] | None = None) -> None:
        self._fold = fold
        self._above: list[str] = []
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def clash(self, name: str) -> str:
        """The earlier name that `name` collides with, or an empty text."""
        return self._by_order(name) if self._fold is None else self._by_memory(name, self._fold(name))

    def _by_order(self, name: str) -> str:
        while self._above and not name.startswith(self._above[-1]):
            self._above.pop()
        found = next((above for above in self._above if name.startswith(f"{above}/")), "")
        if not found:
            self._above.append(name)
        return found

    def _by_memory(self, name: str, compared: str) -> str:
        pieces = compared.split("/")
        folders = ["/".join(pieces[:end]) for end in range(1, len(pieces))]
        found = next((self._files[place] for place in [compared, *folders] if place in self._files), "")
        found = found or self._folders.get(compared, "")
        if not found:
            self._files[compared] = name
            self._folders.update((folder, name) for folder in folders if folder not in self._folders)
        return found


def collisions(names: Iterable[str], *, fold: Callable[[str], str] | None = folded) -> list[tuple[str, str]]:
    """Pairs of `names`, an earlier and a later one, that cannot be files of one folder on a system that compares by `fold`."""
    seen = Names(fold)
    return [(earlier, name) for name in names if (earlier := seen.clash(name))]


def check_patterns(argument: str, patterns: Sequence[str]) -> list[Problem]:
    if isinstance(patterns, str | bytes) or not all(isinstance(pattern, str) for pattern in patterns):
        return [Problem(argument, "a sequence of patterns, such as ('*.jpg',)", describe(patterns))]
    return []


def matches(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Whether `name` is wanted: matched by any of `include`, if there are some, and by none of `exclude`.

    `*` and `?` match `/` too; case counts. https://docs.python.org/3/library/fnmatch.html
    """
    wanted = not include or any(fnmatchcase(name, pattern) for pattern in include)
    return wanted and not any(fnmatchcase(name, pattern) for pattern in exclude)


def name_below(key: str, prefix: str) -> str:
    """What `key` is called below `prefix`: what follows it as a folder, or else what follows its last `/`."""
    if not prefix or prefix.endswith("/"):
        return key[len(prefix) :]
    if key.startswith(f"{prefix}/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def key_below(prefix: str, name: str) -> str:
    """The key of the file `name` below `prefix`, which stands for a folder."""
    return f"{prefix}{name}" if not prefix or prefix.endswith("/") else f"{prefix}/{name}"
