"""Downloads over real sockets and onto real disks, as the rows of tests/faults.py say: ranges, and what a disk can do."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncpresign import AccessDenied, S3Object, Transfer
from asyncpresign.transfer.plan import MiB

from .fake_transport import Say, World, error
from .fault_server import FaultServer
from .faults import CONTENT, FAULTS, Fault
from .object_store import Cut, ObjectStore, Replaced, Turned, Whole, md5_etag, on_the_wire
from .test_files import posix
from .test_sinks import namespaced
from .test_transfer_faults import OBJECT, TARGET, signer_for

LARGE, OTHER = (random.Random(seed).randbytes(12 * MiB) for seed in (8, 9))
FIRST, SECOND = "bytes=0-5242879", "bytes=5242880-10485759"
EXPIRED = error(403, "AccessDenied", "Request has expired")
SMALL = LARGE[:5000]


async def fetch(fault: Fault, store: ObjectStore, path: Path, place: Any = None, **options: Any) -> list[str | None]:
    """As its row says; and then what is there is whole, or nothing is. Returns the ranges that were asked for."""
    async with FaultServer() as server:
        server.begin(on_the_wire(store, server))
        edge, signer = World().edge(), signer_for(server)
        async with Transfer(signer, edge=edge, part_size=5 * MiB, multipart_threshold=10 * MiB) as moving:
            ended = await fault.ends(moving.download(place or server.origin + TARGET, path, **options))
        await server.until_closed()
        if fault.error is None:
            assert (path.read_bytes() == store.data, getattr(ended, "verified_by", "")) == (True, "md5")
        assert os.listdir(path.parent) == ([] if fault.error else [path.name])
        return [seen.header("Range") for seen in server.seen]


TAG = md5_etag(LARGE)


def part(first: int, total: object, etag: str = TAG) -> Say:
    """Zeros that say to be 5 MiB of the object from `first` on."""
    return Say(206, bytes(5 * MiB), {"content-range": f"bytes {first}-{first + 5 * MiB - 1}/{total}", "etag": etag})


IN_RANGES: list[tuple[Fault, dict[str | None, list[Any]], S3Object | None]] = [
    (FAULTS["range refused"], {FIRST: [error(503, "SlowDown")]}, None),
    (FAULTS["range cut"], {SECOND: [Cut(3 * MiB)]}, None),
    (FAULTS["range lost"], {SECOND: [Cut(0)] * 6}, None),
    (FAULTS["range wrong"], {SECOND: [Turned()]}, None),
    (FAULTS["range expired"], {SECOND: [EXPIRED]}, OBJECT),
    (FAULTS["changed between ranges"], {SECOND: [Replaced(OTHER)]}, None),
    (FAULTS["changed again"], {SECOND: [Replaced(OTHER), Replaced(LARGE)]}, None),
    (FAULTS["range of others"], {SECOND: [part(0, len(LARGE))]}, None),
    (FAULTS["range of others"], {SECOND: [part(5 * MiB, len(OTHER) + 1)]}, None),
    (
        FAULTS["range unsaid"],
        {SECOND: [Say(206, b"--x\r\n", {"content-type": "multipart/byteranges; boundary=x", "etag": TAG})]},
        None,
    ),
    (FAULTS["range unsaid"], {SECOND: [part(5 * MiB, "*")]}, None),
    (FAULTS["range untagged"], {SECOND: [part(5 * MiB, len(LARGE), etag="")] * 2}, None),
    (FAULTS["range untagged"], {SECOND: [part(5 * MiB, len(LARGE), etag='W/"weak"')] * 2}, None),
    (FAULTS["no ranges"], {FIRST: [Whole()] * 2, SECOND: [Whole()] * 2}, None),
]


@pytest.mark.parametrize(("fault", "faults", "place"), IN_RANGES, ids=[fault.happens for fault, _, _ in IN_RANGES])
async def test_a_fault_in_a_range(fault: Fault, faults: Any, place: S3Object | None, tmp_path: Path) -> None:
    store = ObjectStore(LARGE, faults={wanted: list(those) for wanted, those in faults.items()})
    asked = await fetch(fault, store, tmp_path / "file", place)
    assert asked[:1] == [None]
    assert FIRST in asked
    assert SECOND in asked


async def test_an_object_that_is_no_longer_large(tmp_path: Path) -> None:
    await fetch(FAULTS["no longer large"], ObjectStore(b""), tmp_path / "file", size=len(LARGE))


REFUSALS = [400, 403, 405, 406, 416, 417, 501]


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
async def test_a_server_that_refuses_ranges(known: bool, status: int, tmp_path: Path) -> None:
    refusal = error(status, "")
    store = ObjectStore(
        LARGE, faults={wanted: [refusal] * 9 for wanted in ("bytes=0-0", FIRST, SECOND, "bytes=10485760-12582911")}
    )
    asked = await fetch(FAULTS["ranges refused"], store, tmp_path / "file", size=len(LARGE) if known else None)
    assert asked[-1] is None
    assert len(asked) <= (2 if known else 5)


@pytest.mark.parametrize("status", REFUSALS)
async def test_a_server_that_refuses_to_go_on(status: int, tmp_path: Path) -> None:
    """A body broke off; a range is refused, so the object is asked for from its first byte."""
    store = ObjectStore(SMALL, faults={None: [Cut(1000)], "bytes=1000-": [error(status, "")]})
    fault = replace(FAULTS["ranges refused"], attempts=2)
    assert await fetch(fault, store, tmp_path / "file") == [None, "bytes=1000-", None]


async def test_a_refusal_after_a_range_is_about_something_else(tmp_path: Path) -> None:
    """Nothing that has arrived is given up for it."""
    store = ObjectStore(LARGE, faults={SECOND: [error(403, "AccessDenied")]})
    fault = replace(FAULTS["ranges refused"], error=AccessDenied, sees="AccessDenied")
    asked = await fetch(fault, store, tmp_path / "file", size=len(LARGE))
    assert None not in asked


# --- the disk ---------------------------------------------------------------------------------------------------------


async def test_a_disk_on_which_every_call_takes_50_ms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop is never held by it: no call that opens, writes, reads again or renames is made in the loop's thread."""
    loop, held = threading.get_ident(), set()

    def slow(name: str, call: Any) -> Any:
        def wait(*arguments: Any, **options: Any) -> Any:
            if str(arguments[0]).startswith((str(tmp_path), ".asyncpresign-")) or name.startswith("p"):
                held.add((name, threading.get_ident() == loop))
                time.sleep(0.05)
            return call(*arguments, **options)

        return wait

    for name in ("open", "pwrite", "pread", "replace"):
        if hasattr(os, name):
            monkeypatch.setattr(os, name, slow(name, getattr(os, name)))
    for number, data in enumerate([CONTENT, bytes(100_000), LARGE]):
        folder = tmp_path / str(number)
        folder.mkdir()
        await fetch(FAULTS["slow disk"], ObjectStore(data), folder / "file")
    assert {in_loop for _, in_loop in held} == {False}
    assert {"open", "replace"} <= {name for name, _ in held}


ON_A_DISK = """
import asyncio, os, sys
from asyncpresign import Transfer
from tests.fake_transport import World
from tests.fault_server import FaultServer
from tests.faults import FAULTS
from tests.object_store import ObjectStore, on_the_wire

async def main(name):
    for size in (40 << 10, 2 << 20, 12 << 20):
        async with FaultServer() as server:
            server.begin(on_the_wire(ObjectStore(bytes(size)), server))
            async with Transfer(edge=World().edge(), part_size=5 << 20, multipart_threshold=10 << 20) as moving:
                ended = await FAULTS[name].ends(moving.download(server.origin + "/b/k", "disk/file"))
                print(ended.message, os.path.basename(ended.path), os.listdir("disk"))

asyncio.run(main(sys.argv[1]))
"""
DISKS = {
    "disk full": (FAULTS["disk full"], "size=32k", "No space left on device"),
    "read-only": (FAULTS["read-only"], "ro", "Read-only file system"),
}


@posix
@pytest.mark.integration
@pytest.mark.parametrize("name", DISKS)
def test_a_disk_that_takes_nothing(name: str, tmp_path: Path) -> None:
    _, options, message = DISKS[name]
    assert namespaced(options, tmp_path, ON_A_DISK, name) == [f"{message} file []"] * 3


WITHOUT_HANDLES = """
import asyncio, os, resource
from asyncpresign import Transfer
from tests.fake_transport import World
from tests.fault_server import FaultServer
from tests.faults import CONTENT, FAULTS
from tests.object_store import ObjectStore, on_the_wire

async def main():
    async with FaultServer() as server, Transfer(edge=World().edge()) as moving:
        server.begin(on_the_wire(ObjectStore(CONTENT), server))
        await moving.download(server.origin + "/b/k")
        highest = max(map(int, os.listdir("/proc/self/fd")))
        fillers = [os.dup(0) for _ in range(highest)]
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1, most))
        # It is the file's folder that cannot be opened, before anything is asked for.
        ended = await FAULTS["no file handles"].ends(moving.download(server.origin + "/b/k", "file"))
        print(ended.message)
        async with Transfer(edge=World().edge()) as other:
            await FAULTS["no sockets"].ends(other.download(server.origin + "/b/k"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        await moving.download(server.origin + "/b/k", "file")
        print(os.listdir("."), len(server.seen))

asyncio.run(main())
"""


@pytest.mark.integration
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at processes through /proc")
def test_without_a_file_handle_left(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", WITHOUT_HANDLES]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["Too many open files", "['file'] 2"]
