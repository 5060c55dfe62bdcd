"""Which host a URL names, which hosts are this machine, and how long the state of a host is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign.http.transport import origin_of
from asyncpresign.transfer.hosts import ClockTrust, Hosts, is_loopback

ORIGINS = {
    "https://host/x": ("https", "host", "443"),
    "http://host/x": ("http", "host", "80"),
    "HTTP://HOST": ("http", "host", "80"),
    "https://host:9000?x=https://other/": ("https", "host", "9000"),
    "https://me:pa:ss@Host:1/x": ("https", "host", "1"),
    "https://host/me@other": ("https", "host", "443"),
    "http://host:443/": ("http", "host", "443"),
    "HTTP://u:p@[::1]:80?x": ("http", "[::1]", "80"),
    "http://[::1]:9000/x": ("http", "[::1]", "9000"),
    "http://[FE80::1]/x": ("http", "[fe80::1]", "80"),
    "ftp://host/x": ("", "", ""),
    "https://ho st/x": ("", "", ""),
    "": ("", "", ""),
}


@pytest.mark.parametrize(("url", "origin"), ORIGINS.items())
def test_the_origin_of_a_url(url: str, origin: tuple[str, str, str]) -> None:
    assert origin_of(url) == origin


@given(st.text())
def test_any_string_has_some_origin_or_none(text: str) -> None:
    origin_of(text)
    assert len(set(map(bool, origin_of(f"http://{text}")))) == 1


@pytest.mark.parametrize("host", ["localhost", "bucket.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.test", "128.0.0.1", "127.0.0.1.test", "[::2]", "notlocalhost", "10.0.0.1", "[x]"]
)
def test_another_machine(host: str) -> None:
    assert not is_loopback(host)


DAY, TOLERANCE = timedelta(days=1), timedelta(minutes=15)
TRUSTED = {
    "TLS": (ClockTrust(), "https://s3.test/x", DAY),
    "upper case": (ClockTrust(), "HTTPS://s3.test/x", DAY),
    "plain": (ClockTrust(), "http://s3.test/x", TOLERANCE),
    "this machine": (ClockTrust(), "http://localhost:9000/x", DAY),
    "this machine by number": (ClockTrust(), "http://127.0.0.1:9000/x", DAY),
    "a name that begins alike": (ClockTrust(), "http://localhost.s3.test/x", TOLERANCE),
    "a user who is called alike": (ClockTrust(), "http://localhost@s3.test/x", TOLERANCE),
    "unverified": (ClockTrust(verified=False), "https://s3.test/x", TOLERANCE),
    "unverified on this machine": (ClockTrust(verified=False), "https://[::1]/x", DAY),
    "through a proxy": (ClockTrust(direct=False), "http://localhost/x", TOLERANCE),
    "TLS through a proxy": (ClockTrust(direct=False), "https://s3.test/x", DAY),
    "less than S3 tolerates": (ClockTrust(timedelta(minutes=1)), "http://s3.test/x", timedelta(minutes=1)),
    "nothing": (ClockTrust(timedelta()), "https://s3.test/x", timedelta()),
    "no URL": (ClockTrust(), "s3.test", TOLERANCE),
}


@pytest.mark.parametrize(("trust", "url", "limit"), TRUSTED.values(), ids=TRUSTED.keys())
def test_how_far_a_clock_is_believed(trust: ClockTrust, url: str, limit: timedelta) -> None:
    assert trust.limit(url) == limit


class State:
    """Of a host."""


def test_the_states_used_last_are_kept() -> None:
    hosts = Hosts(State, most=2)
    first = id(hosts.of("http://1"))
    held = hosts.of("http://2")
    assert id(hosts.of("http://1")) == first, "used again"
    for number in range(3, 10):
        hosts.of(f"http://{number}")
        assert len(hosts) == 3
    assert hosts.of("http://2") is held, "somebody refers to it"
