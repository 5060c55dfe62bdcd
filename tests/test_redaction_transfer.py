"""Nothing that grants access is in any text of the transfer: over every way to fail, and to succeed, all is searched."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from asyncpresign import (
    Credentials,
    Download,
    FormUpload,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    RetryPolicy,
    S3Object,
    Transfer,
    TransferReport,
    Upload,
)
from asyncpresign.transfer.items import Item

from .fake_transport import World
from .fault_server import RESET, FaultServer, Read, Reply, Then, answer, html_error, redirect, s3_error
from .test_redaction import assert_clean, everything_about

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUC+/=="
SIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
CUSTOMER_KEY = "customer-key-customer-key-custom"
CONTENT = b"content-that-is-nobodys-business-but-its-owners"
SECRETS = [SECRET, TOKEN, SIGNATURE, CUSTOMER_KEY, CONTENT.decode()]
END = datetime(2026, 11, 24, tzinfo=UTC)
QUERY = f"X-Amz-Credential=AKID%2Fscope&X-Amz-Security-Token={TOKEN.replace('/', '%2F')}&X-Amz-Signature={SIGNATURE}"
ECHO = f"you sent https://host/key?{QUERY} and that is wrong"

# How a server answers, with what it repeats of the request.
REPLIES = {
    "fine": Reply(answer(200, b"fine")),
    "reset": RESET,
    "closed": Reply(b"", Then.CLOSE),
    "short": Reply(answer(200, b"0123456789")[:-5], Then.CLOSE),
    "garbage": Reply(f"GET /key?{QUERY}\r\n\r\n".encode(), Then.CLOSE),
    "bad header": Reply(f"HTTP/1.1 200 OK\r\n{QUERY}\r\n\r\n".encode(), Then.CLOSE),
    "bad chunk": Reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + QUERY.encode() + b"\r\n", Then.CLOSE),
    "403": Reply(s3_error(403, "AccessDenied", ECHO.replace("&", "&amp;"))),
    "signature": Reply(s3_error(403, "SignatureDoesNotMatch", ECHO.replace("&", "&amp;"))),
    "expired": Reply(s3_error(403, "AccessDenied", "Request has expired")),
    "404": Reply(s3_error(404, "NoSuchKey")),
    "html": Reply(html_error(502)),
    "redirect": Reply(redirect(307, f"http://elsewhere.test/key?{QUERY}")),
    "503": Reply(s3_error(503, "SlowDown")),
    "early": Reply(s3_error(400, "EntityTooLarge", headers=[("Connection", "close")]), Then.CLOSE, Read.HEAD),
}


async def broken() -> AsyncIterator[bytes]:
    yield CONTENT
    raise LookupError("a source of the caller's")


async def short() -> AsyncIterator[bytes]:
    yield CONTENT


def items(origin: str, folder: Path) -> list[Item]:
    url = f"{origin}/bucket/key?{QUERY}"
    get, put = PresignedRequest("GET", url, {"x-secret": TOKEN}, END), PresignedRequest("PUT", url, {"x-secret": TOKEN}, END)
    post = PresignedPost(f"{origin}/bucket", {"key": "k", "x-amz-security-token": TOKEN, "x-amz-signature": SIGNATURE}, END)
    place = S3Object("bucket", "key")
    return [
        Download(url),
        Download(url, id=url),
        Download(get, folder / "file"),
        Download(place, params={"SSECustomerKey": CUSTOMER_KEY, "SSECustomerAlgorithm": "AES256"}),
        Download(url, size=3),
        Download(url, folder),
        Download(url, folder / "no" / "file"),
        Download(put),
        Download(url, params={"SSECustomerKey": CUSTOMER_KEY}),
        Download(place, params={"SSECustomerKye": CUSTOMER_KEY}),
        Download(url.replace("http://", "ftp://")),
        Download(url.replace("http://", "http://me:" + SECRET.replace("/", "%2F") + "@")),
        Download(url.replace("127.0.0.1", "no-such-host.invalid")),
        Download(url.replace("127.0.0.1:", "127.0.0.1:9")),
        Download(url + "\r\nx: y"),
        Upload(CONTENT, url),
        Upload(io.BytesIO(CONTENT), put),
        Upload(CONTENT, place, params={"SSECustomerKey": CUSTOMER_KEY, "SSECustomerAlgorithm": "AES256"}),
        Upload(broken(), url, size=1000),
        Upload(short(), url, size=1000),
        Upload(url, url),
        Upload(CONTENT, PresignedRequest("PUT", url, {"x-secret": f"a\r\nb: {TOKEN}"}, END)),
        FormUpload(CONTENT, post),
        FormUpload(CONTENT, place, fields={"x-amz-meta-secret": CUSTOMER_KEY}, filename="a\r\nb"),
        FormUpload(CONTENT, place, fields={"x-amz-meta-secret": CUSTOMER_KEY + "\r\n"}),
        FormUpload(CONTENT, place, conditions=[{"x": CUSTOMER_KEY, "y": 5}]),  # type: ignore[dict-item]
        FormUpload(CONTENT, post, fields={"a": CUSTOMER_KEY}),
        FormUpload(CONTENT, PresignedPost(url.replace("http://", "http://:"), {}, END)),
    ]


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
async def test_no_text_holds_what_grants_access(
    reply: Reply, everything_logged: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # asyncio then logs every callback with its arguments
    try:
        reports, texts = [], []
        async with FaultServer(otherwise=reply) as server:
            credentials = Credentials("AKIDEXAMPLE", SECRET, TOKEN)
            signer = OfflineSigner(credentials, region="us-east-1", endpoint_url=server.origin)
            moving = Transfer(signer, concurrency=4, retry=RetryPolicy(attempts=2), edge=World().edge())
            async with moving:
                texts += [repr(signer), repr(moving)]
                given = items(server.origin, tmp_path)
                report = TransferReport()
                async with moving.stream(given) as results:
                    async for result in results:
                        report.add(result)
                        texts += [repr(result), str(result)]
                        texts += [] if result.error is None else [everything_about(result.error)]
                reports.append(report)
                await moving.run(items(server.origin, tmp_path), on_event=lambda event: texts.append(repr(event)))
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = 0.1
    assert report.done + report.failed == len(given)
    assert report.failed >= (12 if reply is REPLIES["fine"] else 20)
    texts += [report.to_json(), repr(report), *map(repr, given)]
    try:
        report.raise_for_failures()
    except Exception as error:  # noqa: BLE001 (it is what is looked at)
        texts.append(everything_about(error))
    logged = "\n".join(f"{record.name} {record.getMessage()} {record.exc_info}" for record in everything_logged.records)
    assert "asyncio" in logged
    signatures = [value for seen in server.seen for value in live_signatures(seen.line)]
    for text in [*texts, logged]:
        assert_clean(text, [*SECRETS, *signatures])


def live_signatures(line: str) -> list[str]:
    """The signatures of what the signer made and the server saw."""
    return [part.removeprefix("X-Amz-Signature=") for part in line.replace(" ", "&").split("&") if "X-Amz-Signature=" in part]


async def test_send_and_its_errors(tmp_path: Path) -> None:
    async with FaultServer(otherwise=REPLIES["signature"]) as server:
        request = PresignedRequest("GET", f"{server.origin}/bucket/key?{QUERY}", {"x-secret": TOKEN}, END)
        async with Transfer(edge=World().edge()) as moving:
            response = await moving.send(request, raise_for_status=False)
            assert_clean(repr(response) + repr(request), SECRETS)
            for call in (moving.send(request), moving.send(request, max_body=3), moving.send(request.url)):  # type: ignore[arg-type]
                with pytest.raises(Exception) as caught:  # noqa: PT011 (whichever: it is searched)
                    await call
                assert_clean(everything_about(caught.value), SECRETS)


@pytest.mark.parametrize("wrong", [{"signer": SECRET}, {"concurrency": SECRET}, {"retry": SECRET}, {"session": SECRET}])
async def test_wrong_options(wrong: dict[str, Any]) -> None:
    async def enter() -> None:
        async with Transfer(**wrong):
            pass

    with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
        await enter()
    assert_clean(everything_about(caught.value), SECRETS)
