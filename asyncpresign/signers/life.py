"""From when to when a signature is good: the clock, the signing window, and the end of the credentials.

A decision is kept for its second or window, with a place beside it for what the signatures of that time share.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, Literal, NamedTuple, TypeVar

from .._sigv4.presign import MAX_EXPIRES, MIN_EXPIRES
from .._sigv4.signing import amz_date, utc
from ..errors import CredentialsError, InvalidRequest, Problem, describe
from .base import Seconds

Clock = Callable[[], datetime]

_T = TypeVar("_T")
# Years of four digits, in which the longest life ends too.
_FIRST, _LAST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Kept(dict[Hashable, Any]):
    """A memory of `SIZE` things at the most, which then begins anew; threads may share it."""

    SIZE = 256

    def keep(self, key: Hashable, value: _T) -> _T:
        if len(self) >= self.SIZE:
            self.clear()
        self[key] = value
        return value


@dataclass(frozen=True, slots=True)
class Validity:
    """When a signature starts and ends. `kept` is for what signatures share that start when this one does."""

    timestamp: str
    expires_in: int
    expires_at: datetime
    kept: Kept = field(compare=False, repr=False)


class _Moment(NamedTuple):
    """The second or the window for which all that is signed has the same start."""

    start: datetime
    end: datetime
    first: float
    last: float
    kept: Kept


_NEVER = _Moment(_LAST, _LAST, 0, 0, Kept())


class Lives:
    """Decides validities. `ends` is when the credentials do, `window` in seconds; without a `clock` it is the system's."""

    def __init__(
        self, ends: datetime | None, short_credentials: Literal["clamp", "raise"], window: Seconds | None, clock: Clock | None
    ) -> None:
        self._ends = ends
        self._short_credentials = short_credentials
        self._window = None if window is None else _whole_seconds(window)
        self._least = MIN_EXPIRES if self._window is None else 2 * self._window
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

    def validity(self, expires_in: Seconds, signing_time: datetime | None) -> Validity:
        """`expires_in` and `signing_time` hold no problem; what the clock says is looked at here.

        Raises `CredentialsError` when the credentials end too early.
        """
        if signing_time is not None:
            return self._decide(_whole(signing_time), _whole_seconds(expires_in), Kept())
        if self.kept() is None:
            self._now = self._moment(utc_now() if self._clock is None else self._clock())
        now, seconds = self._now, _whole_seconds(expires_in)
        found: Validity | None = now.kept.get(seconds)
        if found is None:
            found = now.kept.keep(seconds, self._decide(now.start, seconds, now.kept))
        return found

    def kept(self) -> Kept | None:
        """What validities of this second or window keep, if there was one."""
        now = self._now
        if self._clock is None:  # told at once, as by clocks that give UTC
            return now.kept if now.first <= time() < now.last else None
        given = self._clock()
        return now.kept if type(given) is datetime and given.tzinfo is UTC and now.start <= given < now.end else None

    def _moment(self, given: datetime) -> _Moment:
        """The second or window in which `given` lies, from its start to the next one's, with nothing kept yet."""
        if problems := _moment_problems("clock", given):
            raise InvalidRequest(*problems)
        start = _whole(given)
        end = start + _SECOND
        if self._window is not None and (self._ends is None or given < self._ends):
            start -= timedelta(seconds=int(start.timestamp()) % self._window)
            end = start + timedelta(seconds=self._window)
        # What is kept is forgotten when the credentials end: a window that began before would hide it.
        if self._ends is not None and self._ends > start:
            end = min(end, self._ends)
        return _Moment(start, end, start.timestamp(), end.timestamp(), Kept())

    def _decide(self, moment: datetime, seconds: int, kept: Kept) -> Validity:
        end = moment + timedelta(seconds=seconds)
        limit = self._ends
        if limit is not None and limit < end:
            # X-Amz-Expires counts whole seconds, so what is left is rounded down: a URL never outlives its credentials.
            left = int((limit - moment).total_seconds())
            if left < MIN_EXPIRES or self._short_credentials == "raise":
                ending = f"{limit.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
                asked = f"{seconds} seconds from {amz_date(moment)} were asked for"
                raise CredentialsError(f"the credentials end at {ending}, and {asked}")
            seconds, end = left, moment + timedelta(seconds=left)
        return Validity(amz_date(moment), seconds, end, kept)


def window_problems(window: object) -> list[Problem]:
    """What is wrong with a signing window."""
    if window is None or (_are_seconds(window) and in_seconds(window) <= MAX_EXPIRES // 2):
        return []
    expected = f"whole seconds from {MIN_EXPIRES} to {MAX_EXPIRES // 2}, half of the longest life, or a timedelta of that"
    return [Problem("signing_window", expected, describe(window))]


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def in_seconds(value: Any) -> Any:
    """A `timedelta` in seconds, anything else as it is."""
    return value.total_seconds() if isinstance(value, timedelta) else value


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
