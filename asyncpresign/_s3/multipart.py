"""Which of a multipart upload's requests takes which parameter of PutObject: read off the table of operations.

What describes the object goes with the request that creates the upload, a condition with the one that completes it, keys
and payers with every one. What describes the bytes of the whole (length, digests) suits no part and is handed back.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequest, Problem, describe, nearest
from .operations import lookup

CREATE = "create_multipart_upload"
PART = "upload_part"
COMPLETE = "complete_multipart_upload"
ABORT = "abort_multipart_upload"
LIST = "list_parts"
LIST_UPLOADS = "list_multipart_uploads"

# What the uploader itself says in those requests, so that no caller may.
_OURS = frozenset({"Bucket", "Key", "Body", "UploadId", "PartNumber", "MultipartUpload", "MpuObjectSize"})
_OURS |= {"MaxParts", "PartNumberMarker", "IfMatchInitiatedTime"}


@dataclass(frozen=True, slots=True)
class Shares:
    """`of` each request, by its operation, the parameters it takes; `whole` are those that describe all bytes."""

    of: Mapping[str, Mapping[str, Any]]
    whole: Mapping[str, Any]


def share(params: Mapping[str, Any]) -> Shares:
    """`params`, PutObject's or a multipart upload's own, dealt out. Raises `InvalidRequest` for those that no request takes."""
    if not isinstance(params, Mapping):
        raise InvalidRequest(Problem("params", "a mapping of parameter names to values", describe(params)))
    requests = (CREATE, PART, COMPLETE, ABORT, LIST)
    whole = {name: value for name, value in params.items() if _is_of_the_whole(name)}
    rest = {name: value for name, value in params.items() if name not in whole}
    of = {request: taken(request, rest) for request in requests}
    known = sorted({name for request in requests for name in lookup(request).parameters} - _OURS)
    problems = [
        Problem(f"params[{name!r}]", "a parameter of an upload in parts", repr(name), nearest(str(name), known))
        for name in params
        if name not in whole and not any(name in shared for shared in of.values())
    ]
    if problems:
        raise InvalidRequest(*problems)
    return Shares(of, whole)


def taken(operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of `params` that `operation` has too, and that are not the uploader's to say."""
    known = lookup(operation).parameters
    return {name: value for name, value in params.items() if name in known and name not in _OURS}


def _is_of_the_whole(name: object) -> bool:
    """PutObject's, and of UploadPart too, which would take it for the part's."""
    digest = isinstance(name, str) and name.startswith("Checksum") and name not in ("ChecksumAlgorithm", "ChecksumType")
    return name in lookup(PART).parameters and (digest or name in ("ContentLength", "ContentMD5"))
