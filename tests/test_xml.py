"""What the XML reader takes that XML 1.0 does not, what it refuses, and that it reads in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest
from asyncpresign._s3 import xml
from asyncpresign._s3.documents import (
    ErrorDocument,
    parse_complete_multipart_upload,
    parse_create_multipart_upload,
    parse_delete_objects,
    parse_error,
    parse_list_multipart_uploads,
    parse_list_object_versions,
    parse_list_objects,
    parse_list_objects_v2,
    parse_list_parts,
)

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
BOM = b"\xef\xbb\xbf"

# A document, with a hole for a key (or for what the server repeats), what reads it, and what it finds there.
HOLES: dict[str, tuple[bytes, Callable[[bytes], Any], Callable[[Any], str]]] = {
    "listing": (
        b"<ListBucketResult><Contents><Key>{}</Key><Size>1</Size></Contents></ListBucketResult>",
        parse_list_objects_v2,
        lambda page: page.objects[0].key,
    ),
    "prefix": (
        b"<ListBucketResult><CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes></ListBucketResult>",
        parse_list_objects_v2,
        lambda page: page.common_prefixes[0],
    ),
    "token": (
        b"<ListBucketResult><NextContinuationToken>{}</NextContinuationToken></ListBucketResult>",
        parse_list_objects_v2,
        lambda page: page.next_token,
    ),
    "marker": (
        b"<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>{}</Key><Size>1</Size></Contents></ListBucketResult>",
        parse_list_objects,
        lambda page: page.next_token,
    ),
    "version": (
        b"<ListVersionsResult><Version><Key>{}</Key><VersionId>v</VersionId></Version></ListVersionsResult>",
        parse_list_object_versions,
        lambda page: page.versions[0].key,
    ),
    "upload": (
        b"<ListMultipartUploadsResult><Upload><Key>{}</Key><UploadId>u</UploadId></Upload></ListMultipartUploadsResult>",
        parse_list_multipart_uploads,
        lambda page: page.uploads[0].key,
    ),
    "deleted": (
        b"<DeleteResult><Deleted><Key>{}</Key></Deleted></DeleteResult>",
        parse_delete_objects,
        lambda result: result.deleted[0].key,
    ),
    "error": (b"<Error><Message>k:{}:k</Message></Error>", parse_error, lambda error: error.message[2:-2]),
}
# Documents whose key nobody reads, and which have to be read all the same.
REPEATING: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "create": (
        b"<InitiateMultipartUploadResult><Key>{}</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        parse_create_multipart_upload,
    ),
    "complete": (
        b'<CompleteMultipartUploadResult><Key>{}</Key><ETag>"a-1"</ETag></CompleteMultipartUploadResult>',
        parse_complete_multipart_upload,
    ),
    "parts": (
        b"<ListPartsResult><Key>{}</Key><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></ListPartsResult>",
        parse_list_parts,
    ),
    "resource": (b"<Error><Resource>{}</Resource><Code>A</Code></Error>", parse_error),
}


def filled(document: bytes, text: bytes) -> bytes:
    return document.replace(b"{}", text)


@pytest.mark.parametrize("before", [b" ", b"\n\r", b"\r\n \t" * 1000, BOM, BOM + b"\n", b" \n" + BOM + b" "])
@pytest.mark.parametrize("declaration", [b"", DECLARATION])
@pytest.mark.parametrize("name", HOLES)
def test_white_space_and_a_byte_order_mark_may_come_first(name: str, declaration: bytes, before: bytes) -> None:
    """S3 sends white space to keep a connection alive while it puts parts together."""
    document, parse, found = HOLES[name]
    assert found(parse(before + declaration + filled(document, b"a"))) == "a"


CHARACTERS = {
    b"a&#x8;b": "a\x08b",
    b"&#8;": "\x08",
    b"&#x0;&#0;": "\0\0",
    b"&#x00001f;&#031;": "\x1f\x1f",
    b"&#xB;&#xc;&#xE;&#12;&#19;&#20;&#30;": "\x0b\x0c\x0e\x0c\x13\x14\x1e",
    b"&#xFFFE;&#xffff;&#65534;&#65535;": "\ufffe\uffff\ufffe\uffff",
    b"raw \x01\x08\x0b\x1f": "raw \x01\x08\x0b\x1f",
    b"raw \xef\xbf\xbe\xef\xbf\xbf": "raw \ufffe\uffff",
    b"&amp;&#x26;&lt;&#9;&#10;&#13;&#xA;&#32;&#xe9;\xc3\xa9\xef\xbf\xbd\xef\xbd\x81": "&&<\t\n\r\n \xe9\xe9\ufffd\uff41",
    b"<![CDATA[a&#x8;b]]>": "a&#x8;b",
    b"<![CDATA[a\x08b]]>\x08": "a\x08b\x08",
    b"<![CDATA[<!-- &#x8; -->\x01]]>&#x8;": "<!-- &#x8; -->\x01\x08",
    b"a<!-- &#x8; -->b&#x8;": "ab\x08",
    b"a<!-- <![CDATA[ -->&#x8;<!-- ]]> -->": "a\x08",
    b"a<?x &#x8; ?>b&#x8;<?y?>": "ab\x08",
    b"&amp;#x8;&#x8;": "&#x8;\x08",
    b"&#38;#x8;": "&#x8;",
}


@pytest.mark.parametrize(("written", "key"), CHARACTERS.items(), ids=map(repr, CHARACTERS))
@pytest.mark.parametrize("name", HOLES)
def test_characters_that_xml_cannot_carry_are_read(name: str, written: bytes, key: str) -> None:
    document, parse, found = HOLES[name]
    assert found(parse(DECLARATION + filled(document, written))) == key


@pytest.mark.parametrize("written", [b"a&#x8;b", b"a\x08b", b"\xef\xbf\xbf"])
@pytest.mark.parametrize("name", REPEATING)
def test_documents_that_repeat_such_a_key_are_read(name: str, written: bytes) -> None:
    document, parse = REPEATING[name]
    assert parse(b"\n" + DECLARATION + filled(document, written)) == parse(filled(document, b"a"))


@pytest.mark.parametrize(
    "document",
    [
        b"<Error>&#xD800;</Error>",
        b"<Error>&#x110000;</Error>",
        b"<Error>&#8</Error>",
        b"<Error>&#X8;</Error>",
        b"<Error>&#x" + b"0" * 5000 + b"8;</Error>",
        b"<Error>&#" + b"0" * 5000 + b"8;</Error>",
        b"<Error a='&#8;'/>",
        b"<Error a='\x08'/>",
        b"<Err\x08or/>",
        b"\x08<Error/>",
        b"<Error/>\x08",
        b"<Error/>&#8;",
        b"<Error>\x08<!-- </Error>",
        b"<Error>\x08<![CDATA[ </Error>",
        b"<Error>\x08<?asyncpresign-character 9?></Error>",
        b"<Error><!-- \x08 --></Error>",
        b"<!DOCTYPE a><Error>&#8;</Error>",
        b"<!DOCTYPE a [<!ENTITY b '\x08'>]><Error>&b;</Error>",
        b"<Error>&b;&#8;</Error>",
    ],
    ids=lambda document: repr(document[:40]),
)
def test_what_is_malformed_besides_is_refused(document: bytes) -> None:
    assert parse_error(document) is None


def test_an_instruction_of_ours_that_a_server_wrote_means_nothing() -> None:
    assert parse_error(b"<Error><Code>A<?asyncpresign-other 66?></Code></Error>") == ErrorDocument("A")
    assert parse_error(b"<Error><Code>asyncpresign-character&#8;A</Code></Error>") == ErrorDocument(
        "asyncpresign-character\x08A"
    )


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["raw", "references", "section"]),
    st.binary(max_size=3),
)
def test_any_key_is_read_as_it_is_written(key: str, how: str, filler: bytes) -> None:
    """At whatever place of a window or a piece it stands."""
    spelt = {
        "references": "".join(f"&#{ord(one)};" for one in key),
        "raw": key.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;"),
        "section": "]]><![CDATA[".join(["<![CDATA[", key.replace("\r", "").replace("]]>", ""), "]]>"]).replace(
            "<![CDATA[]]>", ""
        ),
    }[how]
    expected = key if how != "section" else key.replace("\r", "").replace("]]>", "")
    padding = b" " * (xml._WINDOW - 60 - len(filler))
    document = (
        b"<ListBucketResult>"
        + padding
        + b"<Contents><Size>1</Size><Key>"
        + spelt.encode()
        + b"</Key></Contents></ListBucketResult>"
    )
    assert parse_list_objects_v2(document).objects[0].key == expected


# --- limits -----------------------------------------------------------------------------------------------------------


def listing(inside: bytes) -> bytes:
    return b"<ListBucketResult>" + inside + b"</ListBucketResult>"


def key(text: bytes) -> bytes:
    return listing(b"<Contents><Key>" + text + b"</Key><Size>1</Size></Contents>")


NODES = 2_000
MANY = NODES + 1
REFUSED = {
    "bytes": (listing(b" " * xml.MAX_BYTES), "more than 16777216 bytes"),
    "elements": (listing(b"<a/>" * MANY), "more than 2000 elements"),
    "elements with text between": (listing(b"xx<a/>" * MANY), "more than 2000 elements"),
    "deep elements": (listing(b"<a>" * MANY), "more than 2000 elements"),
    "elements below what is read": (listing(b"<a><a><a><a><a><a>" + b"<b/>" * MANY), "more than 2000 elements"),
    "control characters": (key(b"\x08" * MANY), "more than 2000 control characters"),
    "references": (key(b"&#8;" * MANY), "more than 2000 control characters"),
    "text": (key(b"k" * (xml.MAX_TEXT + 1)), "more than 262144 characters"),
    "entities": (key(b"&amp;" * (xml.MAX_TEXT + 1)), "more than 262144 characters"),
    "pieces of text": (key(b"<![CDATA[k]]>" * (xml.MAX_TEXT + 1)), "more than 262144 characters"),
    "a name": (listing(b"<" + b"a" * 70_000 + b"/>"), "a tag or comment of more than"),
    "a comment": (listing(b"<!--" + b"a" * 70_000 + b"-->"), "a tag or comment of more than"),
    "an instruction": (listing(b"<?a " + b"a" * 70_000 + b"?>"), "a tag or comment of more than"),
    "attributes": (
        b"<ListBucketResult " + b" ".join(b"a%d=''" % number for number in range(9_000)) + b"/>",
        "a tag or comment of more than",
    ),
    "digits": (listing(b"<Contents><Key>k</Key><Size>" + b"9" * 5000 + b"</Size></Contents>"), "whose <Size> cannot be read"),
    "a sign": (listing(b"<Contents><Key>k</Key><Size>-5</Size></Contents>"), "whose <Size> cannot be read"),
    "digits of another script": (
        listing("<Contents><Key>k</Key><Size>\u0665</Size></Contents>".encode()),
        "whose <Size> cannot be read",
    ),
    "time": (
        listing(b"<Contents><Key>k</Key><Size>1</Size><LastModified>" + b"2026-" * 5000 + b"</LastModified></Contents>"),
        "whose <LastModified> cannot be read",
    ),
}


@pytest.mark.parametrize(("document", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_no_server_writes_is_refused_early(document: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "MAX_NODES", NODES)
    monkeypatch.setattr(xml, "MAX_SKIPPED", NODES)
    with pytest.raises(InvalidRequest, match=why):
        parse_list_objects_v2(document)


def test_no_document_has_more_elements_than_a_page_of_a_listing_can_have() -> None:
    """ListObjectVersions has 1,000 rows of 13 elements and of an owner's two."""
    assert 3 * 1000 * 16 <= xml.MAX_NODES <= xml.MAX_SKIPPED
    deep = xml.MAX_SKIPPED - 1
    assert parse_error(b"<Error>" + b"<a>" * deep + b"</a>" * deep + b"</Error>") == ErrorDocument()
    assert parse_error(b"<Error>" + b"<a>" * (deep + 1)) is None


def test_a_document_at_its_limits_is_read() -> None:
    page = parse_list_objects_v2(listing(b"<Contents><Key>k</Key><Size>1</Size></Contents>" * 10_000 + b"x<a/>" * 10_000))
    assert len(page.objects) == 10_000
    assert parse_list_objects_v2(key(b"k" * xml.MAX_TEXT)).objects[0].key == "k" * xml.MAX_TEXT
    assert parse_list_objects_v2(key(b"&#8;" * 5000)).objects[0].key == "\x08" * 5000
    many = b" ".join(b"a%d=''" % number for number in range(1_000))
    assert parse_list_objects_v2(b"<!--" + b"c" * 15_000 + b"--><ListBucketResult " + many + b"/>").objects == ()
