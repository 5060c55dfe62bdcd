"""`Content-Disposition` for a file of any name, in ASCII, as a signed header has to be.

https://www.rfc-editor.org/rfc/rfc6266
https://www.rfc-editor.org/rfc/rfc8187
"""

from __future__ import annotations

from ._s3.operations import text_problem
from ._sigv4.canonical import uri_encode
from .errors import InvalidRequest, Problem, describe

_TYPES = ("attachment", "inline")
# What some browsers read in a quoted name otherwise than others.
_UNSAFE = '"%\\'


def content_disposition(filename: str, *, disposition: str = "attachment") -> str:
    """The value for `ContentDisposition` or `ResponseContentDisposition` under which browsers save an object as `filename`.

    >>> content_disposition("report.pdf")
    'attachment; filename="report.pdf"'
    >>> content_disposition("日本.jpg")
    'attachment; filename="__.jpg"; filename*=UTF-8\\'\\'%E6%97%A5%E6%9C%AC.jpg'

    Args:
        filename: The name, without folders, which browsers leave out. A name that is not plain ASCII is sent twice: in UTF-8
            (RFC 8187), and with `_` for each such character for clients that read only that.
        disposition: "attachment" is saved, "inline" is shown where the browser can.

    Raises:
        InvalidRequest: `filename` is empty or has control characters or lone surrogates, or `disposition` is another.
    """
    problems = []
    if not isinstance(filename, str) or not filename:
        problems.append(Problem("filename", "a str that is not empty", describe(filename)))
    elif bad := text_problem(filename.replace("\t", "\n")):
        problems.append(Problem("filename", *bad))
    if disposition not in _TYPES:
        problems.append(Problem("disposition", "'attachment' or 'inline'", describe(disposition)))
    if problems:
        raise InvalidRequest(*problems)
    plain = "".join([letter if letter.isascii() and letter not in _UNSAFE else "_" for letter in filename])
    extended = "" if plain == filename else f"; filename*=UTF-8''{uri_encode(filename)}"
    return f'{disposition}; filename="{plain}"{extended}'
