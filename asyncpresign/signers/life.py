"""From when to when a signature is good: the clock, the signing window, and the end of the credentials.

A start is kept for its second or window, with a place beside it for what the signatures of that time share.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from time import time
from typing import Any, Literal, TypeVar

from .._sigv4.presign import MAX_EXPIRES, MIN_EXPIRES
from .._sigv4.signing import amz_date, utc
from ..errors import CredentialsError, InvalidRequest, Problem, describe
from .base import Seconds

Clock = Callable[[], datetime]

_T = TypeVar("_T")
# Years of four digits, in which the longest life ends too.
_FIRST, _LAST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Kept(dict[Hashable, Any]):
    """A memory of `size` things at the most, which then begins anew; threads may share it."""

    __slots__ = ("_size",)

    def __init__(self, size: int = 256) -> None:
        self._size = size

    def keep(self, key: Hashable, value: _T) -> _T:
        if len(self) >= self._size:
            self.clear()
        self[key] = value
        return value


class Moment:
    """The second or the window in which all that is signed has the same `start`, until before `end`.

    `timestamp` is the start as `amz_date` has it, `first` and `last` are both in seconds since 1970; `kept` is a place for what
    its signatures share.
    """

    __slots__ = ("end", "first", "kept", "last", "start", "timestamp")
    start: datetime
    timestamp: str
    end: datetime
    kept: Kept
    first: float
    last: float

    def __init__(self, start: datetime, timestamp: str, end: datetime) -> None:
        self.start = start
        self.timestamp = timestamp
        self.end = end
        self.kept = Kept()
        self.first = start.timestamp()
        self.last = end.timestamp()


_NEVER = Moment(_LAST, amz_date(_LAST), _LAST)


class Lives:
    """Decides from when and how long signatures are good.

    `ends` is when the credentials do, `window` in seconds; without a `clock` it is the system's.
    """

    def __init__(
        self, ends: datetime | None, short_credentials: Literal["clamp", "raise"], window: Seconds | None, clock: Clock | None
    ) -> None:
        self._ends = ends
        self._short_credentials = short_credentials
        self._window = 1 if window is None else _whole_seconds(window)
        self._least = MIN_EXPIRES if window is None else 2 * self._window
        self._clock = clock
        self._now = _NEVER

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept, which no pickle could hold."""
        return {**self.__dict__, "_now": _NEVER}

    def problems(self, expires_in: object, signing_time: object) -> list[Problem]:
        """What is wrong with these two arguments of a call."""
        if signing_time is None and type(expires_in) is int and self._least <= expires_in <= MAX_EXPIRES:
            return []
        problems = []
        if not _are_seconds(expires_in):
            expected = f"whole seconds from {MIN_EXPIRES} to {MAX_EXPIRES} (seven days), or a timedelta of that"
            problems.append(Problem("expires_in", expected, describe(expires_in)))
        elif signing_time is None and in_seconds(expires_in) < self._least:
            expected = f"at least {self._least} seconds, twice the signing window: a URL may be a window old when it is given"
            problems.append(Problem("expires_in", expected, describe(expires_in)))
        return problems + ([] if signing_time is None else _moment_problems("signing_time", signing_time))

    def now(self) -> Moment:
        """The moment that the clock tells. Raises `InvalidRequest` for what no clock should."""
        now = self._now
        if self._clock is None:  # told at once, as by clocks that give UTC
            if now.first <= time() < now.last:
                return now
            given = utc_now()
        else:
            given = self._clock()
            if type(given) is datetime and given.tzinfo is UTC and now.start <= given < now.end:
                return now
        if problems := _moment_problems("clock", given):
            raise InvalidRequest(*problems)
        # A window that began before the credentials ended would hide their end.
        window = self._window if self._ends is None or given < self._ends else 1
        self._now = now = _moment(given, window, self._ends)
        return now

    def moment(self, signing_time: datetime | None) -> Moment:
        """The second of `signing_time`, which holds no problem, whatever clock and window say; None is now."""
        return self.now() if signing_time is None else _moment(signing_time, 1, None)

    def life(self, moment: Moment, expires_in: Seconds) -> tuple[int, datetime]:
        """How many seconds a signature of `moment` is good, and its end; `expires_in` holds no problem.

        Raises `CredentialsError` when the credentials end too early.
        """
        seconds = _whole_seconds(expires_in)
        end = moment.start + timedelta(seconds=seconds)
        limit = self._ends
        if limit is not None and limit < end:
            # X-Amz-Expires counts whole seconds, so what is left is rounded down: a URL never outlives its credentials.
            left = (limit - moment.start) // _SECOND
            if left < MIN_EXPIRES or self._short_credentials == "raise":
                ending = f"{limit.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
                asked = f"{seconds} seconds from {moment.timestamp} were asked for"
                raise CredentialsError(f"the credentials end at {ending}, and {asked}")
            seconds, end = left, moment.start + timedelta(seconds=left)
        return seconds, end


def _moment(given: datetime, window: int, limit: datetime | None) -> Moment:
    """The window, in seconds, in which `given` lies, cut short where the credentials end."""
    second = (given - _EPOCH) // _SECOND
    start, timestamp = _told(second - second % window)
    end = start + timedelta(seconds=window)
    return Moment(start, timestamp, min(end, limit) if limit is not None and limit > start else end)


# Many presigners of one process start in the same second.
@lru_cache(maxsize=64)
def _told(second: int) -> tuple[datetime, str]:
    start = _EPOCH + timedelta(seconds=second)
    return start, amz_date(start)


def window_problems(window: object) -> list[Problem]:
    """What is wrong with a signing window."""
    if window is None or (_are_seconds(window) and in_seconds(window) <= MAX_EXPIRES // 2):
        return []
    expected = f"whole seconds from {MIN_EXPIRES} to {MAX_EXPIRES // 2}, half of the longest life, or a timedelta of that"
    return [Problem("signing_window", expected, describe(window))]


def in_seconds(value: Any) -> Any:
    """A `timedelta` in seconds, anything else as it is."""
    return value if type(value) is int else value.total_seconds() if isinstance(value, timedelta) else value


def _whole_seconds(value: Seconds) -> int:
    return value if type(value) is int else int(in_seconds(value))


def _are_seconds(value: object) -> bool:
    """Whether these are whole seconds that a signature can last."""
    seconds = in_seconds(value)
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return number and MIN_EXPIRES <= seconds <= MAX_EXPIRES and seconds == int(seconds)


def _moment_problems(argument: str, value: object) -> list[Problem]:
    moment = utc(value)
    if moment is not None and _FIRST <= moment <= _LAST:
        return []
    return [Problem(argument, f"a datetime with a time zone, of the years {_FIRST.year} to {_LAST.year}", describe(value))]
