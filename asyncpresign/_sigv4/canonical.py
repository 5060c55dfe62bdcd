"""The canonical request: the one spelling of a request that both sides hash.

Decides how paths, queries and headers are spelt. `uri_encode` is the package's only percent-encoder, so what is
signed and what is sent cannot differ. S3 does not normalise paths: `//`, `.` and `..` stay as they are.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html#query-string-auth-v4-signing
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
PAYLOAD, PAYLOAD_QUERY = "x-amz-content-sha256", "X-Amz-Content-Sha256"
"""The header, in lower case, and the query parameter whose value servers hash in place of `UNSIGNED_PAYLOAD`."""

# RFC 3986 section 2.3 "unreserved"; everything else becomes upper-case %XY of its UTF-8 bytes.
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~"
_IN_PATH = _UNRESERVED + b"/"
_BYTE, _PATH_BYTE = (
    tuple(chr(byte) if byte in plain else f"%{byte:02X}" for byte in range(256)) for plain in (_UNRESERVED, _IN_PATH)
)


_PASSES = 100


def uri_encode(text: str, *, keep_slash: bool = False) -> str:
    """Percent-encode `text` as the specification's `UriEncode` does; `keep_slash` is for object keys in a path.

    >>> uri_encode("a b/ü", keep_slash=True)
    'a%20b/%C3%BC'
    """
    encoded = text.encode()
    others = encoded.translate(None, _IN_PATH if keep_slash else _UNRESERVED)  # what is left without the plain ones
    if not others:
        return text
    if len(others) * 3 > len(encoded):
        return "".join(map((_PATH_BYTE if keep_slash else _BYTE).__getitem__, encoded))
    # Where few have to be encoded, a pass for each character among them is less work than one over all bytes.
    characters = set(others.decode())
    if len(characters) > _PASSES:
        return "".join(map((_PATH_BYTE if keep_slash else _BYTE).__getitem__, encoded))
    if "%" in characters:  # first: what is put in place of the others has some, too
        characters.remove("%")
        text = text.replace("%", "%25")
    for character in characters:
        text = text.replace(character, _escape(character))
    return text


@lru_cache(maxsize=1024)
def _escape(character: str) -> str:
    return "".join([_BYTE[byte] for byte in character.encode()])


def uri_encode_all(texts: list[str], *, keep_slash: bool = False) -> list[str]:
    """`uri_encode` of each; one look at all of them together tells when none needs it."""
    if not "".join(texts).encode().translate(None, _IN_PATH if keep_slash else _UNRESERVED):
        return texts
    return [uri_encode(text, keep_slash=keep_slash) for text in texts]


def encode_query(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names and values, percent-encoded, in the order given."""
    return [(uri_encode(name), uri_encode(value)) for name, value in pairs]


def join_query(encoded: Iterable[tuple[str, str]]) -> str:
    """`name=value&...` of pairs that are encoded already."""
    return "&".join([f"{name}={value}" for name, value in encoded])


def canonical_query(encoded: Iterable[tuple[str, str]]) -> str:
    """The query in code-point order of the encoded names, then values."""
    return join_query(sorted(encoded))


def payload_hash(value: str) -> str | None:
    """`value` when it is the hex SHA-256 of a body or `UNSIGNED_PAYLOAD`; None for what no plain body has."""
    is_hash = len(value) == 64 and not value.strip("0123456789abcdef")
    return value if is_hash or value == UNSIGNED_PAYLOAD else None


def trim(value: str) -> str:
    """A header's value as it is hashed: runs of white space are one space, as by the specification's `Trim` and every SDK."""
    return " ".join(value.split())


def canonical_headers(headers: Mapping[str, str]) -> tuple[str, str]:
    """The header block, each line ended by `\\n`, and the `SignedHeaders` list.

    Names are lowered, values trimmed.
    """
    lowered = sorted([(name.lower(), trim(value)) for name, value in headers.items()])
    return "".join([f"{name}:{value}\n" for name, value in lowered]), ";".join([name for name, _ in lowered])


def canonical_request(
    method: str, path: str, query: str, headers: str, signed_headers: str, payload_hash: str = UNSIGNED_PAYLOAD
) -> str:
    """Join the six parts; `path` and `query` are encoded, `headers` is the block that `canonical_headers` returns."""
    return f"{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload_hash}"
