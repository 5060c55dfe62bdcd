"""XML to and from frozen dataclasses: the only place that parses or writes any.

A dataclass is the table: `element` says where a field is read from, and how. Namespaces and unknown elements are skipped
and the order of elements is free, because servers differ in all three. Document type declarations, and so entities, are
refused: no S3 answer has one, and every XML bomb does. A document is read in one pass, in time in proportion to its bytes,
of which it has at most `MAX_BYTES`; of elements it has at most `MAX_NODES`.
https://www.w3.org/TR/xml/
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote_plus
from xml.parsers import expat

from .._sigv4.signing import utc
from ..errors import InvalidRequest, Problem, describe

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

MAX_BYTES = 16 * 1024 * 1024
"""Of a document. A page of 1,000 keys of 1,024 bytes, each of which is written as nine, has fewer."""

MAX_NODES = 50_000
"""Elements of a document that are looked at. A page of 1,000 versions, the longest, has about 15,000."""

MAX_SKIPPED = 200_000
"""Elements of a document, with those that are too deep to be looked at."""

MAX_TEXT = 256 * 1024
"""Characters of an element. A key has at most 9,216, a canonical request as many as a URL has."""

# Nothing that S3 says is deeper. What is, is skipped, so that no document makes us recurse.
_DEPTH = 5
# Bytes that are parsed at once, and that a tag or a comment may have: a parser begins such a one anew with every piece.
_PIECE = 16 * 1024

_SPACE = b" \t\r\n"
_SECTION, _SECTION_END = b"<![CDATA[", b"]]>"
_SKIPPED = {b"<!--": b"-->", b"<?": b"?>"}
_RAW = rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]"
_REFERENCE = rb"&#(?:x0{0,16}(?:[0-8bcefBCEF]|1[0-9a-fA-F]|[fF]{3}[eEfF])|0{0,16}(?:[0-8]|1[124-9]|2[0-9]|3[01]|6553[45]));"
# Bytes that are searched at once, in the time of which no other thread runs, and those of the longest match.
_WINDOW = 64 * 1024
_LONGEST = 32
_CONTROLS = bytes(byte for byte in range(32) if byte not in _SPACE)
_IN_TEXT = re.compile(b"|".join([_RAW, _REFERENCE, re.escape(_SECTION), *map(re.escape, _SKIPPED)]))
_IN_SECTION = re.compile(_RAW + b"|" + _SECTION_END)
# The target of the processing instruction that stands for such a character.
_CHARACTER = "asyncpresign-character"
# Digits of a number, characters of a time.
_DIGITS = 19
_TIME = 64
# What XML 1.0 (section 2.2) has no character for, nor any reference to one.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})  # a bare \r would be read as \n

_Document = TypeVar("_Document")


class _Unreadable(Exception):
    """What is wrong with a body."""


@dataclass(slots=True)
class _Node:
    """An element: its text, and its children by name."""

    text: str
    children: dict[str, list[_Node]]


# --- how a field is read; the flag says whether the document's keys are percent-encoded -------------------------------


def as_text(node: _Node, _: bool) -> str:
    return node.text


def as_word(node: _Node, _: bool) -> str:
    return node.text.strip()


def as_key(node: _Node, encoded: bool) -> str:
    """A key or a piece of one. Where keys are encoded, a space may be a `+`."""
    return unquote_plus(node.text, errors="strict") if encoded else node.text


def as_integer(node: _Node, _: bool) -> int:
    """Not negative, and of no more digits than a size can have: Python refuses to read thousands."""
    digits = node.text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS):
        raise ValueError("no number")
    return int(digits)


def as_boolean(node: _Node, _: bool) -> bool:
    return {"true": True, "false": False}[node.text.strip().lower()]


def as_time(node: _Node, _: bool) -> datetime:
    if (moment := utc(datetime.fromisoformat(node.text.strip()[:_TIME]))) is None:
        raise ValueError("no zone")
    return moment


def as_checksums(node: _Node, _: bool) -> dict[str, str]:
    """The digests (base64) among an element's children, by the algorithm's name in small letters."""
    found = {name[len("Checksum") :].lower(): nodes[-1].text for name, nodes in node.children.items() if name[:8] == "Checksum"}
    return {name: digest for name, digest in found.items() if name not in ("type", "algorithm")}


Reader = Callable[[_Node, bool], Any]


def element(path: str, read: Reader | type = as_text, *, many: bool = False, **default: Any) -> Any:
    """A dataclass field that is read from the element at `path` ("Owner/ID"; "" is the element that holds the others).

    `read` is a reader, or the dataclass that the element becomes; `many` makes a tuple of all that there are. A field
    without a default has to be in the document.
    """
    if many:
        default = {"default": ()}
    return field(**default, metadata={"path": tuple(filter(None, path.split("/"))), "read": read, "many": many})


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    path: tuple[str, ...]
    read: Reader
    many: bool
    required: bool


@cache
def _fields(shape: Any) -> tuple[_Field, ...]:
    return tuple(
        _Field(
            one.name,
            one.metadata["path"],
            _reader(one.metadata["read"]),
            one.metadata["many"],
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(shape)
    )


def _reader(read: Reader | type[Any]) -> Reader:
    if isinstance(read, type):
        return lambda node, encoded: _make(read, node, encoded)
    return read


def _make(shape: Any, node: _Node, encoded: bool) -> Any:
    values: dict[str, Any] = {}
    for one in _fields(shape):
        found = _at(node, one.path)
        if not found and one.required:
            raise _Unreadable(f"one without <{'/'.join(one.path)}>")
        try:
            if one.many:
                values[one.name] = tuple([one.read(each, encoded) for each in found])
            elif found:
                values[one.name] = one.read(found[-1], encoded)
        except (ValueError, KeyError):
            raise _Unreadable(f"one whose <{'/'.join(one.path)}> cannot be read") from None
    return shape(**values)


def _at(node: _Node, path: tuple[str, ...]) -> list[_Node]:
    if len(path) == 1:
        return node.children.get(path[0], [])
    found = [node]
    for name in path:
        found = [child for parent in found for child in parent.children.get(name, ())]
    return found


# --- parsing ----------------------------------------------------------------------------------------------------------


def read(shape: type[_Document], roots: str, body: bytes) -> _Document:
    """`body`, whose root is one of `roots` (names with spaces between), as a `shape`.

    Raises `InvalidRequest` naming `body` for anything else: no XML, cut short, another document, a value that is none.
    """
    try:
        node = _root(roots.split(), *_parse(roots.split(), body))
        encoded = any(each.text.strip() == "url" for each in _at(node, ("EncodingType",)))
        document: _Document = _make(shape, node, encoded)
        return document
    except _Unreadable as why:
        raise InvalidRequest(Problem("body", f"S3's <{'> or <'.join(roots.split())}>", str(why))) from None


def _root(expected: list[str], name: str, node: _Node) -> _Node:
    if name in expected:
        return node
    codes = [code.text.strip()[:60] for code in _at(node, ("Code",))]
    raise _Unreadable("a document <Error>" + (f" with code {codes[0]!r}" if codes else ""))


def _parse(roots: list[str], body: bytes) -> tuple[str, _Node]:
    """The root element's name, and the root. No more is read of a document that is neither one of `roots` nor an error."""
    if not isinstance(body, bytes):
        raise _Unreadable(describe(body))
    if len(body) > MAX_BYTES:
        raise _Unreadable(f"a document of more than {MAX_BYTES} bytes")
    top = _Node("", {})
    path = [top]
    # The texts of all open elements, and where those of each begin.
    texts: list[str] = []
    begins: list[int] = []
    depth = nodes = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth, nodes
        depth += 1
        nodes += 1
        name = name.rpartition(":")[2]
        if depth == 1 and name not in ("Error", *roots):
            raise _Unreadable(f"a document <{name[:60]}>")
        if nodes > (MAX_NODES if depth <= _DEPTH else MAX_SKIPPED):
            raise _Unreadable(f"a document of more than {MAX_NODES} elements")
        if depth <= _DEPTH:
            node = _Node("", {})
            path[-1].children.setdefault(name, []).append(node)
            path.append(node)
            begins.append(len(texts))

    def characters(data: str) -> None:
        if depth <= _DEPTH:
            texts.append(data)

    def instruction(target: str, data: str) -> None:
        if target == _CHARACTER:
            if not depth:
                raise _Unreadable("a document with a control character outside of its root")
            characters(chr(int(data)))

    def end(_: str) -> None:
        nonlocal depth
        if depth <= _DEPTH:
            begin = begins.pop()
            path.pop().text = text = "".join(texts[begin:])
            del texts[begin:]
            if len(text) > MAX_TEXT:
                raise _Unreadable(f"a document with an element of more than {MAX_TEXT} characters")
        depth -= 1

    def refuse(*_: object) -> None:
        raise _Unreadable("a document with a type declaration")

    # S3 speaks UTF-8; a declared encoding would otherwise choose any codec of Python's.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text, parser.buffer_size = True, 64 * 1024
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, characters, end
    parser.ProcessingInstructionHandler = instruction
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        for piece, stop in _pieces(_carried(_from_markup(body))):
            parser.Parse(piece, False)
            if stop - parser.CurrentByteIndex > 2 * _PIECE:
                raise _Unreadable(f"a document with a tag or comment of more than {_PIECE} bytes")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise _Unreadable(f"what is no well-formed XML ({expat.ErrorString(error.code)})") from None
    ((name, (node,)),) = top.children.items()
    return name, node


def _from_markup(body: bytes) -> bytes:
    """`body` without the white space that S3 sends to keep a connection alive, before which XML allows no declaration.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    return body.lstrip(_SPACE).removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE)


def _pieces(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Of a size that a parser does not hold other threads up with, and where each ends."""
    for start in range(0, len(body), _PIECE):
        piece = body[start : start + _PIECE]
        yield piece, start + len(piece)


def _carried(body: bytes) -> bytes:
    """`body` with a processing instruction for every character of its texts that XML 1.0 cannot carry.

    S3's keys may have any, and servers write them as they are or as references (`&#x8;`), which no parser reads. In comments
    and instructions, and a reference in a CDATA section, they stay as they are.
    """
    if not any(map(_is_suspect, (body[at : at + _WINDOW] for at in range(0, len(body), _WINDOW - 1)))):
        return body
    if f"<?{_CHARACTER}".encode() in body:
        raise _Unreadable("a document with an instruction of ours")
    parts: list[bytes] = []
    at = position = 0
    in_section = False
    while position < len(body):
        found = (_IN_SECTION if in_section else _IN_TEXT).search(body, position, position + _WINDOW)
        if found is None:
            position += _WINDOW - _LONGEST
            continue
        token, position = found[0], found.end()
        if token in (_SECTION, _SECTION_END):
            in_section = not in_section
        elif token in _SKIPPED:
            position = body.find(_SKIPPED[token], position)
            if position < 0:
                break
        else:
            instruction = f"<?{_CHARACTER} {_code(token)}?>".encode()
            parts += [body[at : found.start()], _SECTION_END + instruction + _SECTION if in_section else instruction]
            at = position
            if len(parts) > 2 * MAX_NODES:
                raise _Unreadable(f"a document of more than {MAX_NODES} control characters")
    return b"".join([*parts, body[at:]])


def _is_suspect(piece: bytes) -> bool:
    """Whether there may be a character in `piece` that XML cannot carry. Mostly there is none, and this takes no time."""
    return b"&#" in piece or b"\xef\xbf" in piece or len(piece.translate(None, _CONTROLS)) < len(piece)


def _code(token: bytes) -> int:
    """Of a character as it is, or of a reference to one."""
    if not token.startswith(b"&#"):
        return ord(token.decode())
    digits = token[2:-1]
    return int(digits[1:], 16) if digits.startswith(b"x") else int(digits.lstrip(b"0") or b"0")


# --- writing ----------------------------------------------------------------------------------------------------------

# What an element holds: a text, or its children in order.
Content = str | list[tuple[str, Any]]


def write(root: str, children: list[tuple[str, Content]]) -> bytes:
    """The document `root` in S3's namespace. Its texts hold no problem."""
    return f'<{root} xmlns="{_NAMESPACE}">{"".join(_elements(children))}</{root}>'.encode()


def _elements(children: Iterable[tuple[str, Content]]) -> Iterator[str]:
    for name, content in children:
        inner = content.translate(_ESCAPES) if isinstance(content, str) else "".join(_elements(content))
        yield f"<{name}>{inner}</{name}>"


def text_problems(argument: str, value: object) -> list[Problem]:
    """Why `value` cannot be the text of an element."""
    if not isinstance(value, str):
        return [Problem(argument, "a str", describe(value))]
    if _NOT_XML.search(value):
        return [Problem(argument, "text that XML 1.0 can hold", "a str with a control character or a lone surrogate")]
    return []
