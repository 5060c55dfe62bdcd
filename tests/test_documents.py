"""S3's errors are read, everything else is None: no document can make the parser work, fetch or fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign._s3.documents import ErrorDocument, parse_error

FULL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>PermanentRedirect</Code><Message> Use the
right host: \xc3\xa9 &amp; &#60; </Message><RequestId>4442587FB7D0A2F9</RequestId><Region>eu-west-1</Region>
<Endpoint>bucket.s3.eu-west-1.amazonaws.com</Endpoint><HostId>x</HostId></Error>"""


def test_an_error_is_read() -> None:
    expected = ErrorDocument(
        "PermanentRedirect", "Use the\nright host: é & <", "4442587FB7D0A2F9", "eu-west-1", "bucket.s3.eu-west-1.amazonaws.com"
    )
    assert parse_error(FULL) == expected


@pytest.mark.parametrize(
    "body",
    [
        b'<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Code>NoSuchKey</Code></Error>',
        b'<s3:Error xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/"><s3:Code>NoSuchKey</s3:Code></s3:Error>',
        b"<Error><Code>NoSuch<!-- a comment -->Key</Code></Error>",
        b"<Error><Code><![CDATA[NoSuchKey]]></Code></Error>",
        b"\n <Error>\n<Code>\n NoSuchKey </Code>\n</Error>\n".strip(),
        b"\xef\xbb\xbf<Error><Code>NoSuchKey</Code></Error>",
        b"<Error><Details><Code>Other</Code><Deep><Code>Other</Code></Deep></Details><Code>NoSuchKey</Code></Error>",
    ],
)
def test_namespaces_comments_and_nesting_do_not_matter(body: bytes) -> None:
    assert parse_error(body) == ErrorDocument("NoSuchKey")


def test_what_the_server_left_out_is_empty() -> None:
    assert parse_error(b"<Error/>") == ErrorDocument("", "", "", "", "")


BOMB = b'<!DOCTYPE lolz [<!ENTITY lol "lol">' + b"".join(
    b'<!ENTITY lol%d "%s">' % (n, b"&lol%s;" % (b"" if n == 1 else b"%d" % (n - 1)) * 10) for n in range(1, 10)
) + b"]><Error><Code>&lol9;</Code></Error>"  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(BOMB, id="billion laughs"),
        pytest.param(b"<!DOCTYPE Error><Error><Code>A</Code></Error>", id="a bare DTD"),
        pytest.param(b'<!DOCTYPE Error SYSTEM "http://127.0.0.1:9/x.dtd"><Error><Code>A</Code></Error>', id="external DTD"),
        pytest.param(
            b'<!DOCTYPE e [<!ENTITY x SYSTEM "file:///etc/passwd">]><Error><Code>&x;</Code></Error>', id="external entity"
        ),
        pytest.param(b'<!DOCTYPE e [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]><Error/>', id="parameter entity"),
        pytest.param(b"<Error><Code>&undefined;</Code></Error>", id="undefined entity"),
        pytest.param(FULL[:-20], id="truncated"),
        pytest.param(FULL + b"<Error/>", id="two roots"),
        pytest.param(b"", id="empty"),
        pytest.param(b" ", id="blank"),
        pytest.param(b"not xml at all", id="text"),
        pytest.param(b'{"Code": "NoSuchKey"}', id="JSON"),
        pytest.param(b"\x1f\x8b\x08\x00\x00\x00", id="gzip"),
        pytest.param(b"\x00" * 100, id="zeros"),
        pytest.param(b"<Error><Code>\xff\xfe</Code></Error>", id="not UTF-8"),
        pytest.param(b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", id="a proxy's HTML"),
        pytest.param(b"<html><head><title>503</title></head><body></body></html>", id="well-formed HTML"),
        pytest.param(b"<ListBucketResult><Code>A</Code></ListBucketResult>", id="another document"),
        pytest.param(b"<errors><Error><Code>A</Code></Error></errors>", id="an error inside"),
    ],
)
def test_everything_else_is_none(body: bytes) -> None:
    assert parse_error(body) is None


@pytest.mark.parametrize("encoding", ["nope", "rot13", "hex", "utf-8", "gbk", "undefined", "idna"])
def test_a_declared_encoding_chooses_no_codec(encoding: str) -> None:
    """S3 speaks UTF-8; Python's expat would look the name up among all codecs, some of which are no text encodings."""
    body = f'<?xml version="1.0" encoding="{encoding}"?><Error><Code>é</Code></Error>'.encode()
    assert parse_error(body) == ErrorDocument("é")


def test_a_deep_document_is_read_without_recursion() -> None:
    body = b"<Error><Code>A</Code>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</Error>"
    assert parse_error(body) == ErrorDocument("A")


@given(
    st.one_of(
        st.binary(max_size=60),
        st.integers(0, len(FULL)).flatmap(lambda at: st.binary(max_size=6).map(lambda junk: FULL[:at] + junk + FULL[at:])),
    )
)
def test_any_bytes_are_an_error_or_none(body: bytes) -> None:
    found = parse_error(body)
    assert found is None or isinstance(found, ErrorDocument)
