"""The bytes of a form, read back by the standard library's MIME parser and, where that is lenient, by hand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign.transfer.form import FormBody, field_problems, form_body, form_content_type

BOUNDARY = "asyncpresign-0123456789abcdef"
KB64 = 64 * 1024


@dataclass
class Body:
    parts: Sequence[bytes]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


def make(
    fields: Mapping[str, str], *parts: bytes, filename: str = "a.bin", content_type: str = "application/octet-stream"
) -> FormBody:
    return form_body(fields, Body(parts), filename=filename, content_type=content_type, boundary=BOUNDARY)


def pieces(form: FormBody) -> list[bytes]:
    async def collect() -> list[bytes]:
        return [chunk async for chunk in form.chunks()]

    return anyio.run(collect)


def parse(data: bytes) -> list[tuple[bytes, bytes]]:
    """The parts as (header block, content), by RFC 2046's grammar and nothing more lenient."""
    start, end = f"--{BOUNDARY}\r\n".encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
    assert data.startswith(start)
    assert data.endswith(end)
    parts = data[len(start) : -len(end)].split(b"\r\n" + start)
    return [(head, content) for head, _, content in (part.partition(b"\r\n\r\n") for part in parts)]


def name_of(head: bytes) -> str:
    found = re.match(r'Content-Disposition: form-data; name="([^"\r\n]*)"', head.decode())
    assert found
    return found[1].replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")


def test_the_standard_librarys_parser_reads_it() -> None:
    fields = {"key": "a/ü/日本.txt", "Content-Type": "text/plain", "x-amz-meta-name": "b"}
    content = bytes(range(256)) * 3
    body = b"".join(pieces(make(fields, content, filename="photo.jpg", content_type="image/jpeg")))
    head = f"Content-Type: {form_content_type(BOUNDARY)}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = message_from_bytes(head + body, policy=HTTP)
    assert message.is_multipart()
    assert not message.defects
    parts = cast("list[Message]", message.get_payload())
    named = {str(part.get_param("name", header="content-disposition")): part for part in parts}
    assert list(named) == [*fields, "file"]
    for name, value in fields.items():
        assert cast(bytes, named[name].get_payload(decode=True)).decode() == value
        assert named[name].get_filename() is None
    assert named["file"].get_filename() == "photo.jpg"
    assert named["file"].get_content_type() == "image/jpeg"
    assert named["file"].get_payload(decode=True) == content


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=50)
NAMES = TEXTS.filter(lambda name: not re.search("%22|%0D|%0A", name))


@given(st.dictionaries(NAMES, VALUES, max_size=5), NAMES, st.lists(st.binary(max_size=50), max_size=4))
def test_what_goes_in_comes_out(fields: dict[str, str], filename: str, parts: list[bytes]) -> None:
    form = make(fields, *parts, filename=filename)
    data = b"".join(pieces(form))
    assert len(data) == form.size
    read = parse(data)
    assert [(name_of(head), content.decode()) for head, content in read[:-1]] == list(fields.items())
    head, content = read[-1]
    assert content == b"".join(parts)
    escaped = filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    assert head.decode().split("\r\n") == [
        f'Content-Disposition: form-data; name="file"; filename="{escaped}"',
        "Content-Type: application/octet-stream",
    ]


@pytest.mark.parametrize("name", ['a"b', "a\r\nb", 'a"; name="key', "\r\n\r\n--" + BOUNDARY + "--", "ü%"])
def test_a_name_cannot_end_its_header(name: str) -> None:
    read = parse(b"".join(pieces(make({name: "v"}, b"x", filename=name))))
    assert len(read) == 2
    assert name_of(read[0][0]) == name
    assert read[0][0].count(b"\r\n") == 0
    assert read[1][0].count(b"\r\n") == 1


def test_the_file_is_last() -> None:
    read = parse(b"".join(pieces(make({"z": "1", "a": "2", "policy": "3"}, b"content"))))
    assert [name_of(head) for head, _ in read] == ["z", "a", "policy", "file"]


# Chunks of the file, and whether the form is then a single write.
JOINS = {
    "no chunk": ([], True),
    "empty": ([b""], True),
    "small": ([b"abc"], True),
    "many small": ([b"abc"] * 1000, True),
    "exactly": ([bytes(KB64 - 500)], True),
    "one more than fits": ([bytes(KB64)], False),
    "two halves": ([bytes(KB64 // 2)] * 2, False),
    "large": ([bytes(1 << 20)] * 3, False),
    "large then small": ([bytes(1 << 20), b"abc"], False),
    "small then large": ([b"abc", bytes(1 << 20)], False),
}


@pytest.mark.parametrize(("parts", "single"), JOINS.values(), ids=JOINS.keys())
def test_small_pieces_are_joined(parts: list[bytes], single: bool) -> None:
    form = make({"key": "k"}, *parts)
    out = pieces(form)
    assert b"".join(out) == form.head + b"".join(parts) + form.tail
    assert sum(map(len, out)) == form.size
    assert (len(out) == 1) == single
    assert all(out)
    # Nothing is copied into more than 64 KiB but what came in one piece.
    assert all(len(piece) <= KB64 + len(form.tail) for piece in out if piece not in parts)


@pytest.mark.parametrize("surplus", [-1, 0, 1])
def test_the_border_of_joining(surplus: int) -> None:
    empty = make({"key": "k"})
    file = bytes(KB64 - len(empty.head) + surplus)
    form = make({"key": "k"}, file)
    out = pieces(form)
    assert len(out) == (1 if surplus <= 0 else 2)
    assert b"".join(out) == empty.head + file + empty.tail


def test_a_form_can_be_sent_again() -> None:
    form = make({"key": "k"}, b"abc", bytes(KB64))
    assert pieces(form) == pieces(form)


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({"key": "k", "ä": "😀"}, []),
        ({"key": "\ud800"}, ["destination.fields['key']"]),
        ({"key": "a\udfff"}, ["destination.fields['key']"]),
        ({"\udc80": "k", "a": "b"}, ["destination.fields['\\udc80']"]),
        ({"key": 1, 2: "b", "acl": None}, ["destination.fields['key']", "destination.fields[2]", "destination.fields['acl']"]),
        ({"key": b"k"}, ["destination.fields['key']"]),
    ],
)
def test_fields_that_utf_8_cannot_encode(fields: Any, arguments: list[str]) -> None:
    found = field_problems(fields)
    assert [problem.argument for problem in found] == arguments
    assert all(problem.expected == "a name and a value that UTF-8 can encode" for problem in found)
