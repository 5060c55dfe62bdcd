"""Uploads in parts over a transport in memory: what is sent to whom, what is sent again, and that none is left open."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from asyncpresign import (
    AccessDenied,
    IntegrityError,
    InvalidRequest,
    Limits,
    LocalFileError,
    NetworkError,
    NotFound,
    PreconditionFailed,
    PresignedRequest,
    PresignError,
    ResponseError,
    RetryPolicy,
    S3Object,
    ServerError,
    SlowDown,
    Transfer,
    TransferResult,
    Upload,
)
from asyncpresign._s3.documents import Part, PartListing, parse_list_multipart_uploads
from asyncpresign.transfer.engine import perform
from asyncpresign.transfer.exchange import Exchange
from asyncpresign.transfer.files import Threads
from asyncpresign.transfer.integrity import CHECKSUMS, encode, of_parts
from asyncpresign.transfer.multipart import parts_behind
from asyncpresign.transfer.plan import MAX_PUT, Sizes

from .fake_transport import NOW, REFUSED, FakeTransport, Say, World, error, make_signer
from .memory_s3 import S3, MemoryS3, etag_of, md5
from .sweep import Cancel, at_every_turn, at_its_awaits, by_a_scope, sweep

PLACE = S3Object("bucket", "key")
DATA = os.urandom(95)
PART = 10
SLOW = error(503, "SlowDown")
FAILED = error(500, "InternalError")
EXPIRED = error(403, "AccessDenied", "Request has expired")
DENIED = error(403, "AccessDenied", "Access Denied")


def small_sizes(part_size: int = PART, threshold: int = 1) -> Sizes:
    """Parts smaller than S3 would have them."""
    sizes = Sizes()
    object.__setattr__(sizes, "part_size", part_size)
    object.__setattr__(sizes, "multipart_threshold", threshold)
    return sizes


def exchange(transport: FakeTransport, world: World | None = None, **options: Any) -> Exchange:
    limits = options.pop("limits", Limits(concurrency=4))
    retry = options.pop("retry", RetryPolicy(attempts=3))
    edge = (world or World()).edge()
    return Exchange(transport, make_signer(), retry, limits, Threads(2), edge, options.pop("sizes", small_sizes()), **options)


async def up(s3: MemoryS3, source: Any = DATA, world: World | None = None, **options: Any) -> TransferResult:
    """`source` to a bucket of `s3`; options that Upload has are the item's."""
    ours = {name: options.pop(name) for name in ("params", "checksum", "if_none_match", "size") if name in options}
    memo = options.pop("memo", None)
    transport = FakeTransport(otherwise=s3)
    sending = exchange(transport, world, **options)
    sending.memo = memo
    try:
        return await perform(sending, Upload(source, PLACE, **ours))
    finally:
        assert transport.open == 0


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def query(request: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_parts_are_created_sent_and_put_together() -> None:
    s3 = MemoryS3()
    result = await up(s3)
    assert s3.objects == {"key": DATA}
    assert s3.etags["key"] == etag_of([DATA[at : at + PART] for at in range(0, 95, PART)])
    assert s3.operations == ["create", *["part"] * 10, "complete"]
    assert (result.size, result.attempts, result.verified_by) == (95, 1, "md5 of parts")
    assert sorted(int(query(request)["partNumber"]) for request in s3.requests("part")) == list(range(1, 11))
    assert all(request.headers == {} for _, request in s3.seen)


@pytest.mark.parametrize("size", [1, 9, 10, 11, 20, 95])
@pytest.mark.parametrize("kind", ["bytes", "path", "file", "stream", "pipe"])
async def test_every_source_of_every_size(kind: str, size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with path.open("rb") as file:
        sources = {
            "bytes": data,
            "path": path,
            "file": file,
            "stream": stream(*(data[at : at + 7] for at in range(0, size, 7))),
            "pipe": Pipe(data),
        }
        s3 = MemoryS3()
        result = await up(s3, sources[kind], size=size)
    assert (s3.objects, s3.uploads, result.verified_by) == ({"key": data}, {}, "md5 of parts")


async def test_below_the_threshold_it_is_one_put() -> None:
    s3 = MemoryS3()
    for size in (0, 94):
        assert (await up(s3, DATA[:size], sizes=small_sizes(threshold=95))).verified_by == "md5"
    assert (s3.operations, s3.objects) == (["put", "put"], {"key": DATA[:94]})
    assert (await up(s3, sizes=small_sizes(threshold=95))).size == 95
    assert "create" in s3.operations


async def test_a_parameter_goes_to_the_requests_that_take_it() -> None:
    s3 = MemoryS3()
    params = {
        "ContentType": "text/plain",
        "Metadata": {"a": "b"},
        "RequestPayer": "requester",
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": "k" * 32,
        "ContentLength": 95,
    }
    await up(s3, params=params, if_none_match="*")
    sse = "x-amz-server-side-encryption-customer-"
    of_all = {"x-amz-request-payer"}
    encrypted = {f"{sse}algorithm", f"{sse}key", f"{sse}key-MD5"}
    headers = {operation: set(request.headers) for operation, request in s3.seen}
    assert headers == {
        "create": {"Content-Type", "x-amz-meta-a", *of_all, *encrypted},
        "part": of_all | encrypted,
        "complete": {"If-None-Match", *of_all, *encrypted},
    }


async def test_a_parameter_that_no_request_takes_is_refused_before_one_is_sent() -> None:
    s3 = MemoryS3()
    for params in ({"ContentTypes": "a/b"}, {"WriteOffsetBytes": 1}, {"ContentLength": 94}, {"ChecksumSHA512": "x"}):
        with pytest.raises(InvalidRequest) as caught:
            await up(s3, params=params)
        assert [problem.argument for problem in caught.value.problems] == [f"params[{next(iter(params))!r}]"]
    assert s3.seen == []


async def test_no_more_parts_at_once_than_slots_and_no_item_waits_for_itself() -> None:
    s3 = MemoryS3()
    for concurrency in (1, 3):
        transport = FakeTransport(otherwise=s3)
        sending = exchange(transport, limits=Limits(concurrency=concurrency, memory=PART))
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                for number in range(4):
                    source: Any = DATA if number % 2 else stream(DATA[:50], DATA[50:])
                    tasks.start_soon(perform, sending, Upload(source, S3Object("bucket", str(number)), size=95))
        assert [s3.objects[str(number)] for number in range(4)] == [DATA] * 4
        # Bodies have their slots, and what is small has its own.
        assert transport.most_open <= concurrency + 1


async def test_a_stream_holds_no_more_than_the_memory_there_is() -> None:
    given = stored = most = 0
    s3 = MemoryS3()

    async def source() -> AsyncIterator[bytes]:
        nonlocal given, most
        for at in range(0, 95, 5):
            given += 5
            most = max(most, given - stored)
            yield DATA[at : at + 5]

    async def store(request: Any) -> None:
        nonlocal stored
        if "partNumber" in query(request):
            stored += request.body.size

    transport = FakeTransport(otherwise=s3, before=store)
    await perform(exchange(transport, limits=Limits(concurrency=8, memory=2 * PART)), Upload(source(), PLACE, size=95))
    assert s3.objects == {"key": DATA}
    # Two parts, and the piece that the stream has yielded beyond.
    assert most <= 2 * PART + 5


# --- what is sent again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [FAILED, SLOW, EXPIRED, REFUSED, error(400, "BadDigest")], ids=str)
@pytest.mark.parametrize("operation", ["create", "part", "complete"])
@pytest.mark.parametrize("kind", ["bytes", "stream"])
async def test_each_request_is_tried_again_on_its_own(operation: str, fault: Any, kind: str) -> None:
    s3 = MemoryS3()
    s3.before[operation].append(fault)
    result = await up(s3, DATA if kind == "bytes" else stream(DATA), size=95)
    assert (s3.objects, s3.uploads, result.attempts) == ({"key": DATA}, {}, 2)
    assert len(s3.seen) == 13


LOST = NetworkError("reset", sent=True)
UNREADABLE = Say(200, b"<InitiateMultipartUploadResult><UploadId>upload-1</Upl")


@pytest.mark.parametrize(
    "said", [LOST, UNREADABLE, Say(200, b""), Say(502), Say(504)], ids=["lost", "cut off", "empty", "502", "504"]
)
async def test_an_upload_whose_creation_was_not_confirmed_is_not_created_again_and_not_taken_over(said: Any) -> None:
    s3 = MemoryS3()
    s3.after["create"].append(said)
    with pytest.raises(NetworkError, match=r"new upload of this key.*AbortIncompleteMultipartUpload") as caught:
        await up(s3)
    assert (caught.value.permanent, s3.operations, s3.uploads) == (True, ["create", "uploads"], {"upload-1": {}})


@pytest.mark.parametrize("said", [LOST, Say(200, b"")], ids=["lost", "empty"])
async def test_an_upload_of_another_program_is_neither_taken_over_nor_aborted(said: Any) -> None:
    s3 = MemoryS3(uploads={"of somebody else": {}})
    s3.before["create"].append(said)
    with pytest.raises(NetworkError, match="new upload of this key"):
        await up(s3)
    assert (s3.operations, s3.uploads, s3.objects) == (["create", "uploads"], {"of somebody else": {}}, {})


async def test_an_upload_of_another_item_with_the_same_key_is_neither_taken_over_nor_aborted() -> None:
    s3 = MemoryS3()
    s3.before["create"].append(LOST)
    transport = FakeTransport(otherwise=s3)
    sending = exchange(transport)
    failures: list[NetworkError] = []
    listed = anyio.Event()

    async def in_turn(request: Any) -> None:
        # The second item's upload is open until the first item has listed it.
        if s3.operation(request.method, {"uploads": ""} if "uploads=" in request.url else query(request)) == "uploads":
            listed.set()
        elif "partNumber" in query(request):
            await listed.wait()

    transport.before = in_turn

    async def first() -> None:
        try:
            await perform(sending, Upload(b"A" * 20, PLACE))
        except NetworkError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        tasks.start_soon(perform, sending, Upload(b"B" * 20, PLACE))
    assert (len(failures), failures[0].permanent, s3.objects, s3.uploads) == (1, True, {"key": b"B" * 20}, {})
    assert "abort" not in s3.operations


async def test_a_creation_that_never_happened_is_repeated_once_that_is_known() -> None:
    s3 = MemoryS3()
    s3.before["create"].append(LOST)
    assert (await up(s3)).attempts == 2
    assert s3.operations[:3] == ["create", "uploads", "create"]
    assert (s3.objects, s3.uploads) == ({"key": DATA}, {})


async def test_an_older_upload_of_the_key_is_not_taken_for_the_one_just_created() -> None:
    s3 = MemoryS3(uploads={"older": {}}, initiated=NOW - timedelta(minutes=1))
    s3.before["create"].append(LOST)
    await up(s3)
    assert (s3.objects, s3.uploads) == ({"key": DATA}, {"older": {}})


@pytest.mark.parametrize(("seconds", "found"), [(32, True), (33, False)])
async def test_a_creation_is_looked_for_as_far_back_as_the_request_went_out(seconds: int, found: bool) -> None:
    """The retry comes 30 seconds after the request, and the server's clock may differ by two."""
    s3 = MemoryS3(uploads={"there": {}}, initiated=NOW - timedelta(seconds=seconds))
    s3.before["create"].append(LOST)
    with pytest.raises(NetworkError) if found else nullcontext():
        await up(s3, world=World(step=0.0), retry=RetryPolicy(attempts=3, base=60, cap=60))
    assert s3.operations.count("create") == (1 if found else 2)
    assert s3.uploads == {"there": {}}


@pytest.mark.parametrize("said", [DENIED, error(501, "NotImplemented"), Say(200, b"<html>")], ids=["denied", "unknown", "html"])
async def test_a_creation_is_not_repeated_when_nobody_knows_whether_it_happened(said: Any) -> None:
    s3 = MemoryS3()
    s3.after["create"].append(LOST)
    s3.before["uploads"] = [said] * 10
    with pytest.raises(NetworkError, match="whether it was created is not known") as caught:
        await up(s3)
    assert caught.value.permanent
    assert s3.operations.count("create") == 1


def upload_page(*uploads: tuple[str, datetime], after: tuple[str, str] | None = None) -> Say:
    """A page of uploads of these keys, which are followed by others if `after` says from where on."""
    rows = "".join(
        f"<Upload><Key>{key}</Key><UploadId>u</UploadId><Initiated>{at.isoformat()}</Initiated></Upload>" for key, at in uploads
    )
    markers = "<NextKeyMarker>{}</NextKeyMarker><NextUploadIdMarker>{}</NextUploadIdMarker>".format(*after) if after else ""
    more = f"<IsTruncated>{str(after is not None).lower()}</IsTruncated>{markers}"
    return Say(200, f"<ListMultipartUploadsResult>{more}{rows}</ListMultipartUploadsResult>".encode())


OLD = ("key", NOW - timedelta(hours=1))
PAGES: dict[str, tuple[list[Say], str | None]] = {
    "none": ([upload_page(OLD, after=("key", "u1")), upload_page(OLD, after=("key-2", "")), upload_page(("key-2", NOW))], None),
    "ten pages": ([*(upload_page(OLD, after=("key", f"u{number}")) for number in range(9)), upload_page()], None),
    "on the second page": ([upload_page(OLD, after=("key", "u1")), upload_page(("key", NOW))], "new upload of this key"),
    "on the first page": ([upload_page(("key", NOW), after=("key", "u1"))], "new upload of this key"),
    "in a circle": ([upload_page(after=("key", marker)) for marker in ("u1", "u2", "u1")], "does not go on"),
    "without a marker": ([upload_page(after=("", ""))], "does not go on"),
    "eleven pages": ([upload_page(after=("key", f"u{number}")) for number in range(10)], "more than 10 pages"),
}


@pytest.mark.parametrize(("pages", "problem"), PAGES.values(), ids=PAGES.keys())
async def test_all_pages_of_uploads_are_looked_through_before_a_creation_is_repeated(
    pages: list[Say], problem: str | None
) -> None:
    s3 = MemoryS3()
    s3.before["create"].append(LOST)
    s3.before["uploads"] = list(pages)
    with pytest.raises(NetworkError, match=problem) if problem else nullcontext():
        await up(s3)
    assert s3.operations[: len(pages) + 1] == ["create", *["uploads"] * len(pages)]
    assert s3.operations.count("create") == (1 if problem else 2)
    assert "abort" not in s3.operations
    first, *later = [(query(each).get("key-marker"), query(each).get("upload-id-marker")) for each in s3.requests("uploads")]
    assert first == (None, None)
    told = [parse_list_multipart_uploads(page.body) for page in pages if isinstance(page.body, bytes)]
    assert later == [(page.next_key_marker, page.next_upload_id_marker or None) for page in told[: len(later)]]


async def test_a_part_that_is_stored_wrong_is_sent_again() -> None:
    s3 = MemoryS3()
    s3.after["part"].append(Say(200, headers={"etag": f'"{md5(b"other")}"', **S3}))
    assert (await up(s3)).attempts == 2
    assert s3.objects == {"key": DATA}
    s3.after["part"] = [Say(200, headers={"etag": f'"{md5(b"other")}"', **S3})] * 30
    with pytest.raises(IntegrityError, match="other bytes than were sent: its md5 is another"):
        await up(s3)
    assert s3.uploads == {}


ENDS: dict[str, tuple[str, Say | NetworkError, type[PresignError]]] = {
    "create refused": ("create", DENIED, AccessDenied),
    "create fails for ever": ("create", FAILED, ServerError),
    "no document": ("create", Say(200, b"<html>"), NetworkError),
    "part refused": ("part", DENIED, AccessDenied),
    "part fails for ever": ("part", SLOW, SlowDown),
    "part reset for ever": ("part", REFUSED, NetworkError),
    "part without ETag": ("part", Say(200), IntegrityError),
    "upload gone": ("part", error(404, "NoSuchUpload"), NotFound),
    "complete refused": ("complete", DENIED, AccessDenied),
    "complete fails for ever": ("complete", Say(200, FAILED.body), ResponseError),
    "complete, 200 and refused": ("complete", Say(200, DENIED.body), AccessDenied),
    "complete, no document": ("complete", Say(200, b"<?xml"), NetworkError),
    "complete, empty": ("complete", Say(200), NetworkError),
    "part too small": ("complete", error(400, "EntityTooSmall"), ResponseError),
}


@pytest.mark.parametrize(("operation", "said", "kind"), ENDS.values(), ids=ENDS.keys())
async def test_an_upload_that_fails_is_aborted(operation: str, said: Any, kind: type[PresignError]) -> None:
    s3 = MemoryS3()
    s3.before[operation] = [said] * 100
    with pytest.raises(kind) as caught:
        await up(s3)
    assert type(caught.value) is kind or kind is ResponseError
    assert (s3.objects, s3.uploads) == ({}, {})
    assert ("abort" in s3.operations) == (operation != "create")
    assert not hasattr(caught.value, "__notes__")


async def test_an_error_in_a_200_answer_is_one_and_is_tried_again() -> None:
    for code in ("InternalError", "SlowDown"):
        s3 = MemoryS3()
        document = error(200, code).body
        assert isinstance(document, bytes)
        s3.before["complete"].append(Say(200, b'<?xml version="1.0"?>\n\n   ' + document))
        assert (await up(s3)).attempts == 2
        assert s3.objects == {"key": DATA}


async def test_a_conflict_of_two_completions_is_tried_again() -> None:
    s3 = MemoryS3()
    s3.before["complete"].append(error(409, "ConditionalRequestConflict"))
    assert (await up(s3, if_none_match="*")).attempts == 2
    assert s3.objects == {"key": DATA}


async def test_an_abort_is_tried_again_and_told_of_when_it_fails() -> None:
    s3 = MemoryS3()
    s3.before["part"] = [DENIED] * 100
    s3.before["abort"] = [FAILED, SLOW]
    with pytest.raises(AccessDenied):
        await up(s3)
    assert s3.uploads == {}
    s3.before["abort"] = [FAILED] * 3
    with pytest.raises(AccessDenied) as caught:
        await up(s3)
    assert "upload-2 of s3://bucket/key could not be aborted" in caught.value.__notes__[0]


# --- an answer that is lost, an object that is there ------------------------------------------------------------------


async def test_a_lost_answer_to_the_last_request_is_no_failure() -> None:
    s3 = MemoryS3()
    s3.after["complete"].append(REFUSED)
    result = await up(s3)
    assert (result.verified_by, result.attempts) == ("md5 of parts", 2)
    assert s3.operations[-3:] == ["complete", "complete", "head"]
    assert s3.objects == {"key": DATA}


async def test_an_upload_that_somebody_aborted_is_not_taken_for_a_lost_answer() -> None:
    s3 = MemoryS3()
    s3.before["complete"] = [FAILED, error(404, "NoSuchUpload")]
    with pytest.raises(NotFound):
        await up(s3)
    s3.objects["key"], s3.etags["key"] = bytes(95), f'"{md5(bytes(95))}"'
    s3.before["complete"] = [FAILED, error(404, "NoSuchUpload")]
    with pytest.raises(NotFound):
        await up(s3)
    s3.before["complete"] = [error(404, "NoSuchUpload")]
    with pytest.raises(NotFound):
        await up(s3)
    assert s3.operations[-2:] == ["complete", "abort"]


THERE: dict[str, tuple[bytes, str, str | None]] = {
    "the same in one": (DATA, f'"{md5(DATA)}"', "md5"),
    "the same in parts": (DATA, etag_of([DATA[at : at + PART] for at in range(0, 95, PART)]), "md5 of parts"),
    "the same in other parts": (DATA, etag_of([DATA[:50], DATA[50:]]), None),
    "the same, nobody knows": (DATA, '"not-an-md5"', None),
    "others of the same size": (bytes(95), f'"{md5(bytes(95))}"', None),
    "fewer": (DATA[:9], f'"{md5(DATA[:9])}"', None),
}


@pytest.mark.parametrize(("there", "etag", "verified_by"), THERE.values(), ids=THERE.keys())
@pytest.mark.parametrize("threshold", [1, 1000], ids=["parts", "put"])
async def test_an_object_that_is_there_is_not_overwritten(there: bytes, etag: str, verified_by: str, threshold: int) -> None:
    s3 = MemoryS3(objects={"key": there}, etags={"key": etag})
    sizes = small_sizes(threshold=threshold)
    if verified_by is None:
        with pytest.raises(PreconditionFailed):
            await up(s3, if_none_match="*", sizes=sizes)
    else:
        result = await up(s3, if_none_match="*", sizes=sizes)
        assert (result.status, result.verified_by, result.size) == ("done", verified_by, 95)
    assert (s3.objects, s3.uploads) == ({"key": there}, {})
    assert ("abort" in s3.operations) == (threshold == 1)


async def test_what_may_not_be_looked_at_is_not_known_to_be_the_same() -> None:
    s3 = MemoryS3(objects={"key": DATA}, etags={"key": f'"{md5(DATA)}"'})
    s3.before["head"] = [Say(403)]
    with pytest.raises(PreconditionFailed):
        await up(s3, if_none_match="*", sizes=small_sizes(threshold=1000))


async def test_a_put_whose_answer_was_lost_finds_its_own_object() -> None:
    s3 = MemoryS3()
    s3.after["put"].append(REFUSED)
    result = await up(s3, if_none_match="*", sizes=small_sizes(threshold=1000))
    assert (result.verified_by, result.attempts, s3.operations) == ("md5", 2, ["put", "put", "head"])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"if_none_match": '"etag"'}, "if_none_match"),
        ({"if_none_match": "*", "params": {"IfNoneMatch": "*"}}, "IfNoneMatch"),
    ],
    ids=str,
)
async def test_no_other_condition_is_known(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        await up(MemoryS3(), **options)


async def test_what_is_signed_already_has_its_conditions() -> None:
    async with Transfer(transport=FakeTransport()) as moving:
        for place in ("http://s3.test/key", PresignedRequest("PUT", "http://s3.test/key", {}, NOW.replace(year=2030))):
            with pytest.raises(InvalidRequest, match="if_none_match: expected an S3Object"):
                await moving.upload(b"x", place, if_none_match="*")


# --- nothing is left open ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cancel", [at_its_awaits, at_every_turn, by_a_scope])
@pytest.mark.parametrize("kind", ["bytes", "stream"])
@pytest.mark.parametrize("fault", [None, "create", "part", "complete", "abort"])
async def test_cancelled_anywhere_it_leaves_no_upload_open(kind: str, fault: str | None, cancel: Cancel) -> None:
    buckets: list[MemoryS3] = []

    async def work() -> None:
        buckets.append(s3 := MemoryS3())
        if fault is not None:
            s3.before[fault].append(REFUSED)
        await up(s3, DATA[:35] if kind == "bytes" else stream(DATA[:17], DATA[17:35]), size=35)

    async def check() -> None:
        assert buckets[-1].uploads == {}
        assert buckets[-1].objects in ({}, {"key": DATA[:35]})

    await sweep(work, check, cancel)
    # One that is cancelled while it is being created is created, and aborted.
    assert sum("abort" in s3.operations for s3 in buckets) > (0 if cancel is at_its_awaits else 5)


async def test_a_stream_that_is_left_aborts_what_it_has_begun() -> None:
    s3 = MemoryS3()
    reached = anyio.Event()

    async def hang(request: Any) -> None:
        if query(request).get("partNumber") == "2":
            reached.set()
            await anyio.sleep_forever()

    transport = FakeTransport(otherwise=s3, before=hang)
    async with Transfer(make_signer(), transport=transport, part_size=5 << 20, multipart_threshold=5 << 20) as moving:
        async with moving.stream([Upload(bytes(11 << 20), PLACE)]):
            await reached.wait()
        assert (s3.uploads, s3.operations[-1], transport.open) == ({}, "abort", 0)


# --- sources that are not what they were ------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written to"])
async def test_a_file_that_changes_is_not_stored(change: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    os.utime(path, ns=(1, 1))
    s3 = MemoryS3()

    def act() -> None:
        with path.open("r+b") as file:
            if change == "shrinks":
                file.truncate(50)
            else:
                file.seek(0, os.SEEK_END if change == "grows" else os.SEEK_SET)
                file.write(b"x")

    async def at_the_third(request: Any) -> None:
        if query(request).get("partNumber") == "3":
            await anyio.to_thread.run_sync(act)

    transport = FakeTransport(otherwise=s3, before=at_the_third)
    with pytest.raises(LocalFileError, match="changed while it was read"):
        await perform(exchange(transport, limits=Limits(concurrency=1)), Upload(path, PLACE))
    assert (s3.objects, s3.uploads) == ({}, {})


@pytest.mark.parametrize("parts", [[DATA[:50]], [DATA, b"x"], [DATA[:50], "text"]], ids=["short", "long", "text"])
async def test_a_stream_that_is_not_what_was_said_is_not_stored(parts: list[Any]) -> None:
    s3 = MemoryS3()
    with pytest.raises(InvalidRequest):
        await up(s3, stream(*parts), size=95)
    assert (s3.objects, s3.uploads) == ({}, {})


# --- checksums --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, kind in CHECKSUMS.items() if kind.header])
@pytest.mark.parametrize("asked", ["checksum", "algorithm", "digest"])
@pytest.mark.parametrize("kind", ["bytes", "stream"])
async def test_a_checksum_that_is_asked_for_goes_with_every_part(name: str, asked: str, kind: str) -> None:
    checksum = CHECKSUMS[name]
    parameter = "ContentMD5" if name == "md5" else f"Checksum{checksum.algorithm}"
    whole = checksum.digest(DATA)
    options: dict[str, dict[str, Any]] = {
        "checksum": {"checksum": f"{name}:{whole.hex()}"},
        "algorithm": {"params": {"ChecksumAlgorithm": checksum.algorithm}},
        "digest": {"params": {parameter: encode(whole)}},
    }
    if name == "md5" and asked == "algorithm":
        return
    s3 = MemoryS3()
    result = await up(s3, DATA if kind == "bytes" else stream(DATA), size=95, **options[asked])
    assert (s3.objects, result.verified_by) == ({"key": DATA}, "md5 of parts")
    header = "Content-MD5" if name == "md5" else checksum.header
    for request in s3.requests("part"):
        at = (int(query(request)["partNumber"]) - 1) * PART
        assert request.headers[header] == encode(checksum.digest(DATA[at : at + PART]))
    created, completed = s3.requests("create")[0].headers, s3.requests("complete")[0].headers
    assert created.get("x-amz-checksum-algorithm") == (None if name == "md5" else checksum.algorithm)
    assert completed.get(header) == (encode(whole) if checksum.whole else None)
    assert created.get("x-amz-checksum-type") == completed.get("x-amz-checksum-type")
    assert (created.get("x-amz-checksum-type") == "FULL_OBJECT") == checksum.whole


async def test_a_crc_of_parts_is_kept_where_it_is_asked_for() -> None:
    s3 = MemoryS3()
    await up(s3, params={"ChecksumAlgorithm": "CRC32", "ChecksumType": "COMPOSITE"})
    assert s3.requests("create")[0].headers["x-amz-checksum-type"] == "COMPOSITE"
    assert "x-amz-checksum-crc32" not in s3.requests("complete")[0].headers


@pytest.mark.parametrize("right", [True, False])
async def test_what_the_server_says_of_the_whole_is_compared(right: bool) -> None:
    kind = CHECKSUMS["sha256"]
    digest = of_parts(kind, [kind.digest(DATA[at : at + PART]) for at in range(0, 95, PART)]) if right else bytes(32)
    s3 = MemoryS3()
    text = f"<CompleteMultipartUploadResult><ETag>e</ETag><ChecksumSHA256>{encode(digest)}-10</ChecksumSHA256>"
    s3.after["complete"] = [Say(200, f"{text}</CompleteMultipartUploadResult>".encode())]
    if right:
        assert (await up(s3, params={"ChecksumAlgorithm": "SHA256"})).verified_by == "sha256 of parts"
    else:
        with pytest.raises(IntegrityError, match="its sha256 of parts is another"):
            await up(s3, params={"ChecksumAlgorithm": "SHA256"})
    assert s3.uploads == {}


@pytest.mark.parametrize("kind", ["bytes", "stream"])
@pytest.mark.parametrize("threshold", [1, 1000], ids=["parts", "put"])
async def test_a_source_that_is_not_what_its_checksum_says_is_not_stored(kind: str, threshold: int) -> None:
    s3 = MemoryS3()
    source = DATA if kind == "bytes" else stream(DATA)
    with pytest.raises(IntegrityError, match="the source has not the sha256 that was expected"):
        await up(s3, source, size=95, checksum="sha256:" + "00" * 32, sizes=small_sizes(threshold=threshold))
    assert (s3.objects, s3.uploads) == ({}, {})


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("threshold", [1, 1000], ids=["parts", "put"])
async def test_a_checksum_can_be_required(proven: bool, threshold: int) -> None:
    s3 = MemoryS3()
    if not proven:
        # The parts of objects under a key of AWS's or the customer's have ETags that are no MD5.
        s3.after["part"] = [Say(200, headers={"etag": f'"{number}"'}) for number in range(10)]
        text = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        s3.before["complete"] = [Say(200, text)] * 2
        s3.after["put"] = [Say(200, headers={"etag": '"e"'})] * 2
    sizes = small_sizes(threshold=threshold)
    if proven:
        assert (await up(s3, require_checksum=True, sizes=sizes)).verified_by in ("md5", "md5 of parts")
        return
    with pytest.raises(IntegrityError, match="it is stored, but") as caught:
        await up(s3, require_checksum=True, sizes=sizes)
    assert caught.value.permanent
    s3.after["part"] = [Say(200, headers={"etag": f'"{number}"'}) for number in range(10)]
    assert (await up(s3, sizes=sizes)).verified_by == "size"


# --- what a dead run has left -----------------------------------------------------------------------------------------


class Memo:
    token = "token"

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        self.state = state
        self.saved: list[Mapping[str, Any] | None] = []

    async def save(self, state: Mapping[str, Any] | None) -> None:
        self.saved.append(state)


async def test_an_upload_is_remembered_while_it_is_open() -> None:
    memo, s3 = Memo(), MemoryS3()
    await up(s3, memo=memo)
    assert memo.saved == [{"upload_id": "upload-1", "part_size": PART}]
    memo.saved.clear()
    s3.before["part"] = [DENIED] * 10
    with pytest.raises(AccessDenied):
        await up(s3, memo=memo)
    assert memo.saved == [{"upload_id": "upload-2", "part_size": PART}, None]


@pytest.mark.parametrize("kind", ["bytes", "stream"])
async def test_what_is_there_and_right_is_not_sent_again(kind: str) -> None:
    there = {1: DATA[:20], 2: DATA[20:40], 3: b"other" * 4, 4: DATA[60:70]}
    s3 = MemoryS3(uploads={"old": dict(there)}, page=2)
    memo = Memo({"upload_id": "old", "part_size": 20})
    result = await up(s3, DATA if kind == "bytes" else stream(DATA), size=95, memo=memo)
    assert (s3.objects, s3.uploads, result.verified_by) == ({"key": DATA}, {}, "md5 of parts")
    assert s3.operations.count("list") == 2
    assert "create" not in s3.operations
    # The third has other bytes, the fourth another size, the fifth is missing.
    assert sorted(query(request)["partNumber"] for request in s3.requests("part")) == ["3", "4", "5"]


async def test_a_part_without_the_checksum_that_is_asked_for_is_sent_again() -> None:
    s3 = MemoryS3(uploads={"old": {1: DATA[:50], 2: DATA[50:]}})
    await up(s3, memo=Memo({"upload_id": "old", "part_size": 50}), checksum=f"sha256:{hashlib.sha256(DATA).hexdigest()}")
    assert s3.operations.count("part") == 2


async def test_an_upload_that_is_gone_is_begun_anew() -> None:
    s3, memo = MemoryS3(), Memo({"upload_id": "old", "part_size": 50})
    await up(s3, memo=memo)
    assert s3.operations[:2] == ["list", "create"]
    assert memo.saved == [{"upload_id": "upload-1", "part_size": PART}]


def listing(*numbers: int, marker: int | None = None) -> PartListing:
    return PartListing(tuple(Part(number, '"etag"', 20) for number in numbers), marker is not None, marker)


@pytest.mark.parametrize(
    ("marker", "page", "goes_on"),
    [
        (0, listing(), True),
        (0, listing(1, 2, marker=2), True),
        (2, listing(3, 9), True),
        (2, listing(9, 3, marker=9), True),
        (2, listing(marker=3), True),
        (0, listing(1, 1), False),
        (2, listing(2, 3), False),
        (2, listing(1, 2, marker=2), False),
        (2, listing(3, 4, marker=2), False),
        (5, listing(marker=4), False),
        (0, listing(0), False),
        (0, listing(-1), False),
    ],
)
def test_a_page_of_parts_goes_on_from_the_one_before(marker: int, page: PartListing, goes_on: bool) -> None:
    if goes_on:
        assert sorted(parts_behind(marker, page)) == sorted(part.part_number for part in page.parts)
        return
    with pytest.raises(IntegrityError, match=f"from part {marker}"):
        parts_behind(marker, page)


@pytest.mark.parametrize("markers", [[2, 2], [2, 4, 2], [3, 1]])
async def test_a_listing_of_parts_that_goes_in_a_circle_ends(markers: list[int]) -> None:
    s3, memo = MemoryS3(uploads={"old": {}}), Memo({"upload_id": "old", "part_size": 20})
    more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>{}</NextPartNumberMarker>"
    pages = [Say(200, f"<ListPartsResult>{more.format(marker)}</ListPartsResult>".encode()) for marker in markers]
    s3.before["list"] = pages * 10
    with pytest.raises(IntegrityError, match="does not go on"):
        await up(s3, memo=memo)
    assert (s3.operations.count("list"), s3.uploads, memo.saved) == (len(markers), {}, [None])


# --- what goes in one -------------------------------------------------------------------------------------------------


async def test_what_is_signed_already_goes_in_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    s3 = MemoryS3()
    sending = exchange(FakeTransport(otherwise=s3))
    await perform(sending, Upload(path, "http://s3.test/bucket/key?X-Amz-Signature=a"))
    assert (s3.operations, s3.objects) == (["put"], {"key": DATA})
    with path.open("r+b") as file:
        file.truncate(MAX_PUT + 1)
    with pytest.raises(InvalidRequest, match=r"at most 5 GiB, S3's limit, got 5368709121 bytes; to an S3Object, with"):
        await perform(sending, Upload(path, "http://s3.test/bucket/key?X-Amz-Signature=a"))
    assert s3.operations == ["put"]
