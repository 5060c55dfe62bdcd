"""How what grants access is kept out of texts: by the form of a URL, and by what the request in hand holds. Pure.

`redact` masks by form, with nothing known: user info and query values of URLs, and the parameters and headers of a signature
wherever they are named. `hiding` collects what one request holds that grants access, and masks that in a text of a server's
or a library's, however it is encoded there. Both take time in proportion to the length of the text.

Not imported before a text is to be shown: signing a first URL has no use for it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from ._vendors import HARMLESS, SECRETS, VENDORS, query_name

MASK = "..."

SHOWN = 4096
"""Characters of a server's or a library's text that are looked at; the rest is dropped before."""

WINDOW = 12
"""Characters of a secret that are masked wherever they stand together, so that a part of one does not pass either."""

LEAST = 8
"""Characters that a secret has at least; what is shorter is masked by its name only, for it stands in harmless words, too."""

# --- by form ----------------------------------------------------------------------------------------------------------

_RUN = re.compile(r"[^\s\"'<>]+")
_QUERY = re.compile(r"([?#])")
_PARAMETERS = re.compile(r"([&?#])")
_AUTHORITY = re.compile(r"([/\\])")
_PORT = re.compile(r":[0-9]*", re.ASCII)
_PLACES, _PARTS = 16, 400
_TAIL = ",;)]}"  # what follows a URL in prose or in a repr

# A name, and what it is given. A name is looked at where it begins, also behind an encoded `&` or `?`, and is bounded, so
# that no character is looked at twice.
_NAME = r"(?:(?<![\w%-])|(?<=%26)|(?<=%3f)|(?<=%2526)|(?<=%253f))([a-z0-9_-]{1,80})"
_EQUALS = re.compile(rf"{_NAME}(?:=|%(?:25){{0,3}}3d)", re.IGNORECASE)
_PARAMETER = re.compile(r"(?:(?!%(?:25){0,3}26)[^&\s\"'<>])+")
# `Name: value`, also in JSON, also in JSON within JSON; a scheme such as `Bearer` comes before the value.
_COLON = re.compile(rf"{_NAME}\\?[\"']?\s{{0,3}}:\s{{0,3}}\\?[\"']?", re.IGNORECASE)
_HEADER = re.compile(r"(?:[a-z0-9-]{1,24} )?[^&\s\"'<>]+", re.IGNORECASE)

# Names that no sentence begins with.
_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie"}.union(
        name for vendor in VENDORS for name in vendor.secrets if "-" in name or "_" in name
    )
)
_CUSTOMER_KEY = ("customer-key", "customer-key-md5")


def redact(text: str) -> str:
    """`text` with `...` for `user:password@`, for the values of query parameters that are not known to be harmless, and for
    those of a signature's parameters and headers outside of URLs."""
    if any(mark in text for mark in "=:?%"):
        text = _RUN.sub(lambda run: _redacted_run(run[0]), text)
        text = _redacted_values(text, _EQUALS, SECRETS, _PARAMETER)
        text = _redacted_values(text, _COLON, _HEADERS, _HEADER)
    return text


def _redacted_values(text: str, name: re.Pattern[str], names: Container[str], value: re.Pattern[str]) -> str:
    """`text` with every `value` masked that follows one of `names`, written as `name` says."""
    parts: list[str] = []
    end = 0
    for found in name.finditer(text):
        lower = found[1].lower()
        if lower not in names and not lower.endswith(_CUSTOMER_KEY):
            continue
        if found.start() >= end and (given := value.match(text, found.end())):
            parts += [text[end : given.start()], _masked(given[0])]
            end = given.end()
    return "".join([*parts, text[end:]])


def _masked(value: str) -> str:
    """In place of `value`; the punctuation behind it is the sentence's. What is masked already stays as it is."""
    kept = len(value.rstrip(_TAIL))
    return MASK + value[kept:] if kept else value


def _redacted_run(run: str) -> str:
    """Characters without a space or a quote between them, which may be a URL, or the path and query of one."""
    if "://" not in run and ("?" not in run or "=" not in run):
        return run
    address, *rest = _QUERY.split(run, maxsplit=1)
    scheme, *places = address.split("://")
    parts = _PARAMETERS.split("".join(rest))
    # No URL has more than these; a text of nothing else must not take long.
    more = [MASK] if len(places) > _PLACES or len(parts) > _PARTS else []
    return "".join(
        ["://".join([scheme, *map(_without_user, places[:_PLACES])]), *map(_redacted_parameter, parts[:_PARTS]), *more]
    )


def _without_user(place: str) -> str:
    """What follows `://`, up to a query, without user info; where that is malformed, up to the last `@`."""
    authority, *path = _AUTHORITY.split(place, maxsplit=1)
    _, at, host = authority.rpartition("@")
    port = host.rpartition("]")[2].partition(":")
    if port[1] and not _PORT.fullmatch(":" + port[2].rstrip(_TAIL + ".")):
        return MASK + place[place.rfind("@") :] if "@" in place else MASK + "".join(path)
    return "".join([MASK, at, host, *path]) if at else place


def _redacted_parameter(part: str) -> str:
    """Of `name=value`, or of a separator. A value without a name is masked as a whole."""
    name, sign, value = part.partition("=")
    if part in ("", "&", "?", "#") or query_name(name.removeprefix("amp;").rstrip(_TAIL)) in HARMLESS:
        return part
    return name + sign + _masked(value) if sign else _masked(part)


# --- by what is known -------------------------------------------------------------------------------------------------

# Headers and form fields whose values may be shown; one that ends in `-` or `_` is a beginning. Of all others it is not known
# whether they grant access.
_PLAIN = frozenset(
    {"accept", "range", "host", "date", "expires", "expect", "user-agent", "origin", "cache-control", "key", "bucket", "acl"}
    | {"tagging", "redirect", "x-amz-acl", "x-amz-algorithm", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-credential"}
    | {"x-amz-date", "x-amz-request-payer", "x-amz-storage-class", "x-amz-tagging", "x-amz-server-side-encryption"}
    | {"x-amz-expected-bucket-owner", "x-amz-website-redirect-location"}
)
_PLAIN_BEGINNINGS = (
    *("content-", "if-", "accept-", "success_action_", "x-amz-bucket-", "x-amz-checksum-", "x-amz-copy-source-"),
    *("x-amz-grant-", "x-amz-object-", "x-amz-server-side-encryption-"),
)
# Parameters that say who signed, which is no secret. In a URL `redact` masks them, but the region's and the service's names,
# which they hold, are not taken out of messages.
_WHO = frozenset(name for name in SECRETS if name.endswith(("credential", "accesskeyid", "access-key-id", "accessid", "q-ak")))
_GRANTING = SECRETS - _WHO
_KNOWN = HARMLESS | _WHO


def hiding(url: str, *named: Mapping[str, str], extra: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that masks what grants access by `url` (query and user info), headers or form fields (`named`), or `extra`.

    It returns its text cut to `SHOWN` characters and redacted by form, with `...` for every run of `WINDOW` characters that a
    secret has, or for a secret that has fewer: percent-encoded once or more often, with either case of hexadecimal digits, in
    JSON, in XML or as it is.
    """
    secrets = _secrets(url, named, extra)
    whole = "\0".join(secrets)
    short = [secret for secret in secrets if len(secret) < WINDOW]

    def hide(text: str) -> str:
        text = text[:SHOWN]
        plain, places = _plain(text)
        # To take a long secret apart is worth it for a long text only.
        windows = whole if len(plain) < SHOWN // 8 else {whole[at : at + WINDOW] for at in range(len(whole))}
        parts: list[str] = []
        end = 0
        for begin, stop in _covered(plain, windows, short):
            parts += [text[end : places[begin]], MASK]
            end = places[stop]
        return redact("".join([*parts, text[end:]]))

    return hide


def _secrets(url: str, named: Iterable[Mapping[str, str]], extra: Iterable[str]) -> list[str]:
    """Without their encoding; what is too short to be told from harmless words is not among them."""
    found = [*extra, *_of_url(url)]
    for name, value in (pair for values in named for pair in values.items()):
        lower = name.lower()
        if "customer-key" in lower:
            found += [value, _decoded_key(value)]
        elif lower not in _PLAIN and not lower.startswith(_PLAIN_BEGINNINGS):
            found += [value, value.rpartition(" ")[2]]
    return sorted({plain for value in found if len(plain := _plain(value)[0]) >= LEAST})


def _decoded_key(value: str) -> str:
    try:
        return b64decode(value).decode("ascii")
    except ValueError:
        return ""


def _of_url(url: str) -> Iterator[str]:
    address, *rest = _QUERY.split(url.partition("://")[2] or url, maxsplit=1)
    user = _AUTHORITY.split(address, maxsplit=1)[0].rpartition("@")[0]
    yield from (user, *user.split(":", 1))
    for piece in re.split("[&#]", "".join(rest[1:])):
        name, sign, value = piece.partition("=")
        known = query_name(name)
        # Of a name that nobody knows, what is as short as a word may be one.
        if known in _GRANTING or (known not in _KNOWN and len(value if sign else piece) >= WINDOW):
            yield value if sign else piece


# One character, as URLs (encoded once or more often), JSON, Python's reprs and XML write it.
_ESCAPE = re.compile(
    r"%(?:25)*([0-9a-f]{2})|\\(?:u00|x)([0-9a-f]{2})|&#x0{0,4}([0-9a-f]{2});|&#0{0,4}([0-9]{2,3});|\\([^a-z0-9])"
    r"|&(amp|lt|gt|quot|apos);",
    re.IGNORECASE,
)
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
# A form's space is a `+`; case does not count.
_ALIKE = {" ": "+"} | {chr(upper): chr(upper + 32) for upper in range(ord("A"), ord("Z") + 1)}
_LOWERED = str.maketrans(_ALIKE)


def _character(found: re.Match[str]) -> str:
    percent, python, hexadecimal, decimal, escaped, entity = found.groups()
    if digits := percent or python or hexadecimal:
        return chr(int(digits, 16))
    if decimal:
        return chr(int(decimal) & 0xFF)
    return escaped or _ENTITIES[entity.lower()]


def _plain(text: str) -> tuple[str, list[int]]:
    """`text` with every escape undone, to be compared; and where each of its characters, and its end, is in `text`.

    Characters beyond ASCII become as many as they have bytes in UTF-8, since that is what is percent-encoded.
    """
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for found in _ESCAPE.finditer(text):
        _take(text, at, found.start(), parts, places)
        parts.append(_character(found))
        places.append(found.start())
        at = found.end()
    _take(text, at, len(text), parts, places)
    places.append(len(text))
    return "".join(parts).translate(_LOWERED), places


def _take(text: str, start: int, end: int, parts: list[str], places: list[int]) -> None:
    """Append what stands in `text` as it is."""
    literal = text[start:end]
    if literal.isascii():
        parts.append(literal)
        places.extend(range(start, end))
        return
    encoded = literal.encode("utf-8", "surrogatepass")
    parts.append(encoded.decode("latin-1"))
    at = start - 1
    for byte in encoded:
        at += byte & 0xC0 != 0x80  # the first of a character
        places.append(at)


def _covered(plain: str, windows: Container[str], short: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where `plain` consists of `windows`, all of one length, or of `short` secrets: from, to; in order, apart."""
    found = [(at, at + WINDOW) for at in range(len(plain) - WINDOW + 1) if plain[at : at + WINDOW] in windows]
    found += [(at, at + len(secret)) for secret in short for at in _places_of(secret, plain)]
    begin = stop = -1
    for here, end in sorted(found):
        if here > stop:
            if stop > 0:
                yield begin, stop
            begin = here
        stop = max(stop, end)
    if stop > 0:
        yield begin, stop


def _places_of(secret: str, plain: str) -> Iterator[int]:
    at = plain.find(secret)
    while at >= 0:
        yield at
        at = plain.find(secret, at + 1)
