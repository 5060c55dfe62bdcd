"""What differs from botocore, asked of real servers: their verdict is `verify_url`'s and `verify_post`'s, of both spellings.

Two servers that pip installs, and Ceph RGW where Debian's packages are. `DISAGREES` names the rows on which a server disagrees.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from asyncpresign import InvalidRequest, verify_post, verify_url
from asyncpresign.testing import LocalS3, server

from .botocore_differences import DIFFERENCES, Call, FormCall, Outcome, Place, ours, theirs
from .local_rgw import LocalRGW, is_installed, local_rgw

pytestmark = [pytest.mark.integration, pytest.mark.oracle, pytest.mark.timeout(180)]

FIXTURES = ("local_s3", "local_s3_seaweedfs", "ceph")
BUCKET = "differences"
ROWS = {row.name: row for row in DIFFERENCES}
PUT = Call("put_object", {"Bucket": BUCKET, "Key": "key"})

# A call of each row that can be sent to a server: it is signed by us and by botocore, as far as they sign it.
CALLS: Mapping[str, Call | FormCall] = {
    "endpoint's name with an underscore": PUT,
    "life as a timedelta or a whole float": replace(PUT, place=Place(expires_in=60.0)),  # type: ignore[arg-type]
    "expiry": replace(PUT, place=Place(expires_in=0)),
    "moment before the year 1000 or after 9999-12-24": replace(PUT, place=Place(moment=datetime(1, 1, 1, tzinfo=UTC))),
    "form with an empty key": FormCall(BUCKET, ""),
    "range in which no size lies": FormCall(BUCKET, "key", {}, [["content-length-range", 2, 1]]),
    "conditions that exclude each other": FormCall(BUCKET, "key", {}, [{"x-amz-meta-a": "b"}, {"x-amz-meta-a": "c"}]),
    "condition on what no policy holds": FormCall(BUCKET, "key", {}, [{"policy": "a"}]),
    "condition that S3 does not have": FormCall(BUCKET, "key", {}, [["ends-with", "$key", "y"]]),
    "condition that the form breaks": FormCall(BUCKET, "key", {}, [{"key": "other"}]),
    "file's name in the middle of the key": FormCall(BUCKET, "a/${filename}.jpg"),
    "uncovered field": FormCall(BUCKET, "key", {"x-amz-meta-a": "b"}),
    "field without a name": FormCall(BUCKET, "key", {"": "a"}, [["starts-with", "$", ""]]),
}
# (server, row): why the server takes what botocore signs, and `verify_*` does not hold.
DISAGREES: Mapping[tuple[str, str], str] = {
    ("juicefs", "condition on what no policy holds"): "conditions on fields that it does not know are not looked at",
    ("juicefs", "field without a name"): "fields that it does not know are not looked at",
    ("ceph", "field without a name"): "it is a field like any other",
    ("ceph", "life as a timedelta or a whole float"): "it reads a number up to the dot",
}


@pytest.fixture(scope="module")
def ceph() -> Iterator[LocalRGW]:
    if not is_installed():
        pytest.skip("needs Ceph: apt-get install radosgw ceph-mon ceph-osd")
    with local_rgw("minio/admin", "user@example.com") as started:
        yield started


@pytest.fixture(scope="module", params=FIXTURES)
def s3(request: pytest.FixtureRequest) -> LocalS3 | LocalRGW:
    started: LocalS3 | LocalRGW = request.getfixturevalue(request.param)
    make = Call("create_bucket", {"Bucket": BUCKET})
    assert send(started, "PUT", ours(at(started, make)).url)
    return started


def port_of(s3: LocalS3 | LocalRGW) -> int:
    return s3.port if isinstance(s3, LocalRGW) else urlsplit(s3.endpoint_url).port or 0


def at(s3: LocalS3 | LocalRGW, call: Any, host: str = "localhost") -> Any:
    """The same call for this server, now unless it has a moment of its own."""
    moment = datetime.now(UTC) if call.place.moment == Place().moment else call.place.moment
    keys = s3.credentials
    place = replace(
        call.place, region=s3.region, endpoint_url=f"http://{host}:{port_of(s3)}", addressing_style="path", moment=moment,
        access_key_id=keys.access_key_id, secret_access_key=keys.secret_access_key,
    )  # fmt: skip
    return replace(call, place=place)


def send(
    s3: LocalS3 | LocalRGW, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bool:
    """Whether the server takes it. The name in the URL need not resolve: the server is on loopback."""
    parts = urlsplit(url)
    connection = HTTPConnection("127.0.0.1", port_of(s3), timeout=30)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, {"Host": parts.netloc, **(headers or {})})
        return connection.getresponse().status < 300
    finally:
        connection.close()


def send_form(s3: LocalS3 | LocalRGW, outcome: Outcome) -> bool:
    line = '--boundary\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    fields = "".join(line.format(name, value) for name, value in outcome.pairs)
    file = '--boundary\r\nContent-Disposition: form-data; name="file"; filename="name"\r\n\r\ncontent\r\n--boundary--\r\n'
    return send(s3, "POST", outcome.url, (fields + file).encode(), {"Content-Type": "multipart/form-data; boundary=boundary"})


def taken(s3: LocalS3 | LocalRGW, call: Call | FormCall, outcome: Outcome) -> bool:
    return send_form(s3, outcome) if isinstance(call, FormCall) else send(s3, "PUT", outcome.url, b"content")


def holds(s3: LocalS3 | LocalRGW, call: Call | FormCall, outcome: Outcome) -> bool:
    credentials = s3.credentials
    check = (
        partial(verify_url, outcome.url, credentials, method="PUT")
        if isinstance(call, Call)
        else partial(verify_post, dict(outcome.pairs), credentials, bucket=BUCKET, size=7, filename="name")
    )
    try:
        return bool(check(region=s3.region, tolerance=timedelta(minutes=15)))
    except InvalidRequest:
        return False


@pytest.mark.parametrize("row", CALLS)
def test_servers_are_of_one_mind_with_what_is_verified(row: str, s3: LocalS3 | LocalRGW) -> None:
    call = at(s3, CALLS[row], "my_server" if "underscore" in row else "localhost")
    assert ROWS[row].applies(call)
    signed = [outcome for outcome in (ours(call), theirs(call)) if outcome.refusal is None]
    assert signed
    verdicts = [(taken(s3, call, outcome), holds(s3, call, outcome)) for outcome in signed]
    assert all(theirs == ours for theirs, ours in verdicts) == ((s3.server, row) not in DISAGREES), verdicts


def test_an_access_key_id_with_a_slash_is_cut_by_ceph(ceph: LocalRGW) -> None:
    """What is signed holds, and is botocore's; this server reads the id up to its first slash. An id with an @ passes."""
    for access_key_id, passes in (("user@example.com", True), ("minio/admin", False)):
        owner = replace(ceph, credentials=replace(ceph.credentials, access_key_id=access_key_id))
        bucket = at(owner, Call("create_bucket", {"Bucket": "ids"}))
        assert ours(bucket) == theirs(bucket)
        assert holds(owner, bucket, ours(bucket))
        assert send(owner, "PUT", ours(bucket).url) == passes


async def test_an_access_key_id_with_a_slash_passes_where_the_server_has_such_a_user() -> None:
    def choose_user() -> server.Setting:
        setting = server.choose("juicefs")
        return replace(setting, credentials=replace(setting.credentials, access_key_id="minio/admin"))

    process, started = await server.start("juicefs", choose_user, time.monotonic() + 30)
    try:
        bucket, form = at(started, Call("create_bucket", {"Bucket": BUCKET})), at(started, FormCall(BUCKET, "key"))
        assert send(started, "PUT", ours(bucket).url)
        assert taken(started, form, ours(form))
        assert holds(started, bucket, ours(bucket))
        assert holds(started, form, ours(form))
    finally:
        await server.end(process)
