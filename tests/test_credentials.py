"""Sources of credentials, and the cache in front of one: asked in time, asked once, and never a dead or a mixed snapshot."""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from aiobotocore.credentials import AioCredentialResolver, AioRefreshableCredentials
from aiobotocore.session import AioSession
from botocore.credentials import CredentialProvider, CredentialResolver, RefreshableCredentials
from botocore.exceptions import ClientError, CredentialRetrievalError, PartialCredentialsError
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import Credentials, CredentialsError, InvalidRequest, MissingExtra, botocore_source, default_source
from asyncpresign.credentials import PAUSE, CredentialCache
from tests.test_redaction import SECRET, SECRETS, TOKEN, assert_clean, everything_about

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Clock:
    """The time, which passes only when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Source:
    """Gives credentials that live for `life`, numbered, or raises what it is told to."""

    def __init__(self, clock: Clock, life: timedelta | None = timedelta(hours=1)) -> None:
        self.clock, self.life = clock, life
        self.calls = 0
        self.failure: Exception | None = None

    def make(self) -> Credentials:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return Credentials(f"AKID{self.calls}", SECRET, TOKEN, None if self.life is None else self.clock() + self.life)

    def __call__(self) -> Credentials:
        return self.make()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(clock: Clock) -> Source:
    return Source(clock)


@pytest.fixture
def cache(source: Source, clock: Clock) -> CredentialCache:
    return CredentialCache(source, clock=clock)


async def failure_of(call: Awaitable[object]) -> CredentialsError:
    """What the call raises, which shows no secret."""
    with pytest.raises(CredentialsError) as raised:
        await call
    assert_clean(everything_about(raised.value), SECRETS)
    return raised.value


# --- in time ----------------------------------------------------------------------------------------------------------


async def test_asked_when_there_is_nothing_and_again_within_the_margin(
    cache: CredentialCache, source: Source, clock: Clock
) -> None:
    assert source.calls == 0
    first = await cache.get()
    clock.now += 55 * MINUTE - timedelta(microseconds=1)
    assert await cache.get() is first
    clock.now += timedelta(microseconds=1)
    assert (await cache.get()).access_key_id == "AKID2"
    assert source.calls == 2


@given(st.timedeltas(timedelta(microseconds=4), timedelta(days=1)), st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_the_margin_is_never_longer_than_a_quarter_of_the_life(life: timedelta, margin: timedelta) -> None:
    clock = Clock()
    source = Source(clock, life)
    cache = CredentialCache(source, clock=clock, margin=margin)

    async def at_three_quarters() -> None:
        await cache.get()
        clock.now += life * 3 / 4 - timedelta(microseconds=1)
        await cache.get()
        assert source.calls == 1
        clock.now = START + life
        assert (await cache.get()).access_key_id == "AKID2"

    anyio.run(at_three_quarters)


@pytest.mark.parametrize("life", [None, timedelta(days=400)])
async def test_what_lasts_is_not_asked_for_again(life: timedelta | None, clock: Clock) -> None:
    source = Source(clock, life)
    cache = CredentialCache(source, clock=clock)
    first = await cache.get()
    clock.now += timedelta(days=300)
    assert await cache.get() is first
    assert await cache.refresh()
    assert (await cache.get()).access_key_id == "AKID2"


async def test_fixed_credentials_are_handed_out_as_they_are(clock: Clock) -> None:
    ended = Credentials("AKID", SECRET, TOKEN, START - MINUTE)
    cache = CredentialCache(ended, clock=clock)
    assert await cache.get() is ended
    assert await cache.refresh() is False
    assert await cache.get() is ended
    assert_clean(repr(cache), SECRETS)


async def test_a_refresh_says_whether_anything_changed(clock: Clock) -> None:
    answers = [Credentials("A", "a"), Credentials("A", "a"), Credentials("A", "b")]
    cache = CredentialCache(lambda: answers.pop(0), clock=clock)
    assert [await cache.refresh() for _ in range(3)] == [True, False, True]
    assert await cache.get() == Credentials("A", "b")


# --- every kind of source ---------------------------------------------------------------------------------------------


class AsyncSource(Source):
    async def __call__(self) -> Credentials:  # type: ignore[override]
        await asyncio.sleep(0)
        return self.make()


def kinds(source: Source) -> dict[str, Callable[[], Any]]:
    async def coroutine(*_: object) -> Credentials:
        await asyncio.sleep(0)
        return source.make()

    async_source = AsyncSource(source.clock)
    async_source.make = source.make  # type: ignore[method-assign]
    return {
        "function": lambda *_: source.make(),
        "object": source,
        "method": source.make,
        "coroutine function": coroutine,
        "partial coroutine function": functools.partial(coroutine, 1),
        "object with a coroutine function": async_source,
        "function that returns a coroutine": lambda: coroutine(1),
    }


KINDS = [*kinds(Source(Clock()))]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_source(kind: str, source: Source, clock: Clock) -> None:
    cache = CredentialCache(kinds(source)[kind], clock=clock)
    assert (await cache.get()).access_key_id == "AKID1"
    assert await cache.refresh()
    source.failure = ValueError(SECRET)
    assert await cache.refresh() is False
    clock.now += timedelta(hours=2)
    with pytest.raises(CredentialsError, match=r"^the credential source raised ValueError$") as raised:
        await cache.get()
    assert raised.value.__cause__ is source.failure
    assert SECRET not in str(raised.value)


async def test_a_plain_function_is_called_in_a_thread(clock: Clock) -> None:
    threads: list[threading.Thread] = []

    def plain() -> Credentials:
        threads.append(threading.current_thread())
        return Credentials("A", "a")

    async def coroutine() -> Credentials:
        return plain()

    await CredentialCache(plain, clock=clock).get()
    await CredentialCache(coroutine, clock=clock).get()
    assert [thread is threading.main_thread() for thread in threads] == [False, True]


# --- one answer for all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [timedelta(minutes=57), timedelta(hours=2)], ids=["about to end", "ended"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_thousand_callers_while_the_credentials_end(kind: str, later: timedelta, source: Source, clock: Clock) -> None:
    cache = CredentialCache(kinds(source)[kind], clock=clock)
    early: list[Credentials] = []
    late: list[Credentials] = []
    all_have_theirs = anyio.Event()

    async def call() -> None:
        early.append(await cache.get())
        if len(early) == 1_000:
            clock.now += later
            all_have_theirs.set()
        await all_have_theirs.wait()
        late.append(await cache.get())

    async with anyio.create_task_group() as tasks:
        for _ in range(1_000):
            tasks.start_soon(call)
    assert source.calls == 2
    assert early == [Credentials("AKID1", SECRET, TOKEN, START + timedelta(hours=1))] * 1_000
    assert late == [Credentials("AKID2", SECRET, TOKEN, START + later + timedelta(hours=1))] * 1_000


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failure_is_shared_too(kind: str, source: Source, clock: Clock) -> None:
    source.failure = CredentialsError("nobody is home")
    cache = CredentialCache(kinds(source)[kind], clock=clock)
    failures: list[CredentialsError] = []

    async def call(function: Callable[[], Awaitable[object]]) -> None:
        failures.append(await failure_of(function()))

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(call, cache.get)
            tasks.start_soon(call, cache.refresh)
    assert source.calls == 1
    assert {str(failure) for failure in failures} == {"nobody is home"}
    assert len(set(map(id, failures))) == 200


async def test_a_refresh_that_is_under_way_serves_all_who_ask(source: Source, cache: CredentialCache) -> None:
    await cache.get()
    changed: list[bool] = []

    async def call() -> None:
        changed.append(await cache.refresh())

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(call)
    assert (changed, source.calls) == ([True] * 100, 2)


async def test_the_others_get_theirs_when_the_first_caller_is_cancelled(clock: Clock) -> None:
    asked, let_go = [anyio.Event(), anyio.Event()], anyio.Event()
    calls = 0

    async def slow() -> Credentials:
        nonlocal calls
        calls += 1
        asked[calls - 1].set()
        await let_go.wait()
        return Credentials("A", "a")

    cache = CredentialCache(slow, clock=clock)
    given: list[Credentials] = []

    async def call() -> None:
        given.append(await cache.get())

    before = asyncio.all_tasks()
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as first:
            first.start_soon(call)
            await asked[0].wait()
            for _ in range(10):
                tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            first.cancel_scope.cancel()
        await asked[1].wait()
        let_go.set()
    assert (len(given), calls) == (10, 2)
    assert asyncio.all_tasks() == before


async def test_a_thread_that_was_left_is_waited_for_and_not_joined_by_another(clock: Clock) -> None:
    asked, let_go = threading.Event(), threading.Event()
    calls = 0

    def slow() -> Credentials:
        nonlocal calls
        calls += 1
        asked.set()
        let_go.wait()
        return Credentials(f"A{calls}", "a")

    cache = CredentialCache(slow, clock=clock)
    given: list[Credentials] = []

    async def call() -> None:
        given.append(await cache.get())

    before = asyncio.all_tasks()
    async with anyio.create_task_group() as first:
        first.start_soon(call)
        await anyio.to_thread.run_sync(asked.wait)
        first.cancel_scope.cancel()
    assert asyncio.all_tasks() == before
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        let_go.set()
    assert (given, calls) == ([Credentials("A1", "a")], 1)
    assert await cache.refresh()
    assert calls == 2


def test_several_event_loops_in_turn(source: Source, clock: Clock, cache: CredentialCache) -> None:
    async def everybody() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(cache.get)
        clock.now += timedelta(hours=2)

    for _ in range(3):
        asyncio.run(everybody())
    assert source.calls == 3


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_a_failed_refresh_keeps_what_is_good_in_use(cache: CredentialCache, source: Source, clock: Clock) -> None:
    first = await cache.get()
    source.failure = CredentialsError("nobody is home")
    clock.now += 56 * MINUTE
    assert await cache.get() is first
    assert await cache.get() is first
    assert source.calls == 2
    clock.now += PAUSE - timedelta(microseconds=1)
    assert await cache.get() is first
    assert source.calls == 2
    clock.now += timedelta(microseconds=1)
    assert await cache.get() is first
    assert await cache.refresh() is False
    assert source.calls == 4
    clock.now = START + timedelta(hours=1)
    assert str(await failure_of(cache.get())) == "nobody is home"
    assert str(await failure_of(cache.get())) == "nobody is home"
    assert source.calls == 5
    assert str(await failure_of(cache.refresh())) == "nobody is home"
    source.failure = None
    clock.now += PAUSE
    assert (await cache.get()).access_key_id == "AKID7"


async def test_a_success_ends_the_pause(cache: CredentialCache, source: Source, clock: Clock) -> None:
    source.failure, source.life = CredentialsError("nobody is home"), PAUSE / 2
    await failure_of(cache.get())
    source.failure = None
    assert await cache.refresh()
    clock.now += PAUSE / 2
    assert (await cache.get()).access_key_id == "AKID3"


async def test_a_clock_that_was_set_back_does_not_prolong_the_pause(
    cache: CredentialCache, source: Source, clock: Clock
) -> None:
    source.failure = CredentialsError("nobody is home")
    await failure_of(cache.get())
    source.failure = None
    clock.now -= timedelta(hours=1)
    assert (await cache.get()).access_key_id == "AKID2"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "the credential source gave None, not asyncpresign.Credentials"),
        (SECRET, "gave a str of length 40, not asyncpresign.Credentials"),
        ((SECRET, TOKEN), "gave an object of type tuple, not"),
        (Credentials("A", SECRET, TOKEN, START), "the credential source gave credentials that have ended"),
        (Credentials("A", SECRET, TOKEN, START - MINUTE), "credentials that have ended"),
    ],
)
async def test_an_answer_that_nothing_can_be_signed_with(answer: Any, said: str, clock: Clock) -> None:
    answers = [answer]
    cache = CredentialCache(lambda: answers[0], clock=clock)
    assert said in str(await failure_of(cache.get()))
    answers[0] = Credentials("A", "a", None, START + MINUTE)
    assert await cache.refresh()
    answers[0] = answer
    assert await cache.refresh() is False
    assert await cache.get() == Credentials("A", "a", None, START + MINUTE)


async def test_credentials_that_end_while_they_are_on_their_way_to_the_caller() -> None:
    moments = iter([START, START, START + MINUTE])
    cache = CredentialCache(lambda: Credentials("A", "a", None, START + MINUTE), clock=lambda: next(moments))
    assert str(await failure_of(cache.get())) == "the credentials that the source gave have ended"


async def test_an_error_of_ours_keeps_its_text(clock: Clock) -> None:
    failure = await failure_of(CredentialCache(lambda: Credentials("A", ""), clock=clock).get())
    assert "the credential source raised secret_access_key: expected a text that is not empty" in str(failure)
    assert isinstance(failure.__cause__, InvalidRequest)


async def test_a_source_that_stops_an_iteration(clock: Clock) -> None:
    """A future cannot hold it, and would be waited for forever."""
    failure = await failure_of(CredentialCache(functools.partial(next, iter(())), clock=clock).get())
    assert "StopIteration" in str(failure)


@pytest.mark.parametrize("source", [None, (SECRET, TOKEN), SECRET], ids=["None", "tuple", "str"])
def test_what_is_no_source(source: Any, clock: Clock) -> None:
    with pytest.raises(InvalidRequest, match=r"credentials: expected asyncpresign.Credentials, or a function") as raised:
        CredentialCache(source, clock=clock)
    assert_clean(everything_about(raised.value), SECRETS)


@pytest.mark.parametrize("now", [None, datetime(2026, 3, 1), 5.0], ids=["None", "naive", "float"])  # noqa: DTZ001
async def test_a_clock_that_does_not_tell_the_time(now: Any, source: Source) -> None:
    cache = CredentialCache(source, clock=lambda: now)
    with pytest.raises(InvalidRequest, match="clock: expected a function that returns the time, aware"):
        await cache.get()


# --- environment, then profile ----------------------------------------------------------------------------------------

VARIABLES = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": SECRET}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = {SECRET}\n")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"), "AWS_CONFIG_FILE": str(tmp_path / "config")}


def test_the_environment_comes_first(files: dict[str, str]) -> None:
    assert default_source(environ={**files, **VARIABLES})() == Credentials("AKID", SECRET)
    assert default_source(environ={**files, "AWS_SECRET_ACCESS_KEY": SECRET})() == Credentials("DEFAULT", SECRET)
    assert default_source(environ=files)() == Credentials("DEFAULT", SECRET)


def test_the_processs_environment_is_read_at_every_call(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    source = default_source()
    for name, value in {**files, **VARIABLES}.items():
        monkeypatch.setenv(name, value)
    assert source() == Credentials("AKID", SECRET)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert source() == Credentials("DEFAULT", SECRET)


async def test_the_default_source_does_not_block_the_loop(files: dict[str, str], clock: Clock) -> None:
    assert await CredentialCache(default_source(environ=files), clock=clock).get() == Credentials("DEFAULT", SECRET)


def test_where_the_default_source_looked(files: dict[str, str]) -> None:
    with pytest.raises(CredentialsError, match=r"^no AWS_ACCESS_KEY_ID in the environment, and no profile 'x' of ") as raised:
        default_source(environ={**files, "AWS_PROFILE": "x"})()
    assert "credentials' and " in str(raised.value)
    assert "config' (no such file); the profiles there are: 'default'" in str(raised.value)


def test_half_an_environment_is_an_error(files: dict[str, str]) -> None:
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY not set"):
        default_source(environ={**files, "AWS_ACCESS_KEY_ID": "AKID"})()


# --- botocore ---------------------------------------------------------------------------------------------------------


def metadata(number: int, ends: datetime) -> dict[str, str]:
    return {"access_key": f"AKID{number}", "secret_key": SECRET, "token": TOKEN, "expiry_time": ends.isoformat()}


class Provider(CredentialProvider):
    """botocore's own temporary credentials, which end an hour after each refresh; a failure is raised instead."""

    METHOD = "test"

    def __init__(self, failure: Exception | None = None, kind: Any = RefreshableCredentials) -> None:
        super().__init__()
        self.failure, self.kind = failure, kind
        self.refreshes = 0
        self.ends = datetime.now(UTC) + timedelta(minutes=5)

    def refresh(self) -> dict[str, str]:
        self.refreshes += 1
        if self.failure is not None:
            raise self.failure
        self.ends = datetime.now(UTC) + timedelta(hours=self.refreshes)
        return metadata(self.refreshes, self.ends)

    def load(self) -> Any:
        return self.kind.create_from_metadata(metadata(0, self.ends), self.refresh, self.METHOD)


class AioProvider(Provider):
    def __init__(self, failure: Exception | None = None) -> None:
        super().__init__(failure, AioRefreshableCredentials)

    async def load(self) -> Any:
        return super().load()


class Wrapping:
    """boto3's and aioboto3's sessions: a plain method that returns what the session inside returns, an awaitable or not."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def get_credentials(self) -> Any:
        return self._session.get_credentials()


KINDS: dict[str, Callable[[], Any]] = {
    "botocore": Session,
    "aiobotocore": AioSession,
    "boto3": lambda: Wrapping(Session()),
    "aioboto3": lambda: Wrapping(AioSession()),
}


def inside(session: Any) -> Any:
    return session._session if isinstance(session, Wrapping) else session


def is_async(kind: str) -> bool:
    return kind.startswith("aio")


def sessions(failure: Exception | None = None) -> dict[str, tuple[Any, Provider]]:
    found: dict[str, tuple[Any, Provider]] = {}
    for name, kind in KINDS.items():
        provider, resolver = (
            (AioProvider(failure), AioCredentialResolver) if is_async(name) else (Provider(failure), CredentialResolver)
        )
        session = kind()
        inside(session).register_component("credential_provider", resolver([provider]))
        found[name] = session, provider
    return found


BOTH = pytest.mark.parametrize("kind", KINDS)


def asked(session: Any) -> CredentialCache:
    return CredentialCache(botocore_source(session), clock=lambda: datetime.now(UTC))


@BOTH
async def test_a_session_with_fixed_credentials(kind: str) -> None:
    session = KINDS[kind]()
    inside(session).set_credentials("AKID", SECRET, TOKEN)
    assert await asked(session).get() == Credentials("AKID", SECRET, TOKEN)
    for token in (None, ""):
        inside(session).set_credentials("AKID", SECRET, token)
        assert await asked(session).get() == Credentials("AKID", SECRET)


@BOTH
async def test_a_session_that_renews_its_credentials(kind: str) -> None:
    session, provider = sessions()[kind]
    cache = asked(session)
    found = await cache.get()
    assert found == Credentials("AKID1", SECRET, TOKEN, provider.ends)
    assert found.expires_at is not None
    assert found.expires_at.tzinfo is UTC
    assert await cache.refresh() is False
    assert provider.refreshes == 1


async def test_a_session_that_reads_the_files(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in files.items():
        monkeypatch.setenv(name, value)
    assert await asked(Session()).get() == Credentials("DEFAULT", SECRET)
    session = AioSession()
    await session.get_credentials()  # it reads files in the event loop, once, whoever asks first
    assert await asked(session).get() == Credentials("DEFAULT", SECRET)


@BOTH
async def test_a_session_without_credentials(kind: str) -> None:
    session = KINDS[kind]()
    resolver = AioCredentialResolver if is_async(kind) else CredentialResolver
    inside(session).register_component("credential_provider", resolver([]))
    assert "found no credentials" in str(await failure_of(asked(session).get()))


async def test_without_a_session_every_fetch_asks_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = CredentialCache(botocore_source(), clock=lambda: datetime.now(UTC))
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert await cache.get() == Credentials("AKID", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    assert await cache.refresh()
    assert await cache.get() == Credentials("AKID", SECRET, TOKEN)


REFUSED = {"Error": {"Code": "AccessDenied", "Message": "not you"}}
BOTOCORE_RAISES: list[tuple[Exception, str]] = [
    (
        PartialCredentialsError(provider="p", cred_var="v"),
        "PartialCredentialsError: Partial credentials found in p, missing: v",
    ),
    (ClientError(REFUSED, "AssumeRole"), "(AccessDenied) when calling the AssumeRole operation: not you"),  # type: ignore[arg-type]
    (CredentialRetrievalError(provider="p", error_msg=SECRET), "botocore's chain raised CredentialRetrievalError"),
    (ValueError(SECRET), "botocore's chain raised ValueError"),
]


@BOTH
@pytest.mark.parametrize(("failure", "said"), BOTOCORE_RAISES, ids=lambda value: type(value).__name__)
async def test_what_botocore_raises_becomes_ours(kind: str, failure: Exception, said: str) -> None:
    session, provider = sessions(failure)[kind]
    provider.ends -= timedelta(hours=1)
    assert said in str(await failure_of(asked(session).get()))


@BOTH
async def test_keys_that_botocore_takes_and_nobody_can_sign_with(kind: str) -> None:
    session = KINDS[kind]()
    inside(session).set_credentials("AKID", SECRET + "\n")
    failure = await failure_of(asked(session).get())
    assert "botocore's chain raised InvalidRequest: secret_access_key: expected a text without line breaks" in str(failure)


def test_a_file_that_botocore_cannot_parse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").write_text(f"[default]\n{SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(CredentialsError, match=r"^botocore's chain raised ConfigParseError$") as raised:
        botocore_source()()
    assert_clean(everything_about(raised.value), SECRETS)


@pytest.mark.parametrize("session", [5, SECRET, object()], ids=["int", "str", "object"])
def test_what_is_no_session(session: Any) -> None:
    with pytest.raises(InvalidRequest, match="session: expected a botocore or aiobotocore session"):
        botocore_source(session)


def test_botocore_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(MissingExtra, match=r"botocore_source needs .*asyncpresign\[aiobotocore\]"):
        botocore_source()
