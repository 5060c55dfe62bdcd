"""How the time of every reader of foreign text grows: of each, the milliseconds for an input of so many characters, of twice as
many, four times as many, and how much longer twice as many take.

A reader that is linear has ratios near 2 (below, while the fixed cost shows), one that looks at what it has looked at before
near 4. What is capped stays level. Each figure is the best of three, in CPU time, so that other work on the machine shows
little.

    python -m benchmarks scaling [--least 16384] [--doublings 4] [--only redact]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from asyncpresign import Credentials, Presigner, explain_url, inspect_url, verify_url
from asyncpresign._redaction import hiding, redact
from asyncpresign._s3.documents import parse_error, parse_list_objects_v2
from asyncpresign._sigv4.comparison import Parts, compare_requests, mask
from asyncpresign._vendors import identity_query
from asyncpresign.errors import PresignError, nearest
from asyncpresign.transfer.decide import response_error, retry_after
from asyncpresign.transfer.integrity import offered
from asyncpresign.transfer.ranges import read_head

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CREDENTIALS = Credentials("AKIDEXAMPLE", "secretsecret")
URL = Presigner(CREDENTIALS, region="us-east-1", clock=lambda: NOW).presign("get_object", {"Bucket": "bucket", "Key": "k"}).url
HIDE = hiding(f"{URL}&X-Amz-Security-Token={'token%2F9' * 150}", {"Authorization": "Bearer abcdefghijkl"})

Make = Callable[[int], Any]


def times(piece: str) -> Make:
    return lambda size: (piece * (size // len(piece) + 1))[:size]


def within(before: str, piece: str, after: str) -> Make:
    return lambda size: f"{before}{times(piece)(size)}{after}".encode()


def _parts(make: Make) -> Make:
    """A canonical request with such a query."""
    return lambda size: Parts("GET", "/k", make(size), {"host": "h"}, "host", "UNSIGNED-PAYLOAD")


def _numbered(form: str) -> Make:
    return lambda size: "".join(form % number for number in range(size // len(form % 10000)))


def _with_query(form: str) -> Make:
    return lambda size: f"{URL}&{_numbered(form)(size)}"


def _verify(url: str) -> object:
    return verify_url(url, CREDENTIALS, method="GET", at=NOW)


def _headers(call: Callable[[dict[str, str]], object], *names: str) -> Callable[[str], object]:
    return lambda value: call(dict.fromkeys(names, value))


_ATTRIBUTE = " a%d=''"
_LISTING = "<ListBucketResult><Contents><Key>{}</Key><Size>1</Size></Contents></ListBucketResult>".partition("{}")
_KEY = (_LISTING[0], _LISTING[2])

# The reader, and by what inputs it is tried: all that has made one slow, and what the grammar it reads is made of.
READERS: dict[str, tuple[Callable[[Any], object], dict[str, Make]]] = {
    "redact": (
        redact,
        {piece: times(piece) for piece in ("a.", "-a", "a", "a://", "policy=", "a?=", "&a=", "?", "x: ", "%3d", "@", "a://a@")},
    ),
    "hide": (HIDE, {piece: times(piece) for piece in ("a", "%25", "\\", "&#x4", "token/9", "é", "a?=", "a: ")}),
    "response_error": (
        lambda text: response_error(403, {"x-amz-request-id": text, "date": text, "retry-after": text}, None, now=NOW),
        {piece: times(piece) for piece in ("a.", "9", "a?=")},
    ),
    "retry_after": (_headers(lambda given: retry_after(given, NOW), "retry-after"), {p: times(p) for p in ("9", " ", "Mon, ")}),
    "read_head": (
        _headers(lambda given: read_head(206, given), "content-length", "content-range", "etag"),
        {"9": times("9"), "range": lambda size: f"bytes {'9' * size}-9/9", '"': times('"')},
    ),
    "offered": (
        _headers(offered, "etag", "x-amz-checksum-sha256", "x-amz-checksum-crc32"),
        {"A": times("A"), "9-": times("9-"), "parts": lambda size: f"{'a' * 32}-{'9' * size}"},
    ),
    "parse_list_objects_v2": (
        parse_list_objects_v2,
        {
            "objects": within("<ListBucketResult>", "<Contents><Key>k</Key><Size>1</Size></Contents>", "</ListBucketResult>"),
            **{
                name: within("<ListBucketResult>", piece, "</ListBucketResult>")
                for name, piece in {
                    "mixed": "xx<a/>",
                    "elements": "<a/>",
                    "nesting": "<a>",
                    "comments": "<!--a-->",
                    "open comments": "\x01<!--",
                    "instructions": "<?a b?>",
                    "prefixes": "<a:b:c/>",
                }.items()
            },
            **{
                name: within(_KEY[0], piece, _KEY[1])
                for name, piece in {
                    "text": "k",
                    "entities": "&amp;",
                    "references": "&#x8;",
                    "open references": "&#x0",
                    "sections": "<![CDATA[k]]>",
                    "control characters": "\x08",
                }.items()
            },
            "attributes": lambda size: f"<ListBucketResult {_numbered(_ATTRIBUTE)(size)}/>".encode(),
            "names": lambda size: f"<ListBucketResult>{_numbered('<a%d/>')(size)}</ListBucketResult>".encode(),
            "one name": within("<ListBucketResult><", "a", "/></ListBucketResult>"),
            "one comment": within("<ListBucketResult><!--", "a", "--></ListBucketResult>"),
            "white space": within("", " ", "<ListBucketResult/>"),
            "digits": within("<ListBucketResult><Contents><Key>k</Key><Size>", "9", "</Size></Contents></ListBucketResult>"),
            "time": within(
                "<ListBucketResult><Contents><Key>k</Key><Size>1</Size><LastModified>",
                "2026-",
                "</LastModified></Contents></ListBucketResult>",
            ),
            "encoded": within(
                "<ListBucketResult><EncodingType>url</EncodingType><Contents><Size>1</Size><Key>",
                "%41+",
                "</Key></Contents></ListBucketResult>",
            ),
        },
    ),
    "parse_error": (
        parse_error,
        {"HTML": within("<html><head>", "<p>", ""), "message": within("<Error><Message>", "a.", "</Message></Error>")},
    ),
    "mask": (mask, {piece: times(piece) for piece in ("a", "-", "customer-key", "x-amz-signature=", "cookie:")}),
    "compare_requests": (
        lambda parts: compare_requests(parts, parts._replace(path="/other", query=f"{parts.query}&z=1")),
        {"parameters": _parts(_numbered("a%d=1&")), "one name": _parts(times("a=1&"))},
    ),
    "explain_url": (
        explain_url,
        {
            "path": lambda size: URL.replace("/k?", f"/{'a' * size}?"),
            "many characters": lambda size: URL.replace(
                "/k?", "/" + "".join(f"%E4%{128 + n // 64 % 64:X}%{128 + n % 64:X}" for n in range(size // 9)) + "?"
            ),
            "parameters": _with_query("a%d=1&"),
        },
    ),
    "inspect_url": (
        inspect_url,
        {"parameters": _with_query("a%d=1&"), "escapes": lambda size: URL.replace("/k?", f"/{'%41' * (size // 3)}?")},
    ),
    "verify_url": (
        _verify,
        {
            "parameters": _with_query("a%d=1&"),
            "signed headers": lambda size: URL.replace(
                "SignedHeaders=host", "SignedHeaders=" + _numbered("x-amz-a%d%%3B")(size) + "host"
            ),
        },
    ),
    "identity_query": (identity_query, {"parameters": _numbered("a%d=1&"), "&": times("&"), "%": times("%41=")}),
    "nearest": (lambda name: nearest(name, ["get_object", "put_object"]), {"a": times("a"), "get_object": times("get_object")}),
}


def milliseconds(call: Callable[[Any], object], given: Any) -> float:
    taken = []
    gc.collect()
    gc.disable()  # whose turns come when they like
    for _ in range(3):
        began = time.process_time()
        with suppress(PresignError):
            call(given)
        taken.append(time.process_time() - began)
    gc.enable()
    return min(taken) * 1000


def main(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks scaling")
    parser.add_argument("--least", type=int, default=16 * 1024, help="characters of the smallest input")
    parser.add_argument("--doublings", type=int, default=4)
    parser.add_argument("--only", help="one of the readers")
    options = parser.parse_args(arguments)
    sizes = [options.least << doubling for doubling in range(options.doublings + 1)]
    figures: dict[str, Any] = {}
    worst = {"ratio": 0.0, "of": ""}
    for reader, (call, inputs) in READERS.items():
        if options.only not in (None, reader):
            continue
        for name, make in inputs.items():
            taken = [milliseconds(call, make(size)) for size in sizes]
            # What takes no time tells nothing.
            last = taken[-1] / taken[-2] if taken[-1] >= 5 else 0.0
            figures[f"{reader}, {name}"] = {"ms": [round(one, 2) for one in taken], "last ratio": round(last, 2)}
            worst = max(worst, {"ratio": round(last, 2), "of": f"{reader}, {name}"}, key=lambda one: one["ratio"])
    return {"characters": sizes, "worst": worst, "readers": figures}
