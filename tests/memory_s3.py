"""S3 in memory for a `FakeTransport`: objects, uploads in parts, conditions; and faults, by the operation that they hit.

It stands in for the server. Where a real one has no two opinions (ETags, NoSuchUpload, 412) it does as S3 does.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree.ElementTree import fromstring

from asyncpresign import NetworkError
from asyncpresign.http.transport import Request

from .fake_transport import NOW, Say, error

# What S3 adds to every response.
S3 = {"x-amz-request-id": "the-request-id"}


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def etag_of(parts: list[bytes]) -> str:
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    return f'"{md5(digests)}-{len(parts)}"'


@dataclass
class MemoryS3:
    """`before` are answers instead of the deed, `after` instead of the true answer to it; each is used up one by one."""

    before: dict[str, list[Say | NetworkError]] = field(default_factory=lambda: defaultdict(list))
    after: dict[str, list[Say | NetworkError]] = field(default_factory=lambda: defaultdict(list))
    objects: dict[str, bytes] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    seen: list[tuple[str, Request]] = field(default_factory=list)
    page: int = 1000
    begun: int = 0
    initiated: datetime = NOW

    def __call__(self, request: Request, body: bytes) -> Say | NetworkError:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query, keep_blank_values=True).items()}
        operation = self.operation(request.method, query)
        self.seen.append((operation, request))
        if self.before[operation]:
            return self.before[operation].pop(0)
        said = getattr(self, f"_{operation}")(request, query, body)
        return self.after[operation].pop(0) if self.after[operation] else said

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.seen]

    def requests(self, operation: str) -> list[Request]:
        return [request for name, request in self.seen if name == operation]

    @staticmethod
    def operation(method: str, query: dict[str, str]) -> str:
        if "uploads" in query:
            return "create" if method == "POST" else "uploads"
        in_parts = {"PUT": "part", "POST": "complete", "DELETE": "abort", "GET": "list"}
        return in_parts[method] if "uploadId" in query else method.lower()

    def _create(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        self.begun += 1
        self.uploads[f"upload-{self.begun}"] = {}
        text = f"<InitiateMultipartUploadResult><UploadId>upload-{self.begun}</UploadId></InitiateMultipartUploadResult>"
        return Say(200, text.encode())

    def _uploads(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        """Of the key `key`, all created at `now`."""
        each = "<Upload><Key>key</Key><UploadId>{}</UploadId><Initiated>{}</Initiated></Upload>"
        found = "".join(each.format(upload_id, self.initiated.isoformat()) for upload_id in self.uploads)
        others = each.format("another", self.initiated.isoformat()).replace(">key<", ">key-2<")
        document = f"<ListMultipartUploadsResult>{found}{others}</ListMultipartUploadsResult>"
        return Say(200, document.encode(), {"date": format_datetime(NOW, usegmt=True)})

    def _part(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        if query["uploadId"] not in self.uploads:
            return error(404, "NoSuchUpload")
        self.uploads[query["uploadId"]][int(query["partNumber"])] = body
        return Say(200, headers={"etag": f'"{md5(body)}"', **S3})

    def _list(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        if query["uploadId"] not in self.uploads:
            return error(404, "NoSuchUpload")
        stored = self.uploads[query["uploadId"]]
        after = int(query.get("part-number-marker", 0))
        numbers = [number for number in sorted(stored) if number > after]
        rows = "".join(
            f'<Part><PartNumber>{number}</PartNumber><ETag>"{md5(stored[number])}"</ETag><Size>{len(stored[number])}</Size></Part>'
            for number in numbers[: self.page]
        )
        more = len(numbers) > self.page
        marker = f"<NextPartNumberMarker>{numbers[self.page - 1]}</NextPartNumberMarker>" if more else ""
        text = f"<ListPartsResult>{rows}<IsTruncated>{str(more).lower()}</IsTruncated>{marker}</ListPartsResult>"
        return Say(200, text.encode())

    def _complete(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        key = self._key(request)
        if query["uploadId"] not in self.uploads:
            return error(404, "NoSuchUpload")
        if request.headers.get("If-None-Match") == "*" and key in self.objects:
            return error(412, "PreconditionFailed")
        stored = self.uploads[query["uploadId"]]
        wanted = [
            (int(part.findtext("{*}PartNumber", "")), part.findtext("{*}ETag")) for part in fromstring(body).findall("{*}Part")
        ]
        if wanted != [(number, f'"{md5(stored[number])}"') for number in sorted(stored)]:
            return error(400, "InvalidPart")
        parts = [stored[number] for number, _ in wanted]
        del self.uploads[query["uploadId"]]
        self.objects[key], self.etags[key] = b"".join(parts), etag_of(parts)
        text = f"<CompleteMultipartUploadResult><ETag>{self.etags[key]}</ETag></CompleteMultipartUploadResult>"
        return Say(200, text.encode(), S3)

    def _abort(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        if self.uploads.pop(query["uploadId"], None) is None:
            return error(404, "NoSuchUpload")
        return Say(204)

    def _put(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        key = self._key(request)
        if request.headers.get("If-None-Match") == "*" and key in self.objects:
            return error(412, "PreconditionFailed")
        self.objects[key], self.etags[key] = body, f'"{md5(body)}"'
        return Say(200, headers={"etag": self.etags[key], **S3})

    def _head(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        key = self._key(request)
        if key not in self.objects:
            return Say(404)
        return Say(200, headers={"etag": self.etags[key], **S3}, announced=len(self.objects[key]))

    def _key(self, request: Request) -> str:
        return unquote(urlsplit(request.url).path).partition("/bucket/")[2]
