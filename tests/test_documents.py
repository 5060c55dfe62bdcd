"""What S3 answers is read, what it takes is written; no document can make the parser work, fetch or fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest
from asyncpresign import documents as public
from asyncpresign._s3 import documents
from asyncpresign._s3.documents import (
    BucketListing,
    DeletedObject,
    DeleteError,
    DeleteResult,
    ErrorDocument,
    ListedBucket,
    ListedObject,
    ListedUpload,
    ListedVersion,
    Listing,
    MismatchDocument,
    Part,
    PartListing,
    StoredObject,
    UploadListing,
    VersionListing,
    build_complete_multipart_upload,
    build_create_bucket,
    build_delete_objects,
    build_tagging,
    parse_create_multipart_upload,
    parse_error,
    parse_list_objects_v2,
    parse_mismatch,
    parse_tagging,
)


def test_all_of_it_is_public() -> None:
    made = {name for name, value in vars(documents).items() if getattr(value, "__module__", "") == documents.__name__}
    assert set(public.__all__) == {name for name in made if not name.startswith("_")}
    assert public.parse_error is documents.parse_error


# --- errors -----------------------------------------------------------------------------------------------------------

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
    body = b"<Error><Code>A</Code>" + b"<a>x" * 100_000 + b"</a>" * 100_000 + b"</Error>"
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


# --- answers ----------------------------------------------------------------------------------------------------------

NOON = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
AT_NOON = "2026-03-01T12:00:00.500Z"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'

# Function, an answer like AWS's, what it says.
ANSWERS: list[tuple[str, str, Any]] = [
    (
        "parse_list_objects_v2",
        f"""<ListBucketResult {NAMESPACE}><Name>b</Name><Prefix>a+b</Prefix><NextContinuationToken>1+/=</NextContinuationToken>
        <KeyCount>2</KeyCount><IsTruncated>true</IsTruncated><Contents><Key>a+b%2B%25/%C3%BC%01</Key>
        <LastModified>{AT_NOON}</LastModified><ETag>&quot;d41d&quot;</ETag><Size>5368709121</Size>
        <Owner><ID>o</ID></Owner><StorageClass>STANDARD</StorageClass></Contents><Contents><Size>0</Size><Key>z</Key></Contents>
        <CommonPrefixes><Prefix>p+1/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>p2/</Prefix></CommonPrefixes>
        <EncodingType>url</EncodingType></ListBucketResult>""",
        Listing(
            (ListedObject("a b+%/ü\x01", 5368709121, '"d41d"', NOON, "STANDARD"), ListedObject("z", 0)),
            ("p 1/", "p2/"),
            True,
            "1+/=",
        ),
    ),
    ("parse_list_objects_v2", "<ListBucketResult/>", Listing()),
    (
        "parse_list_objects_v2",
        "<ListBucketResult><Contents><Key> a+b%20\n</Key><Size>1</Size></Contents></ListBucketResult>",
        Listing((ListedObject(" a+b%20\n", 1),)),
    ),
    (
        "parse_list_objects",
        """<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker>a%2Fb</NextMarker><EncodingType>url</EncodingType>
        </ListBucketResult>""",
        Listing((), (), True, "a/b"),
    ),
    (
        "parse_list_objects",
        """<ListBucketResult><IsTruncated>true</IsTruncated><NextMarker>a+c</NextMarker><EncodingType>url</EncodingType>
        <Contents><Key>a%2Bc</Key><Size>1</Size></Contents></ListBucketResult>""",
        Listing((ListedObject("a+c", 1),), (), True, "a+c"),
    ),
    (
        "parse_list_objects",
        """<ListBucketResult><IsTruncated>true</IsTruncated><CommonPrefixes><Prefix>\ufffd/</Prefix></CommonPrefixes>
        <Contents><Key>\U0001f389</Key><Size>1</Size></Contents></ListBucketResult>""",
        Listing((ListedObject("\U0001f389", 1),), ("\ufffd/",), True, "\U0001f389"),
    ),
    (
        "parse_list_objects",
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
        Listing((ListedObject("a", 1),)),
    ),
    (
        "parse_list_object_versions",
        f"""<ListVersionsResult {NAMESPACE}><IsTruncated>true</IsTruncated><NextKeyMarker>k+1</NextKeyMarker>
        <NextVersionIdMarker>v+1</NextVersionIdMarker><EncodingType>url</EncodingType>
        <DeleteMarker><Key>k+1</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest></DeleteMarker>
        <Version><Key>k+1</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest><LastModified>{AT_NOON}</LastModified>
        <ETag>"e"</ETag><Size>3</Size><StorageClass>GLACIER</StorageClass></Version></ListVersionsResult>""",
        VersionListing(
            (ListedVersion("k 1", "v1", False, NOON, 3, '"e"', "GLACIER"),),
            (ListedVersion("k 1", "v2", True),),
            (),
            True,
            "k 1",
            "v+1",
        ),
    ),
    (
        "parse_list_buckets",
        f"""<ListAllMyBucketsResult><Owner><ID>o</ID></Owner><Buckets><Bucket><Name>b</Name>
        <CreationDate>{AT_NOON}</CreationDate><BucketRegion>eu-west-1</BucketRegion></Bucket><Bucket><Name>c</Name></Bucket>
        </Buckets><ContinuationToken>t</ContinuationToken></ListAllMyBucketsResult>""",
        BucketListing((ListedBucket("b", NOON, "eu-west-1"), ListedBucket("c")), "t"),
    ),
    (
        "parse_create_multipart_upload",
        "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>a.b_c-</UploadId></InitiateMultipartUploadResult>",
        "a.b_c-",
    ),
    (
        "parse_list_parts",
        f"""<ListPartsResult><UploadId>u</UploadId><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT
        </ChecksumType><NextPartNumberMarker>2</NextPartNumberMarker><IsTruncated>true</IsTruncated>
        <Part><PartNumber>1</PartNumber><LastModified>{AT_NOON}</LastModified><ETag>"e1"</ETag><Size>5</Size>
        <ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part><Part><PartNumber>2</PartNumber><ETag>"e2"</ETag></Part>
        </ListPartsResult>""",
        PartListing((Part(1, '"e1"', 5, NOON, {"crc32": "AAAAAA=="}), Part(2, '"e2"')), True, 2),
    ),
    (
        "parse_list_multipart_uploads",
        f"""<ListMultipartUploadsResult><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>
        <IsTruncated>true</IsTruncated><Upload><Key>a+b</Key><UploadId>u</UploadId><Initiated>{AT_NOON}</Initiated>
        <StorageClass>STANDARD</StorageClass></Upload><CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>
        </ListMultipartUploadsResult>""",
        UploadListing((ListedUpload("a+b", "u", NOON, "STANDARD"),), ("p/",), True, "k", "u"),
    ),
    (
        "parse_complete_multipart_upload",
        f"""<?xml version="1.0" encoding="UTF-8"?>\n\n<CompleteMultipartUploadResult {NAMESPACE}><Location>https://x</Location>
        <Bucket>b</Bucket><Key>k</Key><ETag>"e-2"</ETag><ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>
        <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>""",
        StoredObject('"e-2"', None, {"crc64nvme": "AAAAAAAAAAA="}),
    ),
    (
        "parse_copy",
        f"<CopyObjectResult><LastModified>{AT_NOON}</LastModified><ETag>e</ETag></CopyObjectResult>",
        StoredObject("e", NOON),
    ),
    ("parse_copy", "<CopyPartResult><ETag>e</ETag></CopyPartResult>", StoredObject("e")),
    (
        "parse_delete_objects",
        """<DeleteResult><Deleted><Key>a b+</Key><VersionId>v</VersionId></Deleted><Deleted><Key>c</Key>
        <DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>m</DeleteMarkerVersionId></Deleted>
        <Error><Key>d</Key><Code>AccessDenied</Code><Message>No</Message></Error></DeleteResult>""",
        DeleteResult(
            (DeletedObject("a b+", "v"), DeletedObject("c", None, True, "m")), (DeleteError("AccessDenied", "No", "d"),)
        ),
    ),
    ("parse_delete_objects", "<DeleteResult/>", DeleteResult()),
    (
        "parse_tagging",
        "<Tagging><TagSet><Tag><Key>a</Key><Value>1&amp;2</Value></Tag><Tag><Key>b</Key><Value/></Tag></TagSet></Tagging>",
        {"a": "1&2", "b": ""},
    ),
]
PARSERS = sorted({name for name, _, _ in ANSWERS})


def test_what_a_server_hashed_is_read_with_every_line_of_it() -> None:
    canonical = "GET\n/a\n\nhost:h\n\nhost\nUNSIGNED-PAYLOAD"
    body = f"<Error><Code>SignatureDoesNotMatch</Code><CanonicalRequest>{canonical}</CanonicalRequest></Error>"
    assert parse_mismatch(body.encode()) == MismatchDocument(ErrorDocument("SignatureDoesNotMatch"), canonical, "")
    assert parse_mismatch(FULL).error == parse_error(FULL)


@pytest.mark.parametrize(("name", "body", "expected"), ANSWERS, ids=[name for name, _, _ in ANSWERS])
def test_an_answer_is_read(name: str, body: str, expected: Any) -> None:
    assert getattr(documents, name)(body.encode()) == expected


def test_every_parser_has_an_answer_above() -> None:
    assert set(PARSERS) == {name for name in vars(documents) if name.startswith("parse_")} - {
        "parse_error",
        "parse_mismatch",
    }


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize(
    ("body", "got"),
    [
        (b"", "no well-formed XML (no element found)"),
        (FULL, "a document <Error> with code 'PermanentRedirect'"),
        (b"<html><body/></html>", "a document <html>"),
        (BOMB, "a document with a type declaration"),
        ("<ListBucketResult/>", "a str of length 19"),
    ],
    ids=["empty", "error", "html", "bomb", "text"],
)
def test_another_document_is_told(name: str, body: bytes, got: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        getattr(documents, name)(body)
    (problem,) = caught.value.problems
    assert problem.argument == "body"
    assert got in problem.got


@pytest.mark.parametrize(
    ("name", "body", "got"),
    [
        ("parse_list_objects_v2", "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>", "without <Key>"),
        ("parse_list_objects_v2", "<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>", "<IsTruncated>"),
        (
            "parse_list_objects_v2",
            "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%FF</Key><Size>1</Size></Contents></ListBucketResult>",
            "<Key> cannot be read",
        ),
        (
            "parse_list_objects_v2",
            "<ListBucketResult><Contents><Key>k</Key><Size>many</Size></Contents></ListBucketResult>",
            "<Size> cannot be read",
        ),
        (
            "parse_copy",
            "<CopyObjectResult><ETag>e</ETag><LastModified>2026-03-01T12:00:00</LastModified></CopyObjectResult>",
            "<LastModified> cannot be read",
        ),
        ("parse_create_multipart_upload", "<InitiateMultipartUploadResult/>", "without <UploadId>"),
    ],
)
def test_a_document_that_says_too_little_or_nonsense_is_told(name: str, body: str, got: str) -> None:
    with pytest.raises(InvalidRequest, match=got):
        getattr(documents, name)(body.encode())


def test_another_document_is_not_read_on() -> None:
    with pytest.raises(InvalidRequest, match="a document <html>"):
        parse_list_objects_v2(b"<html><body></no end")
    assert parse_error(b"<ListBucketResult><Contents></no end") is None


keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize("encode", [quote, quote_plus])
@given(key=keys)
@example(key="a+b %2B\x00\n")
def test_encoded_keys_are_decoded_whoever_encodes_a_space_how(encode: Callable[[str], str], key: str) -> None:
    contents = f"<EncodingType>url</EncodingType><Contents><Key>{encode(key)}</Key><Size>0</Size></Contents>"
    body = f"<ListBucketResult>{contents}</ListBucketResult>"
    assert parse_list_objects_v2(body.encode()).objects == (ListedObject(key, 0),)


# --- bodies -----------------------------------------------------------------------------------------------------------

HEAD = f"{NAMESPACE}>"


def read_back(body: bytes) -> list[tuple[str, str]]:
    """Every element without children, by another parser."""
    elements = [element for element in ElementTree.fromstring(body).iter() if len(element) == 0]
    return [(element.tag.rpartition("}")[2], element.text or "") for element in elements]


def test_the_bodies_are_these() -> None:
    assert build_create_bucket("us-east-1") == b""
    assert build_create_bucket("eu-west-1").decode() == (
        f"<CreateBucketConfiguration {HEAD}<LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>"
    )
    assert build_delete_objects(["a&b", ("c", "v")], quiet=True).decode() == (
        f"<Delete {HEAD}<Object><Key>a&amp;b</Key></Object><Object><Key>c</Key><VersionId>v</VersionId></Object>"
        "<Quiet>true</Quiet></Delete>"
    )
    assert build_complete_multipart_upload(
        [Part(2, '"e2"', checksums={"crc32": "A=="}), Part(1, '"e1"', 5, NOON)]
    ).decode() == (
        f'<CompleteMultipartUpload {HEAD}<Part><PartNumber>1</PartNumber><ETag>"e1"</ETag></Part>'
        '<Part><PartNumber>2</PartNumber><ETag>"e2"</ETag><ChecksumCRC32>A==</ChecksumCRC32></Part></CompleteMultipartUpload>'
    )
    assert build_tagging({"a": "<1>"}).decode() == (
        f"<Tagging {HEAD}<TagSet><Tag><Key>a</Key><Value>&lt;1&gt;</Value></Tag></TagSet></Tagging>"
    )


xml_texts = st.text(
    st.one_of(
        st.sampled_from("&<>'\"\t\n\r]]>\x85\u2028\ufffd"),
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    ),
    min_size=1,
)


@given(st.lists(xml_texts, min_size=1, max_size=5), st.booleans())
def test_any_key_that_xml_can_hold_arrives(some: list[str], quiet: bool) -> None:
    flag = [("Quiet", "true")] if quiet else []
    assert read_back(build_delete_objects(some, quiet=quiet)) == [*(("Key", key) for key in some), *flag]


@given(st.dictionaries(xml_texts, xml_texts, max_size=4))
def test_tags_are_read_as_they_were_written(tags: dict[str, str]) -> None:
    assert parse_tagging(build_tagging(tags)) == tags


PART = Part(1, "e")


@pytest.mark.parametrize(
    ("build", "given", "arguments"),
    [
        (build_delete_objects, [], ["objects"]),
        (build_delete_objects, ["k"] * 1001, ["objects"]),
        (build_delete_objects, ["ok", "a\x01", ("b", "v\x00"), "\ud800", "\uffff"], [f"objects[{n}]" for n in (1, 2, 3, 4)]),
        (build_delete_objects, ["", 5, ("a", "v", "w"), (b"k", None)], [f"objects[{n}]" for n in range(4)]),
        (build_complete_multipart_upload, [], ["parts"]),
        (build_complete_multipart_upload, [PART, Part(1, "f")], ["parts"]),
        (
            build_complete_multipart_upload,
            [Part(0, "e"), Part(10_001, "e"), Part(True, "e")],
            [f"parts[{n}].part_number" for n in range(3)],
        ),
        (build_complete_multipart_upload, [(1, "e"), Part(1, "e\x00")], ["parts[0]", "parts[1].etag"]),
        (
            build_complete_multipart_upload,
            [Part(1, "e", checksums={"crc32": "\x01", "a><b": "x"})],
            ["parts[0].checksums['crc32']", "parts[0].checksums"],
        ),
        (build_tagging, [("a", "b")], ["tags"]),
        (build_tagging, {"a": "\x0b", "b": 1, "c": "ok"}, ["tags['a']", "tags['b']"]),
        (build_create_bucket, "eu\x00", ["region"]),
        (build_create_bucket, None, ["region"]),
    ],
)
def test_what_cannot_be_written_is_named_all_at_once(build: Callable[[Any], bytes], given: Any, arguments: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build(given)
    assert [problem.argument for problem in caught.value.problems] == arguments


def test_the_longest_deletion_is_one_of_a_thousand() -> None:
    assert build_delete_objects(["k"] * 1000).count(b"<Object>") == 1000


UNREADABLE = {
    b"<InitiateMultipartUploadResult><Key>a\x08b</Key><UploadId>u-1</UploadId></InitiateMultipartUploadResult>": "u-1",
    b"<InitiateMultipartUploadResult xmlns='x'><Key>a & b</Key><UploadId> u/2== </UploadId>": "u/2==",
}


@pytest.mark.parametrize("body", UNREADABLE)
def test_the_id_of_an_upload_is_found_in_a_document_that_is_no_xml(body: bytes) -> None:
    assert parse_create_multipart_upload(body) == UNREADABLE[body]


@pytest.mark.parametrize(
    "body",
    [
        b"<InitiateMultipartUploadResult><UploadId>cut o",
        b"<InitiateMultipartUploadResult><UploadId></UploadId>",
        b"<html><UploadId>u-1</UploadId>",
        b"<InitiateMultipartUploadResult>" + b"x" * 20_000 + b"<UploadId>u-1</UploadId>",
    ],
)
def test_an_id_that_is_cut_off_or_of_another_document_is_not_taken(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_create_multipart_upload(body)


PAGES = {
    "parse_list_objects_v2": "ListBucketResult",
    "parse_list_objects": "ListBucketResult",
    "parse_list_object_versions": "ListVersionsResult",
    "parse_list_parts": "ListPartsResult",
    "parse_list_multipart_uploads": "ListMultipartUploadsResult",
}


@pytest.mark.parametrize(("name", "root"), PAGES.items(), ids=PAGES.keys())
def test_a_page_that_does_not_say_that_more_follow_is_the_last(name: str, root: str) -> None:
    said = f"<{root}><Bucket>b</Bucket><Name>b</Name><Key>k</Key><UploadId>u</UploadId></{root}>"
    assert not getattr(documents, name)(said.encode()).is_truncated
