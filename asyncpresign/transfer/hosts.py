"""How far the clock of a host is believed, and the registry of what is known about each host.

It opens no socket and resolves no name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from ..http.transport import origin_of

# Of hosts that no request uses. A job that visits more hosts than this in turn forgets those it visited first.
IDLE_HOSTS = 1000

_State = TypeVar("_State")
_TOLERANCE = timedelta(minutes=15)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine by its name alone: `localhost`, a name below it, or a loopback address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class ClockTrust:
    """How far the `Date` of a response is believed.

    `most` is the largest offset from this machine's clock. `verified` says that TLS certificates are checked, `direct` that a
    request to this machine goes to no proxy. A `Date` that anybody on the way could have written is believed within the 15
    minutes that S3 tolerates anyway (RequestTimeTooSkewed).
    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    """

    most: timedelta = timedelta(days=1)
    verified: bool = True
    direct: bool = True

    def limit(self, url: str) -> timedelta:
        """The largest offset that is believed of a response to a request for `url`."""
        scheme, host, _ = origin_of(url)
        authentic = (scheme == "https" and self.verified) or (self.direct and is_loopback(host))
        return self.most if authentic else min(self.most, _TOLERANCE)


class Hosts(Generic[_State]):
    """The state of each host, made by `make` when it is first needed.

    A state that somebody still refers to is never forgotten. Of the others the `most` that were used last are kept.
    """

    def __init__(self, make: Callable[[], _State], most: int = IDLE_HOSTS) -> None:
        self._make = make
        self._most = most
        self._recent: OrderedDict[tuple[str, str], _State] = OrderedDict()
        self._in_use: WeakValueDictionary[tuple[str, str], _State] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._in_use)

    def of(self, url: str) -> _State:
        """The state of the host and port that `url` names."""
        name = origin_of(url)[1:]
        state = self._recent.get(name)
        if state is not None:
            self._recent.move_to_end(name)
            return state
        state = self._in_use.get(name)
        if state is None:
            state = self._in_use[name] = self._make()
        self._recent[name] = state
        if len(self._recent) > self._most:
            self._recent.popitem(last=False)
        return state
