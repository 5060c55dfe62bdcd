"""Where credentials come from, and when they are fetched anew: sources, and the cache that a signer keeps in front of one.

A source is any function that returns `Credentials`, or an awaitable of them. It opens no socket of its own: `default_source`
reads the environment and two files, `botocore_source` leaves the rest to botocore. Imported here is the standard library
only, and asyncio not before there is something to fetch.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ._sigv4.signing import utc
from .errors import CredentialsError, InvalidRequest, MissingExtra, PresignError, Problem, describe, redact
from .models import Credentials
from .profiles import profile_region

if TYPE_CHECKING:
    import asyncio

CredentialSource = Callable[[], Credentials | Awaitable[Credentials]]

# Variables that lead botocore to other credentials after the profile's.
_LATER_SOURCES = {
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "a container's role",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "a container's role",
    "AWS_CREDENTIAL_FILE": "a file of EC2's first tools",
    "BOTO_CONFIG": "a file of boto 2",
}

# A fetch that fails is tried again this much later, by the clock.
PAUSE = timedelta(seconds=5)


def find_region(*, environ: Mapping[str, str] | None = None, profile: str | None = None) -> str | None:
    """`AWS_REGION`, else `AWS_DEFAULT_REGION` of `environ` (the process's), else the profile's `region`, else None.

    Files are read only when neither variable is set. Raises `CredentialsError` for a file that cannot be read and for a
    profile that `profile` or `AWS_PROFILE` names and that is not there: "no region" would hide the reason.
    """
    variables = os.environ if environ is None else environ
    return variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION") or profile_region(profile, variables)


def default_source(*, environ: Mapping[str, str] | None = None) -> CredentialSource:
    """The environment's credentials, else those of the profile: `Credentials.from_env`, then `.from_profile`.

    Both are read anew at every call, which may block for as long as it takes to read two small files; a signer calls it in
    a thread. As with botocore, an `AWS_ACCESS_KEY_ID` without a secret is an error and no reason to look further. What
    botocore would take from a source that is not here is refused and never replaced by the keys of a later one. Raises
    `CredentialsError` that says where it looked, and which sources the environment names.
    """

    def find() -> Credentials:
        variables = os.environ if environ is None else environ
        if variables.get("AWS_ACCESS_KEY_ID"):
            return Credentials.from_env(variables)
        try:
            return Credentials.from_profile(environ=variables)
        except CredentialsError as error:
            hint = "asyncpresign.botocore_source looks further: roles, SSO, containers, instances"
            named = "".join(f"; {name} is set, for {what}" for name, what in _LATER_SOURCES.items() if name in variables)
            raise CredentialsError(f"no AWS_ACCESS_KEY_ID in the environment, and {error}{named}; {hint}") from None

    return find


def botocore_source(session: Any = None) -> CredentialSource:
    """What botocore's whole chain finds: roles, SSO, processes, containers, instances.

    `session` is a session of botocore, boto3, aiobotocore or aioboto3, which keeps what it found and renews it when it sees
    fit; with none, every fetch asks a new one. Botocore is only asked for credentials: signing stays offline. A session of
    aiobotocore's or aioboto3's reads its files in the event loop the first time it is asked, as it does for its own clients;
    the others are asked in a thread. The source raises `CredentialsError` when there are none. Raises `MissingExtra` without
    botocore.
    """
    new_session, describe_failure = _botocore()
    if session is not None and not hasattr(session, "get_credentials"):
        raise InvalidRequest(Problem("session", "a botocore or aiobotocore session", describe(session)))
    find: Callable[[], Any] = getattr(session, "get_credentials", lambda: new_session().get_credentials())

    async def settle(found: Any) -> Credentials:
        """The credentials of a session that works in the event loop: its methods return awaitables."""
        try:
            found = _found(await _settled(found))
            await _settled(found.get_frozen_credentials())
            ends = _ends(found)
            return _snapshot(await _settled(found.get_frozen_credentials()), ends)
        except Exception as error:  # noqa: BLE001 (raised below, and not chained: it can quote a file or a program)
            failure = describe_failure(error)
        raise failure

    def resolve() -> Credentials | Awaitable[Credentials]:
        try:
            found = find()
            if inspect.isawaitable(found):  # a plain function of aioboto3's
                return settle(found)
            _found(found).get_frozen_credentials()
            ends = _ends(found)
            return _snapshot(found.get_frozen_credentials(), ends)
        except Exception as error:  # noqa: BLE001 (as above)
            failure = describe_failure(error)
        raise failure

    async def resolve_async() -> Credentials:
        return await settle(find())

    return resolve_async if inspect.iscoroutinefunction(find) else resolve


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _found(credentials: Any) -> Any:
    if credentials is None:
        raise CredentialsError(
            "botocore's whole chain (environment, profiles, roles, SSO, container, instance) found no credentials"
        )
    return credentials


def _ends(credentials: Any) -> datetime | None:
    """When botocore's credentials end, if they do.

    It is asked for between two snapshots: the first renews what is due, the second is used. Botocore publishes the keys and
    then their end, so what was asked for first is never later than the truth.
    """
    return utc(getattr(credentials, "_expiry_time", None))


def _snapshot(frozen: Any, ends: datetime | None) -> Credentials:
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token or None, ends)


def _botocore() -> tuple[Callable[[], Any], Callable[[Exception], CredentialsError]]:
    """How to make a session, and how to say what one raised."""
    try:
        from botocore import exceptions
        from botocore.session import Session
    except ImportError:
        raise MissingExtra("aiobotocore", "botocore_source") from None
    speaking = (exceptions.BotoCoreError, exceptions.ClientError, PresignError)
    # Their texts quote a file, a program or a server.
    quoting = (exceptions.ConfigParseError, exceptions.CredentialRetrievalError, exceptions.MetadataRetrievalError)

    def describe_failure(error: Exception) -> CredentialsError:
        if isinstance(error, CredentialsError):
            return error
        shown = isinstance(error, speaking) and not isinstance(error, quoting)
        text = f"{type(error).__name__}: {redact(str(error))}" if shown else type(error).__name__
        return CredentialsError(f"botocore's chain raised {text}")

    return Session, describe_failure


class CredentialCache:
    """The one snapshot of credentials that a signer signs with, renewed in time.

    `source` is asked when there is no snapshot yet or it ends within `margin` (within a quarter of the life it had when it
    was fetched, if that is shorter). However many callers wait, it is asked once and they share the outcome. A plain
    function is called in a thread, so it may block; an awaitable that it returns is awaited in the event loop. A failure is
    raised only when no snapshot is left that is good, and for the next `PAUSE` it stands for the source's answer. Given
    `Credentials`, it hands them out as they are, ended or not. `clock` returns the current time, aware.

    One cache belongs to one event loop at a time; several may use it in turn.
    """

    def __init__(
        self,
        source: CredentialSource | Credentials,
        *,
        clock: Callable[[], datetime],
        margin: timedelta = timedelta(minutes=5),
    ) -> None:
        if not isinstance(source, Credentials) and not callable(source):
            expected = "asyncpresign.Credentials, or a function that returns them"
            raise InvalidRequest(Problem("credentials", expected, describe(source)))
        self._source = None if isinstance(source, Credentials) else source
        self._current = source if isinstance(source, Credentials) else None
        self._clock = clock
        self._margin = margin
        self._renew_at: datetime | None = None
        self._failure: tuple[CredentialsError, datetime] | None = None
        self._turn: _Turn | None = None

    def __repr__(self) -> str:
        return f"CredentialCache({self._current!r})"

    async def get(self) -> Credentials:
        """The snapshot to sign with now. Raises `CredentialsError` when there is none and the source gives none."""
        if self._is_due():
            await self._fetch()
        return self._usable()

    async def refresh(self) -> bool:
        """Ask the source now. Returns whether the snapshot changed; raises as `get` does, so not while one is still good."""
        before = self._current
        await self._fetch()
        return self._usable() != before

    def _is_due(self) -> bool:
        if self._source is None:
            return False
        now = self._now()
        # The pause is over too when the clock was set back.
        if self._failure is not None and timedelta(0) <= now - self._failure[1] < PAUSE:
            return False
        return self._current is None or (self._renew_at is not None and now >= self._renew_at)

    def _usable(self) -> Credentials:
        current = self._current
        if current is not None and (self._source is None or _lasts(current, self._now())):
            return current
        if self._failure is not None:
            # A new one for every caller: an error that is raised again grows its traceback.
            raise CredentialsError(*self._failure[0].args) from self._failure[0].__cause__
        raise CredentialsError("the credentials that the source gave have ended")

    async def _fetch(self) -> None:
        if self._source is None:
            return
        # A loop's locks and futures are of no use to the next one.
        if self._turn is None or not self._turn.is_here():
            self._turn = _Turn()
        turn, answered = self._turn, self._turn.answered
        async with turn.lock:
            if turn.answered != answered:
                return  # another caller's answer came while this one waited
            self._take(await turn.ask(self._source), self._now())
            turn.answered += 1

    def _take(self, answer: object, now: datetime) -> None:
        """Keep what the source answered: a snapshot, or why there is none."""
        match answer:
            case Credentials() if _lasts(answer, now):
                self._current, self._failure, ends = answer, None, answer.expires_at
                self._renew_at = None if ends is None else ends - min(self._margin, (ends - now) / 4)
            case Credentials():
                self._failure = CredentialsError("the credential source gave credentials that have ended"), now
            case CredentialsError():
                self._failure = answer, now
            case _:
                text = f"the credential source gave {describe(answer)}, not asyncpresign.Credentials"
                self._failure = CredentialsError(text), now

    def _now(self) -> datetime:
        given = self._clock()
        moment = utc(given)
        if moment is None:
            raise InvalidRequest(Problem("clock", "a function that returns the time, aware", describe(given)))
        return moment


def _lasts(credentials: Credentials, now: datetime) -> bool:
    return credentials.expires_at is None or now < credentials.expires_at


class _Turn:
    """What belongs to the running event loop: who may ask the source, and the thread it is being asked in."""

    def __init__(self) -> None:
        # Whoever is here has loaded it; signing with fixed credentials never is.
        import asyncio

        self._asyncio = asyncio
        self._loop = asyncio.get_running_loop()
        self._thread: asyncio.Future[object] | None = None
        self.lock = asyncio.Lock()
        self.answered = 0

    def is_here(self) -> bool:
        return self._loop is self._asyncio.get_running_loop()

    async def ask(self, source: CredentialSource) -> object:
        """What the source gives, or a `CredentialsError` for what it raises. One that is not a coroutine function may block."""
        answer = _call(source) if inspect.iscoroutinefunction(source) else await self._call_in_thread(source)
        return await self._wait_for(answer) if inspect.isawaitable(answer) else answer

    async def _call_in_thread(self, source: CredentialSource) -> object:
        # A caller that is cancelled leaves its thread behind, and the next one waits for that.
        if self._thread is None or self._thread.done():
            self._thread = self._loop.run_in_executor(None, _call, source)
            # asyncio would log what nobody waits for any more.
            self._thread.add_done_callback(lambda thread: thread.cancelled() or thread.exception())
        return await self._asyncio.shield(self._thread)

    async def _wait_for(self, answer: Awaitable[object]) -> object:
        try:
            return await answer
        except self._asyncio.CancelledError as error:
            task = self._asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not this task: one that the source waited for.
            return _failure(error)
        except Exception as error:  # noqa: BLE001 (as below)
            return _failure(error)


def _call(source: CredentialSource) -> object:
    from asyncio import CancelledError  # loaded already, as above

    try:
        return source()
    except (Exception, CancelledError) as error:  # noqa: BLE001 (an answer, which `_take` keeps and `_usable` raises)
        return _failure(error)


def _failure(error: BaseException) -> CredentialsError:
    if isinstance(error, CredentialsError):
        return error
    text = str(error) if isinstance(error, PresignError) else type(error).__name__
    failure = CredentialsError(f"the credential source raised {text}")
    failure.__cause__ = error
    return failure
