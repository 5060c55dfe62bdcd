"""From when to when a signature is good: the clock, the signing window, and the end of the credentials.

A decision a second and life is kept, with a place beside it for what its signatures share.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from .._sigv4.presign import MAX_EXPIRES, MIN_EXPIRES
from .._sigv4.signing import amz_date, utc
from ..errors import CredentialsError, InvalidRequest, Problem, describe
from .base import Seconds

Clock = Callable[[], datetime]

# Years of four digits, in which the longest life ends too.
_FIRST, _LAST = datetime(1000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class Kept(dict[Hashable, Any]):
    """A memory of what was made a moment ago: of `SIZE` things at the most, then it begins anew. Threads may share it."""

    SIZE = 256

    def keep(self, key: Hashable, value: Any) -> None:
        if len(self) >= self.SIZE:
            self.clear()
        self[key] = value


@dataclass(frozen=True, slots=True)
class Validity:
    """When a signature starts and ends. `kept` is for whatever is the same for all signatures of this validity."""

    timestamp: str
    expires_in: int
    expires_at: datetime
    kept: Kept = field(default_factory=Kept, compare=False, repr=False)


class Lives:
    """Decides validities. `ends` is when the credentials do; `window` is in seconds; both may be None."""

    def __init__(
        self, ends: datetime | None, short_credentials: Literal["clamp", "raise"], window: Seconds | None, clock: Clock
    ) -> None:
        self._ends = ends
        self._short_credentials = short_credentials
        self._window = None if window is None else int(_in_seconds(window))
        self._clock = clock
        # A moment is over when it starts: there is none yet.
        self._now = (_LAST, _LAST, Kept())

    def __getstate__(self) -> dict[str, Any]:
        """Without what is kept, which no pickle could hold."""
        return {**self.__dict__, "_now": (_LAST, _LAST, Kept())}

    def problems(self, expires_in: object, signing_time: object) -> list[Problem]:
        """What is wrong with these two arguments of a call."""
        problems = []
        if not _are_seconds(expires_in):
            expected = f"whole seconds from {MIN_EXPIRES} to {MAX_EXPIRES} (seven days), or a timedelta of that"
            problems.append(Problem("expires_in", expected, describe(expires_in)))
        elif self._window is not None and signing_time is None and _in_seconds(expires_in) < 2 * self._window:
            expected = (
                f"at least {2 * self._window} seconds, twice the signing window: a URL may be a window old when it is given"
            )
            problems.append(Problem("expires_in", expected, describe(expires_in)))
        return problems + ([] if signing_time is None else _moment_problems("signing_time", signing_time))

    def validity(self, expires_in: Seconds, signing_time: datetime | None) -> Validity:
        """`expires_in` and `signing_time` hold no problem; what the clock says is looked at here.

        Raises `CredentialsError` when the credentials end too early.
        """
        seconds = int(_in_seconds(expires_in))
        if signing_time is not None:
            return self._decide(_whole(signing_time), seconds)
        given = self._clock()
        start, end, kept = self._now
        # Times of one zone are compared at once; a clock of another kind is looked at anew every time.
        if type(given) is not datetime or given.tzinfo is not UTC or not start <= given < end:
            start, end, kept = self._now = self._moment(given)
        found: Validity | None = kept.get(seconds)
        if found is None:
            found = self._decide(start, seconds)
            kept.keep(seconds, found)
        return found

    def _moment(self, given: datetime) -> tuple[datetime, datetime, Kept]:
        """The second or window in which `given` lies, from its start to the next one's, with nothing kept yet."""
        if problems := _moment_problems("clock", given):
            raise InvalidRequest(*problems)
        start = _whole(given)
        end = start + _SECOND
        if self._window is not None and (self._ends is None or given < self._ends):
            start -= timedelta(seconds=int(start.timestamp()) % self._window)
            end = start + timedelta(seconds=self._window)
        # What is kept is forgotten when the credentials end: a window that began before would hide it.
        return start, end if self._ends is None or self._ends <= start else min(end, self._ends), Kept()

    def _decide(self, moment: datetime, seconds: int) -> Validity:
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
        return Validity(amz_date(moment), seconds, end)


def window_problems(window: object) -> list[Problem]:
    """What is wrong with a signing window."""
    if window is None or (_are_seconds(window) and _in_seconds(window) <= MAX_EXPIRES // 2):
        return []
    expected = f"whole seconds from {MIN_EXPIRES} to {MAX_EXPIRES // 2}, half of the longest life, or a timedelta of that"
    return [Problem("signing_window", expected, describe(window))]


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _in_seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _are_seconds(value: object) -> bool:
    """Whether these are whole seconds that a signature can last."""
    seconds = _in_seconds(value)
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return number and MIN_EXPIRES <= seconds <= MAX_EXPIRES and seconds == int(seconds)


def _moment_problems(argument: str, value: object) -> list[Problem]:
    moment = utc(value)
    if moment is not None and _FIRST <= moment <= _LAST:
        return []
    return [Problem(argument, f"a datetime with a time zone, of the years {_FIRST.year} to {_LAST.year}", describe(value))]
