"""What a `Transfer` takes of the network, the server and the memory, seen from outside: never more than its `Limits`."""

from __future__ import annotations

import asyncio
import dataclasses
import pickle
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from anyio import fail_after

from asyncpresign import (
    Credentials,
    Download,
    InvalidRequest,
    Limits,
    NetworkError,
    OfflineSigner,
    PresignedRequest,
    RetryPolicy,
    S3Object,
    SlowDown,
    Transfer,
    Upload,
    URLExpired,
)
from asyncpresign.http.transport import Request
from asyncpresign.transfer.items import Item
from asyncpresign.transfer.meter import Meter, Tally
from asyncpresign.transfer.rate import BURST

from .fake_transport import NOW, REFUSED, FakeTransport, Say, World, error, make_signer
from .memory_s3 import MemoryS3

URL = "http://s3.test/bucket/key"
SLOW = error(503, "SlowDown")


def transfer(transport: FakeTransport, world: World | None = None, **options: Any) -> Transfer:
    return Transfer(options.pop("signer", None), transport=transport, edge=(world or World()).edge(), **options)


# --- the value --------------------------------------------------------------------------------------------------------

WRONG = {
    "concurrency": [0, -1, 1.5, True, "8", None],
    "per_host": [0, 1.5, False, "8"],
    "bytes_per_second": [0, -1.0, "1", float("inf"), float("nan"), True],
    "requests_per_second": [0, -1.0, "1", float("inf"), float("nan"), True],
    "memory": [0, 1.5, None, True],
    "connect": [0, None, float("inf")],
    "stall": [0, -1, None, "1"],
    "slowest": [-1, None, float("nan")],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_what_are_no_limits_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Limits(**{name: values[0] for name, values in WRONG.items()})  # type: ignore[arg-type]
    assert [problem.argument for problem in caught.value.problems] == list(WRONG)


def test_limits_are_a_value() -> None:
    limits = Limits(per_host=2, bytes_per_second=1e6)
    assert pickle.loads(pickle.dumps(limits)) == limits == Limits(per_host=2, bytes_per_second=1e6)
    assert (Limits().concurrency, Limits().memory) == (64, 64 << 20)
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.concurrency = 3  # type: ignore[misc]


def test_concurrency_is_a_shorthand_and_not_a_second_way() -> None:
    for wrong in (0, True, "8"):
        with pytest.raises(InvalidRequest, match=r"^concurrency: expected an int of at least 1"):
            Transfer(concurrency=wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="nothing beside limits="):
        Transfer(concurrency=8, limits=Limits(concurrency=8))
    with pytest.raises(InvalidRequest, match="limits: expected Limits"):
        Transfer(limits=8)  # type: ignore[arg-type]


# --- how many at once -------------------------------------------------------------------------------------------------


async def test_never_more_requests_than_slots() -> None:
    transport = FakeTransport(keep=False)
    async with transfer(transport, limits=Limits(concurrency=7)) as moving:
        work = [moving.run(Download(URL) for _ in range(100)), *(moving.upload(b"x", URL) for _ in range(100))]
        await asyncio.gather(*work)
    assert (transport.sent, transport.most_open) == (200, 7)


async def test_each_host_has_slots_of_its_own() -> None:
    open_: dict[str, int] = {}
    most: dict[str, int] = {}

    async def count(request: Request) -> None:
        host = request.url[7]
        open_[host] = open_.get(host, 0) + 1
        most[host] = max(most.get(host, 0), open_[host])
        await asyncio.sleep(0)
        open_[host] -= 1

    transport = FakeTransport(before=count, keep=False)
    async with transfer(transport, limits=Limits(concurrency=8, per_host=3)) as moving:
        report = await moving.run(Download(f"http://{host}.test/k") for _ in range(40) for host in "abc")
    assert (report.done, most) == (120, {"a": 3, "b": 3, "c": 3})
    assert transport.most_open <= 8


async def test_an_open_body_takes_no_slot() -> None:
    """Its reader may take its time, and move other objects meanwhile."""
    transport = FakeTransport(otherwise=Say(body=b"fine"))
    async with transfer(transport, concurrency=1) as moving, moving.open(URL) as first, moving.open(URL) as second:
        assert (await moving.download(URL)).data == b"fine"
        for body in (first, second):
            assert [chunk async for chunk in body.chunks()] == [b"fine"]


LARGE = bytes(11 << 20)


async def stream_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1 << 20):
        await asyncio.sleep(0)
        yield data[start : start + (1 << 20)]


class Bucket(MemoryS3):
    """Ranges too, of one large object."""

    def _get(self, request: Request, query: dict[str, str], body: bytes) -> Say:
        first, _, last = request.headers.get("Range", f"bytes=0-{len(LARGE) - 1}").removeprefix("bytes=").partition("-")
        told = {"etag": '"large"', "content-range": f"bytes {first}-{last}/{len(LARGE)}"}
        return Say(206 if "Range" in request.headers else 200, LARGE[int(first) : int(last) + 1], told)


@pytest.mark.parametrize("limits", [Limits(concurrency=1, memory=1), Limits(concurrency=3, per_host=1, memory=6 << 20)])
async def test_items_of_many_parts_never_wait_for_each_other_for_ever(limits: Limits, tmp_path: Path) -> None:
    """Each needs slots for its probe, its parts and its bookkeeping, and memory for what can be read once."""
    bucket, place = Bucket(), S3Object("bucket", "key")
    transport = FakeTransport(otherwise=bucket, keep=False)
    items: list[Item] = [Upload(LARGE, place), Upload(stream_of(LARGE), place, size=len(LARGE)), Upload(b"x", place)]
    items += [
        Download(place, tmp_path / "a"),
        Download(place, tmp_path / "b", size=len(LARGE)),
        Download(place, tmp_path / "c"),
    ]
    options: dict[str, Any] = {"part_size": 5 << 20, "multipart_threshold": 5 << 20}
    async with transfer(transport, signer=make_signer(), limits=limits, **options) as moving:
        with fail_after(60):
            report = await moving.run(items)
            more = await asyncio.gather(*(moving.upload(stream_of(LARGE), place, size=len(LARGE)) for _ in range(3)))
    assert (report.failures, report.done, len(more)) == ([], len(items), 3)
    assert bucket.uploads == {}
    assert transport.most_open <= 2 * limits.concurrency
    assert moving._exchange.memory.left == limits.memory


# --- slow down --------------------------------------------------------------------------------------------------------


class Busy:
    """A server that does `most` things at once, each in some turns of the loop, and refuses who comes beside them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.doing = self.refused = 0
        self._refusals: set[int] = set()
        self._turns = Random(7)

    async def take(self, request: Request) -> None:
        if self.doing >= self.most:
            self.refused += 1
            self._refusals.add(id(request))
            return
        self.doing += 1
        for _ in range(self._turns.randint(2, 8)):
            await asyncio.sleep(0)
        self.doing -= 1

    def say(self, request: Request, _: bytes) -> Say:
        if id(request) not in self._refusals:
            return Say(body=b"x")
        self._refusals.remove(id(request))
        return SLOW


async def test_a_storm_ends_with_as_many_requests_as_the_server_takes() -> None:
    """A client that went on with 64 at once would be refused 15 times for each that is done; this one a few times in 100."""
    server = Busy(most=4)
    transport = FakeTransport(before=server.take, otherwise=server.say, keep=False)
    async with transfer(transport, limits=Limits(concurrency=64), retry=RetryPolicy(attempts=30, budget=10_000)) as moving:
        report = await moving.run(Download(URL) for _ in range(500))
        assert report.done == 500
        at_first, transport.most_open = server.refused, 0
        await moving.run(Download(URL) for _ in range(300))
        assert transport.most_open <= 8
        last, server.most, transport.most_open = server.refused, 1000, 0
        await moving.run(Download(URL) for _ in range(2300))
    assert transport.most_open == 64, "it is well again, and asked as before"
    assert at_first < 250
    assert last - at_first < 60


async def test_who_asks_for_time_gets_it_from_all() -> None:
    """While a host wants to be left alone nobody asks it, and another one is asked as ever."""
    world = World()
    asked: list[tuple[str, float]] = []

    async def note(request: Request) -> None:
        asked.append((request.url[7], sum(world.sleeps)))

    first = iter([error(503, "SlowDown", retry_after="7")])
    transport = FakeTransport(before=note, otherwise=lambda request, _: next(first, Say()))
    async with transfer(transport, world, concurrency=4) as moving:
        await moving.download("http://a.test/k")
        assert asked == [("a", 0.0), ("a", 7.0)]
        await asyncio.gather(*(moving.download(f"http://{host}.test/k") for host in "abab"))
    assert world.sleeps == [7.0]


async def test_a_server_that_refuses_everybody_spends_the_budget_once() -> None:
    transport = FakeTransport(otherwise=SLOW, keep=False)
    async with transfer(transport, retry=RetryPolicy(attempts=6, budget=50)) as moving:
        report = await moving.run(Download(URL) for _ in range(500))
    assert (report.failed, transport.sent) == (500, 550)
    assert all(isinstance(result.error, SlowDown) for result in report.failures)


DEAD = {"answers 503": SLOW, "answers 500": error(500, "InternalError"), "refuses connections": REFUSED}
BAD_BYTES = Say(body=b"other", headers={"etag": '"00000000000000000000000000000000"', "x-amz-request-id": "1"})


@pytest.mark.parametrize("failure", [*DEAD.values(), BAD_BYTES], ids=[*DEAD, "sends other bytes"])
async def test_a_host_that_fails_takes_no_retry_from_another(failure: Say | NetworkError) -> None:
    """Also when the bad bytes are noticed only after the response has ended."""
    seen: set[str] = set()

    def answer(request: Request, _: bytes) -> Say | NetworkError:
        if "dead" in request.url:
            return failure
        first = request.url not in seen
        seen.add(request.url)
        return SLOW if first else Say()

    transport = FakeTransport(otherwise=answer, keep=False)
    items = [Download(f"http://{host}.test/{number}") for number in range(100) for host in ("dead", "well")]
    async with transfer(transport, retry=RetryPolicy(attempts=6, budget=100)) as moving:
        report = await moving.run(items)
    assert (report.done, report.failed) == (100, 100)
    assert {str(result.item.source)[:11] for result in report.failures} == {"http://dead"}  # type: ignore[union-attr]
    assert transport.sent == 2 * 100 + 100 + 100, "the dead host's own budget is spent once"


# --- how fast ---------------------------------------------------------------------------------------------------------


async def test_bytes_a_second_both_ways() -> None:
    """A megabyte down and one up, at 100 KB a second: no sooner than in 20 seconds, but for what one piece holds."""
    world = World(step=0.0)
    data = bytes(1_000_000)
    body = tuple(data[start : start + 10_000] for start in range(0, len(data), 10_000))
    transport = FakeTransport(otherwise=lambda request, _: Say(body=body if request.method == "GET" else b""))
    async with transfer(transport, world, limits=Limits(bytes_per_second=100_000)) as moving:
        assert (await moving.download(URL)).size == 1_000_000
        assert sum(world.sleeps) == pytest.approx(9.8)
        await moving.upload(data, URL)
        assert transport.bodies[-1] == data
    assert 19.8 < sum(world.sleeps) < 20


async def test_bytes_a_second_hold_for_a_run_that_is_watched_too() -> None:
    world, told = World(step=0.0), list[object]()
    body = (bytes(10_000),) * 100
    transport = FakeTransport(otherwise=lambda request, _: Say(body=body if request.method == "GET" else b""))
    async with transfer(transport, world, limits=Limits(bytes_per_second=100_000, concurrency=1)) as moving:
        report = await moving.run([Download(URL), Upload(bytes(1_000_000), URL)], on_event=told.append)
    assert report.done == 2
    assert 19.8 < sum(world.sleeps) < 20


@pytest.mark.parametrize(("rate", "piece"), [(1, 1024), (65_536, 1024), (640_000, 10_000), (4_194_304, 65_536), (1e9, 65_536)])
def test_a_slow_body_goes_out_in_small_pieces(rate: float, piece: int) -> None:
    """64 in a second, since a server gives up on who is silent; but none smaller than a packet, nor larger than 64 KiB."""
    assert Meter(rate, World().edge()).piece == piece
    assert Tally(lambda _: None, Meter(rate, World().edge())).piece == piece
    assert Tally(lambda _: None, None).piece == 65_536


async def test_progress_is_told_in_steps_of_a_mebibyte() -> None:
    told: list[int] = []
    tally = Tally(told.append, None)
    for amount in (1024 * 1024 - 1, 1, 500, 3 * 1024 * 1024):
        await tally.spend(amount)
    assert told == [1024 * 1024, 3 * 1024 * 1024 + 500]


async def test_requests_a_second() -> None:
    world = World(step=0.0)
    async with transfer(FakeTransport(), world, limits=Limits(requests_per_second=10, concurrency=1)) as moving:
        await moving.run(Upload(b"x", URL) for _ in range(31))
    assert sum(world.sleeps) == pytest.approx(2.9)


# --- just in time, all the same ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("waited", "again"), [(3595, False), (3596, True)])
async def test_a_request_is_sent_with_five_seconds_left_and_signed_again_with_less(waited: int, again: bool) -> None:
    world = World(step=0.0)

    def now() -> datetime:
        return NOW + timedelta(seconds=sum(world.sleeps))

    signer = OfflineSigner(Credentials("AKID", "secret"), region="us-east-1", endpoint_url="http://s3.test", clock=now)
    edge, transport = dataclasses.replace(world.edge(), now=now), FakeTransport()
    limits = Limits(requests_per_second=1 / (waited + BURST))
    async with Transfer(signer, transport=transport, edge=edge, limits=limits) as moving:
        for _ in range(2):
            await moving.download(S3Object("bucket", "key"))
    signed = [when - NOW for when in map(signed_at, transport.requests)]
    assert signed == [timedelta(0), timedelta(seconds=waited if again else 0)]


async def test_what_was_signed_before_a_long_wait_is_signed_again() -> None:
    """A request in almost three hours: whoever waits for the second one holds a URL that lived for one."""
    world = World(step=0.0)

    def now() -> datetime:
        return NOW + timedelta(seconds=sum(world.sleeps))

    signer = OfflineSigner(Credentials("AKID", "secret"), region="us-east-1", endpoint_url="http://s3.test", clock=now)
    edge, transport = dataclasses.replace(world.edge(), now=now), FakeTransport()
    async with Transfer(signer, transport=transport, edge=edge, limits=Limits(requests_per_second=1e-4)) as moving:
        for _ in range(2):
            await moving.download(S3Object("bucket", "key"))
        fixed = PresignedRequest("GET", URL, {}, now() + timedelta(hours=1))
        with pytest.raises(URLExpired):
            await moving.download(fixed)
    assert [when - NOW for when in map(signed_at, transport.requests)] == [timedelta(0), timedelta(seconds=9999)]


def signed_at(request: Request) -> datetime:
    return datetime.strptime(parse_qs(urlsplit(request.url).query)["X-Amz-Date"][0], "%Y%m%dT%H%M%S%z")


async def test_a_short_wait_keeps_the_signature() -> None:
    """Signing may be a question to somebody else: it is not asked twice without need."""
    calls = 0
    inner = make_signer()

    class Counting(OfflineSigner):
        async def presign(self, *arguments: Any, **options: Any) -> PresignedRequest:
            nonlocal calls
            calls += 1
            return await inner.presign(*arguments, **options)

    signer = Counting(Credentials("AKID", "secret"), region="us-east-1")
    limits = Limits(requests_per_second=10)
    async with transfer(FakeTransport(), World(step=0.0), signer=signer, limits=limits) as moving:
        await moving.run(Download(S3Object("bucket", str(number))) for number in range(50))
    assert calls == 50
