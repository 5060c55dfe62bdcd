"""`verify_url` and `verify_post` are never laxer than the strictest of two real servers, and of Ceph where it is installed.

Every row is a request that its signer signed as it stands, so that only the reading of it decides: each is sent to the servers
byte for byte and given to the product. What a server refuses, the product refuses too; `LACKS` names the rows on which a
server lacks something of S3's. A seeded sample of requests that nobody thought of follows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import anyio
import pytest
from multidict import CIMultiDict, MultiDict

from asyncpresign import InvalidRequest, Presigner, Transfer, verify_post, verify_url
from asyncpresign._sigv4.presigned import read_url
from asyncpresign._sigv4.signing import CredentialScope, amz_date, signature, signing_key
from asyncpresign.testing import LocalS3

from .local_rgw import LocalRGW, is_installed, local_rgw

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FIXTURES = {"juicefs": "local_s3", "seaweedfs": "local_s3_seaweedfs", "ceph": "ceph"}
Pairs = list[tuple[str, str]]
CONTENT = b"hello"
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Place:
    """A bucket on one server, in which the object `x` is."""

    s3: LocalS3
    bucket: str

    @property
    def host(self) -> str:
        return urlsplit(self.s3.endpoint_url).netloc


async def make_place(s3: LocalS3) -> Place:
    place = Place(s3, f"parity-{secrets.token_hex(6)}")
    signer = Presigner(s3.credentials, region=s3.region, endpoint_url=s3.endpoint_url)
    async with Transfer() as moving:
        await moving.send(signer.presign("create_bucket", {"Bucket": place.bucket}))
        await moving.send(signer.presign("put_object", {"Bucket": place.bucket, "Key": "x"}), CONTENT)
        await moving.send(signer.presign("put_object", {"Bucket": place.bucket, "Key": "a/x"}), CONTENT)
    return place


@pytest.fixture(scope="module")
def ceph() -> Iterator[LocalRGW]:
    if not is_installed():
        pytest.skip("needs Ceph: apt-get install radosgw ceph-mon ceph-osd")
    with local_rgw() as started:
        yield started


@pytest.fixture(scope="module", params=FIXTURES.values(), ids=FIXTURES.keys())
def place(request: pytest.FixtureRequest) -> Place:
    return anyio.run(make_place, request.getfixturevalue(request.param))


def status(place: Place, method: str, target: str, headers: Pairs, body: bytes) -> int:
    """The status of the response to exactly this; 400 where the server hangs up."""
    head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    head += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    host, _, port = place.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode(errors="surrogateescape") + body)
        answer = connection.makefile("rb").readline().split()
    return int(answer[1]) if len(answer) > 1 else 400


# --- URLs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A request: what is signed for the method `method`, and what is sent beside."""

    method: str = "GET"
    sent_method: str = ""
    path: str = "/{bucket}/x"
    query: dict[str, str | None] = field(default_factory=dict)  # None leaves a parameter out
    more: str = ""  # pieces of the query, as they stand
    signed: str = "host"
    headers: Pairs = field(default_factory=list)
    host: str = "{host}"
    signed_host: str = ""
    scope: str = "{day}/{region}/s3/aws4_request"
    moment: timedelta = timedelta(0)
    change: Callable[[str], str] = str


def request(place: Place, asked: Asked) -> tuple[str, str, Pairs]:
    """Method, URL and headers. The signature is that of what the product reads, so what it reads wrongly would hold."""
    moment = datetime.now(UTC) + asked.moment
    scope = asked.scope.format(day=amz_date(moment)[:8], region=place.s3.region)
    query: dict[str, str | None] = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{place.s3.credentials.access_key_id}/{scope}",
        "X-Amz-Date": amz_date(moment),
        "X-Amz-Expires": "3600",
        "X-Amz-SignedHeaders": asked.signed,
        **asked.query,
    }
    pieces = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items() if value is not None]
    path = asked.path.format(bucket=place.bucket)
    url = f"{place.s3.endpoint_url}{path}?{'&'.join(pieces)}{asked.more}"
    sent = [("Host", asked.host.format(host=place.host)), *asked.headers]
    try:
        signed = read_url(url + "&X-Amz-Signature=0")
        hashed = {name.lower(): value for name, value in sent}
        hashed["host"] = asked.signed_host or hashed["host"]
        canonical = signed.canonical_request(asked.method, hashed).encode(errors="replace").decode()
        proof = signed.expected_signature(canonical, place.s3.credentials.secret_access_key)
    except ValueError:
        proof = "0" * 64
    return asked.sent_method or asked.method, asked.change(f"{url}&X-Amz-Signature={proof}"), sent


def url_verdicts(place: Place, asked: Asked) -> tuple[bool, int]:
    """Whether the product accepts the request, and the server's status."""
    method, url, headers = request(place, asked)
    try:
        ours = bool(verify_url(url, place.s3.credentials, method=method, headers=CIMultiDict(headers), region=place.s3.region))
    except InvalidRequest:
        ours = False
    target = url.removeprefix(place.s3.endpoint_url)
    return ours, status(place, method, target, headers, CONTENT if method == "PUT" else b"")


def put(*headers: tuple[str, str], signed: str = "host;x-amz-meta-a") -> Asked:
    return Asked("PUT", path="/{bucket}/put", signed=signed, headers=list(headers))


META = "x-amz-meta-a"
SHA256, HASH = "x-amz-content-sha256", hashlib.sha256(CONTENT).hexdigest()
URLS: dict[str, Asked] = {
    "as signed": Asked(),
    "header as signed": put((META, "b")),
    # A header twice.
    "signed header twice": put((META, "b"), (META, "c")),
    "signed header twice alike": put((META, "b"), (META, "b")),
    "signed header twice in two cases": put(("X-Amz-Meta-A", "b"), (META, "c")),
    "host twice": Asked(headers=[("Host", "{host}")]),
    "host twice in two cases": Asked(headers=[("host", "evil.example.com")]),
    "content type twice": put(("content-type", "a/b"), ("content-type", "c/d"), signed="content-type;host"),
    "unsigned header twice": Asked(headers=[("accept", "a/b"), ("accept", "c/d")]),
    # White space and bytes.
    **{
        f"white space {each!a}": put((META, f"b{each}c"))
        for each in " \x0b\x0c\x1c\x1d\x1e\x1f\x7f\x85\xa0\u1680\u2003\u2028\u3000"
    },
    **{f"white space {each!a} around": put((META, f"{each}b{each}")) for each in " \t\x0b\x1c\x85\xa0\u2003"},
    "spaces inside": put((META, "b    c")),
    "tab inside": put((META, "b\tc")),
    "empty": put((META, "")),
    "nothing but spaces": put((META, "   ")),
    "no UTF-8": put((META, "b\udcffc")),
    "replacement for no UTF-8": put((META, "b?c")),
    "letters": put((META, "bü€")),
    "unsigned control character": Asked(headers=[("user-agent", "a\x01b")]),
    "unsigned no UTF-8": Asked(headers=[("user-agent", "a\udcffb")]),
    "name that is none": Asked(headers=[("a b", "c")]),
    "name with letters": Asked(headers=[("ü", "c")]),
    "empty name": Asked(headers=[("", "c")]),
    # The list of signed headers.
    "host;host": Asked(signed="host;host"),
    "list unsorted": put((META, "b"), signed="x-amz-meta-a;host"),
    "list in capitals": Asked(signed="Host"),
    "list in mixed case": put((META, "b"), signed="host;X-Amz-Meta-A"),
    "list with an empty name": Asked(signed="host;"),
    "list with an empty name first": Asked(signed=";host"),
    "list with a space": Asked(signed="host; "),
    "list without host": put((META, "b"), signed=META),
    "empty list": Asked(signed=""),
    "list with a header that was not sent": Asked(signed="host;x-amz-meta-a"),
    "header of the list in the query": Asked(signed="host;x-amz-meta-a", more="&x-amz-meta-a=b"),
    "list with commas": put((META, "b"), signed="host,x-amz-meta-a"),
    # Two ways to authenticate.
    "authorization": Asked(headers=[("Authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0")]),
    "authorization of version 2": Asked(headers=[("Authorization", "AWS AKID:c2ln")]),
    "bearer": Asked(headers=[("Authorization", "Bearer abc")]),
    "authorization signed along": Asked(signed="authorization;host", headers=[("Authorization", "Bearer abc")]),
    "version 2 in the query": Asked(more="&AWSAccessKeyId=AKID&Signature=x&Expires=9999999999"),
    "its key id alone": Asked(more="&AWSAccessKeyId=AKID"),
    "its signature alone": Asked(more="&Signature=x"),
    # Scope.
    "service sts": Asked(scope="{day}/{region}/sts/aws4_request"),
    "service s3express": Asked(scope="{day}/{region}/s3express/aws4_request"),
    "service s3-outposts": Asked(scope="{day}/{region}/s3-outposts/aws4_request"),
    "service s3-object-lambda": Asked(scope="{day}/{region}/s3-object-lambda/aws4_request"),
    "service in capitals": Asked(scope="{day}/{region}/S3/aws4_request"),
    "region": Asked(scope="{day}/eu-west-9/s3/aws4_request"),
    "region in capitals": Asked(scope="{day}/US-EAST-1/s3/aws4_request"),
    "region *": Asked(scope="{day}/*/s3/aws4_request"),
    "day": Asked(scope="20200101/{region}/s3/aws4_request"),
    "day that is none": Asked(scope="20201399/{region}/s3/aws4_request"),
    "terminal": Asked(scope="{day}/{region}/s3/aws4_other"),
    # Method.
    "method in small letters": Asked("get"),
    "method nobody knows": Asked("BREW"),
    "HEAD with a GET's URL": Asked(sent_method="HEAD"),
    "OPTIONS": Asked("OPTIONS"),
    "PATCH": Asked("PATCH"),
    # Parameters that authenticate.
    **{
        f"{name} twice": Asked(more=f"&{name}={value}")
        for name, value in (
            ("X-Amz-Expires", "604800"),
            ("X-Amz-Date", "20200101T000000Z"),
            ("X-Amz-SignedHeaders", "host"),
            ("X-Amz-Signature", "0"),
            ("X-Amz-Algorithm", "x"),
            ("X-Amz-Credential", "x"),
        )
    },
    **{
        f"{name} in small letters too": Asked(more=f"&{name.lower()}={value}")
        for name, value in (
            ("X-Amz-Expires", "604800"),
            ("X-Amz-Date", "20200101T000000Z"),
            ("X-Amz-Signature", "0"),
            ("X-Amz-Security-Token", "t"),
        )
    },
    "X-Amz-Expires in small letters only": Asked(query={"X-Amz-Expires": None, "x-amz-expires": "3600"}),
    **{
        f"life {value}": Asked(query={"X-Amz-Expires": value})
        for value in (
            "0",
            "1",
            "060",
            "+60",
            " 60",
            "60 ",
            "-1",
            "-0",
            "1.5",
            "1e3",
            "0x10",
            "604800",
            "604801",
            "9999999999",
            "99999999999999999999",
            "\u0663\u0660",
            "6_0",
            "",
        )
    },
    **{
        f"date {value}": Asked(query={"X-Amz-Date": value})
        for value in (
            "20260101T000000z",
            "20260101t000000Z",
            "2026-01-01T00:00:00Z",
            "20260101T000060Z",
            "20260101T240000Z",
            "20260101",
            "",
        )
    },
    "algorithm": Asked(query={"X-Amz-Algorithm": "AWS4-HMAC-SHA1"}),
    "algorithm in small letters": Asked(query={"X-Amz-Algorithm": "aws4-hmac-sha256"}),
    "dated ahead a little": Asked(moment=timedelta(minutes=10)),
    "dated ahead": Asked(moment=timedelta(minutes=20)),
    "ended": Asked(moment=-2 * HOUR),
    "token of nobody": Asked(query={"X-Amz-Security-Token": "t"}),
    "empty token": Asked(query={"X-Amz-Security-Token": ""}),
    "token of a session": Asked(query={"X-Amz-S3session-Token": "t"}),
    "token as a header": Asked(signed="host;x-amz-security-token", headers=[("x-amz-security-token", "t")]),
    "date as a header": Asked(signed="host;x-amz-date", headers=[("x-amz-date", "20200101T000000Z")]),
    # Payload.
    **{
        f"payload hash in a header {value[:9]}": put(
            (META, "b"), ("x-amz-content-sha256", value), signed="host;x-amz-content-sha256;x-amz-meta-a"
        )
        for value in (
            "UNSIGNED-PAYLOAD",
            HASH,
            HASH.upper(),
            "0" * 64,
            "",
            "unsigned-payload",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        )
    },
    **{
        f"payload hash in the query {value[:9]}": Asked("PUT", path="/{bucket}/put", query={name: value})
        for name in ("X-Amz-Content-Sha256", "x-amz-content-sha256")
        for value in ("UNSIGNED-PAYLOAD", HASH, HASH.upper(), "0" * 64, "")
    },
    "payload hash in both": Asked(
        "PUT", path="/{bucket}/put", query={"X-Amz-Content-Sha256": HASH}, signed=f"host;{SHA256}", headers=[(SHA256, HASH)]
    ),
    "another payload hash in the header": Asked(
        "PUT", path="/{bucket}/put", query={"X-Amz-Content-Sha256": HASH}, signed=f"host;{SHA256}", headers=[(SHA256, "0" * 64)]
    ),
    "payload hash in an unsigned header": put((META, "b"), (SHA256, HASH)),
    # Query.
    "parameter twice": Asked(more="&a=1&a=2"),
    "parameter twice unsorted": Asked(more="&a=2&a=1"),
    "parameter twice, sorted otherwise when encoded": Asked(more="&a=%E2%80%83&a=b"),
    "parameter in two cases": Asked(more="&X-Amz-Acl=a&x-amz-acl=b"),
    "semicolon": Asked(more="&a=b;c"),
    "semicolon encoded": Asked(more="&a=b%3Bc"),
    "names that sort otherwise when encoded": Asked(more="&z=1&%C3%A9=2"),
    "names that sort alike": Asked(more="&a=1&%C3%A9=2"),
    "plus": Asked(more="&a=b+c"),
    "space": Asked(more="&a=b%20c"),
    "encoded plus": Asked(more="&a=b%2Bc"),
    "plus in a name": Asked(more="&a+b=c"),
    "empty value": Asked(more="&a="),
    "no value": Asked(more="&a"),
    "empty name of a parameter": Asked(more="&=a"),
    "empty pieces": Asked(more="&&&"),
    "encoded name": Asked(change=lambda url: url.replace("X-Amz-Signature", "X%2DAmz%2DSignature")),
    "lower hex": Asked(change=lambda url: url.replace("%2F", "%2f")),
    "no UTF-8 in the query": Asked(more="&a=%FF"),
    "NUL in the query": Asked(more="&a=%00"),
    "replacement character in the query": Asked(more="&a=%EF%BF%BD"),
    "bad escape": Asked(more="&a=%zz"),
    "letters in the query": Asked(more="&a=%C3%BC%E2%82%AC"),
    "quotes": Asked(more="&a='()*!~"),
    "equals signs": Asked(more="&a=b=c"),
    "question marks": Asked(more="&a=b?c"),
    "brackets": Asked(more="&a[b]={c}|^`"),
    "fragment": Asked(change=lambda url: url + "#fragment"),
    "fragment that was signed": Asked(more="#fragment"),
    "STS action": Asked(more="&Action=AssumeRole&Version=2011-06-15"),
    # Path.
    "encoded letter": Asked(path="/{bucket}/%78"),
    "encoded slash after the bucket": Asked(path="/{bucket}%2Fx"),
    "encoded slash in the key": Asked(path="/{bucket}/a%2Fx"),
    "encoded first slash": Asked(path="/%2F{bucket}/x"),
    "two slashes": Asked(path="/{bucket}//x"),
    "dot": Asked(path="/{bucket}/./x"),
    "encoded dots": Asked(path="/{bucket}/%2E%2E/x"),
    "NUL in the path": Asked(path="/{bucket}/a%00"),
    "semicolon in the path": Asked(path="/{bucket}/x;a"),
    "plus in the path": Asked(path="/{bucket}/a+x"),
    # Host.
    "host in capitals": Asked(host="LOCALHOST:1"),
    "host in capitals, signed in small letters": Asked(host="LOCALHOST:1", signed_host="localhost:1"),
    "host of somebody else": Asked(host="example.com"),
    "host with a dot at its end": Asked(host="127.0.0.1.:9000"),
    "host with a default port": Asked(host="example.com:80"),
    "host with the other default port": Asked(host="example.com:443"),
    "empty host": Asked(host=""),
    "host with a space": Asked(host="a b"),
    "host with a slash": Asked(host="a/b"),
    "host with a user": Asked(host="user@example.com"),
}

# (server, why the product accepts what it refuses) -> rows.
LACKS: dict[tuple[str, str], set[str]] = {
    ("juicefs", "there are no such keys"): {"dot", "encoded dots"},
    ("juicefs", "the body has another hash, which no URL says"): {"payload hash in a header 000000000"},
    ("ceph", "the body has another hash, which no URL says"): {"payload hash in a header 000000000"},
    ("ceph", "there is no such key"): {"NUL in the path"},
    ("ceph", "it sorts no values, and does not decode names, before it compares signatures"): {
        "parameter twice",
        "encoded name",
    },
    ("seaweedfs", "a hash of the body counts in the query only"): {
        "payload hash in a header 000000000",
        f"payload hash in a header {HASH[:9]}",
    },
    ("seaweedfs", "there are no such keys"): {"dot", "encoded dots", "NUL in the path", "key with a dot segment"},
}


def is_refusal(code: int) -> bool:
    """A signature is looked at before the object, which need not be there; 5xx is the server's own failure."""
    return 400 <= code < 500 and code != 404


def lacking(place: Place) -> set[str]:
    return set[str]().union(*(rows for (server, _), rows in LACKS.items() if server == place.s3.server))


def test_what_a_server_refuses_of_a_url_the_product_refuses(place: Place) -> None:
    found = {name: url_verdicts(place, asked) for name, asked in URLS.items()}
    laxer = {name: code for name, (ours, code) in found.items() if ours and is_refusal(code)}
    assert {name: code for name, code in laxer.items() if name not in lacking(place)} == {}
    assert lacking(place) & URLS.keys() <= laxer.keys()
    assert sum(ours for ours, _ in found.values()) > 20


# --- forms ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Posted:
    """A form: `policy` makes the policy's text out of an expiration and conditions, `change` works on the signed fields."""

    conditions: Pairs = field(default_factory=list)  # exact ones, beside the form's own; the fields are in the form
    more: tuple[str, ...] = ()  # conditions in JSON
    expiration: str = "{end:%Y-%m-%dT%H:%M:%SZ}"
    policy: str = '{{"expiration": "{expiration}", "conditions": [{conditions}]}}'
    encode: Callable[[str], str] = lambda text: base64.b64encode(text.encode(errors="surrogateescape")).decode()
    fields: Pairs = field(default_factory=list)
    key: str = "up/a"
    filename: str = "f.txt"
    scope: str = "{day}/{region}/s3/aws4_request"
    change: Callable[[Pairs], Pairs] = list


def form(place: Place, posted: Posted) -> Pairs:
    now = datetime.now(UTC)
    named = posted.scope.format(day=amz_date(now)[:8], region=place.s3.region)
    proof = [
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", f"{place.s3.credentials.access_key_id}/{named}"),
        ("x-amz-date", amz_date(now)),
    ]
    own = ['["starts-with", "$key", "up/"]', *(json.dumps({name: value}) for name, value in [("bucket", place.bucket), *proof])]
    stated = ", ".join([*own, *(json.dumps({name: value}) for name, value in posted.conditions), *posted.more])
    end = posted.expiration.format(end=now + HOUR)
    policy = posted.encode(posted.policy.format(expiration=end, conditions=stated, bucket=place.bucket))
    scope = CredentialScope(*named.split("/")[:3])
    try:
        made = signature(signing_key(place.s3.credentials.secret_access_key, scope), policy)
    except UnicodeEncodeError:
        made = "0"
    fields = [("key", posted.key), *posted.conditions, *posted.fields, *proof, ("policy", policy), ("x-amz-signature", made)]
    return posted.change(fields)


def form_verdicts(place: Place, posted: Posted) -> tuple[bool, int]:
    fields = form(place, posted)
    try:
        ours = bool(
            verify_post(
                MultiDict(fields),
                place.s3.credentials,
                bucket=place.bucket,
                size=len(CONTENT),
                filename=posted.filename,
                region=place.s3.region,
            )
        )
    except InvalidRequest:
        ours = False
    boundary = secrets.token_hex(12)
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{posted.filename}"\r\n\r\n')
    body = "".join(parts).encode(errors="surrogateescape") + CONTENT + f"\r\n--{boundary}--\r\n".encode()
    headers = [("Host", place.host), ("Content-Type", f"multipart/form-data; boundary={boundary}")]
    return ours, status(place, "POST", f"/{place.bucket}", headers, body)


def added(name: str, value: str, *, first: bool = False) -> Posted:
    return Posted(change=lambda fields: [(name, value), *fields] if first else [*fields, (name, value)])


def changed(**values: str) -> Posted:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return Posted(change=lambda fields: [(name, named.get(name, value)) for name, value in fields])


def recoded(change: Callable[[str], str]) -> Posted:
    return Posted(encode=lambda text: change(base64.b64encode(text.encode()).decode()))


ACL = ("acl", "private")
PAST = "2001-01-01T00:00:00Z"
FORMS: dict[str, Posted] = {
    "form as signed": Posted(),
    "condition as signed": Posted([ACL]),
    # A field twice.
    **{
        f"{name} twice {'first' if first else 'last'}": added(name, value, first=first)
        for first in (True, False)
        for name, value in (
            ("key", "evil/a"),
            ("Key", "evil/a"),
            ("KEY", "up/b"),
            ("policy", "e30="),
            ("Policy", "e30="),
            ("x-amz-signature", "0"),
            ("X-Amz-Date", "20200101T000000Z"),
            ("x-amz-credential", "a/20200101/b/s3/aws4_request"),
        )
    },
    "acl twice": Posted([ACL], change=lambda fields: [("acl", "public-read"), *fields]),
    "key with a Kelvin sign": Posted(
        change=lambda fields: [("\u212aey" if name == "key" else name, value) for name, value in fields]
    ),
    "key with a Kelvin sign too": added("\u212aey", "evil/a"),
    "condition with a Kelvin sign": Posted(more=('["starts-with", "$\u212aey", "up/"]',)),
    # The policy's JSON.
    "expiration twice, past first": Posted(
        policy='{{"expiration": "' + PAST + '", "expiration": "{expiration}", "conditions": [{conditions}]}}'
    ),
    "expiration twice, past last": Posted(
        policy='{{"expiration": "{expiration}", "expiration": "' + PAST + '", "conditions": [{conditions}]}}'
    ),
    "conditions twice": Posted(
        policy='{{"expiration": "{expiration}", "conditions": [{{"bucket": "other"}}], "conditions": [{conditions}]}}'
    ),
    "condition's field twice": Posted(more=('{"acl": "private", "acl": "public-read"}',), fields=[("acl", "public-read")]),
    "condition's field twice alike": Posted(more=('{"acl": "private", "acl": "private"}',), fields=[ACL]),
    "another member": Posted(policy='{{"version": 1, "expiration": "{expiration}", "conditions": [{conditions}]}}'),
    "members in capitals": Posted(policy='{{"Expiration": "{expiration}", "Conditions": [{conditions}]}}'),
    "members in capitals too": Posted(
        policy='{{"expiration": "{expiration}", "conditions": [{conditions}], "Conditions": [{{"bucket": "other"}}]}}'
    ),
    "something behind": Posted(policy='{{"expiration": "{expiration}", "conditions": [{conditions}]}} x'),
    "another document behind": Posted(policy='{{"expiration": "{expiration}", "conditions": [{conditions}]}}{{}}'),
    "white space around": Posted(policy=' \t\r\n{{"expiration": "{expiration}", "conditions": [{conditions}]}} \n'),
    "white space of Unicode around": Posted(policy='\u00a0{{"expiration": "{expiration}", "conditions": [{conditions}]}}'),
    "byte order mark": Posted(policy='\ufeff{{"expiration": "{expiration}", "conditions": [{conditions}]}}'),
    "comma too many": Posted(policy='{{"expiration": "{expiration}", "conditions": [{conditions},]}}'),
    "comment": Posted(policy='{{"expiration": "{expiration}", /* */ "conditions": [{conditions}]}}'),
    "single quotes": Posted(policy="{{'expiration': '{expiration}', \"conditions\": [{conditions}]}}"),
    "nothing but null": Posted(policy="null"),
    "no UTF-8 in the policy": Posted(more=('{"x-amz-meta-a": "\udcff"}',), fields=[(META, "\udcff")]),
    "surrogate in the policy": Posted(more=('{"x-amz-meta-a": "\\udcff"}',), fields=[(META, "\udcff")]),
    "surrogate in the policy, replacement sent": Posted(more=('{"x-amz-meta-a": "\\udcff"}',), fields=[(META, "\ufffd")]),
    "control character in the policy": Posted(more=('{"x-amz-meta-a": "b\tc"}',), fields=[(META, "b\tc")]),
    "escaped letters": Posted(more=('{"\\u0061cl": "private"}',), fields=[ACL]),
    **{
        f"size {text}": Posted(more=(f'["content-length-range", {text}]',))
        for text in (
            "0, 10",
            "5, 5",
            "0, 4",
            "6, 9",
            "10, 0",
            "0, NaN",
            "0, Infinity",
            "-Infinity, 10",
            "0, 1e1",
            "0, 10.0",
            "0, 10.5",
            "-5, 10",
            "-0, 10",
            "0, 1" + "0" * 30,
            '"0", "10"',
            '"0", "4"',
            '"0", 10',
            '"", "10"',
            '"0", "1e1"',
            '"-0", "10"',
            '"+0", "10"',
            '" 0", "10"',
            '"0", "10.0"',
            '"00", "010"',
            '"0", "1' + "0" * 30 + '"',
            "false, true",
            "0, null",
            "0",
            "0, 10, 20",
            "00, 10",
            "0x0, 10",
        )
    },
    **{
        f"condition {text}": Posted(more=(text,), fields=[ACL])
        for text in (
            "null",
            "5",
            '"acl"',
            "[]",
            "{}",
            '["eq", "$acl"]',
            '["eq", "acl", "private"]',
            '["eq", "$acl", "private", "x"]',
            '["EQ", "$acl", "private"]',
            '["Eq", "$acl", "private"]',
            '["starts-With", "$acl", "pr"]',
            '["STARTS-WITH", "$acl", "pu"]',
            '["\u017ftarts-with", "$acl", "pr"]',
            '["Content-LENGTH-Range", 0, 10]',
            '["CONTENT-LENGTH-RANGE", 0, 4]',
            '["eq ", "$acl", "private"]',
            '["eq", "$ACL", "private"]',
            '["eq", "$acl ", "private"]',
            '["eq", "$acl", 5]',
            '["eq", "$acl", null]',
            '["eq", "$acl", ["private"]]',
            '{"acl": 5}',
            '{"acl": null}',
            '{"acl": true}',
            '{"acl": ["private"]}',
            '{"acl": {"a": "b"}}',
            '{"acl": "private", "x-amz-meta-a": "b"}',
            '["eq", "$", "private"]',
            '["starts-with", "$acl", "Pr"]',
            '["eq", "$acl", "Private"]',
            '["ends-with", "$acl", "e"]',
            '[["eq", "$acl", "private"]]',
        )
    },
    "number for a text": Posted(more=('{"x-amz-meta-a": 5}',), fields=[(META, "5")]),
    "a thousand levels": Posted(more=("[" * 1000 + "]" * 1000,)),
    # The expiration.
    **{
        f"expiration {text}": Posted(expiration=text)
        for text in (
            "{end:%Y-%m-%dT%H:%M:%S}.000Z",
            "{end:%Y-%m-%dT%H:%M:%S}.123456Z",
            "{end:%Y-%m-%dT%H:%M:%S}.1Z",
            "{end:%Y-%m-%dT%H:%M:%S},5Z",
            "{end:%Y-%m-%dT%H:%M:%S}",
            "{end:%Y-%m-%dT%H:%M:%S}z",
            "{end:%Y-%m-%dt%H:%M:%S}Z",
            "{end:%Y-%m-%d %H:%M:%S}Z",
            "{end:%Y-%m-%dT%H:%M}Z",
            "{end:%Y-%m-%dT%H:%M:%S}+00:00",
            "{end:%Y-%m-%dT%H:%M:%S}-08:00",
            "{end:%Y-%m-%dT%H:%M:%S}+0000",
            "{end:%Y%m%dT%H%M%S}Z",
            "{end:%G-W%V-%uT%H:%M:%S}Z",
            "{end:%Y-%jT%H:%M:%S}Z",
            "{end:%Y-%m-%d}",
            "{end:%Y-%m-%d}T24:00:00Z",
            "{end:%Y-%m-%dT%H:%M}:60Z",
            " {end:%Y-%m-%dT%H:%M:%S}Z",
            "{end:%Y-%m-%dT%H:%M:%S}Z ",
            "9999-12-31T23:59:59Z",
            "10000-01-01T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2999-02-30T00:00:00Z",
            "2999-1-1T0:0:0Z",
            "\u0662\u0669\u0669\u0669-01-01T00:00:00Z",
            "",
            PAST,
        )
    },
    "expiration that is a number": Posted(policy='{{"expiration": 99999999999, "conditions": [{conditions}]}}'),
    "expiration that is null": Posted(policy='{{"expiration": null, "conditions": [{conditions}]}}'),
    # The policy's base64.
    "line breaks": recoded(lambda text: text[:40] + "\r\n" + text[40:]),
    "space": recoded(lambda text: text[:40] + " " + text[40:]),
    "space behind": recoded(lambda text: text + " "),
    "no padding": Posted(
        encode=lambda text: base64.b64encode((text + " " * (-len(text) % 3 + 1)).encode()).decode().rstrip("=")
    ),
    "padding too long": recoded(lambda text: text + "="),
    "letters of URLs": Posted(
        encode=lambda text: base64.urlsafe_b64encode((text + " " * (-len(text) % 3)).encode()).decode(),
        more=('{"x-amz-meta-a": "???>>>~~~"}',),
        fields=[(META, "???>>>~~~")],
    ),
    "bits behind the last byte": Posted(
        encode=lambda text: (lambda coded: coded[:-3] + chr(ord(coded[-3]) + 1) + "==")(
            base64.b64encode((text + " " * ((1 - len(text)) % 3)).encode()).decode()
        )
    ),
    # What proves.
    "signature in capitals": Posted(
        change=lambda fields: [(name, value.upper() if name == "x-amz-signature" else value) for name, value in fields]
    ),
    "signature with a space": Posted(
        change=lambda fields: [(name, value + " " if name == "x-amz-signature" else value) for name, value in fields]
    ),
    "algorithm of the form": changed(x_amz_algorithm="AWS4-HMAC-SHA1"),
    "date of the form": changed(x_amz_date="20200101T000000Z"),
    "version 2 too": Posted([], fields=[("AWSAccessKeyId", "AKID"), ("Signature", "x")]),
    "signature of version 2": Posted(fields=[("Signature", "x")]),
    "signature of version 2 in small letters": Posted(fields=[("signature", "x")]),
    "key id of version 2": Posted(fields=[("AWSAccessKeyId", "AKID")]),
    "form for sts": Posted(scope="{day}/{region}/sts/aws4_request"),
    "form for s3express": Posted(scope="{day}/{region}/s3express/aws4_request"),
    "form for another region": Posted(scope="{day}/eu-west-9/s3/aws4_request"),
    "form for another day": Posted(scope="20200101/{region}/s3/aws4_request"),
    "token of nobody in the form": Posted([("x-amz-security-token", "t")]),
    # Fields.
    "no condition for acl": Posted(fields=[ACL]),
    "no condition for metadata": Posted(fields=[(META, "b")]),
    "another bucket as a field": Posted(fields=[("bucket", "other")]),
    "empty key": Posted(key=""),
    "key of 1024 bytes": Posted(key="up/" + "a/" * 510 + "a"),
    "key of 1025 bytes": Posted(key="up/" + "a/" * 511),
    "key that is no UTF-8": Posted(key="up/\udcff"),
    "key with a dot segment": Posted(key="up/../evil"),
    "key with NUL": Posted(key="up/\0"),
    **{
        f"key with {letters!a}": Posted(key=f"up/{letters}a")
        for letters in ("\n", "\r", "\r\n", "\x01", "\x1b", "\x7f", "\x85")
    },
    **{f"key that ends in {letters!a}": Posted(key=f"up/a{letters}") for letters in ("\n", "\r\n", "\t", " ", "\x1f")},
    "key of another folder": Posted(key="evil/a"),
    "key with a space": Posted(key=" up/a"),
    "file's name": Posted(key="up/${filename}"),
    "file's name with folders": Posted(key="up/${filename}", filename="../../x"),
    "file's name as a folder": Posted(key="${filename}/x", filename="up"),
    "type of a list": Posted(
        more=('["starts-with", "$Content-Type", "image/"]',), fields=[("Content-Type", "text/html,image/png")]
    ),
    "metadata that is no UTF-8": Posted(more=('["starts-with", "$x-amz-meta-a", ""]',), fields=[(META, "\udcff")]),
    "metadata with a control character": Posted(more=('["starts-with", "$x-amz-meta-a", ""]',), fields=[(META, "b\x01")]),
}


# Of a form's rows those that RGW 16 outlives: deeper JSON and other odd policies end its process.
CEPH_FORMS = re.compile(
    r"""form as .*|size "?[0-6]"?, .*|condition \["(?i:eq|starts-with|content-length-range)".*|key with '.*"""
)


def rows_for(place: Place) -> dict[str, Posted]:
    outlived = [name for name in FORMS if place.s3.server != "ceph" or CEPH_FORMS.fullmatch(name)]
    return {name: FORMS[name] for name in outlived}


def test_what_a_server_refuses_of_a_form_the_product_refuses(place: Place) -> None:
    found = {name: form_verdicts(place, posted) for name, posted in rows_for(place).items()}
    laxer = {name: code for name, (ours, code) in found.items() if ours and is_refusal(code)}
    assert {name: code for name, code in laxer.items() if name not in lacking(place)} == {}
    assert lacking(place) & FORMS.keys() <= laxer.keys()
    assert sum(ours for ours, _ in found.values()) > 10


# --- what nobody thought of -------------------------------------------------------------------------------------------

SAMPLE = 150
ODD = [
    "a",
    "b",
    "B",
    " ",
    "  ",
    "\t",
    "\x0b",
    "\x85",
    "\xa0",
    "\u2003",
    "ü",
    "\udcff",
    "?",
    ";",
    ",",
    "/",
    "%",
    "+",
    "=",
    "&",
    "#",
    "\\",
    '"',
    "$",
    "{",
    "[",
    "0",
    "é",
    "\u212a",
    "*",
]
NAMES = ["host", META, "x-amz-meta-b", "X-Amz-Meta-A", "content-type", "accept", "", "a b", "date", "x-amz-date"]
PARAMETERS = [
    "a",
    "A",
    "z",
    "é",
    "a b",
    "a-b",
    "a!",
    "x-amz-acl",
    "X-Amz-Meta-A",
    "x-id",
    "Signature",
    "X-Amz-Content-Sha256",
    "response-content-type",
    "AWSAccessKeyId",
    "",
]


def odd(choice: random.Random) -> str:
    return "".join(choice.choice(ODD) for _ in range(choice.randrange(4)))


def urls(seed: int) -> Iterator[Asked]:
    """Requests with odd headers, lists of signed headers and queries, all of them signed as the product reads them."""
    choice = random.Random(seed)
    while True:
        sent = [(name, odd(choice)) for name in choice.choices(NAMES, k=choice.randrange(4)) if name != "host"]
        listed = [name.lower() for name, _ in sent if choice.random() < 0.8] + ["host"]
        if choice.random() < 0.7:
            listed = sorted(set(listed))
        named = [quote(name, safe=choice.choice(["", ";!"])) for name in choice.choices(PARAMETERS, k=choice.randrange(4))]
        safe = choice.choice(["", "+;/?"])
        quoted = [f"&{name}={quote(odd(choice), safe=safe, errors='surrogateescape')}" for name in named]
        yield Asked(
            method=choice.choice(["GET", "GET", "GET", "PUT", "HEAD"]),
            path="/{bucket}/put" + choice.choice(["", "%2B", "+", "%20a", "(a)", "%C3%BC", "%25"]),
            more="".join(quoted),
            signed=";".join(listed),
            headers=sent,
        )


def forms(seed: int) -> Iterator[Posted]:
    """Forms whose policy has one odd thing somewhere, and odd fields."""
    choice = random.Random(seed)
    while True:
        text = '{"expiration": "<end>", "conditions": [<own>, ["eq", "$x-amz-meta-a", "b"], ["content-length-range", 0, 10]]}'
        for _ in range(choice.randrange(3)):
            at = choice.randrange(len(text))
            text = (
                text[:at] + choice.choice([odd(choice), text[at] * 2, text[at].swapcase()]) + text[at + choice.randrange(2) :]
            )
        policy = text.replace("{", "{{").replace("}", "}}").replace("<end>", "{expiration}").replace("<own>", "{conditions}")
        fields = [(META, choice.choice(["b", "b", "b", odd(choice)]))]
        fields += (
            [(choice.choice(["acl", "x-ignore-a", "Content-Type", "tagging", "file ", "x-amz-meta-b", ""]), odd(choice))]
            if choice.random() < 0.3
            else []
        )
        yield Posted(policy=policy, fields=fields, key="up/k" + odd(choice).replace("/", ""))


@pytest.mark.parametrize("place", ["local_s3", "local_s3_seaweedfs"], indirect=True, scope="module")
def test_what_a_server_refuses_of_odd_requests_the_product_refuses(place: Place) -> None:
    found: list[tuple[bool, int, object]] = []
    for _, asked in zip(range(SAMPLE), urls(5), strict=False):
        found.append((*url_verdicts(place, asked), asked))
    for _, posted in zip(range(SAMPLE), forms(5), strict=False):
        found.append((*form_verdicts(place, posted), posted))
    assert [(code, what) for ours, code, what in found if ours and is_refusal(code)] == []
    assert sum(ours for ours, _, _ in found) > 50
