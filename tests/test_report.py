"""The report of a run: counts that stay small, and texts that can be shown to anybody."""

from __future__ import annotations

import json
import traceback

import pytest

from asyncpresign import (
    Download,
    IntegrityError,
    ItemFinished,
    ItemRetried,
    ItemStarted,
    NetworkError,
    NotFound,
    S3Object,
    ServerError,
    TransferError,
    TransferReport,
    TransferResult,
)
from asyncpresign import SlowDown as SlowDownError
from asyncpresign.transfer.items import Status
from asyncpresign.transfer.report import KEPT, SLOWEST

SECRET = "5ec2e7" * 10
ITEM = Download(f"https://host/key?X-Amz-Signature={SECRET}")


def failure(number: int) -> TransferResult:
    return TransferResult(ITEM, Status.FAILED, attempts=2, error=NotFound(f"number {number}", request="GET https://host/key"))


def test_counts() -> None:
    report = TransferReport()
    report.add(TransferResult(ITEM, Status.DONE, 10, 1))
    report.add(TransferResult(ITEM, Status.DONE, 5, 3))
    report.add(TransferResult(ITEM, Status.SKIPPED))
    report.add(failure(0))
    assert (report.done, report.skipped, report.failed, report.size, report.attempts) == (2, 1, 1, 15, 6)
    assert [str(result.error) for result in report.failures] == ["GET https://host/key: number 0"]


def test_only_the_first_failures_are_kept() -> None:
    report = TransferReport()
    for number in range(KEPT + 500):
        report.add(failure(number))
    assert (report.failed, len(report.failures), KEPT) == (1500, 1000, 1000)
    assert str(report.failures[-1].error).endswith("number 999")


def test_json_holds_the_counts_and_no_signature() -> None:
    report = TransferReport(seconds=1.5)
    report.add(TransferResult(Download(S3Object("bucket", "key")), Status.DONE, 10, 1))
    report.add(failure(1))
    text = report.to_json()
    assert SECRET not in text
    assert json.loads(text) == {
        "v": 1,
        "done": 1,
        "skipped": 0,
        "failed": 1,
        "size": 10,
        "attempts": 3,
        "seconds": 1.5,
        "retries": {},
        "slowest": [],
        "failures": [
            {
                "item": "Download(source='https://host/key?X-Amz-Signature=...')",
                "error": "NotFound",
                "message": "GET https://host/key: number 1",
            }
        ],
    }
    assert SECRET not in repr(report)


def test_no_failure_raises_nothing() -> None:
    report = TransferReport()
    report.add(TransferResult(ITEM, Status.DONE))
    assert report.raise_for_failures() is None  # type: ignore[func-returns-value]


def test_failures_are_raised_as_one_error_chained_to_the_first() -> None:
    report = TransferReport(done=3)
    report.add(failure(1))
    report.add(failure(2))
    with pytest.raises(TransferError, match="2 of 5 items failed; the first: GET https://host/key: number 1") as caught:
        report.raise_for_failures()
    assert caught.value.__cause__ is report.failures[0].error
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_the_slowest_are_kept_without_their_bytes() -> None:
    report = TransferReport()
    for number in range(1, 100):
        report.add(TransferResult(ITEM, Status.DONE, 1, 1, None, None, float(number * 37 % 101), b"bytes"))
    seconds = sorted((float(number * 37 % 101) for number in range(1, 100)), reverse=True)
    assert [result.seconds for result in report.slowest] == seconds[:SLOWEST]
    assert {result.data for result in report.slowest} == {None}
    told = json.loads(report.to_json())["slowest"]
    assert [entry["seconds"] for entry in told] == seconds[:SLOWEST]
    assert told[0].keys() == {"item", "seconds", "size", "attempts"}


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (SlowDownError("busy", status=503, code="SlowDown"), "SlowDown"),
        (ServerError("bad gateway", status=502), "ServerError"),
        (NetworkError("reset"), "NetworkError"),
        (IntegrityError("short"), "IntegrityError"),
    ],
)
def test_the_cause_of_a_retry(error: TransferError, cause: str) -> None:
    assert ItemRetried(ITEM, error, 0.5).cause == cause


def test_events_show_no_signature() -> None:
    events = [ItemStarted(ITEM), ItemRetried(ITEM, NotFound("gone"), 1.0), ItemFinished(failure(1))]
    assert SECRET not in repr(events)
    assert repr(events[0]) == "ItemStarted(item=Download(source='https://host/key?X-Amz-Signature=...'))"
