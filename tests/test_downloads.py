"""One object coming down, over a transport in memory: what is asked for, what is gone on with, what is proven, what is left."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import random
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from asyncpresign import (
    AccessDenied,
    Download,
    IntegrityError,
    InvalidRequest,
    Limits,
    LocalFileError,
    NetworkError,
    NotFound,
    PreconditionFailed,
    PresignedRequest,
    PresignError,
    RetryPolicy,
    S3Object,
    SlowDown,
    Transfer,
)
from asyncpresign.transfer.engine import perform
from asyncpresign.transfer.folders import identity_of
from asyncpresign.transfer.items import Status
from asyncpresign.transfer.plan import MiB

from .fake_transport import REFUSED, FakeTransport, Say, World, error, make_signer
from .memory_s3 import S3
from .object_store import Cut, ObjectStore, Replaced, Turned, Whole, md5_etag, parts_etag
from .sweep import at_every_turn, sweep
from .test_multipart import small_sizes

URL = "http://s3.test/bucket/key?X-Amz-Signature=abc"
OBJECT = S3Object("bucket", "key")
SMALL = b"a small object"
# Three pieces of 5 MiB and a rest.
LARGE = random.Random(6).randbytes(17 * MiB)
OTHER = random.Random(7).randbytes(17 * MiB)
RANGES = ["bytes=0-5242879", "bytes=5242880-10485759", "bytes=10485760-15728639", "bytes=15728640-17825791"]
SLOW = error(503, "SlowDown")


def transfer(store: Any, **options: Any) -> tuple[FakeTransport, Transfer]:
    transport = FakeTransport(otherwise=store)
    options = {"part_size": 5 * MiB, "multipart_threshold": 16 * MiB, **options}
    return transport, Transfer(make_signer(), transport=transport, edge=World().edge(), **options)


def asked(transport: FakeTransport) -> list[tuple[str | None, str | None]]:
    """`Range` and `If-Match` of what was sent."""
    return [(request.headers.get("Range"), request.headers.get("If-Match")) for request in transport.requests]


class Pipe(io.RawIOBase):
    """Takes what it gets, and cannot go back."""

    def __init__(self) -> None:
        self.got = b""

    def write(self, data: Any) -> int:
        self.got += bytes(data)
        return len(data)


Destinations = dict[str, Callable[[Path], Any]]
DESTINATIONS: Destinations = {
    "memory": lambda folder: None,
    "path": lambda folder: folder / "file",
    "file": lambda folder: io.BytesIO(),
    "pipe": lambda folder: Pipe(),
}


@pytest.fixture(params=DESTINATIONS.values(), ids=DESTINATIONS.keys())
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.param(tmp_path)


def arrived(result: Any, destination: Any) -> bytes:
    match destination:
        case None:
            data = result.data
        case Path():
            data = destination.read_bytes()
        case io.BytesIO():
            data = destination.getvalue()
        case _:
            data = destination.got
    assert isinstance(data, bytes)
    return data


# --- small ------------------------------------------------------------------------------------------------------------


async def test_a_small_object_takes_one_plain_request(destination: Any) -> None:
    transport, moving = transfer(ObjectStore(SMALL))
    async with moving:
        result = await moving.download(URL, destination)
    assert (asked(transport), dict(transport.requests[0].headers)) == ([(None, None)], {})
    assert (arrived(result, destination), result.size, result.attempts) == (SMALL, len(SMALL), 1)
    assert result.verified_by == "md5"


async def test_an_empty_object(destination: Any) -> None:
    _, moving = transfer(ObjectStore(b""))
    async with moving:
        result = await moving.download(URL, destination)
    assert (arrived(result, destination), result.size, result.verified_by) == (b"", 0, "md5")


async def test_a_broken_body_is_gone_on_with(destination: Any, tmp_path: Path) -> None:
    store = ObjectStore(SMALL, faults={None: [Cut(5)], "bytes=5-": [REFUSED, SLOW, Cut(2)], "bytes=7-": [Cut(0)]})
    transport, moving = transfer(store)
    async with moving:
        result = await moving.download(URL, destination)
    pin = md5_etag(SMALL)
    assert asked(transport) == [(None, None), *[("bytes=5-", pin)] * 3, *[("bytes=7-", pin)] * 2]
    assert (arrived(result, destination), result.attempts, result.verified_by) == (SMALL, 6, "md5")
    assert set(os.listdir(tmp_path)) <= {"file"}


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
async def test_without_a_strong_etag_it_begins_anew(etag: str, tmp_path: Path) -> None:
    transport, moving = transfer(ObjectStore(SMALL, etag=etag, faults={None: [Cut(5), Cut(7)]}))
    async with moving:
        result = await moving.download(URL, tmp_path / "file")
    assert asked(transport) == [(None, None)] * 3
    assert ((tmp_path / "file").read_bytes(), result.verified_by) == (SMALL, "size")


async def test_a_pipe_that_got_a_part_cannot_begin_anew() -> None:
    pipe = Pipe()
    _, moving = transfer(ObjectStore(SMALL, etag="", faults={None: [Cut(5)]}))
    async with moving:
        with pytest.raises(LocalFileError, match="cannot seek"):
            await moving.download(URL, pipe)  # type: ignore[arg-type]


async def test_a_server_that_answers_the_rest_with_the_whole(tmp_path: Path) -> None:
    transport, moving = transfer(ObjectStore(SMALL, faults={None: [Cut(5)], "bytes=5-": [Whole()]}))
    async with moving:
        result = await moving.download(URL, tmp_path / "file")
    assert ((tmp_path / "file").read_bytes(), result.verified_by, len(transport.requests)) == (SMALL, "md5", 2)


async def test_a_server_that_answers_the_rest_with_something_else(tmp_path: Path) -> None:
    wrong = Say(206, SMALL[4:], {"content-range": f"bytes 4-{len(SMALL) - 1}/{len(SMALL)}", "etag": md5_etag(SMALL)})
    transport, moving = transfer(ObjectStore(SMALL, faults={None: [Cut(5)], "bytes=5-": [wrong]}))
    async with moving:
        result = await moving.download(URL, tmp_path / "file")
    assert ((tmp_path / "file").read_bytes(), result.attempts) == (SMALL, 3)
    assert asked(transport)[2] == (None, None)


@pytest.mark.parametrize("conditions", [True, False], ids=["412", "another etag"])
async def test_an_object_that_changes_is_begun_anew_once(conditions: bool, tmp_path: Path) -> None:
    faults: Any = {None: [Cut(5)], "bytes=5-": [Replaced(b"another object")]}
    transport, moving = transfer(ObjectStore(SMALL, faults=faults, conditions=conditions))
    async with moving:
        result = await moving.download(URL, tmp_path / "file")
    assert ((tmp_path / "file").read_bytes(), result.verified_by) == (b"another object", "md5")
    assert asked(transport) == [(None, None), ("bytes=5-", md5_etag(SMALL)), (None, None)]

    faults = {None: [Cut(5), Cut(5)], "bytes=5-": [Replaced(b"another object"), Replaced(b"yet another one")]}
    _, moving = transfer(ObjectStore(SMALL, faults=faults, conditions=conditions))
    async with moving:
        with pytest.raises(PreconditionFailed):
            await moving.download(URL, tmp_path / "new")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("source", [URL, OBJECT], ids=["url", "object"])
@pytest.mark.parametrize("quote", ["", '"'])
async def test_the_etag_that_the_caller_wants(source: Any, quote: str) -> None:
    etag = md5_etag(SMALL).strip('"')
    transport, moving = transfer(ObjectStore(SMALL))
    async with moving:
        await moving.download(source, if_match=f"{quote}{etag}{quote}")
        with pytest.raises(PreconditionFailed) as caught:
            await moving.download(source, if_match="another")
    assert asked(transport) == [(None, f'"{etag}"'), (None, '"another"')]
    assert caught.value.attempts == 1


async def test_a_part_that_the_caller_asks_for_is_taken_as_it_comes(tmp_path: Path) -> None:
    """Its offsets and its ETag are not those of the object, so it is neither gone on with nor proven."""
    store = ObjectStore(LARGE, faults={"bytes=5-9": [Cut(2)]})
    transport, moving = transfer(store)
    signed = PresignedRequest("GET", URL, {"range": "bytes=5-9"}, datetime(2027, 1, 1, tzinfo=UTC))
    async with moving:
        for source, params in ((OBJECT, {"Range": "bytes=5-9"}), (signed, None)):
            result = await moving.download(source, tmp_path / "file", params=params, size=5)
            assert ((tmp_path / "file").read_bytes(), result.size, result.verified_by) == (LARGE[5:10], 5, "size")
    sent = [{name.lower(): value for name, value in request.headers.items()} for request in transport.requests]
    assert sent == [{"range": "bytes=5-9"}] * 3


# --- proof ------------------------------------------------------------------------------------------------------------


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


PROVEN: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "etag": ({}, {}, "md5"),
    "sha256": ({"x-amz-checksum-sha256": b64(hashlib.sha256(SMALL).digest())}, {}, "sha256"),
    "crc32": ({"x-amz-checksum-crc32": b64(zlib.crc32(SMALL).to_bytes(4, "big"))}, {}, "crc32"),
    "of one part": (
        {"etag": '"?"', "x-amz-checksum-sha256": b64(hashlib.sha256(hashlib.sha256(SMALL).digest()).digest()) + "-1"},
        {},
        "sha256 of parts",
    ),
    "the caller's": ({}, {"checksum": f"sha1:{hashlib.sha1(SMALL).hexdigest()}"}, "sha1"),
    "the caller's, not the server's": ({"etag": md5_etag(b"?")}, {"checksum": f"md5:{hashlib.md5(SMALL).hexdigest()}"}, "md5"),
    "sha512, in base64": ({}, {"checksum": f"sha512:{b64(hashlib.sha512(SMALL).digest())}"}, "sha512"),
    "as s3 keeps it of parts": ({}, {"checksum": f"etag:{parts_etag(SMALL, 5)}:5"}, "md5 of parts"),
    "google": (
        {"etag": '"CNCHzuCpkcwCEAE="', "x-goog-hash": f"crc32c=, md5={b64(hashlib.md5(SMALL).digest())}"},
        {},
        "md5",
    ),
    "azure": ({"etag": '"0x8D9"', "content-md5": b64(hashlib.md5(SMALL).digest())}, {}, "md5"),
    "rfc 9530": ({"etag": '"?"', "repr-digest": f"sha-512=:{b64(hashlib.sha512(SMALL).digest())}:"}, {}, "sha512"),
    "an etag that is no md5": ({"etag": md5_etag(b"?"), "x-amz-server-side-encryption": "aws:kms"}, {}, "size"),
}


def proven_store(headers: dict[str, str]) -> ObjectStore:
    return ObjectStore(SMALL, headers.get("etag"), {**S3, **{name: value for name, value in headers.items() if name != "etag"}})


@pytest.mark.parametrize(("headers", "options", "name"), PROVEN.values(), ids=PROVEN.keys())
async def test_what_proves_the_bytes(headers: dict[str, str], options: dict[str, Any], name: str, destination: Any) -> None:
    _, moving = transfer(proven_store(headers))
    async with moving:
        assert (await moving.download(URL, destination, **options)).verified_by == name


@pytest.mark.parametrize(("headers", "options", "name"), list(PROVEN.values())[:-1], ids=list(PROVEN)[:-1])
async def test_wrong_bytes_once_and_for_ever(
    headers: dict[str, str], options: dict[str, Any], name: str, tmp_path: Path
) -> None:
    store = proven_store(headers)
    store.faults = {None: [Turned()]}
    transport, moving = transfer(store, retry=RetryPolicy(attempts=3))
    async with moving:
        result = await moving.download(URL, tmp_path / "file", **options)
        assert ((tmp_path / "file").read_bytes(), result.attempts, result.verified_by) == (SMALL, 2, name)
        store.faults = {None: [Turned()] * 3}
        with pytest.raises(IntegrityError, match=f"have another {name} than") as caught:
            await moving.download(URL, tmp_path / "new", **options)
    assert (caught.value.attempts, len(transport.requests), os.listdir(tmp_path)) == (3, 5, ["file"])


# --- an ETag that nobody says is an MD5 -------------------------------------------------------------------------------

LOOKS_LIKE_MD5: dict[str, dict[str, str]] = {
    "any server": {},
    "of segments": {"x-static-large-object": "True"},
    "appended to": {"x-oss-object-type": "Appendable", "x-oss-hash-crc64ecma": "123"},
    "behind a cdn": {"x-amz-cf-id": "id", "x-cache": "Miss"},
}


@pytest.mark.parametrize("headers", LOOKS_LIKE_MD5.values(), ids=LOOKS_LIKE_MD5.keys())
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "in ranges"])
async def test_it_may_prove_the_bytes_and_refutes_them_only_until_they_came_twice(
    headers: dict[str, str], data: bytes, tmp_path: Path
) -> None:
    for etag, attempts, name in ((md5_etag(data), 1, "md5"), (md5_etag(b"?"), 2, "size")):
        transport, moving = transfer(ObjectStore(data, etag, headers))
        async with moving:
            result = await moving.download(URL, tmp_path / "file")
        assert ((tmp_path / "file").read_bytes() == data, result.attempts, result.verified_by) == (True, attempts, name)
        assert transport.open == 0


def unlike(*numbers: int) -> FakeTransport:
    """Other bytes every time, with one ETag."""
    return FakeTransport([Say(body=bytes([number]) * 14, headers={"etag": md5_etag(b"?")}) for number in numbers])


async def test_bytes_that_never_come_alike_are_not_taken(tmp_path: Path) -> None:
    for numbers in ([1, 2, 1], [1, 2, 3, 3]):
        async with Transfer(transport=unlike(*numbers), edge=World().edge()) as moving:
            assert (await moving.download(URL, tmp_path / "file")).attempts == len(numbers)
            assert (tmp_path / "file").read_bytes() == bytes([numbers[-1]]) * 14
    async with Transfer(transport=unlike(*range(6)), edge=World().edge()) as moving:
        with pytest.raises(IntegrityError, match="another md5") as caught:
            await moving.download(URL, tmp_path / "new")
    assert (caught.value.attempts, os.listdir(tmp_path)) == (6, ["file"])


@pytest.mark.parametrize("retry", [RetryPolicy(attempts=1), RetryPolicy(budget=0)], ids=["attempts", "budget"])
async def test_where_they_cannot_come_twice_the_size_counts(retry: RetryPolicy, destination: Any) -> None:
    _, moving = transfer(ObjectStore(SMALL, md5_etag(b"?")), retry=retry)
    async with moving:
        result = await moving.download(URL, destination)
    assert (arrived(result, destination), result.verified_by, result.attempts) == (SMALL, "size", 1)


async def test_a_pipe_takes_them_once() -> None:
    pipe = Pipe()
    _, moving = transfer(ObjectStore(SMALL, md5_etag(b"?")))
    async with moving:
        assert (await moving.download(URL, pipe)).verified_by == "size"  # type: ignore[arg-type]
    assert pipe.got == SMALL


async def test_of_unknown_size_nothing_is_proven(tmp_path: Path) -> None:
    """As from Google's storage, which unpacks what was stored as gzip, and keeps the ETag of what was stored."""
    headers = {"etag": md5_etag(b"the stored gzip"), "x-goog-stored-content-encoding": "gzip", "x-goog-hash": "md5=AAAA"}
    transport = FakeTransport(otherwise=Say(body=SMALL, headers=headers, length=False))
    async with Transfer(transport=transport, edge=World().edge()) as moving:
        result = await moving.download(URL, tmp_path / "file")
    assert ((tmp_path / "file").read_bytes(), result.attempts, result.verified_by) == (SMALL, 2, None)


@pytest.mark.parametrize("attempts", [1, 3])
async def test_who_requires_a_proof_does_not_get_this_one(attempts: int, tmp_path: Path) -> None:
    retry = RetryPolicy(attempts=attempts)
    transport, moving = transfer(ObjectStore(SMALL, md5_etag(b"?")), require_checksum=True, retry=retry)
    async with moving:
        with pytest.raises(IntegrityError):
            await moving.download(URL, tmp_path / "file")
    assert (transport.sent, os.listdir(tmp_path)) == (min(attempts, 2), [])


STORED: list[tuple[dict[str, str], str | None]] = [
    ({"etag": md5_etag(b"?")}, "size"),
    ({"etag": md5_etag(SMALL)}, "md5"),
    ({"etag": md5_etag(b"?"), "x-amz-cf-id": "id"}, "size"),
    ({"etag": md5_etag(b"?"), "x-amz-id-2": "id"}, None),
    ({"content-md5": b64(hashlib.md5(b"").digest())}, "size"),
    ({"content-md5": b64(hashlib.md5(SMALL).digest())}, "md5"),
    ({"digest": f"sha-256={b64(hashlib.sha256(b'').digest())}"}, "size"),
    ({"x-goog-hash": f"md5={b64(hashlib.md5(SMALL).digest())}"}, "md5"),
    ({"x-goog-hash": f"md5={b64(hashlib.md5(b'?').digest())}"}, None),
]


@pytest.mark.parametrize(("headers", "name"), STORED, ids=range(len(STORED)))
async def test_what_an_answer_to_an_upload_proves_and_refutes(headers: dict[str, str], name: str | None) -> None:
    """`Content-MD5` and `Digest` in it may be those of its own, empty, body."""
    transport = FakeTransport(otherwise=Say(headers=headers))
    async with Transfer(transport=transport, edge=World().edge(), retry=RetryPolicy(attempts=2)) as moving:
        if name is not None:
            result = await moving.upload(SMALL, URL)
            assert (result.attempts, result.verified_by) == (1, name)
        else:
            with pytest.raises(IntegrityError, match="its md5 is another"):
                await moving.upload(SMALL, URL)


async def test_what_cannot_be_proven_is_refused_on_request(tmp_path: Path) -> None:
    store = ObjectStore(SMALL, etag="")
    transport, moving = transfer(store, require_checksum=True)
    async with moving:
        with pytest.raises(IntegrityError, match="nothing but its size") as caught:
            await moving.download(URL, tmp_path / "file")
        assert (caught.value.attempts, len(transport.requests), os.listdir(tmp_path)) == (1, 1, [])
        assert (await moving.download(URL, checksum=f"md5:{hashlib.md5(SMALL).hexdigest()}")).verified_by == "md5"
        # An S3Object is signed with the wish to be told its checksum.
        store.headers = {"x-amz-checksum-crc32": b64(zlib.crc32(SMALL).to_bytes(4, "big"))}
        assert (await moving.download(OBJECT)).verified_by == "crc32"
    assert [dict(request.headers) for request in transport.requests] == [{}, {}, {"x-amz-checksum-mode": "ENABLED"}]


async def test_a_digest_of_parts_whose_size_is_guessed_wrong_proves_nothing(tmp_path: Path) -> None:
    store = ObjectStore(LARGE, parts_etag(LARGE, 9 * MiB))
    _, moving = transfer(store)
    async with moving:
        assert (await moving.download(URL, tmp_path / "file")).verified_by == "size"
    _, moving = transfer(store, require_checksum=True)
    async with moving:
        with pytest.raises(IntegrityError, match="md5 of parts cannot be computed"):
            await moving.download(URL, tmp_path / "new")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "options", [{"checksum": "sha256:00"}, {"checksum": 5}, {"if_exists": "never"}, {"if_match": 5}, {"size": -1}], ids=str
)
async def test_what_is_wrong_with_an_item_is_told_before_anything_is_sent(options: dict[str, Any], tmp_path: Path) -> None:
    transport, moving = transfer(ObjectStore(SMALL))
    async with moving:
        with pytest.raises(InvalidRequest, match=next(iter(options))):
            await moving.download(URL, tmp_path / "file", **options)
    assert transport.requests == []


# --- in ranges --------------------------------------------------------------------------------------------------------


async def fetched(store: ObjectStore, path: Path, size: int | None = None, **options: Any) -> tuple[FakeTransport, Any]:
    transport, moving = transfer(store, **options)
    async with moving:
        result = await moving.download(URL, path, size=size)
    assert path.read_bytes() == store.data
    assert os.listdir(path.parent) == [path.name]
    assert transport.open == 0
    return transport, result


@pytest.mark.parametrize("concurrency", [1, 2, 64])
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
async def test_a_large_object_is_fetched_in_ranges(known: bool, concurrency: int, tmp_path: Path) -> None:
    store = ObjectStore(LARGE)
    transport, result = await fetched(store, tmp_path / "file", len(LARGE) if known else None, concurrency=concurrency)
    first, *rest = asked(transport)
    assert first == ("bytes=0-0" if known else None, None)
    assert sorted(rest) == sorted((wanted, store.etag) for wanted in RANGES)
    assert (result.size, result.attempts, result.verified_by) == (len(LARGE), 1, "md5")
    assert transport.most_open <= concurrency


async def test_what_was_uploaded_in_parts_is_proven_by_its_parts(tmp_path: Path) -> None:
    for size in (5 * MiB, 8 * MiB):
        _, result = await fetched(ObjectStore(LARGE, parts_etag(LARGE, size)), tmp_path / "file")
        assert result.verified_by == "md5 of parts"


@pytest.mark.parametrize("kind", ["memory", "file", "pipe"])
async def test_what_takes_bytes_in_order_only_gets_one_answer(kind: str, tmp_path: Path) -> None:
    destination = DESTINATIONS[kind](tmp_path)
    transport, moving = transfer(ObjectStore(LARGE, faults={None: [Cut(7 * MiB + 5)]}))
    async with moving:
        result = await moving.download(URL, destination)
    assert arrived(result, destination) == LARGE
    assert [wanted for wanted, _ in asked(transport)] == [None, f"bytes={7 * MiB + 5}-"]


async def test_every_range_is_tried_again_and_gone_on_with_on_its_own(tmp_path: Path) -> None:
    store = ObjectStore(LARGE)
    store.faults = {
        RANGES[0]: [Cut(3 * MiB)],
        f"bytes={3 * MiB}-5242879": [Cut(0), error(500, "InternalError")],
        RANGES[1]: [SLOW, REFUSED],
        RANGES[3]: [error(403, "AccessDenied", "Request has expired")],
    }
    transport, moving = transfer(store)
    async with moving:
        result = await moving.download(OBJECT, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == LARGE
    assert (result.attempts, result.verified_by, len(transport.requests)) == (7, "md5", 11)
    assert {pin for wanted, pin in asked(transport) if wanted} == {store.etag}


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
async def test_a_server_without_ranges_is_served_as_a_whole(known: bool, tmp_path: Path) -> None:
    transport, result = await fetched(ObjectStore(LARGE, ranges=False), tmp_path / "file", len(LARGE) if known else None)
    assert result.verified_by == "md5"
    # Told by the answer to the first byte, or to the first range; nothing is asked for twice in vain.
    wanted = [wanted for wanted, _ in asked(transport)]
    assert wanted == ["bytes=0-0"] if known else (wanted[0], wanted[-1]) == (None, None)


async def test_without_a_strong_etag_there_are_no_ranges(tmp_path: Path) -> None:
    for known, wanted in ((None, [None]), (len(LARGE), ["bytes=0-0", None])):
        transport, result = await fetched(ObjectStore(LARGE, etag=""), tmp_path / "file", known)
        assert [sent for sent, _ in asked(transport)] == wanted
        assert result.verified_by == "size"


@pytest.mark.parametrize("conditions", [True, False], ids=["412", "another etag"])
async def test_an_object_that_changes_between_ranges(conditions: bool, tmp_path: Path) -> None:
    store = ObjectStore(LARGE, faults={RANGES[2]: [Replaced(OTHER)]}, conditions=conditions)
    _, result = await fetched(store, tmp_path / "file")
    assert ((tmp_path / "file").read_bytes() == OTHER, result.verified_by) == (True, "md5")
    store = ObjectStore(LARGE, faults={RANGES[2]: [Replaced(OTHER), Replaced(LARGE)]}, conditions=conditions)
    transport, moving = transfer(store)
    async with moving:
        with pytest.raises(PreconditionFailed):
            await moving.download(URL, tmp_path / "new")
    assert (os.listdir(tmp_path), transport.open) == (["file"], 0)


async def test_wrong_bytes_in_a_range_once_and_for_ever(tmp_path: Path) -> None:
    store = ObjectStore(LARGE, headers=S3, faults={RANGES[1]: [Turned()]})
    _, result = await fetched(store, tmp_path / "file")
    assert (result.attempts, result.verified_by) == (2, "md5")
    store.faults = {RANGES[1]: [Turned()] * 2}
    _, moving = transfer(store, retry=RetryPolicy(attempts=2))
    async with moving:
        with pytest.raises(IntegrityError, match="another md5") as caught:
            await moving.download(URL, tmp_path / "new")
    assert (caught.value.attempts, os.listdir(tmp_path)) == (2, ["file"])


LOST: dict[str, tuple[Any, type[PresignError], int]] = {
    "gone": (error(404, "NoSuchKey"), NotFound, 1),
    "denied": (error(403, "AccessDenied"), AccessDenied, 1),
    "slow": (SLOW, SlowDown, 3),
    "refused": (REFUSED, NetworkError, 3),
    "other bytes": (Say(206, b"x", {"content-range": "bytes 0-0/17825792"}), IntegrityError, 3),
    "other object": (Say(206, b"x", {"content-range": "bytes 5242880-10485759/9"}), IntegrityError, 3),
    "nothing said": (Say(206, b"x"), IntegrityError, 3),
}


@pytest.mark.parametrize(("fault", "kind", "attempts"), LOST.values(), ids=LOST.keys())
async def test_a_range_that_fails_for_good_fails_the_item_and_leaves_nothing(
    fault: Any, kind: type[PresignError], attempts: int, tmp_path: Path
) -> None:
    store = ObjectStore(LARGE, faults={RANGES[1]: [fault] * 9})
    transport, moving = transfer(store, retry=RetryPolicy(attempts=3))
    async with moving:
        with pytest.raises(kind) as caught:
            await moving.download(URL, tmp_path / "file")
    assert [wanted for wanted, _ in asked(transport)].count(RANGES[1]) == attempts
    assert getattr(caught.value, "attempts", 0) == attempts
    assert (os.listdir(tmp_path), transport.open) == ([], 0)


@pytest.mark.parametrize("data", [SMALL, b""], ids=["small", "empty"])
async def test_an_object_that_is_not_as_large_as_it_should_be(data: bytes, tmp_path: Path) -> None:
    transport, moving = transfer(ObjectStore(data), retry=RetryPolicy(attempts=2))
    async with moving:
        with pytest.raises(IntegrityError, match=r"not .*the 17825792"):
            await moving.download(URL, tmp_path / "file", size=len(LARGE))
    # An empty object refuses the range, as a server does that takes none.
    assert [wanted for wanted, _ in asked(transport)] == (["bytes=0-0"] * 2 if data else ["bytes=0-0", None, None])
    assert os.listdir(tmp_path) == []


# --- in a run with a journal ------------------------------------------------------------------------------------------


class Notes:
    """What a journal keeps for one item."""

    token = "of-the-item"

    def __init__(self, state: Any = None) -> None:
        self.state = state
        self.saved: list[Any] = []

    async def save(self, state: Any) -> None:
        self.state = state
        self.saved.append(state)


def left(part: Path, data: bytes) -> str:
    """What a dead process left at `part`; which file it is."""
    part.write_bytes(data)
    return identity_of(os.stat(part))


async def journalled(store: ObjectStore, path: Path, notes: Notes, **options: Any) -> tuple[FakeTransport, Any]:
    transport, moving = transfer(store, **options)
    async with moving:
        exchange = moving._exchange.of_item(notes, lambda error, decision: None)
        return transport, await perform(exchange, Download(URL, path))


async def test_ranges_that_a_dead_process_got_are_not_asked_for_again(tmp_path: Path) -> None:
    """It is killed in the middle of its third range: its file and its notes are as they are then."""
    path, part = tmp_path / "file", tmp_path / ".asyncpresign-of-the-item.part"
    store, notes = ObjectStore(LARGE), Notes()
    file = left(part, LARGE[: 11 * MiB])
    state = {"etag": store.etag, "size": len(LARGE), "part_size": 5 * MiB, "file": file}
    notes.state = {**state, "done": f"{0b110:x}"}
    transport, result = await journalled(store, path, notes)
    assert [wanted for wanted, _ in asked(transport)] == [None, *RANGES[2:]]
    assert (path.read_bytes() == LARGE, result.verified_by, os.listdir(tmp_path)) == (True, "md5", ["file"])
    assert notes.state == {**state, "done": f"{0b11110:x}"}


@pytest.mark.parametrize(
    "change",
    [{"etag": '"another"'}, {"size": 5}, {"part_size": 8 * MiB}, {"done": "0"}, {"file": "0:0"}, {"file": ""}, None],
    ids=str,
)
async def test_what_a_dead_process_left_of_something_else_is_of_no_use(change: Any, tmp_path: Path) -> None:
    path, part = tmp_path / "file", tmp_path / ".asyncpresign-of-the-item.part"
    store = ObjectStore(LARGE)
    file = left(part, OTHER + OTHER)
    state = {"etag": store.etag, "size": len(LARGE), "part_size": 5 * MiB, "done": "1e", "file": file}
    transport, result = await journalled(store, path, Notes(change and {**state, **change}))
    assert len(transport.requests) == 5
    assert (path.read_bytes() == LARGE, result.verified_by, os.listdir(tmp_path)) == (True, "md5", ["file"])


async def test_notes_without_their_file_are_of_no_use(tmp_path: Path) -> None:
    store = ObjectStore(LARGE)
    notes = Notes({"etag": store.etag, "size": len(LARGE), "part_size": 5 * MiB, "done": "1e", "file": "0:0"})
    transport, _ = await journalled(store, tmp_path / "file", notes)
    assert ((tmp_path / "file").read_bytes() == LARGE, len(transport.requests)) == (True, 5)
    assert notes.saved[0] is None


async def test_what_is_left_that_is_wrong_is_found_out(tmp_path: Path) -> None:
    path, part = tmp_path / "file", tmp_path / ".asyncpresign-of-the-item.part"
    store = ObjectStore(LARGE)
    file = left(part, OTHER)
    notes = Notes({"etag": store.etag, "size": len(LARGE), "part_size": 5 * MiB, "done": "2", "file": file})
    _, result = await journalled(store, path, notes)
    assert (path.read_bytes() == LARGE, result.attempts, result.verified_by, os.listdir(tmp_path)) == (True, 2, "md5", ["file"])


async def test_a_file_that_is_shorter_than_its_notes_say_is_fetched_anew(tmp_path: Path) -> None:
    """Its ETag proves nothing: only the notes could say what is in it."""
    store, part = ObjectStore(LARGE, '"v"'), tmp_path / ".asyncpresign-of-the-item.part"
    state = {"etag": '"v"', "size": len(LARGE), "part_size": 5 * MiB, "done": f"{0b110:x}"}
    notes = Notes({**state, "file": left(part, LARGE[: 10 * MiB - 1])})
    transport, _ = await journalled(store, tmp_path / "file", notes)
    assert ((tmp_path / "file").read_bytes() == LARGE, len(transport.requests), notes.saved[0]) == (True, 5, None)


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    """Notes that say nothing of a temporary file at the moment when it is removed."""
    remove, notes = os.unlink, Notes()

    def unlink(path: Any, **options: Any) -> None:
        there = (tmp_path / os.fspath(path)).exists()
        assert notes.state is None or not there
        remove(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    return notes


ANEW: dict[str, tuple[Any, type[PresignError] | None]] = {
    "answered with all of the object": (Whole(), None),
    "answered with all of it, broken off": ([Whole(), Cut(MiB)], None),
    "of another object": (Replaced(OTHER), None),
    "of wrong bytes": (Turned(), None),
    "gone": (error(404, "NoSuchKey"), NotFound),
    "reset for ever": ([REFUSED] * 9, NetworkError),
}


@pytest.mark.parametrize(("fault", "kind"), ANEW.values(), ids=ANEW.keys())
async def test_a_file_that_is_begun_anew_or_given_up_is_not_noted_any_more(
    fault: Any, kind: type[PresignError] | None, notes: Notes, tmp_path: Path
) -> None:
    store = ObjectStore(LARGE, headers=S3, faults={RANGES[2]: fault if isinstance(fault, list) else [fault]})
    if kind is None:
        await journalled(store, tmp_path / "file", notes, limits=Limits(concurrency=1))
        assert (tmp_path / "file").read_bytes() == store.data
    else:
        with pytest.raises(kind):
            await journalled(store, tmp_path / "file", notes, limits=Limits(concurrency=1))
        assert (os.listdir(tmp_path), notes.state) == ([], None)
    assert notes.saved[0] is not None
    assert None in notes.saved


async def test_what_a_dead_process_left_is_not_noted_once_the_object_comes_in_one_answer(notes: Notes, tmp_path: Path) -> None:
    part = tmp_path / ".asyncpresign-of-the-item.part"
    store = ObjectStore(LARGE, ranges=False)
    state = {"etag": store.etag, "size": len(LARGE), "part_size": 5 * MiB, "done": "1e"}
    for data, etag in ((LARGE, ""), (OTHER, None), (SMALL, None), (b"x" * 100_000, "")):
        notes.state = {**state, "file": left(part, LARGE)}
        await journalled(ObjectStore(data, etag, ranges=False), tmp_path / "file", notes)
        assert ((tmp_path / "file").read_bytes() == data, notes.state) == (True, None)
    notes.state = {**state, "file": left(part, LARGE)}
    with pytest.raises(NotFound):
        await journalled(ObjectStore(LARGE, faults={None: [error(404, "NoSuchKey")]}), tmp_path / "other", notes)
    assert (os.listdir(tmp_path), notes.state) == (["file"], None)


@pytest.mark.parametrize("native", [False, True])
async def test_a_download_that_is_cancelled_leaves_neither_file_nor_notes(native: bool, notes: Notes, tmp_path: Path) -> None:
    transport, moving = transfer(ObjectStore(LARGE), limits=Limits(concurrency=1))
    async with moving:
        exchange = moving._exchange.of_item(notes, lambda error, decision: None)
        with anyio.CancelScope() as scope:
            task = asyncio.create_task(perform(exchange, Download(URL, tmp_path / "file"))) if native else None

            async def stop(request: Any) -> None:
                if request.headers.get("Range") == RANGES[2]:
                    task.cancel() if task else scope.cancel()
                    await anyio.sleep(0)

            transport.before = stop
            if task is None:
                await perform(exchange, Download(URL, tmp_path / "file"))
            else:
                await asyncio.wait([task])
    assert (os.listdir(tmp_path), len(notes.saved), notes.state) == ([], 3, None)


async def test_a_small_object_takes_the_place_of_what_was_left(tmp_path: Path) -> None:
    for data in (SMALL, b"x" * 100_000):
        (tmp_path / ".asyncpresign-of-the-item.part").write_bytes(LARGE)
        await journalled(ObjectStore(data), tmp_path / "file", Notes())
        assert ((tmp_path / "file").read_bytes(), os.listdir(tmp_path)) == (data, ["file"])


# --- what is there already --------------------------------------------------------------------------------------------


async def test_overwriting_is_the_default(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    await fetched(ObjectStore(SMALL), path)


async def test_what_is_there_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "file"
    transport, moving = transfer(ObjectStore(SMALL))
    async with moving:
        assert (await moving.download(URL, path, if_exists="skip")).status is Status.DONE
        path.write_bytes(b"old")
        result = await moving.download(URL, path, if_exists="skip")
    assert (result.status, result.size, result.attempts, result.verified_by) == (Status.SKIPPED, 3, 0, None)
    assert (path.read_bytes(), len(transport.requests)) == (b"old", 1)


async def test_what_is_there_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    transport, moving = transfer(ObjectStore(SMALL))
    async with moving:
        assert (await moving.download(URL, path, if_exists="error")).status is Status.DONE
        with pytest.raises(LocalFileError, match="exists already"):
            await moving.download(URL, path, if_exists="error")
    assert (path.read_bytes(), len(transport.requests)) == (SMALL, 1)


async def test_what_appears_in_the_meantime_is_not_replaced_either(tmp_path: Path) -> None:
    path = tmp_path / "file"

    async def appear(_: Any) -> None:
        await anyio.to_thread.run_sync(path.write_bytes, b"mine")

    transport, moving = transfer(ObjectStore(SMALL))
    transport.before = appear
    async with moving:
        with pytest.raises(LocalFileError, match="exists"):
            await moving.download(URL, path, if_exists="error")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"mine", ["file"])


NO_RANGES = error(416, "InvalidRange")
VERIFIED: dict[str, tuple[bytes, ObjectStore, dict[str, Any], str | None, list[str | None]]] = {
    "the same": (SMALL, ObjectStore(SMALL), {}, "md5", ["bytes=0-0"]),
    "the same, of parts": (LARGE, ObjectStore(LARGE, parts_etag(LARGE, 8 * MiB)), {}, "md5 of parts", ["bytes=0-0"]),
    "both empty": (b"", ObjectStore(b""), {}, "size", [None]),
    "no longer empty": (b"", ObjectStore(SMALL), {}, None, [None, None]),
    "no longer empty, without ranges": (b"", ObjectStore(SMALL, faults={"bytes=0-0": [NO_RANGES]}), {}, None, [None, None]),
    "a range refused": (SMALL, ObjectStore(SMALL, faults={"bytes=0-0": [NO_RANGES]}), {}, None, ["bytes=0-0", None]),
    "the same, without ranges": (SMALL, ObjectStore(SMALL, ranges=False), {}, "md5", ["bytes=0-0"]),
    "another": (b"a small objecT", ObjectStore(SMALL), {}, None, ["bytes=0-0", None]),
    "another size": (b"old", ObjectStore(SMALL), {}, None, ["bytes=0-0", None]),
    "empty now": (b"old", ObjectStore(b""), {}, None, ["bytes=0-0", None]),
    "no proof": (SMALL, ObjectStore(SMALL, etag=""), {}, None, ["bytes=0-0", None]),
    "by the caller's": (SMALL, ObjectStore(SMALL), {"checksum": f"md5:{hashlib.md5(SMALL).hexdigest()}"}, "md5", []),
    "not by the caller's": (
        b"a small objecT",
        ObjectStore(SMALL),
        {"checksum": f"md5:{hashlib.md5(SMALL).hexdigest()}"},
        None,
        [None],
    ),
    "another size than the caller's": (b"old", ObjectStore(SMALL), {"size": len(SMALL)}, None, [None]),
}


@pytest.mark.parametrize(("there", "store", "options", "name", "sent"), VERIFIED.values(), ids=VERIFIED.keys())
async def test_what_is_there_stays_when_it_is_proven(
    there: bytes, store: ObjectStore, options: dict[str, Any], name: str | None, sent: list[str | None], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(there)
    before = path.stat()
    transport, moving = transfer(store)
    async with moving:
        result = await moving.download(URL, path, if_exists="verify", **options)
    assert [wanted for wanted, _ in asked(transport)] == sent
    assert result.status is (Status.SKIPPED if name else Status.DONE)
    assert path.read_bytes() == store.data
    assert (path.stat().st_ino == before.st_ino) == (name is not None)
    if name:
        assert (result.verified_by, result.size) == (name, len(there))


async def test_a_probe_that_fails_fails_the_item(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    _, moving = transfer(ObjectStore(SMALL, faults={"bytes=0-0": [SLOW, error(404, "NoSuchKey")]}))
    async with moving:
        with pytest.raises(NotFound):
            await moving.download(URL, path, if_exists="verify")
    assert path.read_bytes() == b"old"


async def test_only_a_path_can_be_there_already() -> None:
    _, moving = transfer(ObjectStore(SMALL))
    async with moving:
        for destination in (None, io.BytesIO()):
            with pytest.raises(InvalidRequest, match="if_exists: expected 'overwrite'"):
                await moving.download(URL, destination, if_exists="skip")


async def test_skipped_items_are_counted_in_a_run(tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"old")
    _, moving = transfer(ObjectStore(SMALL))
    async with moving:
        report = await moving.run(Download(URL, tmp_path / str(number), if_exists="skip") for number in range(3))
    assert (report.done, report.skipped) == (2, 1)


# --- a part that is not the one asked for -----------------------------------------------------------------------------


def part_of(data: bytes, first: int, last: int, **headers: str) -> Say:
    return Say(206, data[first : last + 1], {"content-range": f"bytes {first}-{last}/{len(data)}", **headers})


FIVE = {"Range": "bytes=5-9"}
SIGNED_PART = PresignedRequest("GET", URL, {"range": "bytes=5-9"}, datetime(2027, 1, 1, tzinfo=UTC))
PARTS_ASKED: dict[str, tuple[Any, dict[str, Any]]] = {
    "parameter": (OBJECT, {"params": FIVE}),
    "signed header": (SIGNED_PART, {}),
    "part number": (OBJECT, {"params": {"PartNumber": 2}}),
    "part number in a url": (f"{URL}&partNumber=2", {"size": 5}),
}


@pytest.mark.parametrize(("source", "options"), PARTS_ASKED.values(), ids=PARTS_ASKED.keys())
async def test_the_part_that_the_caller_asked_for(source: Any, options: dict[str, Any]) -> None:
    """A server says which bytes a numbered part has, and nobody else knows."""
    wrong = [part_of(SMALL, 5, 8), part_of(SMALL, 6, 10)] if FIVE in options.values() or source is SIGNED_PART else []
    unsaid = [Say(206, SMALL[5:10]), Say(206, SMALL[5:10], {"content-range": "bytes 5-9/*"})]
    transport = FakeTransport([*wrong, *unsaid], otherwise=part_of(SMALL, 5, 9))
    async with Transfer(make_signer(), transport=transport, edge=World().edge()) as moving:
        result = await moving.download(source, **options)
    assert (result.data, result.attempts) == (SMALL[5:10], 1 + len(wrong) + len(unsaid))


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (OBJECT, {"params": FIVE}),
        (OBJECT, {"params": {"PartNumber": 2}}),
        (SIGNED_PART, {}),
        (replace(SIGNED_PART, headers={}, url=f"{URL}&partNumber=2"), {}),
        (f"{URL}&partNumber=2", {}),
    ],
)
async def test_a_part_is_neither_split_nor_compared_with_a_file(source: Any, options: dict[str, Any], tmp_path: Path) -> None:
    """Offsets in it are not those of the object, and its digest is not the object's."""
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    whole = Say(206, LARGE, {"content-range": f"bytes 0-{len(LARGE) - 1}/{len(LARGE)}", "etag": md5_etag(LARGE)})
    part = Say(206, LARGE[5:10], {"content-range": f"bytes 5-9/{len(LARGE)}", "etag": md5_etag(LARGE)})
    transport, moving = transfer(lambda request, _: whole if request.headers.get("Range") == "bytes=0-0" else part)
    async with moving:
        result = await moving.download(source, path, size=5, if_exists="verify", **options)
        assert (result.status, path.read_bytes()) == (Status.DONE, LARGE[5:10])
        path.write_bytes(b"12345")
        result = await moving.download(source, path, if_exists="verify", **options)
        assert (result.status, path.read_bytes()) == (Status.DONE, LARGE[5:10])
    assert "bytes=0-0" not in [wanted for wanted, _ in asked(transport)]


async def test_what_is_streamed_past_or_sent_is_the_part_asked_for_too() -> None:
    transport = FakeTransport([part_of(SMALL, 4, 9)] * 2, otherwise=part_of(SMALL, 5, 9))
    async with Transfer(make_signer(), transport=transport, edge=World().edge()) as moving:
        async with moving.open(URL, range="bytes=5-9") as body:
            assert b"".join([chunk async for chunk in body.chunks()]) == SMALL[5:10]
        assert transport.sent == 3
        transport.answers = [part_of(SMALL, 4, 9)]
        assert (await moving.send(SIGNED_PART)).body == SMALL[5:10]
        transport.answers = [part_of(SMALL, 4, 9)]
        assert (await moving.send(SIGNED_PART, raise_for_status=False)).body == SMALL[4:10]
        transport.otherwise = part_of(SMALL, 0, 4)
        with pytest.raises(IntegrityError, match="nobody asked"):
            async with moving.open(URL):
                """Not reached."""


@pytest.mark.parametrize("rest", [part_of(SMALL, 5, 13), part_of(SMALL, 5, 13, etag='"wanted"')], ids=["untagged", "tagged"])
async def test_what_begins_without_an_etag_is_not_gone_on_with(rest: Say, tmp_path: Path) -> None:
    """Not even where the caller says which ETag it should have: the server may ignore conditions."""
    first = Say(200, SMALL[:5], announced=len(SMALL), broken=True)
    transport = FakeTransport([first], otherwise=lambda request, _: rest if "Range" in request.headers else Say(body=SMALL))
    async with Transfer(transport=transport, edge=World().edge()) as moving:
        await moving.download(URL, tmp_path / "file", if_match="wanted")
    assert asked(transport) == [(None, '"wanted"')] * 2
    assert (tmp_path / "file").read_bytes() == SMALL


@pytest.mark.parametrize("etag", ['"another"', 'W/"another"', "another"])
async def test_a_server_that_ignores_the_condition(etag: str, tmp_path: Path) -> None:
    transport, moving = transfer(ObjectStore(SMALL, etag=etag, conditions=False))
    async with moving:
        with pytest.raises(PreconditionFailed, match="another ETag than if_match=") as caught:
            await moving.download(URL, tmp_path / "file", if_match="wanted")
        await moving.download(URL, tmp_path / "file", if_match="another")
        await moving.download(URL, tmp_path / "file", if_match='"wanted", "another"')
    assert (caught.value.attempts, transport.sent) == (1, 3)


# --- streamed past ----------------------------------------------------------------------------------------------------


async def test_an_object_is_streamed_past() -> None:
    transport, moving = transfer(ObjectStore(LARGE, faults={None: [SLOW, REFUSED]}))
    async with moving:
        async with moving.open(URL) as body:
            assert (body.status, body.headers["content-length"]) == (200, str(len(LARGE)))
            assert b"".join([chunk async for chunk in body.chunks()]) == LARGE
        async with moving.open(OBJECT, range="bytes=5-9") as body:
            assert (body.status, body.headers["content-range"]) == (206, "bytes 5-9/17825792")
            assert b"".join([chunk async for chunk in body.chunks()]) == LARGE[5:10]
        assert transport.open == 0


async def test_a_stream_that_is_left_or_breaks_gives_its_connection_up() -> None:
    transport, moving = transfer(ObjectStore(LARGE, faults={"bytes=0-": [Cut(5)]}))
    async with moving:
        async with moving.open(URL) as body:
            async for _ in body.chunks():
                break
        assert transport.open == 0
        with pytest.raises(ZeroDivisionError):
            async with moving.open(URL):
                raise ZeroDivisionError
        with pytest.raises(NetworkError) as caught:
            async with moving.open(URL, range="bytes=0-") as body:
                [chunk async for chunk in body.chunks()]
        assert "s3.test" in caught.value.request
        assert transport.open == 0


async def test_what_cannot_be_opened() -> None:
    transport, moving = transfer(ObjectStore(SMALL, faults={None: [error(404, "NoSuchKey")]}))
    async with moving:
        with pytest.raises(NotFound):
            async with moving.open(URL):
                pass
        with pytest.raises(InvalidRequest, match=r"^range: "):
            async with moving.open(URL, range="0-9"):
                pass
    with pytest.raises(InvalidRequest, match="async with"):
        async with moving.open(URL):
            pass
    assert len(transport.requests) == 1


async def test_an_object_of_one_small_range_is_proven(tmp_path: Path) -> None:
    """Its only piece is not in the file yet when it is read again to be hashed."""
    _, moving = transfer(ObjectStore(LARGE[:3_000]), multipart_threshold=1_000)
    async with moving:
        result = await moving.download(URL, tmp_path / "file")
    assert (result.verified_by, result.attempts) == ("md5", 1)
    assert (tmp_path / "file").read_bytes() == LARGE[:3_000]


# --- cancelled --------------------------------------------------------------------------------------------------------


async def test_ranges_that_are_cancelled_leave_nothing(tmp_path: Path) -> None:
    size = 3 * 100_000  # a part comes in three pieces, each large enough to be written in a thread
    store = ObjectStore(LARGE[: size + 9], piece=100_000)
    path = tmp_path / "file"
    transport, moving = transfer(store)
    moving._sizes = small_sizes(size, threshold=size)

    async def work() -> None:
        store.faults = {f"bytes={size}-{size + 8}": [SLOW, Cut(3)]}
        async with moving:
            await moving.download(URL, path)

    async def check() -> None:
        assert transport.open == 0
        assert os.listdir(tmp_path) in ([], ["file"])
        if path.exists():
            assert path.stat().st_size == len(store.data)
            path.unlink()

    assert await sweep(work, check, at_every_turn) > 20
