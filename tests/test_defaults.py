"""What holds when a caller says nothing: the defaults of the public names, which callers and the docs rely on.

An argument that is not listed is free; one that is listed does not change its default without a change here.
"""

from __future__ import annotations

import inspect
from datetime import timedelta
from functools import reduce
from typing import Any

import pytest

import asyncpresign

SIGNING = {
    "params": None,
    "expires_in": 3600,
    "http_method": None,
    "hoist_headers": False,
    "extra_query": None,
    "extra_headers": None,
    "signing_time": None,
}
BATCH = {"params": None, "expires_in": 3600}
POST = {"fields": None, "conditions": None, "content_length_range": None, "expires_in": 3600, "signing_time": None}
VERIFYING = {"at": None, "tolerance": timedelta(minutes=15)}
DOWNLOAD = {
    "destination": None,
    "params": None,
    "checksum": None,
    "if_match": None,
    "if_exists": "overwrite",
    "size": None,
    "id": None,
}
UPLOAD = {"params": None, "checksum": None, "if_none_match": None, "size": None, "id": None}
FORM = {"fields": None, "conditions": None, "filename": None, "content_type": None, "checksum": None, "size": None, "id": None}

DEFAULTS: dict[str, dict[str, Any]] = {
    "Check": {"detail": ""},
    "Credentials": {"session_token": None, "expires_at": None},
    "Credentials.from_env": {"environ": None},
    "Credentials.from_profile": {"name": None, "environ": None},
    "Directory": {"name": None},
    "Download": DOWNLOAD,
    "FormUpload": FORM,
    "Limits": {
        "concurrency": 64,
        "per_host": None,
        "bytes_per_second": None,
        "requests_per_second": None,
        "memory": 64 * 1024 * 1024,
        "connect": 30.0,
        "stall": 60.0,
        "slowest": 256.0,
    },
    "OfflineSigner.adjust": {"clock_offset": None, "refresh_credentials": False},
    "OfflineSigner.presign": SIGNING,
    "OfflineSigner.presign_urls": BATCH,
    "OfflineSigner.presign_post": POST,
    "PresignedPost.html": {"title": "Upload a file", "accept": None, "fragment": False, "nonce": None},
    "PresignedRequest": {"operation": None, "body": "none"},
    "PresignedRequest.curl": {"file": None},
    "Presigner": {
        "region": None,
        "endpoint_url": None,
        "public_endpoint_url": None,
        "addressing_style": "auto",
        "use_dualstack": False,
        "use_fips": False,
        "use_accelerate": False,
        "use_arn_region": True,
        "short_credentials": "clamp",
        "signing_window": None,
        "clock": None,
    },
    "Presigner.presign": SIGNING,
    "Presigner.presign_urls": BATCH,
    "Presigner.presign_post": POST,
    "Problem": {"got": "", "suggestion": ""},
    "RetryPolicy": {"attempts": 6, "base": 0.1, "cap": 20.0, "budget": 500},
    "S3Object": {"version_id": None},
    "Transfer": {
        "signer": None,
        "concurrency": None,
        "limits": None,
        "retry": asyncpresign.RetryPolicy(),
        "part_size": None,
        "multipart_threshold": 64 * 1024 * 1024,
        "session": None,
        "ssl": None,
        "proxy": None,
        "trust_env": False,
    },
    "Transfer.download": DOWNLOAD,
    "Transfer.upload": UPLOAD,
    "Transfer.upload_form": FORM,
    "Transfer.send": {"body": None, "raise_for_status": True, "max_body": 8 * 1024 * 1024},
    "Transfer.open": {"range": None},
    "Transfer.run": {"journal": None, "job": None, "fail_fast": False, "on_event": None, "processes": 1},
    "Transfer.list_objects": {"prefix": "", "delimiter": None},
    "Transfer.download_prefix": {"include": (), "exclude": ()},
    "Transfer.upload_tree": {"include": (), "exclude": ()},
    "TransferResult": {"size": 0, "attempts": 0, "verified_by": None, "error": None, "seconds": 0.0, "data": None},
    "Upload": UPLOAD,
    "botocore_source": {"session": None},
    "default_source": {"environ": None},
    "explain_url": {"credentials": None, "error_xml": None},
    "verify_post": {"filename": None, **VERIFYING},
    "verify_url": {"headers": None, **VERIFYING},
}


@pytest.mark.parametrize(("name", "expected"), DEFAULTS.items(), ids=DEFAULTS.keys())
def test_an_argument_that_is_left_out_means_what_it_always_did(name: str, expected: dict[str, Any]) -> None:
    called = reduce(getattr, name.split("."), asyncpresign)
    parameters = inspect.signature(called).parameters  # type: ignore[arg-type]
    assert {argument: parameters[argument].default for argument in expected} == expected


def test_a_report_begins_with_nothing() -> None:
    report = asyncpresign.TransferReport()
    counts = (report.done, report.skipped, report.failed, report.size, report.attempts, report.seconds)
    assert (counts, report.failures, report.retries, report.slowest) == ((0, 0, 0, 0, 0, 0.0), [], {}, [])
