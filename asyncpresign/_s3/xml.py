"""XML to and from frozen dataclasses: the only place that parses or writes any.

A dataclass is the table: `element` says where a field is read from, and how. Namespaces and unknown elements are skipped
and the order of elements is free, because servers differ in all three. Document type declarations, and so entities, are
refused: no S3 answer has one, and every XML bomb does.
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
# Nothing that S3 says is deeper. What is, is skipped, so that no document makes us recurse.
_DEPTH = 5
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
    return int(node.text)


def as_boolean(node: _Node, _: bool) -> bool:
    return {"true": True, "false": False}[node.text.strip().lower()]


def as_time(node: _Node, _: bool) -> datetime:
    if (moment := utc(datetime.fromisoformat(node.text.strip()))) is None:
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
    top = _Node("", {})
    path = [top]
    depth = 0

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        name = name.rpartition(":")[2]
        if depth == 1 and name not in ("Error", *roots):
            raise _Unreadable(f"a document <{name[:60]}>")
        if depth <= _DEPTH:
            node = _Node("", {})
            path[-1].children.setdefault(name, []).append(node)
            path.append(node)

    def characters(data: str) -> None:
        if depth <= _DEPTH:
            path[-1].text += data

    def end(_: str) -> None:
        nonlocal depth
        if depth <= _DEPTH:
            path.pop()
        depth -= 1

    def refuse(*_: object) -> None:
        raise _Unreadable("a document with a type declaration")

    # S3 speaks UTF-8; a declared encoding would otherwise choose any codec of Python's.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text, parser.buffer_size = True, 64 * 1024
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, characters, end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise _Unreadable(f"what is no well-formed XML ({expat.ErrorString(error.code)})") from None
    ((name, (node,)),) = top.children.items()
    return name, node


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
