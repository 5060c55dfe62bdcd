"""Uploads, in one and in parts, over real sockets against a server that misbehaves: the rows of `FAULTS` that are theirs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncpresign import Credentials, OfflineSigner, S3Object, Transfer, TransferResult

from .fake_transport import NOW, SECRET, World
from .fault_server import RESET, FaultServer, Read, Reply, Then, answer, s3_error
from .faults import FAULTS, Fault, Kind
from .memory_s3 import S3, etag_of, md5

PLACE = S3Object("bucket", "key")
PART = 5 << 20
DATA = os.urandom(1000) * 11_000
PARTS = [DATA[at : at + PART] for at in range(0, len(DATA), PART)]
EXPIRED = Reply(s3_error(403, "AccessDenied", "Request has expired"))
DENIED = Reply(s3_error(403, "AccessDenied", "Access Denied"))
FAILED = Reply(s3_error(500, "InternalError"))
SLOW = Reply(s3_error(503, "SlowDown"))
CUT = Reply(b"", Then.RESET, Read.HEAD)
WRONG = Reply(answer(200, headers=[("ETag", f'"{md5(b"other")}"'), *S3.items()]))
FAILED_IN_A_200 = Reply(answer(200, s3_error(500, "InternalError").partition(b"\r\n\r\n")[2]))
DECLARED = b'<?xml version="1.0" encoding="UTF-8"?>'
COMPLETED = (
    f"<CompleteMultipartUploadResult><Key>a&#x8;\x08b</Key><ETag>{etag_of(PARTS)}</ETag></CompleteMultipartUploadResult>"
)
SPACED = Reply(answer(200, b" \r\n" * 100 + DECLARED + COMPLETED.replace("&#x8;\x08", "").encode()))
REPEATED = Reply(answer(200, DECLARED + COMPLETED.encode()))
CREATED = Reply(
    answer(
        200,
        DECLARED
        + b"<InitiateMultipartUploadResult><Key>a&#8;\x08b</Key><UploadId>up</UploadId></InitiateMultipartUploadResult>",
    )
)
GONE = Reply(s3_error(404, "NoSuchUpload"))
THERE = Reply(s3_error(412, "PreconditionFailed"))


def signer(server: FaultServer, kind: type[OfflineSigner] = OfflineSigner) -> OfflineSigner:
    return kind(Credentials("AKID", SECRET), region="us-east-1", endpoint_url=server.origin, clock=lambda: NOW)


def transfer(signs: OfflineSigner) -> Transfer:
    return Transfer(signs, edge=World().edge(), concurrency=3, part_size=PART, multipart_threshold=2 * PART)


def operation(line: str) -> str:
    method, target, _ = line.split(" ")
    if "uploadId" not in target:
        in_all = {"POST": "create", "GET": "uploads"} if "?uploads" in target or "&uploads=" in target else {}
        return in_all.get(method, method.lower())
    return {"PUT": "part", "POST": "complete", "DELETE": "abort", "GET": "list"}[method]


def bucket(server: FaultServer, faults: Mapping[str, list[Reply]], etag: str = etag_of(PARTS)) -> Iterator[Reply]:
    """What S3 says, but for `faults`, which come first, by operation."""
    left = {name: list(replies) for name, replies in faults.items()}
    while True:
        seen = server.seen[-1]
        name = operation(seen.line)
        if left.get(name):
            yield left[name].pop(0)
            continue
        match name:
            case "create":
                text = "<InitiateMultipartUploadResult><UploadId>up</UploadId></InitiateMultipartUploadResult>"
                yield Reply(answer(200, text.encode()))
            case "uploads":
                yield Reply(answer(200, b"<ListMultipartUploadsResult/>"))
            case "part":
                number = int(seen.target.partition("partNumber=")[2].partition("&")[0])
                yield Reply(answer(200, headers=[("ETag", f'"{md5(PARTS[number - 1])}"')]))
            case "complete":
                text = f"<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"
                yield Reply(answer(200, text.encode()))
            case "head":
                raw = answer(200, headers=[("ETag", etag), *S3.items(), ("Content-Length", str(len(DATA)))], length=False)
                yield Reply(raw, Then.CLOSE)
            case "abort":
                yield Reply(b"HTTP/1.1 204 No Content\r\n\r\n")
            case _:
                yield Reply(answer(200, headers=[("ETag", f'"{md5(seen.body or DATA[:1000])}"')]))


EMPTY = Reply(answer(200))
LISTED = Reply(
    answer(
        200,
        b"<ListMultipartUploadsResult><Upload><Key>key</Key><UploadId>new</UploadId></Upload></ListMultipartUploadsResult>",
    )
)

# By the row, what the server says first; and whether the upload is aborted in the end.
IN_PARTS: dict[str, tuple[Fault, Mapping[str, list[Reply]], bool]] = {
    "part refused": (FAULTS["part refused"], {"part": [SLOW]}, False),
    "part cut": (FAULTS["part cut"], {"part": [CUT]}, False),
    "part expired": (FAULTS["part expired"], {"part": [EXPIRED]}, False),
    "part stored wrong": (FAULTS["part stored wrong"], {"part": [WRONG]}, False),
    "part stored wrong for ever": (FAULTS["part stored wrong for ever"], {"part": [WRONG] * 20}, True),
    "part refused for good": (FAULTS["part refused for good"], {"part": [DENIED] * 20}, True),
    "part fails for ever": (FAULTS["part fails for ever"], {"part": [FAILED] * 20}, True),
    "upload taken away": (FAULTS["upload taken away"], {"part": [GONE] * 20, "abort": [GONE]}, True),
    "failed in a 200": (FAULTS["failed in a 200"], {"complete": [FAILED_IN_A_200]}, False),
    "failed in a 200 for ever": (FAULTS["failed in a 200 for ever"], {"complete": [FAILED_IN_A_200] * 20}, True),
    "space before the XML": (FAULTS["space before the XML"], {"complete": [SPACED]}, False),
    "a key that XML cannot carry": (
        FAULTS["a key that XML cannot carry"],
        {"create": [CREATED], "complete": [REPEATED]},
        False,
    ),
    "creation lost": (FAULTS["creation lost"], {"create": [RESET]}, False),
    "creation not confirmed": (FAULTS["creation not confirmed"], {"create": [RESET], "uploads": [LISTED]}, False),
    "creation unreadable": (FAULTS["creation not confirmed"], {"create": [EMPTY], "uploads": [LISTED]}, False),
    "last answer lost": (FAULTS["last answer lost"], {"complete": [RESET, GONE]}, False),
}


@pytest.mark.parametrize(("row", "faults", "aborted"), IN_PARTS.values(), ids=IN_PARTS)
async def test_a_fault_in_an_upload_in_parts(row: Fault, faults: Mapping[str, list[Reply]], aborted: bool) -> None:
    async with FaultServer() as server:
        server.begin(bucket(server, faults))
        async with transfer(signer(server)) as moving:
            ended = await row.ends(moving.upload(DATA, PLACE))
        await server.until_closed()
        operations = [operation(seen.line) for seen in server.seen]
        assert ("abort" in operations) == aborted
        if isinstance(ended, TransferResult):
            assert ended.verified_by == "md5 of parts"
            last = {seen.target.partition("partNumber=")[2][:1]: seen.body for seen in server.seen if seen.method == "PUT"}
            assert [last[number] for number in sorted(last)] == PARTS
            # What was not hit was sent once.
            assert operations.count("part") <= len(PARTS) + 1


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("kind", FAULTS["there, the same"].kinds)
async def test_an_object_that_is_there(kind: Kind, same: bool) -> None:
    data = DATA if kind is Kind.MULTIPART else DATA[:9_000_000]
    row = FAULTS["there, the same"] if same else FAULTS["there, another"]
    async with FaultServer() as server:
        etag = f'"{md5(data if same else b"other")}"'
        there = Reply(
            answer(200, headers=[("ETag", etag), *S3.items(), ("Content-Length", str(len(data)))], length=False), Then.CLOSE
        )
        server.begin(bucket(server, {"complete": [THERE], "put": [THERE], "head": [there]}))
        async with transfer(signer(server)) as moving:
            ended = await row.ends(moving.upload(data, PLACE, if_none_match="*"))
        operations = [operation(seen.line) for seen in server.seen]
        assert ("abort" in operations) == (kind is Kind.MULTIPART)
        if isinstance(ended, TransferResult):
            assert ended.verified_by == "md5"


@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("kind", FAULTS["stored wrong"].kinds)
async def test_what_is_stored_wrong(kind: Kind, for_ever: bool) -> None:
    row = FAULTS["stored wrong for ever"] if for_ever else FAULTS["stored wrong"]
    checksum = Reply(answer(200, headers=[("x-amz-checksum-sha256", "A" * 43 + "=")]))
    faults = [checksum, WRONG] * 10 if for_ever else [WRONG]
    async with FaultServer() as server:
        server.begin(bucket(server, {"put": faults, "post": faults}, etag=f'"{md5(DATA[:1000])}"'))
        async with transfer(signer(server)) as moving:
            data = DATA[:1000]
            digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
            call = moving.upload if kind is Kind.UPLOAD else moving.upload_form
            await row.ends(call(data, PLACE, checksum=digest))


class Meddling(OfflineSigner):
    """Has somebody write to the source just before the first request with a body is signed."""

    meddle: Any = None
    after = 1

    async def presign(self, operation: Any, *arguments: Any, **options: Any) -> Any:
        if operation in ("put_object", "upload_part"):
            await self.do_it()
        return await super().presign(operation, *arguments, **options)

    async def presign_post(self, *arguments: Any, **options: Any) -> Any:
        await self.do_it()
        return await super().presign_post(*arguments, **options)

    async def do_it(self) -> None:
        self.after -= 1
        if self.after == 0:
            await anyio.to_thread.run_sync(self.meddle)


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written to"])
@pytest.mark.parametrize("kind", FAULTS["source changed"].kinds)
async def test_a_source_that_changes(kind: Kind, change: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    size = len(DATA) if kind is Kind.MULTIPART else 300_000
    path.write_bytes(DATA[:size])
    os.utime(path, ns=(1, 1))

    def meddle() -> None:
        with path.open("r+b") as file:
            if change == "shrinks":
                file.truncate(size // 2)
            else:
                file.seek(0, os.SEEK_END if change == "grows" else os.SEEK_SET)
                file.write(b"x")

    async with FaultServer() as server:
        server.begin(bucket(server, {}))
        signs = signer(server, Meddling)
        signs.meddle, signs.after = meddle, 3 if kind is Kind.MULTIPART else 1  # type: ignore[attr-defined]
        async with transfer(signs) as moving:
            call = moving.upload_form if kind is Kind.FORM else moving.upload
            await FAULTS["source changed"].ends(call(path, PLACE))
        await server.until_closed()
        check_nothing_stored(server)


def check_nothing_stored(server: FaultServer) -> None:
    """Every body but those of parts was short, and no upload was completed or left open."""
    operations = [operation(seen.line) for seen in server.seen]
    for seen, name in zip(server.seen, operations, strict=True):
        assert name not in ("put", "post") or len(seen.body) < int(seen.header("Content-Length") or 0)
    assert "complete" not in operations
    assert operations.count("abort") == operations.count("create")


@pytest.mark.parametrize("kind", FAULTS["source of another checksum"].kinds)
async def test_a_source_of_another_checksum(kind: Kind) -> None:
    data = DATA if kind is Kind.MULTIPART else DATA[:300_000]
    async with FaultServer() as server:
        server.begin(bucket(server, {}))
        async with transfer(signer(server)) as moving:
            call = moving.upload_form if kind is Kind.FORM else moving.upload
            await FAULTS["source of another checksum"].ends(call(data, PLACE, checksum="crc32:00000000"))
        await server.until_closed()
        check_nothing_stored(server)
