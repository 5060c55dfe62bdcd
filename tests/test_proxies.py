"""Which proxy the environment names, as curl and Go read the same variables."""

from __future__ import annotations

import pytest

from asyncpresign.http.proxies import is_exempt, proxy_from_environment

EXEMPT = [
    ("host.test", 80, "host.test"),
    ("host.test", 80, "other, HOST.test"),
    ("a.host.test", 80, "host.test"),
    ("a.host.test", 80, ".host.test"),
    ("a.host.test", 80, "*.host.test"),
    ("a.host.test", 9000, "host.test:9000"),
    ("host.test", 443, "host.test:443"),
    ("host.test", 80, "*"),
    ("127.0.0.1", 9000, "127.0.0.1:9000"),
    ("127.0.0.1", 9000, "127.0.0.1"),
    ("10.1.2.3", 80, "10.0.0.0/8"),
    ("10.1.2.3", 80, "10.0.0.0/8:80"),
    ("::1", 80, "::1"),
    ("::1", 80, "[::1]"),
    ("::1", 9000, "[::1]:9000"),
    ("fd00::5", 80, "fd00::/8"),
    ("fe80::1:80", 443, "fe80::1:80"),
    ("fe80::1", 80, "[fe80::1]:80"),
    ("host.test", 80, " HOST.test "),
    ("host.test", 999999, "host.test:999999"),
]
NOT_EXEMPT = [
    ("host.test", 80, ""),
    ("host.test", 80, " , "),
    ("host.test", 80, "host.test:9000"),
    ("myhost.test", 80, "host.test"),
    ("host.test", 80, "a.host.test"),
    ("127.0.0.1", 9000, "127.0.0.1:9001"),
    ("11.1.2.3", 80, "10.0.0.0/8"),
    ("::1", 9000, "[::1]:9001"),
    ("host.test", 80, "."),
    ("fe80::1", 80, "fe80::1:80"),
    ("host.test", 80, "host.test:"),
    ("host.test", 1, "host.test:١"),
    ("host.test", 80, "10.0.0.0/99"),
    ("host.test", 80, "host.test:" + "9" * 5000),
]


@pytest.mark.parametrize(("host", "port", "no_proxy"), EXEMPT)
def test_a_listed_host_is_reached_directly(host: str, port: int, no_proxy: str) -> None:
    assert is_exempt(host, port, no_proxy)


@pytest.mark.parametrize(("host", "port", "no_proxy"), NOT_EXEMPT)
def test_a_host_that_is_not_listed_is_reached_by_the_proxy(host: str, port: int, no_proxy: str) -> None:
    assert not is_exempt(host, port, no_proxy)


PROXIES = [
    ("https://h/k", {"HTTPS_PROXY": "http://s", "ALL_PROXY": "http://a"}, "http://s"),
    ("HTTP://H/k", {"http_proxy": "http://p", "ALL_PROXY": "http://a"}, "http://p"),
    ("https://h/k", {"http_proxy": "http://p", "all_proxy": "http://a"}, "http://a"),
    ("https://h/k", {"http_proxy": "http://p"}, None),
    ("https://h/k", {"ALL_PROXY": "http://a", "NO_PROXY": "h:443"}, None),
    ("https://h/k", {"ALL_PROXY": "http://a", "no_proxy": "h:80"}, "http://a"),
    ("http://h:9000/k", {"ALL_PROXY": "http://a", "no_proxy": "h:9000"}, None),
    ("https://h/k", {}, None),
]


@pytest.mark.parametrize(("url", "environment", "proxy"), PROXIES)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], proxy: str | None
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_from_environment(url) == proxy
