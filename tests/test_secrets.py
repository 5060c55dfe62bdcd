"""What the request in hand holds is masked wherever a server or a library repeats it, in whatever spelling."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import (
    Credentials,
    Download,
    FormUpload,
    InvalidRequest,
    OfflineSigner,
    PresignedPost,
    PresignedRequest,
    PresignError,
    RetryPolicy,
    S3Object,
    Transfer,
    Upload,
)
from asyncpresign._redaction import LEAST, SHOWN, hiding, redact
from asyncpresign.http.aiohttp_transport import AiohttpTransport
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item

from .fake_transport import World
from .fault_server import FaultServer, Reply, Seen, Then, answer, redirect, s3_error
from .test_redaction import assert_clean, everything_about
from .test_vendors import SIGNED

TOKEN = "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUC+/=="
KEY = "customer-key-customer-key-custom"
SIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
URL = f"https://me:hunter2hunter@h/k?X-Amz-Signature={SIGNATURE}&X-Amz-Security-Token={quote(TOKEN, safe='')}"
HEADERS = {"x-amz-server-side-encryption-customer-key": b64encode(KEY.encode()).decode(), "Authorization": "Bearer ya29.abcdef"}
SECRETS = [SIGNATURE, TOKEN, KEY, HEADERS["x-amz-server-side-encryption-customer-key"], "hunter2hunter", "ya29.abcdef"]

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "encoded": lambda text: quote(text, safe=""),
    "encoded in small letters": lambda text: quote(text, safe="").lower(),
    "encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "encoded three times": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "every byte encoded": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "partly encoded": lambda text: quote(text, safe="/"),
    "in JSON": json.dumps,
    "in JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "in JSON of PHP": lambda text: json.dumps(text).replace("/", "\\/"),
    "in JSON beyond ASCII": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
    "in XML": escape,
    "in XML by numbers": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "in XML by hexadecimal numbers": lambda text: "".join(f"&#x{ord(one):X};" for one in text),
    "in a repr": lambda text: repr(text.encode()),
    "decoded as a form": lambda text: text.replace("+", " "),
    "in capitals": str.upper,
    "the first half": lambda text: text[: max(12, len(text) // 2)],
    "the second half": lambda text: text[-max(12, len(text) // 2) :],
    "in lines": lambda text: "\n".join(text[at : at + 24] for at in range(0, len(text), 24)),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_however_it_is_spelt(spelling: Callable[[str], str], secret: str) -> None:
    spelt = spelling(secret)
    hidden = hiding(URL, HEADERS)(f"you sent [{spelt}] and that is wrong")
    assert hidden.startswith("you sent [")
    assert hidden.endswith("] and that is wrong")
    left = hidden.removeprefix("you sent [").removesuffix("] and that is wrong")
    assert len(left.replace("...", "").strip("\"'b\\\n")) < 12, left


# What begins an escape, and so may take the first letters of what follows for its own.
AROUND = st.text(st.characters(exclude_characters="%&\\", codec="utf-8"), max_size=20)


@given(st.text(min_size=LEAST, max_size=40), AROUND, AROUND)
def test_no_secret_of_any_letters_survives(secret: str, before: str, after: str) -> None:
    """Unless it is one that the mask itself, or an escape, spells."""
    hidden = hiding("https://h/k", extra=[secret])(f"{before}{secret}{after}")
    assert secret not in hidden or "%" in secret or "&" in secret or "\\" in secret or set(secret) <= {"."}


@pytest.mark.parametrize("signed", SIGNED.values(), ids=SIGNED.keys())
def test_of_every_vendor_the_live_values_are_masked(signed: str) -> None:
    url = f"https://host/key?versionId=3&{signed}"
    for text in (redact(url), repr(Download(url)), repr(PresignedRequest("GET", url, {}, datetime(2026, 1, 1, tzinfo=UTC)))):
        assert "versionId=3" in text
        for piece in signed.split("&"):
            name, _, value = piece.partition("=")
            assert f"{name}={value}" in text or f"{name}=..." in text
            if (
                name.lower() in ("sig", "signature", "token", "hm", "authorization", "temp_url_sig", "policy")
                or "ignature=" in piece
            ):
                assert f"{name}=..." in text


def test_harmless_words_are_left_alone() -> None:
    """What is short, public or says nothing is not taken out of a message."""
    url = (
        "https://bucket.s3.eu-central-1.amazonaws.com/k?X-Amz-Credential=AKIDEXAMPLE%2F20260301%2Feu-central-1%2Fs3%2Faws4_request"
        f"&X-Amz-Date=20260301T000000Z&X-Amz-Expires=900&response-content-type=application%2Foctet-stream&name=a&X-Amz-Signature={SIGNATURE}"
    )
    headers = {
        "Content-Type": "application/octet-stream",
        "If-Match": '"0123456789abcdef"',
        "x-amz-acl": "bucket-owner-full-control",
    }
    message = (
        "Credential=...; a region of 'eu-central-1' and aws4_request at 20260301T000000Z; "
        "application/octet-stream; a is no name; "
        '"0123456789abcdef"; bucket-owner-full-control; bucket.s3.eu-central-1.amazonaws.com'
    )
    assert hiding(url, headers)(message) == message


def test_a_long_text_is_cut() -> None:
    assert hiding(URL)("a" * 100_000) == "a" * SHOWN
    assert hiding(URL)(f"{'a' * (SHOWN - 20)}{SIGNATURE}") == f"{'a' * (SHOWN - 20)}..."


def test_a_customer_key_that_is_no_base64_is_masked_as_it_is() -> None:
    assert hiding("https://h/k", {"X-Customer-Key": "not base 64!"})("it is not base 64! at all") == "it is ... at all"


def test_characters_beyond_ascii_are_compared_by_their_bytes() -> None:
    hide = hiding("https://h/k?token=p%C3%A4ssw%C3%B6rter")
    assert hide("ünd pässwörter ünd p%c3%a4ssw%C3%B6rter") == "ünd ... ünd ..."


# --- by a server ------------------------------------------------------------------------------------------------------


def signature_of(seen: Seen) -> str:
    """As it came: in the query, or in a form's field."""
    text = f"{seen.target}\n{seen.body.decode('latin-1')}"
    for before in ("X-Amz-Signature=", 'name="x-amz-signature"\r\n\r\n'):
        if before in text:
            return text.partition(before)[2][:64]
    return SIGNATURE


def all_of(seen: Seen) -> str:
    return f"http://host{seen.target} {signature_of(seen)} " + " ".join(f"{name}: {value}" for name, value in seen.headers)


ECHOES: dict[str, Callable[[Seen], bytes]] = {
    "message": lambda seen: s3_error(403, "AccessDenied", escape(all_of(seen))),
    "message, encoded": lambda seen: s3_error(403, "AccessDenied", quote(all_of(seen), safe="")),
    "message, in JSON": lambda seen: s3_error(403, "SignatureDoesNotMatch", escape(json.dumps({"sent": all_of(seen)}))),
    "bare": lambda seen: s3_error(403, "SignatureDoesNotMatch", f"the signature you provided {signature_of(seen)} is wrong"),
    "code": lambda seen: s3_error(403, escape(all_of(seen)), "m"),
    "bare code": lambda seen: s3_error(403, signature_of(seen), "m"),
    "request id": lambda seen: answer(403, f"<Error><RequestId>{escape(all_of(seen))}</RequestId></Error>".encode()),
    "header": lambda seen: (
        s3_error(403, "AccessDenied", "m")
        .replace(b"the-request-id", b"")
        .replace(b"Content-Type", f"x-amz-request-id: {all_of(seen)}\r\nContent-Type".encode())
    ),
    "region": lambda seen: s3_error(301, "PermanentRedirect", "m", headers=[("x-amz-bucket-region", all_of(seen))]),
    "region of the document": lambda seen: answer(301, f"<Error><Region>{escape(all_of(seen))}</Region></Error>".encode()),
    "location": lambda seen: redirect(307, all_of(seen)),
    "another document": lambda seen: answer(200, f"<{signature_of(seen)}/>".encode()),
    "an error in a success": lambda seen: answer(200, f"<Error><Message>{escape(all_of(seen))}</Message></Error>".encode()),
    "a code in a success": lambda seen: answer(200, f"<Error><Code>{signature_of(seen)}</Code></Error>".encode()),
    "status line": lambda seen: f"HTTP/1.1 {all_of(seen)}\r\n\r\n".encode(),
    "reason": lambda seen: f"HTTP/1.1 403 {all_of(seen)}\r\nContent-Length: 0\r\n\r\n".encode(),
    "no HTTP": lambda seen: f"{signature_of(seen)} {all_of(seen)}\r\n\r\n".encode(),
    "header without colon": lambda seen: f"HTTP/1.1 200 OK\r\nX {signature_of(seen)}\r\n\r\n".encode(),
    "length": lambda seen: f"HTTP/1.1 200 OK\r\nContent-Length: {signature_of(seen)}\r\n\r\n".encode(),
    "chunk": lambda seen: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{all_of(seen)}\r\n".encode(),
    "date": lambda seen: s3_error(503, "SlowDown", "m", headers=[("Retry-After", all_of(seen)), ("Date", all_of(seen))]),
}


def items(signer: OfflineSigner, origin: str) -> list[Item]:
    place = S3Object("bucket", "key")
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
    end = datetime(2100, 1, 1, tzinfo=UTC)
    url = f"{origin}/bucket/key?X-Amz-Signature={SIGNATURE}&X-Amz-Security-Token={quote(TOKEN, safe='')}"
    fields = {
        "key": "k",
        "policy": b64encode(TOKEN.encode()).decode(),
        "x-amz-signature": SIGNATURE,
        "x-amz-security-token": TOKEN,
    }
    return [
        Download(place, params=customer),
        Upload(b"content", place, params=customer),
        Upload(b"content" * (1 << 20), place, params=customer),
        FormUpload(b"content", place),
        FormUpload(b"content", PresignedPost(f"{origin}/bucket", fields, end)),
        Download(url),
        Download(PresignedRequest("GET", url, {"X-Vault": TOKEN}, end)),
        Upload(b"content", f"{origin}/blob?sv=2024&sp=w&sig={SIGNATURE}"),
    ]


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
async def test_nothing_that_a_server_repeats_is_in_a_report(echo: Callable[[Seen], bytes]) -> None:
    texts: list[str] = []
    async with FaultServer(otherwise=Reply(of=echo, then=Then.CLOSE)) as server:
        signer = OfflineSigner(
            Credentials("AKIDEXAMPLE", "secret-secret", TOKEN), region="eu-central-1", endpoint_url=server.origin
        )
        async with Transfer(
            signer, retry=RetryPolicy(attempts=2), edge=World().edge(), part_size=5 << 20, multipart_threshold=5 << 20
        ) as moving:
            report = await moving.run(items(signer, server.origin), on_event=lambda event: texts.append(repr(event)))
            texts += [report.to_json(), repr(report)]
            errors = [result.error for result in report.failures]
            with pytest.raises(PresignError) as caught:
                async for _ in moving.list_objects("bucket"):
                    pass
            texts += [everything_about(error) for error in (*errors, caught.value) if error is not None]
        live = {signature_of(seen) for seen in server.seen}
    assert report.failed
    for text in texts:
        assert_clean(text, [*live, TOKEN, KEY, b64encode(KEY.encode()).decode()])


async def test_what_the_library_says_of_a_request_is_masked() -> None:
    """It quotes the URL that it cannot read."""
    transport = AiohttpTransport()
    try:
        with pytest.raises(InvalidRequest) as caught:
            async with transport.send(Request("GET", f"http://[::1/k?X-Amz-Signature={SIGNATURE}", {})):
                pass
    finally:
        await transport.aclose()
    assert_clean(everything_about(caught.value), [SIGNATURE])


# --- proxies ----------------------------------------------------------------------------------------------------------

MALFORMED = [
    "http://user:hunter2/hunter@proxy:3128",
    "http://user:hunter2#hunter@proxy:3128",
    "http://user:hunter2?hunter@proxy:3128",
    "http://user:hunter2hunter@proxy:port",
    "http://user:hunter2 hunter@proxy:3128",
    "http://user:hunter2hunter@",
    "http://user:hunter2hunter@[::1:3128",
    "http//user:hunter2hunter@proxy",
    "user:hunter2hunter@proxy:3128",
    "socks5://user:hunter2hunter@proxy:1080",
]


@pytest.mark.parametrize("proxy", MALFORMED)
async def test_a_malformed_proxy_is_refused_without_its_password(proxy: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AiohttpTransport(proxy=proxy)
    assert "proxy: expected a URL such as" in str(caught.value)
    assert_clean(everything_about(caught.value), ["hunter2"])


@pytest.mark.parametrize("proxy", MALFORMED)
async def test_the_environments_too(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with Transfer(trust_env=True) as moving:
        with pytest.raises(InvalidRequest) as caught:
            await moving.download("http://bucket.example.test/k")
    assert_clean(everything_about(caught.value), ["hunter2"])


async def test_a_proxys_password_is_masked_in_what_the_proxy_answers() -> None:
    reply = Reply(
        of=lambda seen: f"HTTP/1.1 407 {seen.header('Proxy-Authorization')} hunter2hunter\r\n\r\n".encode(), then=Then.CLOSE
    )
    async with FaultServer(otherwise=reply) as proxy:
        transport = AiohttpTransport(proxy=proxy.origin.replace("://", "://user:hunter2hunter@"))
        try:
            with pytest.raises(PresignError) as caught:
                async with transport.send(Request("GET", "https://bucket.example.test/k", {})):
                    pass
        finally:
            await transport.aclose()
    assert_clean(everything_about(caught.value), ["hunter2hunter", b64encode(b"user:hunter2hunter").decode()])
