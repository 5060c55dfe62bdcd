"""A `multipart/form-data` body around a file: pure text and bytes, of a length known before the first byte is sent.

The file part is last: S3 ignores every field after it.
https://www.rfc-editor.org/rfc/rfc7578
https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from ..errors import Problem
from ..http.transport import RequestBody

# Below this many bytes pieces are joined before they are sent: a small form is one write.
_JOIN = 64 * 1024

# What browsers escape in a name, and nothing else; the rest is UTF-8 as it is, which is what S3 puts into the key.
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FormBody:
    """The fields, the file's part with its content, and the closing boundary."""

    head: bytes
    file: RequestBody
    tail: bytes

    @property
    def size(self) -> int:
        return len(self.head) + self.file.size + len(self.tail)

    async def chunks(self) -> AsyncIterator[bytes]:
        pending = self.head
        async for chunk in self.file.chunks():
            if len(pending) + len(chunk) <= _JOIN:
                pending += chunk
            else:
                yield pending
                pending = chunk
        if len(pending) > _JOIN:
            yield pending
            pending = b""
        yield pending + self.tail


def form_content_type(boundary: str) -> str:
    """The request's `Content-Type`."""
    return f"multipart/form-data; boundary={boundary}"


def field_problems(fields: Mapping[str, str]) -> list[Problem]:
    """Why `fields` of a form that somebody else signed cannot be sent."""
    wrong = [name for name, value in fields.items() if not (_is_text(name) and _is_text(value))]
    return [Problem(f"destination.fields[{name!a}]", "a name and a value that UTF-8 can encode", "another") for name in wrong]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _SURROGATE.search(value)


def form_body(fields: Mapping[str, str], file: RequestBody, *, filename: str, content_type: str, boundary: str) -> FormBody:
    """The form with `fields` in order and `file` last; `boundary` is random, so that no content holds it."""
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name.translate(_ESCAPES)}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename.translate(_ESCAPES)}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    return FormBody(head.encode(), file, f"\r\n--{boundary}--\r\n".encode())
