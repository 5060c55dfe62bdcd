"""One large object up by presigned parts and down by ranges, on real servers, with faults on the way.

Between the transfer and the server stands a proxy (`benchmarks/_proxy.py`) that refuses one part and one range and cuts one
connection in each direction, and the signer hands out URLs that have expired already. What comes down has to be what went
up; no upload may be left open; the most memory that this process ever held is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asyncpresign import OfflineSigner, PresignedRequest, S3Object, Transfer, TransferResult
from asyncpresign._s3.documents import parse_list_multipart_uploads
from asyncpresign.cli.console import parse_size
from asyncpresign.cli.demo import peak_memory
from asyncpresign.testing import LocalS3, local_s3

from ._proxy import STALE_SECONDS

SERVERS = ("juicefs", "seaweedfs")
PIECE = 1 << 20
BUCKET = "benchmark"
FAULTS = [["part", 2, "refuse"], ["part", 3, "cut"], ["range", 2, "refuse"], ["range", 3, "cut"]]
# The signings, by operation, that come out expired; the proxy lets those through.
STALE = {"upload_part": 6, "get_object": 8}


class Behind(OfflineSigner):
    """Some of what it signs has ended an hour ago; it does not know."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.signed: dict[str, int] = {}
        self.expired: list[str] = []

    async def presign(self, operation: Any, *arguments: Any, **options: Any) -> PresignedRequest:
        number = self.signed[operation] = self.signed.get(operation, 0) + 1
        if number != STALE.get(operation):
            return await super().presign(operation, *arguments, **options)
        self.expired.append(operation)
        now = datetime.now(UTC)
        stale = await super().presign(
            operation, *arguments, **{**options, "signing_time": now - timedelta(hours=1)}, expires_in=STALE_SECONDS
        )
        return PresignedRequest(stale.method, stale.url, stale.headers, now + timedelta(hours=1))


@contextmanager
def proxy(port: int, told: dict[str, Any]) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks._proxy", str(port), json.dumps(FAULTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        yield int(process.stdout.readline())
        process.stdin.close()
        told.update(json.loads(process.stdout.readline()))


def write_random(path: Path, size: int) -> str:
    """Returns the SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, PIECE):
            piece = os.urandom(min(PIECE, size - start))
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def read_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def row(result: TransferResult, size: int) -> dict[str, Any]:
    rate = size / result.seconds / 1e6
    shown = {"seconds": round(result.seconds, 2), "megabytes_per_second": round(rate, 1)}
    return {"attempts": result.attempts, "verified_by": result.verified_by, **shown}


async def measure(s3: LocalS3, port: int, folder: Path, size: int) -> dict[str, Any]:
    signer = Behind(s3.credentials, region=s3.region, endpoint_url=f"http://127.0.0.1:{port}")
    place = S3Object(BUCKET, "large")
    sent = write_random(folder / "up", size)
    async with Transfer(signer, multipart_threshold=min(size, 64 << 20), part_size=8 << 20) as moving:
        await moving.send(await signer.presign("create_bucket", {"Bucket": BUCKET}))
        up = await moving.upload(folder / "up", place)
        down = await moving.download(place, folder / "down")
        listing = await moving.send(await signer.presign("list_multipart_uploads", {"Bucket": BUCKET}))
    return {
        "up": row(up, size),
        "down": row(down, size),
        "equal": read_digest(folder / "down") == sent,
        "left_over": sorted(name for name in os.listdir(folder) if name not in ("up", "down")),
        "uploads_left_open": len(parse_list_multipart_uploads(listing.body).uploads),
        "expired_urls": signer.expired,
    }


async def run(server: Any, size: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="asyncpresign-large-") as folder:
        async with local_s3(server) as s3:
            with proxy(urlsplit(s3.endpoint_url).port or 0, told) as port:
                figures = await measure(s3, port, Path(folder), size)
    return {"server": server, **figures, "proxy": told}


def main(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks large", description=__doc__)
    parser.add_argument("--size", type=parse_size, default=2 << 30, help="of the object: 64MiB, 2GiB")
    parser.add_argument("--server", choices=SERVERS, action="append", help="both, unless given")
    options = parser.parse_args(arguments)
    before = peak_memory()
    started = time.perf_counter()
    rows = [asyncio.run(run(server, options.size)) for server in options.server or SERVERS]
    seconds = round(time.perf_counter() - started, 1)
    memory = {"peak_memory_bytes": peak_memory(), "peak_memory_before_bytes": before}
    return {"size": options.size, "seconds": seconds, **memory, "servers": rows}
