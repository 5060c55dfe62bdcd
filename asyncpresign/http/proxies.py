"""Which proxy the environment names for a URL: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, less what `NO_PROXY` lists.

Not by aiohttp's own `trust_env`, which also reads .netrc and adds its credentials to requests that are signed. `NO_PROXY`
means what it means to curl and Go: host names with all names below them, with a port or for every port, addresses, networks
("10.0.0.0/8"), and "*". https://curl.se/docs/manpage.html#--noproxy
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ..errors import InvalidRequest, Problem, describe

_WORD = re.compile(r"[!-~]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_from_environment(url: str) -> str | None:
    """The proxy's URL for `url`, which is valid; None for a direct connection. Raises `InvalidRequest`."""
    proxies: Mapping[str, str] = getproxies()
    if not proxies:
        return None
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    port = parts.port or _DEFAULT_PORTS[scheme]
    if is_exempt(host, port, proxies.get("no", "")) or proxy_bypass(host):
        return None
    proxy = proxies.get(scheme) or proxies.get("all")
    return check_proxy("the environment's proxy", proxy) if proxy else None


def check_proxy(argument: str, proxy: object) -> str:
    """`proxy`, if it is the URL of an HTTP proxy.

    Raises `InvalidRequest` that shows nothing of it: where a URL is malformed, no rule finds the password in it.
    """
    if isinstance(proxy, str):
        with suppress(ValueError):
            parts = urlsplit(proxy)
            # Reading the port raises for an invalid one. A slash or `?` before the `@` is of a password that is not encoded.
            whole = (parts.port, parts.path.strip("/"), parts.query, parts.fragment)[1:] == ("", "", "")
            if parts.scheme in ("http", "https") and parts.hostname and whole and _WORD.fullmatch(proxy):
                return proxy
    raise InvalidRequest(Problem(argument, "a URL such as http://user:password@host:3128, percent-encoded", describe(proxy)))


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether `no_proxy` lists `host` (in lower case, an IPv6 address without brackets) at `port`."""
    return any(_matches(entry.strip().lower(), host, port) for entry in no_proxy.split(","))


def _matches(entry: str, host: str, port: int) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    if _is_in_network(host, entry.strip("[]")):
        return True
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isascii() and digits.isdigit() and (":" not in name or name.startswith("[")):
        if int(digits[:6]) != port:
            return False
        entry = name
    if _is_in_network(host, entry.strip("[]")):
        return True
    entry = entry.removeprefix("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
