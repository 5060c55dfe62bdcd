"""Whatever a server, a caller or a URL sends takes work in proportion to its length; nothing of it is a foreign error.

Work is counted, not timed: calls of functions, Python's and C's, resumed generators among them. How long patterns take is
what `python -m benchmarks scaling` measures.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import Credentials, Download, InvalidRequest, OfflineSigner, Presigner, PresignError, Transfer
from asyncpresign._redaction import SHOWN
from asyncpresign._s3.documents import ErrorDocument
from asyncpresign._sigv4.canonical import uri_encode
from asyncpresign.errors import nearest
from asyncpresign.transfer.decide import response_error, retry_after
from asyncpresign.transfer.exchange import INLINE
from asyncpresign.transfer.integrity import offered
from asyncpresign.transfer.ranges import read_head
from benchmarks.scaling import READERS

from .fake_transport import World
from .fault_server import FaultServer, Reply, answer, s3_error

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MANY = "9" * 5000


def work(call: Callable[[Any], object], given: Any) -> int:
    """How many functions are called."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        with suppress(PresignError):
            call(given)
    finally:
        sys.setprofile(None)
    return count


CASES = [(call, make, f"{reader}, {name}") for reader, (call, inputs) in READERS.items() for name, make in inputs.items()]


@pytest.mark.parametrize(("call", "make"), [case[:2] for case in CASES], ids=[case[2] for case in CASES])
def test_twice_as_much_is_at_most_twice_the_work(call: Callable[[Any], object], make: Callable[[int], Any]) -> None:
    call_twice = [work(call, make(size)) for size in (512, 512, 1024, 2048)]
    _, once, twice, four_times = call_twice
    assert twice <= 2 * once + 20
    assert four_times <= 2 * twice + 20


def test_work_is_counted() -> None:
    """Of what looks at everything once more for each, twice as much is four times the work."""

    def quadratic(text: str) -> int:
        return sum(each == other for each in text for other in text if each.isalpha())

    assert work(quadratic, "a" * 100) > 3 * work(quadratic, "a" * 50)


# --- headers ----------------------------------------------------------------------------------------------------------

HEADERS = ["date", "retry-after", "content-length", "content-range", "etag", "x-amz-checksum-sha256", "x-amz-checksum-crc32"]
VALUES = [
    MANY,
    f"bytes {MANY}-{MANY}/{MANY}",
    f"bytes 0-1/{MANY}",
    f"bytes */{MANY}",
    f"Mon, {MANY} Mar 2026 00:00:00 GMT",
    f"Mon, 02 Mar {MANY} 00:00:00 GMT",
    "Mon, 02 Mar 99999 00:00:00 GMT",
    "Mon, 02 Mar 2026 00:00:00 +9999999999",
    "Fri, 31 Dec 9999 23:59:59 -2359",
    "Mon, 01 Jan 0001 00:00:00 +2359",
    "Mon, 02 Mar 2026 99:99:99 GMT",
    f"{'a' * 32}-{MANY}",
    f'"{"a" * 32}-{MANY}"',
    "\u0665\u0665",
    "-5",
    "1e400",
    "",
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value[:30]))
def test_a_header_that_cannot_be_read_is_none(value: str) -> None:
    headers = dict.fromkeys(HEADERS, value)
    for status in (200, 206, 416):
        read_head(status, headers)
    offered(headers)
    error = response_error(503, headers, None, now=NOW)
    assert error.retry_after is None or 0 <= error.retry_after < 1e12
    assert error.clock_offset is None or NOW + error.clock_offset


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=60)), st.integers(200, 599))
def test_no_header_is_a_foreign_error(headers: dict[str, str], status: int) -> None:
    read_head(status, headers)
    offered(headers)
    response_error(status, headers, None, now=NOW)


def test_headers_that_can_be_read_are_read() -> None:
    assert retry_after({"retry-after": "120"}, NOW) == 120
    assert retry_after({"retry-after": "Sun, 01 Mar 2026 00:02:00 GMT"}, NOW) == 120
    assert retry_after({"retry-after": MANY}, NOW) is None
    head = read_head(206, {"content-range": "bytes 0-4/5497558138880", "content-length": "5"})
    assert (head.start, head.size, head.total) == (0, 5, 5497558138880)
    assert response_error(403, {"date": "Sun, 01 Mar 2026 01:00:00 GMT"}, None, now=NOW).clock_offset == timedelta(hours=1)


@pytest.mark.parametrize("header", ["Content-Length", "Content-Range", "Date", "Retry-After", "ETag", "x-amz-checksum-sha256"])
@pytest.mark.parametrize("status", [206, 503])
async def test_a_header_of_thousands_of_digits_is_that_items_error_at_most(status: int, header: str) -> None:
    headers = [("Content-Range", "bytes 0-3/4")] if header != "Content-Range" else []
    raw = answer(status, b"body", headers=[*headers, (header, MANY)], length=header != "Content-Length")
    async with FaultServer(otherwise=Reply(raw)) as server, Transfer(edge=World().edge()) as moving:
        report = await moving.run([Download(f"{server.origin}/k")])
    assert report.done + report.failed == 1
    assert all(isinstance(result.error, PresignError) for result in report.failures)


# --- a server's words -------------------------------------------------------------------------------------------------


def test_a_servers_words_are_cut() -> None:
    document = ErrorDocument("C" * 100_000, "m" * 100_000, "i" * 100_000, "r" * 100_000)
    error = response_error(301, {}, document, now=NOW)
    assert len(str(error)) < SHOWN + 1000
    assert (len(error.code), len(error.request_id)) == (256, 256)


async def test_a_long_message_is_shown_cut_and_holds_nothing_up() -> None:
    raw = s3_error(403, "AccessDenied", "a." * 15_000)
    async with FaultServer(otherwise=Reply(raw)) as server, Transfer(edge=World().edge()) as moving:
        report = await moving.run([Download(f"{server.origin}/k")])
    assert report.failures[0].error is not None
    assert len(str(report.failures[0].error)) < SHOWN + 200


async def test_documents_of_any_size_are_parsed_where_they_hold_nobody_up() -> None:
    async with Transfer(edge=World().edge()) as moving:
        here = threading.get_ident()
        assert await moving._exchange.parsed(lambda _: threading.get_ident(), b" " * INLINE) == here
        assert await moving._exchange.parsed(lambda _: threading.get_ident(), b" " * (INLINE + 1)) != here


async def test_a_page_of_a_listing_is_read_whatever_its_size() -> None:
    row = "<Contents><Key>k{}</Key><Size>1</Size></Contents>"
    page = f"\n<ListBucketResult>{''.join(map(row.format, range(1000)))}</ListBucketResult>".encode()
    async with FaultServer(otherwise=Reply(answer(200, page))) as server:
        signer = OfflineSigner(Credentials("AKID", "secretsecret"), region="us-east-1", endpoint_url=server.origin)
        async with Transfer(signer, edge=World().edge()) as moving:
            assert len([found async for found in moving.list_objects("bucket")]) == 1000


# --- a caller's -------------------------------------------------------------------------------------------------------


def test_a_long_name_has_no_nearest_one() -> None:
    assert nearest("get_objekt", ["get_object", "put_object"]) == "did you mean 'get_object'?"
    assert nearest("get_object" * 100_000, ["get_object"]) == ""
    assert nearest("get_object", []) == ""


@pytest.mark.parametrize("name", ["get_object" * 100_000, "a" * 1_000_000])
def test_a_long_name_is_refused_without_being_compared(name: str) -> None:
    signer = Presigner(Credentials("AKID", "secretsecret"), region="us-east-1")
    for operation, params in ((name, {}), ("get_object", {"Bucket": "b", "Key": "k", name: "x"})):
        with pytest.raises(InvalidRequest) as caught:
            signer.presign(operation, params)
        assert not caught.value.problems[0].suggestion
    assert work(lambda given: signer.presign(given, {}), name) < 1000


def test_a_text_of_many_different_characters_is_encoded_in_one_pass() -> None:
    text = "".join(map(chr, range(0x4E00, 0x5E00))) + "a" * 100_000
    encoded = uri_encode(text)
    assert encoded.startswith("%E4%B8%80%E4%B8%81")
    assert encoded.endswith("aaa")
    assert len(encoded) == 9 * 0x1000 + 100_000
    assert work(uri_encode, text) < 1000


def test_the_repr_of_an_item_is_short_whatever_it_holds() -> None:
    assert len(repr(Download("https://host/" + "a" * 1_000_000))) < 3000
