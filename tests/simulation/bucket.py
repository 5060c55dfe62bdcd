"""S3 in memory: versions, uploads in parts, conditions, listings, forms; and a plain host that takes PUTs by query.

It answers a whole request at once and knows nothing of connections. Every version that was ever there is kept with the time
at which it came and went, so that what a client says it received can be checked against it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.etree.ElementTree import fromstring
from xml.sax.saxutils import escape

PAGE = 7
"""Keys, parts or uploads of one page of a listing: few, so that listings have several."""


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the server read it; names of headers are in lower case."""

    host: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str]
    path: str
    operation: str


def _operation(method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """What a request asks for, in a word."""
    if method == "GET" and "list-type" in query:
        return "listing"
    if "uploads" in query:
        return "create" if method == "POST" else "uploads"
    if "uploadId" in query:
        return {"PUT": "part", "POST": "complete", "DELETE": "abort", "GET": "parts"}.get(method, "other")
    if method == "GET":
        return "range" if "range" in headers else "get"
    return {"PUT": "put", "POST": "form", "HEAD": "head"}.get(method, "other")


def request_of(host: str, head: bytes, body: bytes = b"") -> Request:
    """Raises `ValueError` for what is no request."""
    line, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = line.split(" ")
    if version != "HTTP/1.1" or not re.fullmatch("[A-Z]{3,7}", method) or not target.startswith("/"):
        raise ValueError("not a request line")
    headers = {}
    for each in lines:
        name, colon, value = each.partition(":")
        if not colon:
            raise ValueError("not a header")
        headers[name.strip().lower()] = value.strip()
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(host, method, target, headers, body, query, unquote(parts.path), _operation(method, query, headers))


@dataclass(slots=True)
class Response:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    # A response to HEAD, whose Content-Length is not its body's.
    length: int | None = None

    def encoded(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Words", *(f"{name}: {value}" for name, value in self.headers.items())]
        if self.status != 204:
            lines.append(f"Content-Length: {len(self.body) if self.length is None else self.length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def error(status: int, code: str, message: str = "", **headers: str) -> Response:
    document = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>request-id</RequestId></Error>"
    return Response(status, document.encode(), {"Content-Type": "application/xml", "x-amz-request-id": "r", **headers})


@dataclass(slots=True)
class Version:
    data: bytes
    etag: str
    since: float
    until: float = float("inf")


@dataclass(slots=True)
class Upload:
    key: str
    initiated: datetime
    parts: dict[int, bytes] = field(default_factory=dict)


class Bucket:
    """The objects of all hosts: by key, for S3; by target, for the plain host."""

    def __init__(self) -> None:
        self.versions: dict[str, list[Version]] = {}
        self.uploads: dict[str, Upload] = {}
        self.now = 0.0
        self.wall = datetime.min.replace(tzinfo=UTC)
        self.begun = 0
        # Keys that are served without an ETag, as some servers do.
        self.bare: set[str] = set()

    def current(self, key: str) -> Version | None:
        found = self.versions.get(key)
        return found[-1] if found and found[-1].until == float("inf") else None

    def store(self, key: str, data: bytes, etag: str | None = None) -> Version:
        if (before := self.current(key)) is not None:
            before.until = self.now
        version = Version(data, f'"{md5(data).hex()}"' if etag is None else etag, self.now)
        self.versions.setdefault(key, []).append(version)
        return version

    # --- requests -----------------------------------------------------------------------------------------------------

    def answer(self, request: Request, now: float, wall: datetime) -> Response:
        """What S3 says, after having done what it says; `wall` is the server's time."""
        self.now, self.wall = now, wall
        said: Response = getattr(self, f"_{request.operation}", self._other)(request)
        said.headers.setdefault("x-amz-request-id", "r")
        said.headers["Date"] = format_datetime(wall, usegmt=True)
        return said

    @staticmethod
    def key_of(request: Request) -> str:
        if not request.path.startswith("/bucket/"):
            return f"{request.path}?{request.query.get('name', '')}"
        return request.path.removeprefix("/bucket/")

    def _other(self, request: Request) -> Response:
        return error(405, "MethodNotAllowed")

    def _get(self, request: Request) -> Response:
        version = self.current(self.key_of(request))
        if version is None:
            return error(404, "NoSuchKey")
        if request.headers.get("if-match", version.etag) != version.etag:
            return error(412, "PreconditionFailed")
        headers = {} if self.key_of(request) in self.bare else {"ETag": version.etag}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if wanted is None:
            return Response(200, version.data, headers)
        size = len(version.data)
        first, last = int(wanted[1]), min(int(wanted[2] or size), size - 1)
        if first >= size:
            return error(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Response(206, version.data[first : last + 1], headers)

    _range = _get

    def _head(self, request: Request) -> Response:
        version = self.current(self.key_of(request))
        if version is None:
            return Response(404)
        return Response(200, b"", {"ETag": version.etag}, length=len(version.data))

    def _put(self, request: Request) -> Response:
        key = self.key_of(request)
        if request.headers.get("if-none-match") == "*" and self.current(key) is not None:
            return error(412, "PreconditionFailed")
        return Response(200, b"", {"ETag": self.store(key, request.body).etag})

    def _form(self, request: Request) -> Response:
        found = re.search('boundary="?([^";]+)', request.headers.get("content-type", ""))
        fields: dict[str, bytes] = {}
        filename = ""
        for part in request.body.split(b"--" + (found[1].encode() if found else b"?"))[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name = re.search(rb'; name="([^"]*)"', head)
            if name is None:
                return error(400, "MalformedPOSTRequest")
            fields[name[1].decode()] = content.removesuffix(b"\r\n")
            if (given := re.search(rb'filename="([^"]*)"', head)) is not None:
                filename = given[1].decode()
        if "key" not in fields or "file" not in fields:
            return error(400, "MalformedPOSTRequest")
        key = fields["key"].decode().replace("${filename}", filename)
        return Response(204, b"", {"ETag": self.store(key, fields["file"]).etag})

    def _listing(self, request: Request) -> Response:
        prefix, after = request.query.get("prefix", ""), request.query.get("continuation-token", "")
        keys = [key for key in sorted(self.versions) if key.startswith(prefix) and key > after and self.current(key)]
        rows = ""
        for key in keys[:PAGE]:
            version = self.current(key)
            assert version is not None
            shown = escape(quote(key, safe="/~") if request.query.get("encoding-type") == "url" else key)
            rows += f"<Contents><Key>{shown}</Key><ETag>{version.etag}</ETag><Size>{len(version.data)}</Size>"
            rows += f"<LastModified>{_iso(self.wall)}</LastModified></Contents>"
        more = len(keys) > PAGE
        token = f"<NextContinuationToken>{escape(keys[PAGE - 1])}</NextContinuationToken>" if more else ""
        rows += "<EncodingType>url</EncodingType>" if request.query.get("encoding-type") == "url" else ""
        return _document("ListBucketResult", f"{rows}<IsTruncated>{str(more).lower()}</IsTruncated>{token}")

    # --- uploads in parts ---------------------------------------------------------------------------------------------

    def _create(self, request: Request) -> Response:
        self.begun += 1
        name = f"upload-{self.begun}"
        self.uploads[name] = Upload(self.key_of(request), self.wall)
        return _document("InitiateMultipartUploadResult", f"<UploadId>{name}</UploadId>")

    def _uploads(self, request: Request) -> Response:
        prefix = request.query.get("prefix", "")
        rows = "".join(
            f"<Upload><Key>{escape(quote(upload.key))}</Key><UploadId>{name}</UploadId>"
            f"<Initiated>{_iso(upload.initiated)}</Initiated></Upload>"
            for name, upload in self.uploads.items()
            if upload.key.startswith(prefix)
        )
        return _document(
            "ListMultipartUploadsResult", f"{rows}<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
        )

    def _upload(self, request: Request) -> Upload | None:
        upload = self.uploads.get(request.query["uploadId"])
        return upload if upload is not None and upload.key == self.key_of(request) else None

    def _part(self, request: Request) -> Response:
        upload = self._upload(request)
        if upload is None:
            return error(404, "NoSuchUpload")
        upload.parts[int(request.query["partNumber"])] = request.body
        return Response(200, b"", {"ETag": f'"{md5(request.body).hex()}"'})

    def _parts(self, request: Request) -> Response:
        upload = self._upload(request)
        if upload is None:
            return error(404, "NoSuchUpload")
        after = int(request.query.get("part-number-marker", 0))
        numbers = [number for number in sorted(upload.parts) if number > after]
        rows = "".join(
            f'<Part><PartNumber>{number}</PartNumber><ETag>"{md5(upload.parts[number]).hex()}"</ETag>'
            f"<Size>{len(upload.parts[number])}</Size></Part>"
            for number in numbers[:PAGE]
        )
        more = len(numbers) > PAGE
        marker = f"<NextPartNumberMarker>{numbers[PAGE - 1]}</NextPartNumberMarker>" if more else ""
        return _document("ListPartsResult", f"{rows}<IsTruncated>{str(more).lower()}</IsTruncated>{marker}")

    def _complete(self, request: Request) -> Response:
        upload = self._upload(request)
        key = self.key_of(request)
        if upload is None:
            return error(404, "NoSuchUpload")
        if request.headers.get("if-none-match") == "*" and self.current(key) is not None:
            return error(412, "PreconditionFailed")
        asked = [
            (int(part.findtext("{*}PartNumber", "")), part.findtext("{*}ETag", "").strip('"'))
            for part in fromstring(request.body).findall("{*}Part")
        ]
        if any(number not in upload.parts or md5(upload.parts[number]).hex() != etag for number, etag in asked):
            return error(400, "InvalidPart")
        parts = [upload.parts[number] for number, _ in asked]
        etag = f'"{md5(b"".join(map(md5, parts))).hex()}-{len(parts)}"'
        del self.uploads[request.query["uploadId"]]
        self.store(key, b"".join(parts), etag)
        return _document("CompleteMultipartUploadResult", f"<ETag>{escape(etag)}</ETag>")

    def _abort(self, request: Request) -> Response:
        if self._upload(request) is None:
            return error(404, "NoSuchUpload")
        del self.uploads[request.query["uploadId"]]
        return Response(204)


def _iso(moment: datetime) -> str:
    return (moment + timedelta()).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _document(name: str, content: str) -> Response:
    return Response(200, f"<{name}>{content}</{name}>".encode(), {"Content-Type": "application/xml"})
