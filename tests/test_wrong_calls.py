"""Which argument a wrong item is refused for; nothing is sent for one, and all that is wrong is named."""

from __future__ import annotations

import errno
import io
import os
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncpresign import (
    Download,
    FormUpload,
    InvalidRequest,
    LocalFileError,
    NetworkError,
    PresignedPost,
    PresignedRequest,
    RetryPolicy,
    S3Object,
    Transfer,
    TransferError,
    Upload,
)
from asyncpresign.transfer.edge import Edge
from asyncpresign.transfer.plan import MAX_PUT, GiB
from asyncpresign.transfer.uploads import _check_size

from .fake_transport import FakeTransport, Say, World, make_signer

URL = "http://s3.test/bucket/key"
OBJECT = S3Object("bucket", "key")
CRC32 = f"crc32:{zlib.crc32(b'abc'):08x}"
END = datetime(2030, 1, 1, tzinfo=UTC)
POST = PresignedPost("http://s3.test/bucket", {"key": "k"}, END)


class BytesPath(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b"/tmp/name"


async def stream() -> AsyncIterator[bytes]:
    yield b"abc"


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False


closed = io.BytesIO()
closed.close()

WRONG: dict[str, tuple[Any, set[str]]] = {
    "a download of no source": (Download(5), {"source"}),  # type: ignore[arg-type]
    "a download by PUT": (Download(PresignedRequest("PUT", URL, {}, END)), {"source"}),
    "a download to a number": (Download(URL, 5), {"destination"}),  # type: ignore[arg-type]
    "a download to a path of bytes": (Download(URL, BytesPath()), {"destination"}),
    "a download to no path": (Download(URL, ""), {"destination"}),
    "a download to what no file is called": (Download(URL, "/tmp/a\0b"), {"destination"}),
    "an upload of what no file is called": (Upload("/tmp/a\0b", URL), {"source"}),
    "a download of no such size": (Download(URL, size=-1), {"size"}),
    "a download of half a byte": (Download(URL, size=1.5), {"size"}),  # type: ignore[arg-type]
    "a download with no checksum": (Download(URL, checksum="crc32"), {"checksum"}),
    "a download that may exist somehow": (Download(URL, "/tmp/a", if_exists="maybe"), {"if_exists"}),
    "an upload of text": (Upload(io.StringIO("a"), URL), {"source"}),  # type: ignore[arg-type]
    "an upload of nothing": (Upload(None, URL), {"source"}),  # type: ignore[arg-type]
    "an upload of a closed file": (Upload(closed, URL), {"source"}),
    "an upload without a size": (Upload(stream(), URL), {"size"}),
    "an upload of what cannot seek, without a size": (Upload(Unseekable(b"abc"), URL), {"size"}),
    "an upload of another size": (Upload(b"abc", URL, size=4), {"size"}),
    "an upload of fewer bytes than it says": (Upload(stream(), URL, size=4), {"size"}),
    "an upload of more bytes than it says": (Upload(stream(), URL, size=2), {"size"}),
    "an upload of no such size": (Upload(b"abc", URL, size=True), {"size"}),
    "an upload that is too large": (Upload(stream(), URL, size=MAX_PUT + 1), {"source"}),
    "an upload to a number": (Upload(b"abc", 5), {"destination"}),  # type: ignore[arg-type]
    "an upload by GET": (Upload(b"abc", PresignedRequest("GET", URL, {}, END)), {"destination"}),
    "an upload with no checksum": (Upload(b"abc", OBJECT, checksum="x:00"), {"checksum"}),
    "an upload with a checksum of no kind": (
        Upload(b"abc", OBJECT, params={"ChecksumAlgorithm": "CRC16"}),
        {"params['ChecksumAlgorithm']"},
    ),
    "an upload with a digest that is none": (
        Upload(b"abc", OBJECT, params={"ChecksumCRC32": "x"}),
        {"params['ChecksumCRC32']"},
    ),
    "an upload with a digest of another size": (
        Upload(b"abc", OBJECT, params={"ChecksumCRC32": "AAAAAAA="}),
        {"params['ChecksumCRC32']"},
    ),
    "an upload that overwrites nothing but one": (Upload(b"abc", OBJECT, if_none_match="x"), {"if_none_match"}),
    "an upload that says it twice": (
        Upload(b"abc", URL, params={"IfNoneMatch": "*"}, if_none_match="x"),
        {"if_none_match", "params['IfNoneMatch']"},
    ),
    "a form with a field that no server can read": (
        FormUpload(b"abc", PresignedPost("http://s3.test/bucket", {"key": "k", "x": "a\ud800"}, END)),
        {"destination.fields['x']"},
    ),
    "a form with a field's name that no server can read": (
        FormUpload(b"abc", PresignedPost("http://s3.test/bucket", {"key": "k", "x\udfff": "a"}, END)),
        {"destination.fields['x\\udfff']"},
    ),
    "a form of nothing": (FormUpload(5, POST), {"source"}),  # type: ignore[arg-type]
    "a form to a URL": (FormUpload(b"abc", URL), {"destination"}),  # type: ignore[arg-type]
    "a form of another size": (FormUpload(b"abc", POST, size=4), {"size"}),
    "a form that is too large": (FormUpload(stream(), POST, size=MAX_PUT + 1), {"source"}),
    "a form with fields that is signed already": (FormUpload(b"abc", POST, fields={"a": "b"}), {"fields"}),
}


@pytest.mark.parametrize(("item", "named"), WRONG.values(), ids=WRONG.keys())
async def test_the_argument_that_is_wrong_is_named_and_nothing_is_sent(item: Any, named: set[str]) -> None:
    transport = FakeTransport()
    async with Transfer(make_signer(), transport=transport, edge=World().edge()) as moving:
        (failure,) = (await moving.run([item])).failures
    assert isinstance(failure.error, InvalidRequest)
    assert {problem.argument for problem in failure.error.problems} == named
    assert transport.sent == 0


@pytest.mark.parametrize(("most", "in_parts"), [(5 * GiB, False), (5 * 1024 * GiB, True)])
def test_what_s3_takes_at_the_most_is_taken(most: int, in_parts: bool) -> None:
    _check_size(most, in_parts)
    with pytest.raises(
        InvalidRequest, match=rf"source: expected at most {most // GiB} GiB, S3's limit.*, got {most + 1} bytes"
    ):
        _check_size(most + 1, in_parts)


@pytest.mark.parametrize(
    ("item", "named"),
    [
        (Download(OBJECT), "source"),
        (Upload(b"abc", OBJECT), "destination"),
        (Upload(b"abc", OBJECT, checksum=CRC32), "destination"),
        (FormUpload(b"abc", OBJECT), "destination"),
    ],
    ids=str,
)
@pytest.mark.parametrize("threshold", [1, 1000], ids=["parts", "whole"])
async def test_without_a_signer_an_object_is_the_argument_that_is_wrong(item: Any, named: str, threshold: int) -> None:
    transport = FakeTransport()
    async with Transfer(transport=transport, edge=World().edge(), multipart_threshold=threshold) as moving:
        (failure,) = (await moving.run([item])).failures
    assert str(failure.error).startswith(f"{named}: ")
    assert transport.sent == 0


@pytest.mark.parametrize(
    "said",
    [Say(body=(b"ab",), announced=5, broken=True), Say(body=b"ab", announced=5), Say(404), NetworkError("refused")],
    ids=["broken off", "short", "not there", "refused"],
)
async def test_a_failure_says_of_which_request_it_is(said: Say | NetworkError) -> None:
    transport = FakeTransport(otherwise=lambda *_: said)
    async with Transfer(transport=transport, edge=World().edge(), retry=RetryPolicy(attempts=1)) as moving:
        with pytest.raises(TransferError) as caught:
            await moving.download(f"{URL}?X-Amz-Signature=secret")
    assert caught.value.request == f"GET {URL}"


def test_the_time_of_day_is_the_systems() -> None:
    before = datetime.now(UTC)
    assert before <= Edge().now() <= datetime.now(UTC)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
async def test_a_link_to_itself_is_named_with_what_the_system_says_of_it(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    async with Transfer(transport=FakeTransport(otherwise=Say(body=b"abc")), edge=World().edge()) as moving:
        with pytest.raises(LocalFileError, match=rf"circle: {os.strerror(errno.ELOOP)}"):
            await moving.download(URL, tmp_path / "circle")


WRONG_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"concurrency": 0}, "concurrency: expected an int of at least 1, got 0"),
    ({"concurrency": True}, "concurrency: expected an int of at least 1, got True"),
    ({"concurrency": "2"}, "concurrency: expected an int of at least 1, got a str of length 1"),
    ({"limits": 8}, "limits: expected Limits, got 8"),
    ({"signer": "me"}, "signer: expected a Signer, such as OfflineSigner, got a str of length 2"),
    ({"retry": 3}, "retry: expected a RetryPolicy, got 3"),
    ({"require_checksum": 1}, "require_checksum: expected a bool, got 1"),
    ({"max_clock_offset": 5}, "max_clock_offset: expected a timedelta of at least 0, got 5"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_OPTIONS)
def test_a_transfer_names_its_wrong_option(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Transfer(**options)
    assert str(caught.value) == message


def test_a_transfer_names_all_its_wrong_options_in_order() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Transfer(**{name: value for options, _ in WRONG_OPTIONS for name, value in options.items()})
    assert [problem.argument for problem in caught.value.problems] == [
        "concurrency",
        "limits",
        "concurrency",
        "signer",
        "retry",
        "require_checksum",
        "max_clock_offset",
    ]


def test_the_default_edge_reads_the_time_in_utc_and_a_new_token_each_time() -> None:
    edge = Edge()
    before = datetime.now(UTC)
    assert before <= edge.now() <= datetime.now(UTC)
    assert edge.now().tzinfo is UTC
    first, second = edge.token(), edge.token()
    assert first != second
    assert len(bytes.fromhex(first)) == 12
