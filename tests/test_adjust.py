"""What a server's answer teaches the signer: once a cause, however many items see it, and what each item then does."""

from __future__ import annotations

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
        super().__init__(credentials, region="us-east-1", endpoint_url="http://s3.test", clock=lambda: NOW, **options)
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

    def __init__(self, ahead: timedelta = timedelta(), source: Source | None = None, date: bool = True) -> None:
        self.now = NOW + ahead
        self.source = source
        self.date = {"date": format_datetime(self.now, usegmt=True)} if date else {}

    def __call__(self, request: Request, body: bytes) -> Say:
        if self.source is not None and int(signed(request)["X-Amz-Security-Token"]) < self.source.good:
            return error(400, "ExpiredToken", **self.date)
        age = self.now - signed_at(request)
        if abs(age) > timedelta(minutes=15):
            return error(403, "RequestTimeTooSkewed", **self.date)
        return Say(body=b"whole")


def transfer(signer: Any, server: Any, **options: Any) -> tuple[Transfer, FakeTransport]:
    transport = FakeTransport(otherwise=server)
    return Transfer(signer, transport=transport, edge=World().edge(), **options), transport


@pytest.mark.parametrize("hours", [-50, -2, 2, 3000])
async def test_a_wrong_clock_is_corrected_once_for_all(hours: int) -> None:
    ahead = timedelta(hours=hours)
    signer = Taught(Credentials("AKIDEXAMPLE", "secret"))
    moving, transport = transfer(signer, Server(ahead))
    async with moving:
        report = await moving.run(Download(place) for place in OBJECTS)
        assert (report.done, report.attempts, signer.told) == (MANY, 2 * MANY, [{"clock_offset": ahead}])
        assert (await moving.download(OBJECTS[0])).attempts == 1
    assert signed_at(transport.requests[-1]) == NOW + ahead


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
    assert signer.told == [{"refresh_credentials": True}, {"clock_offset": ahead}]


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


@pytest.mark.parametrize(("server", "attempts"), [(Server(timedelta(hours=2)), 1), (Server(source=Source(good=5)), 2)])
async def test_a_signer_that_cannot_be_told(server: Server, attempts: int) -> None:
    """It may have renewed its credentials by itself; its clock it can not have set."""
    moving, transport = transfer(Fixed(Taught(Source(good=5))), server)
    async with moving:
        with pytest.raises((AccessDenied, URLExpired)):
            await moving.download(OBJECTS[0])
    assert transport.sent == attempts


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
    fixed = PresignedRequest("GET", "http://s3.test/k?X-Amz-Date=20261123T120000Z", {}, NOW + timedelta(hours=1))
    post = PresignedPost("http://s3.test/", {"key": "k"}, NOW + timedelta(hours=1))
    async with moving:
        await moving.download(OBJECTS[0])
        sent = transport.sent
        for work in (moving.download(fixed), moving.send(fixed), moving.upload_form(b"x", post)):
            with pytest.raises(URLExpired, match="signed until 2026-11-23 13:00:00Z, and it is 2026-11-23 14:00:00Z"):
                await work
        assert transport.sent == sent


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
