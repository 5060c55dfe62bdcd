"""The XML that S3 speaks, and the only place that parses any.

Document type declarations, and so entities, are refused: no S3 answer has one, and every XML bomb does.
https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#RESTErrorResponses
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.parsers import expat


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """S3's `<Error>`; what the server left out is an empty text."""

    code: str = ""
    message: str = ""
    request_id: str = ""
    region: str = ""
    endpoint: str = ""


class _Refused(Exception):
    """The document has a declaration that no S3 document has."""


def _flatten(body: bytes) -> tuple[str, dict[str, str]]:
    """The root element's name, and the text of each of its children that has no children; namespaces dropped."""
    path: list[str] = []
    texts: dict[str, str] = {}
    root = ""

    def start(name: str, _: dict[str, str]) -> None:
        nonlocal root
        path.append(name.rpartition(":")[2])
        root = root or path[0]

    def text(data: str) -> None:
        if len(path) == 2:
            texts[path[1]] = texts.get(path[1], "") + data

    def end(_: str) -> None:
        path.pop()

    def refuse(*_: object) -> None:
        raise _Refused

    # S3 speaks UTF-8; a declared encoding would otherwise choose any codec of Python's.
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.CharacterDataHandler, parser.EndElementHandler = start, text, end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.Parse(body, True)
    return root, texts


def parse_error(body: bytes) -> ErrorDocument | None:
    """The error in `body`, or None when it holds none: another document, HTML of a proxy, cut short, empty."""
    try:
        root, texts = _flatten(body)
    except (expat.ExpatError, _Refused):
        return None
    if root != "Error":
        return None
    texts = {name: text.strip() for name, text in texts.items()}
    return ErrorDocument(
        texts.get("Code", ""),
        texts.get("Message", ""),
        texts.get("RequestId", ""),
        texts.get("Region", ""),
        texts.get("Endpoint", ""),
    )
