"""Whatever atheris makes up, for what reads URLs, forms and error documents: `python -m scripts.fuzz_inspection -runs=100000`.

Arguments are libFuzzer's. An input is one letter for what is fuzzed, then its bytes. It is a finding when anything but
`InvalidRequest` comes out, or when something verifies that nobody signed: the fuzzer is given signed inputs to change, and
not the secret.
https://github.com/google/atheris
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import atheris

with atheris.instrument_imports(include=["asyncpresign"]):
    from asyncpresign import Credentials, InvalidRequest, Presigner, explain_url, inspect_url, verify_post, verify_url

NOW = datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
CREDENTIALS = Credentials("AKIDEXAMPLE", "a secret that the fuzzer does not know", "a/token+of=a session")
SIGNER = Presigner(CREDENTIALS, region="eu-central-1", clock=lambda: NOW)
GET = SIGNER.presign("get_object", {"Bucket": "bucket", "Key": "a key/ü", "VersionId": "v", "ResponseContentType": "a;b"})
PUT = SIGNER.presign("put_object", {"Bucket": "bucket", "Key": "k", "Metadata": {"a": "b"}})
FORM = SIGNER.presign_post(
    "bucket", "a/${filename}", fields={"Content-Type": "image/png"}, conditions=[["starts-with", "$Content-Type", "image/"]],
    content_length_range=(1, 10),
).fields  # fmt: skip
MISMATCH = (
    "<Error><Code>SignatureDoesNotMatch</Code><Region>r</Region><StringToSign>AWS4-HMAC-SHA256\nd\ns\nh</StringToSign>"
    "<CanonicalRequest>GET\n/a\nX-Amz-Date=d\nhost:h\nx-amz-meta-a:\n\nhost\nUNSIGNED-PAYLOAD</CanonicalRequest></Error>"
)


def says(url: str) -> Any:
    """What a server that decodes `url` is asked for, by `urllib.parse`."""
    parts = urlsplit(url)
    query = sorted(parse_qsl(parts.query, keep_blank_values=True, errors="surrogateescape"))
    return (
        parts.scheme,
        parts.hostname,
        parts.port or {"http": 80, "https": 443}[parts.scheme],
        unquote_to_bytes(parts.path),
        query,
    )


def fuzz_url(data: bytes) -> None:
    url = data.decode("utf-8", "replace")
    said = inspect_url(url)
    assert said.operation is None or said.operation in said.operations
    for request in (GET, PUT):
        if verify_url(url, CREDENTIALS, method=request.method, headers=request.headers, at=NOW):
            assert says(url) == says(request.url)


def fuzz_explanation(data: bytes) -> None:
    url, found, document = data.partition(b"\0")
    str(explain_url(url.decode("utf-8", "replace"), credentials=CREDENTIALS, error_xml=document if found else None))


def fuzz_error(data: bytes) -> None:
    str(explain_url(PUT.url, error_xml=data))


def fuzz_form(data: bytes) -> None:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = {**FORM, "key": data.decode("utf-8", "replace")}
    if verify_post(fields, CREDENTIALS, bucket="bucket", size=5, filename="a.png", at=NOW):
        assert {FORM["policy"], FORM["x-amz-signature"]} <= set(fields.values())


def fuzz_headers(data: bytes) -> None:
    """Lines of a request's head, as a server that keeps all of them decodes them."""
    pairs = [line.partition(":")[::2] for line in data.decode("utf-8", "surrogateescape").split("\n")]
    message = Message()
    for name, value in pairs:
        message[name] = value
    if verify_url(PUT.url, CREDENTIALS, method="PUT", headers=message, at=NOW, region="eu-central-1"):
        values = [value.strip(" \t") for name, value in pairs if name.lower() == "x-amz-meta-a"]
        assert values == ["b"]


def fuzz_policy(data: bytes) -> None:
    fields = {**FORM, "policy": data.decode("utf-8", "replace")}
    assert not verify_post(fields, CREDENTIALS, bucket="bucket", size=5, at=NOW) or fields == FORM


TARGETS = {"u": fuzz_url, "x": fuzz_explanation, "e": fuzz_error, "f": fuzz_form, "p": fuzz_policy, "h": fuzz_headers}
SEEDS = (
    f"u{GET.url}", f"u{PUT.url}", f"x{GET.url}", f"x{PUT.url}\0{MISMATCH}", f"e{MISMATCH}", f"f{json.dumps(dict(FORM))}",
    f"f{json.dumps({name.upper(): value for name, value in FORM.items()})}", f"p{FORM['policy']}", "fa/b.png",
    "hX-Amz-Meta-A: b\nHost: bucket.s3.eu-central-1.amazonaws.com\nAccept: a",
)  # fmt: skip


def one_input(data: bytes) -> None:
    if target := TARGETS.get(data[:1].decode("latin-1")):
        with suppress(InvalidRequest):
            target(data[1:])


def fuzz() -> None:
    """Ends the process, as libFuzzer does."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="asyncpresign-fuzz-") as folder:
        for number, seed in enumerate(SEEDS):
            Path(folder, str(number)).write_bytes(seed.encode())
        code = f"from {__spec__.name} import fuzz; fuzz()"
        arguments = [*sys.argv[1:], f"-artifact_prefix={folder}/", "-max_len=4096", folder]
        ended = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
        for path in Path(folder).glob("crash-*"):
            print(path.read_bytes())
        return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
