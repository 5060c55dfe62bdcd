"""What a server's answer teaches the signer: once a cause, however many items see it, and what each item then does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from asyncpresign import (
    AccessDenied,
    Credentials,
    CredentialsError,
    Download,
    FormUpload,
    InvalidRequest,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    S3Object,
    Transfer,
    TransferError,
    UnsupportedRequest,
    Upload,
    URLExpired,
)
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item

from .fake_transport import NOW, FakeTransport, Say, World, error

MANY = 64
OBJECTS = [S3Object("bucket", str(number)) for number in range(MANY)]


class Source:
    """Credentials that can be dead: each answer has a token of its own, and `good` is the first that the server takes."""

    def __init__(self, good: int) -> None:
        self.asked = 0
        self.good = good

    async def __call__(self) -> Credentials:
        self.asked += 1
        return Credentials("AKIDEXAMPLE", "secret", str(self.asked))


class Taught(OfflineSigner):
    """An `OfflineSigner` that writes down what it is told."""

    told: list[dict[str, Any]]

    def __init__(self, credentials: Any, **options: Any) -> None:
        options = {"endpoint_url": "https://s3.test", "clock": lambda: NOW, **options}
        super().__init__(credentials, region="us-east-1", **options)
        self.told = []

    async def adjust(self, **lesson: Any) -> bool:
        self.told.append(lesson)
        return await super().adjust(**lesson)


def signed(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


def signed_at(request: Request) -> datetime:
    return datetime.strptime(signed(request)["X-Amz-Date"], "%Y%m%dT%H%M%S%z")


class Server:
    """Answers as S3 does whose clock is `ahead` of ours, and which knows no token before `source.good`."""

    def __init__(
        self,
        ahead: timedelta = timedelta(),
        source: Source | None = None,
        date: bool = True,
        tolerance: timedelta = timedelta(minutes=15),
    ) -> None:
        self.now = NOW + ahead
        self.tolerance = tolerance
        self.source = source
        self.date = {"date": format_datetime(self.now, usegmt=True)} if date else {}

    def __call__(self, request: Request, body: bytes) -> Say:
        if self.source is not None and int(signed(request)["X-Amz-Security-Token"]) < self.source.good:
            return error(400, "ExpiredToken", **self.date)
        age = self.now - signed_at(request)
        if abs(age) > self.tolerance:
            return error(403, "RequestTimeTooSkewed", **self.date)
        return Say(body=b"whole")


def transfer(signer: Any, server: Any, **options: Any) -> tuple[Transfer, FakeTransport]:
    transport = FakeTransport(otherwise=server)
    return Transfer(signer, transport=transport, edge=World().edge(), **options), transport


KEY = Credentials("AKIDEXAMPLE", "secret")
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
# Where the server is, how far its clock is off, the transfer's options, and whether that is believed.
CLOCKS: dict[str, tuple[str, timedelta, dict[str, Any], bool]] = {
    "ahead": ("https://s3.test", 2 * timedelta(hours=1), {}, True),
    "behind": ("https://s3.test", -DAY, {}, True),
    "a day ahead": ("https://s3.test", DAY, {}, True),
    "more than a day": ("https://s3.test", DAY + MINUTE, {}, False),
    "30 days": ("https://s3.test", 30 * DAY, {}, False),
    "a century behind": ("https://s3.test", -36_000 * DAY, {}, False),
    "30 days, as the caller allows": ("https://s3.test", 30 * DAY, {"max_clock_offset": 31 * DAY}, True),
    "two hours, as the caller forbids": ("https://s3.test", 120 * MINUTE, {"max_clock_offset": 60 * MINUTE}, False),
    "plain, as S3 tolerates": ("http://s3.test", 14 * MINUTE, {}, True),
    "plain, more": ("http://s3.test", 16 * MINUTE, {}, False),
    "plain, whatever the caller allows": ("http://s3.test", -120 * MINUTE, {"max_clock_offset": 31 * DAY}, False),
    "this machine": ("http://127.0.0.1:9000", 120 * MINUTE, {}, True),
    "this machine by name": ("http://localhost:9000", -120 * MINUTE, {}, True),
    "said to be this machine by a proxy": ("http://localhost:9000", 120 * MINUTE, {"proxy": "http://proxy.test"}, False),
    "by the environment's proxy, perhaps": ("http://localhost:9000", 120 * MINUTE, {"trust_env": True}, False),
}


@pytest.mark.parametrize(("endpoint", "ahead", "options", "believed"), CLOCKS.values(), ids=CLOCKS.keys())
@pytest.mark.parametrize("adjustable", [True, False], ids=["adjustable", "not adjustable"])
async def test_a_servers_clock_is_believed_up_to_a_limit_and_never_told_to_the_signer(
    endpoint: str, ahead: timedelta, options: dict[str, Any], believed: bool, adjustable: bool
) -> None:
    signer = Taught(KEY, endpoint_url=endpoint)
    moving, transport = transfer(signer if adjustable else Fixed(signer), Server(ahead, tolerance=10 * MINUTE), **options)
    async with moving:
        report = await moving.run(Download(place) for place in OBJECTS)
        if believed:
            assert (report.done, report.attempts) == (MANY, 2 * MANY), "each found out at the same time"
            assert (await moving.download(OBJECTS[0])).attempts == 1, "and nobody has to again"
        else:
            assert (report.failed, report.attempts, transport.sent) == (MANY, MANY, MANY)
            assert {type(result.error) for result in report.failures} == {AccessDenied}
    assert {signed_at(request) for request in transport.requests} == ({NOW, NOW + ahead} if believed else {NOW})
    assert signer.told == []
    assert "X-Amz-Date=20261123T120000Z" in (await signer.presign("get_object", OBJECTS[0].to_params())).url


async def test_every_host_has_a_clock_of_its_own() -> None:
    servers = {"a": Server(120 * MINUTE), "b": Server(-180 * MINUTE), "c": Server()}
    signer = Taught(KEY, addressing_style="virtual")
    moving, transport = transfer(signer, lambda request, body: servers[urlsplit(request.url).netloc[0]](request, body))
    async with moving:
        report = await moving.run(Download(S3Object(f"{name}-bucket", str(number))) for number in range(9) for name in servers)
        assert (report.done, report.attempts) == (27, 9 + 2 * 18)
        transport.requests.clear()
        for name in servers:
            assert (await moving.download(S3Object(f"{name}-bucket", "k"))).attempts == 1
    assert [signed_at(request) for request in transport.requests] == [server.now for server in servers.values()]


async def test_a_clock_that_is_set_again_is_corrected_again() -> None:
    server = Server(120 * MINUTE)
    moving, transport = transfer(Taught(KEY), server)
    async with moving:
        for ahead in (120, -600, 0, 30):
            server.now = NOW + ahead * MINUTE
            server.date = {"date": format_datetime(server.now, usegmt=True)}
            assert [(await moving.download(OBJECTS[0])).attempts for _ in range(2)] == [2, 1]
            assert signed_at(transport.requests[-1]) == server.now


async def test_a_clock_that_is_never_right_is_corrected_once_an_item() -> None:
    ahead = iter(range(20, 2000, 20))

    def server(request: Request, body: bytes) -> Say:
        return error(403, "RequestTimeTooSkewed", date=format_datetime(NOW + next(ahead) * MINUTE, usegmt=True))

    moving, transport = transfer(Taught(KEY), server)
    async with moving:
        for _ in range(3):
            with pytest.raises(AccessDenied) as caught:
                await moving.download(OBJECTS[0])
            assert caught.value.attempts == 2
    assert transport.sent == 6


@pytest.mark.parametrize("window", [None, 600])
async def test_forms_listings_parts_and_windows_are_dated_by_the_servers_clock_too(window: int | None) -> None:
    """A form's date is in its body."""
    ahead = 120 * MINUTE

    def server(request: Request, body: bytes) -> Say:
        date = f"{NOW + ahead:%Y%m%dT%H%M%SZ}"
        if date not in request.url and date.encode() not in body:
            return Server(ahead)(replace(request, url="http://x/?X-Amz-Date=20261123T120000Z"), body)
        return Say(body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

    signer = Taught(KEY, signing_window=window)
    moving, transport = transfer(signer, server)
    async with moving:
        assert [info async for info in moving.list_objects("bucket")] == []
    for item in (FormUpload(b"x", OBJECTS[0]), Upload(b"x", OBJECTS[0])):
        moving, transport = transfer(signer, server)
        async with moving:
            report = await moving.run([item])
        assert (report.done, report.attempts, transport.sent) == (1, 2, 2)
    assert signer.told == []


@pytest.mark.parametrize(
    "refusal", [UnsupportedRequest("signing_time: not here"), TypeError("signing_time"), CredentialsError("no")]
)
async def test_a_signer_that_cannot_be_told_a_time_fails_with_what_the_server_said(refusal: Exception) -> None:
    class Undated(Fixed):
        def __init__(self, inner: OfflineSigner) -> None:
            super().__init__(inner)
            self.presign: Any = self._presign
            self._inner = inner

        def _presign(self, *arguments: Any, **options: Any) -> Any:
            if "signing_time" in options:
                raise refusal
            return self._inner.presign(*arguments, **options)

    moving, transport = transfer(Undated(Taught(KEY)), Server(120 * MINUTE))
    async with moving:
        report = await moving.run(Download(place) for place in OBJECTS)
    assert {(type(result.error), getattr(result.error, "code", "")) for result in report.failures} == {
        (AccessDenied, "RequestTimeTooSkewed")
    }
    assert (report.failed, transport.sent) == (MANY, 2 * MANY)


@pytest.mark.parametrize("value", [None, 5, -MINUTE, "1 day"])
def test_what_is_no_limit_of_a_clock(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="max_clock_offset: expected a timedelta of at least 0"):
        Transfer(max_clock_offset=value)


async def test_dead_credentials_are_fetched_once_for_all() -> None:
    source = Source(good=2)
    signer = Taught(source)
    moving, _ = transfer(signer, Server(source=source))
    async with moving:
        report = await moving.run(Download(place) for place in OBJECTS)
        assert (report.done, report.attempts) == (MANY, 2 * MANY)
        assert (source.asked, signer.told) == (2, [{"refresh_credentials": True}])
        source.good = 3
        assert (await moving.download(OBJECTS[0])).attempts == 2
        assert (source.asked, len(signer.told)) == (3, 2), "a cause of its own"


async def test_one_cause_is_not_taken_for_another() -> None:
    source, ahead = Source(good=2), timedelta(hours=5)
    signer = Taught(source)
    moving, _ = transfer(signer, Server(ahead, source))
    async with moving:
        report = await moving.run(Download(place) for place in OBJECTS)
    assert (report.done, report.failures) == (MANY, [])
    assert signer.told == [{"refresh_credentials": True}]


async def test_what_does_not_help_is_tried_once_an_item() -> None:
    source = Source(good=1000)
    signer = Taught(source)
    moving, transport = transfer(signer, Server(source=source))
    async with moving:
        report = await moving.run(Download(place) for place in OBJECTS)
    assert (report.failed, report.attempts, transport.sent) == (MANY, 2 * MANY, 2 * MANY)
    assert {(type(result.error), result.attempts) for result in report.failures} == {(URLExpired, 2)}
    assert (len(signer.told), source.asked) == (1, 2)


async def test_uploads_and_forms_are_signed_anew_too() -> None:
    source = Source(good=2)
    signer = Taught(source)

    def server(request: Request, body: bytes) -> Say:
        token = signed(request).get("X-Amz-Security-Token", "1" if b"\r\n\r\n1\r\n" in body else "2")
        return error(400, "ExpiredToken") if int(token) < source.good else Say()

    moving, _ = transfer(signer, server)
    items: list[Item] = [Upload(b"x", OBJECTS[0]), FormUpload(b"x", OBJECTS[9])] * 8
    async with moving:
        report = await moving.run(items)
    assert (report.done, report.attempts, len(signer.told)) == (16, 32, 1)


async def test_a_clock_that_nobody_can_tell_is_no_cure() -> None:
    signer = Taught(Credentials("AKIDEXAMPLE", "secret"))
    moving, transport = transfer(signer, Server(timedelta(hours=2), date=False))
    async with moving:
        with pytest.raises(AccessDenied):
            await moving.download(OBJECTS[0])
    assert (transport.sent, signer.told) == (1, [])


class Fixed:
    """A signer that cannot be told anything."""

    def __init__(self, inner: OfflineSigner) -> None:
        self.presign, self.presign_urls, self.presign_post = inner.presign, inner.presign_urls, inner.presign_post


async def test_a_signer_that_cannot_be_asked_for_credentials() -> None:
    """It may have renewed them by itself."""
    moving, transport = transfer(Fixed(Taught(Source(good=5))), Server(source=Source(good=5)))
    async with moving:
        with pytest.raises(URLExpired):
            await moving.download(OBJECTS[0])
    assert transport.sent == 2


@pytest.mark.parametrize("failure", [CredentialsError("the source is away"), RuntimeError("a bug of the signer's")])
async def test_a_signer_that_fails_to_learn_is_asked_to_sign_all_the_same(failure: Exception) -> None:
    class Stubborn(Taught):
        async def adjust(self, **lesson: Any) -> bool:
            self.told.append(lesson)
            raise failure

    source = Source(good=2)
    signer = Stubborn(source)
    moving, _ = transfer(signer, Server(source=source))
    async with moving:
        report = await moving.run(Download(place) for place in OBJECTS)
    assert (report.failed, len(signer.told)) == (MANY, 1)
    assert {type(result.error) for result in report.failures} == {URLExpired}


async def test_a_source_that_gives_nothing_more_is_the_error() -> None:
    class Ended(Taught):
        async def presign(self, *arguments: Any, **options: Any) -> PresignedRequest:
            if self.told:
                raise CredentialsError("the credentials have ended")
            return await super().presign(*arguments, **options)

    source = Source(good=2)
    moving, _ = transfer(Ended(source), Server(source=source))
    async with moving:
        with pytest.raises(CredentialsError, match="have ended"):
            await moving.download(OBJECTS[0])


async def test_what_is_signed_already_is_measured_by_the_clock_learnt() -> None:
    """By our clock the URL has an hour to live, by the server's it has ended: that is known before it is sent."""
    moving, transport = transfer(Taught(Credentials("AKIDEXAMPLE", "secret")), Server(timedelta(hours=2)))
    fixed = PresignedRequest("GET", "https://S3.test:443/k?X-Amz-Date=20261123T120000Z", {}, NOW + timedelta(hours=1))
    post = PresignedPost("https://s3.test/", {"key": "k"}, NOW + timedelta(hours=1))
    elsewhere = PresignedRequest("GET", "https://other.test/k?X-Amz-Date=20261123T120000Z", {}, NOW + timedelta(hours=1))
    async with moving:
        await moving.download(OBJECTS[0])
        sent = transport.sent
        for work in (moving.download(fixed), moving.send(fixed), moving.upload_form(b"x", post)):
            with pytest.raises(URLExpired, match="signed until 2026-11-23 13:00:00Z, and it is 2026-11-23 14:00:00Z"):
                await work
        assert transport.sent == sent
        transport.otherwise = Say()
        await moving.download(elsewhere)
    assert transport.sent == sent + 1


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Date=20261123T110000Z&X-Amz-Expires=604801",
        "X-Amz-Date=20261199T990000Z&X-Amz-Expires=60",
        "X-Amz-Date=20261123T110000Z&X-Amz-Expires=",
        "X-Amz-Date=&X-Amz-Expires=60",
        "X-Amz-Expires=60",
        "not-X-Amz-Date=20261123T110000Z&X-Amz-Expires=60",
        "",
    ],
)
async def test_a_url_that_does_not_say_when_it_ends_is_sent(query: str) -> None:
    moving, transport = transfer(None, lambda *_: Say())
    async with moving:
        await moving.download(f"http://s3.test/k?{query}")
    assert transport.sent == 1


async def test_errors_before_sending_are_no_secret_keepers() -> None:
    moving, _ = transfer(None, lambda *_: Say())
    async with moving:
        with pytest.raises(InvalidRequest):
            await moving.upload_form(b"x", OBJECTS[0])
        with pytest.raises(TransferError) as caught:
            await moving.download("http://s3.test/k?X-Amz-Date=20261123T110000Z&X-Amz-Expires=60&X-Amz-Signature=abc")
    assert "abc" not in str(caught.value)
