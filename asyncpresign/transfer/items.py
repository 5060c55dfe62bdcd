"""What a transfer is asked to do, and what it says it did: values, whose reprs hold no live signature."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

from .._sigv4.post_policy import Condition
from ..errors import PresignError, describe, redact
from ..models import PresignedPost, PresignedRequest, S3Object
from .paths import Directory

Source = str | os.PathLike[str] | bytes | BinaryIO | AsyncIterable[bytes]
"""What is uploaded: a path, bytes, a binary file (from where it stands), or an async iterable of known size."""

IfExists = Literal["overwrite", "skip", "error", "verify"]
"""What is done about a file that is in a download's place."""

Place = str | os.PathLike[str] | BinaryIO | None
Destination = Place | Directory
"""Where a download goes: a path (that very file), a `Directory`, a binary file, or None: into `TransferResult.data`."""


# Characters of a text that a repr shows.
SHOWN = 2048


def _show(value: object) -> str:
    match value:
        case str():
            return repr(redact(value[:SHOWN])) + (f" and {len(value) - SHOWN} characters more" if len(value) > SHOWN else "")
        case bytes():
            return f"<{describe(value)}>"
        case S3Object():
            return str(value)
        case PresignedRequest() | PresignedPost() | Path() | Directory() | PresignError() | Shown():
            return redact(repr(value))
        case _:
            return describe(value)


class Shown:
    """A repr that names fields which are set and shows no content and no signature."""

    __slots__ = ()

    def __repr__(self) -> str:
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))  # type: ignore[arg-type]
        shown = ", ".join(f"{name}={_show(value)}" for name, value, default in given if value != default)
        return f"{type(self).__name__}({shown})"


@dataclass(frozen=True, slots=True, repr=False)
class Download(Shown):
    """Fetch `source` (a signed GET, a URL, or an `S3Object` to be signed just in time) to `destination`.

    `params` are further parameters of GetObject, for an `S3Object` only. `checksum` and `size`, in bytes, are what the body
    must have, `if_match` is the ETag that the object must have. A checksum is "sha256:<hex or base64>" (md5, sha1, sha256,
    sha512, crc32, crc32c, crc64nvme), or "etag:<hex>-<parts>:<part bytes>" for what S3 keeps of an object uploaded in parts.
    `if_exists` says what a file in the destination's place is worth: nothing; enough to skip the item; an error; or, with
    "verify", it is kept, and the item skipped, when it is proven to be the object, at the cost of a request for one byte.
    `id` is the caller's own and is not looked at.
    """

    source: PresignedRequest | str | S3Object
    destination: Destination = None
    params: Mapping[str, Any] | None = None
    checksum: str | None = None
    if_match: str | None = None
    if_exists: IfExists = "overwrite"
    size: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Upload(Shown):
    """Send `source` to `destination`: a signed PUT, a URL, or an `S3Object` to be signed just in time, which a large source
    goes to in parts.

    `params` are further parameters of PutObject, for an `S3Object` only. `checksum`, as in `Download`, is what the source must
    have; for an `S3Object` a kind that S3 has is signed and sent, so that S3 compares it too.
    `if_none_match="*"`, for an `S3Object` only, never overwrites: an object that is there already fails the item, unless it
    has the same bytes (S3 knows that condition, some other servers ignore it). `size`, in bytes, is needed for an async
    iterable or a file that cannot seek, and otherwise what the source must have.
    """

    source: Source
    destination: PresignedRequest | str | S3Object
    params: Mapping[str, Any] | None = None
    checksum: str | None = None
    if_none_match: str | None = None
    size: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class FormUpload(Shown):
    """Post `source` as a `multipart/form-data` form to `destination` (a signed form, or an `S3Object` to be signed).

    `fields` and `conditions` go to `presign_post`, for an `S3Object` only. `filename` is what the form calls the file (the
    source's own name unless given). `content_type` is the file's; for an `S3Object` it becomes the form's `Content-Type`
    field too, which is what S3 stores; "guess" derives it from the file's name. `checksum` is as in `Upload`.
    """

    source: Source
    destination: PresignedPost | S3Object
    fields: Mapping[str, str] | None = None
    conditions: Sequence[Condition] | None = None
    filename: str | None = None
    content_type: str | None = None
    checksum: str | None = None
    size: int | None = None
    id: str | None = None


Item = Download | Upload | FormUpload


class Memo(Protocol):
    """What a journal keeps for an item between runs.

    `token` names its temporary file in every run, so that one which a dead run left is found. `state` is what was saved
    last, in JSON types, None if nothing was or it is of no use any more.
    """

    token: str
    state: Mapping[str, Any] | None

    async def save(self, state: Mapping[str, Any] | None) -> None:
        """Returns when `state` outlives the process. Raises `JournalError`."""


class Status(StrEnum):
    """How an item ended."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, repr=False)
class TransferResult(Shown):
    """What became of `item`: `size` bytes moved in `attempts` attempts and `seconds`.

    `verified_by` says what proved the bytes: a checksum ("sha256"; "md5 of parts": the digest of the parts' digests) that
    the server has too, or "size" (as many as were announced), None when nothing could. `error` is set
    when `status` is failed; `data` holds the bytes of a download without destination.
    """

    item: Item
    status: Status
    size: int = 0
    attempts: int = 0
    verified_by: str | None = None
    error: PresignError | None = None
    seconds: float = 0.0
    data: bytes | None = None
