"""The table of vendors: real-looking URLs of each, what is left of them, and what is not taken for a signature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign._vendors import HARMLESS, SECRETS, VENDORS, identity_query, query_name, signed_by

V4 = (
    "{0}Algorithm=V4-HMAC-SHA256&{0}Credential=me%40p%2F20260301%2Fauto%2Fs3&{0}Date=20260301T000000Z&{0}Expires=900"
    "&{0}SignedHeaders=host"
)

# The vendor -> the query of a URL that it signed, without what it says of the object.
SIGNED = {
    "SigV4": V4.format("X-Amz-") + "&X-Amz-Security-Token=IQoJ%2F%2F&X-Amz-S3session-Token=AgV4&X-Amz-Signature=5160",
    "SigV4A": V4.format("X-Amz-") + "&X-Amz-Region-Set=%2A&X-Amz-Signature=3045",
    "SigV2": "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=vjbyPxybdZaNmGa%3D&Expires=1772323200&x-amz-security-token=Fwo",
    "Google V4": V4.format("X-Goog-") + "&X-Goog-Signature=247a",
    "Google V2": "GoogleAccessId=me%40p.iam.gserviceaccount.com&Expires=1772323200&Signature=ASDF%2Bx",
    "Google CDN": "Expires=1772323200&KeyName=k1&Signature=3nBYSHXw",
    "Azure service SAS": "sv=2024-11-04&st=2026-03-01T00%3A00%3A00Z&se=2026-03-02T00%3A00%3A00Z&sr=b&sp=r&spr=https"
    "&sip=10.0.0.1&si=policy&sig=Z%2FRHIX5Xcg0Mq2rqI3OlWTjEg2tYkboXr1P9ZUXDtkk%3D",
    "Azure account SAS": "sv=2024-11-04&ss=bfqt&srt=sco&sp=rwdlacupx&se=2026-03-02&sig=abc%3D",
    "Azure user delegation SAS": "sp=r&se=2026-03-02T00%3A00%3A00Z&skoid=a-b&sktid=c-d&skt=2026-03-01&ske=2026-03-02&sks=b"
    "&skv=2024-11-04&saoid=e&suoid=f&scid=g&sdd=2&ses=scope&sv=2024-11-04&sr=d&sig=xyz",
    "Swift": "temp_url_sig=732fcac368abb10c78a4cbe95c3fab7f311584532bf779abd5074e13cbe8b88b&temp_url_expires=1772323200"
    "&temp_url_prefix=pre&temp_url_ip_range=10.0.0.0%2F8",
    "OSS V1": "OSSAccessKeyId=LTAI&Expires=1772323200&Signature=EwYQ%3D&security-token=CAIS",
    "OSS V2": "x-oss-signature-version=OSS2&x-oss-expires=1772323200&x-oss-access-key-id=LTAI&x-oss-signature=cc%3D",
    "OSS V4": "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20260301T000000Z&x-oss-expires=600&x-oss-credential=LTAI%2F"
    "2026&x-oss-additional-headers=host&x-oss-security-token=CAIS&x-oss-signature=77dbf3",
    "COS": "q-sign-algorithm=sha1&q-ak=AKIDx&q-sign-time=1772319600;1772323200&q-key-time=1772319600;1772323200&"
    "q-header-list=host&q-url-param-list=&q-signature=6c45&x-cos-security-token=tok",
    "OBS": "AccessKeyId=QTWA&Expires=1772323200&Signature=EQmD%3D&x-obs-security-token=gQpj",
    "TOS": V4.format("X-Tos-") + "&X-Tos-Security-Token=STS&X-Tos-Signature=a1",
    "CloudFront, canned policy": "Expires=1772323200&Signature=nitfHRCrtziwO2HwPfWw~yYDhUF5EwRunQA&Key-Pair-Id=K2JCJMDEHXQW5F",
    "CloudFront, custom policy": "Policy=eyJTdGF0ZW1lbnQi&Signature=nitf~&Key-Pair-Id=K2JC&Hash-Algorithm=SHA256",
    "B2": "Authorization=3_20260301000000_2f7c",
    "BOS": "authorization=bce-auth-v1%2Fak%2F2026-03-01T00%3A00%3A00Z%2F1800%2Fhost%2F6f&x-bce-security-token=tok",
    "Akamai edge": "hdnts=exp=1772323200~acl=/*~hmac=84f2",
    "Akamai media": "hdnea=st=1772319600~exp=1772323200~acl=/*~hmac=84f2",
    "Akamai plain": "__token__=exp=1772323200~hmac=84f2",
    "Discord": "ex=69a3&is=69a2&hm=8f2c",
    "Bunny": "token=HcRp&token_path=%2Fvideos%2F&expires=1772323200",
    "Kodo": "e=1772323200&token=MY_ACCESS_KEY:yN9W",
    "OAuth": "access_token=ya29.A0AR",
}

# What is said beside a signature of the object, in whatever place of the query.
OBJECT = "versionId=v1&name=a%20b.txt"


# Others use the names of these for what is meant, too.
GENERIC = ("B2", "BOS", "Bunny", "Kodo")
SPECIFIC = {name: signature for name, signature in SIGNED.items() if name not in GENERIC}


@pytest.mark.parametrize("signature", SPECIFIC.values(), ids=SPECIFIC.keys())
def test_of_a_signed_url_only_what_names_the_object_is_left(signature: str) -> None:
    left = ("name=a%20b.txt", "versionId=v1")
    assert identity_query(signature) == ()
    assert identity_query(f"{signature}&{OBJECT}") == left
    assert identity_query(f"{OBJECT}&{signature}") == left
    assert identity_query(f"{OBJECT}&{signature.upper()}") == left
    assert identity_query("&".join([*reversed(signature.split("&")), OBJECT])) == left


@pytest.mark.parametrize("signature", [*(SIGNED[name] for name in GENERIC), "alt=media&token=a"])
def test_generic_names_count_as_what_is_meant(signature: str) -> None:
    assert sorted(identity_query(signature)) == sorted(signature.split("&"))


@pytest.mark.parametrize("signature", SIGNED.values(), ids=SIGNED.keys())
def test_of_every_vendor_what_grants_access_is_not_shown(signature: str) -> None:
    """A part of the signature is either harmless or masked; the signature itself is never harmless."""
    names = frozenset(query_name(piece) for piece in signature.split("&"))
    (vendor,) = signed_by(names)
    assert vendor.secrets & names
    assert not vendor.secrets & HARMLESS


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("name=a", "name=b"),
        ("uploadId=u&partNumber=1&X-Amz-Signature=1", "uploadId=u&partNumber=2&X-Amz-Signature=1"),
        ("comp=block&blockid=1&sv=2022&sig=s", "comp=block&blockid=2&sv=2022&sig=s"),
        ("generation=1&X-Goog-Signature=1", "generation=2&X-Goog-Signature=1"),
        # Names of a signature, without that vendor's markers.
        ("sp=1", "sp=2"),
        ("Expires=1", "Expires=2"),
        ("Signature=1", "Signature=2"),
        ("token=1", "token=2"),
        ("sig=1", "sig=2"),
        ("x-amz-date=1", "x-amz-date=2"),
        ("AWSAccessKeyId=1", "AWSAccessKeyId=2"),
        # Of another vendor than the one that signed.
        ("se=1&X-Amz-Signature=1", "se=2&X-Amz-Signature=1"),
        ("e=1&temp_url_sig=1", "e=2&temp_url_sig=1"),
        # Different bytes for a server that decodes forms.
        ("name=a+b", "name=a%2Bb"),
        ("a=1&a=2", "a=2&a=1"),
        ("a", "b"),
    ],
)
def test_what_may_name_another_object_counts(one: str, other: str) -> None:
    assert identity_query(one) != identity_query(other)


def test_the_order_of_names_and_empty_pieces_do_not_count() -> None:
    assert identity_query("b=2&&a=1&") == identity_query("a=1&b=2") == ("a=1", "b=2")
    assert identity_query("") == ()


def test_names_are_read_as_servers_read_them() -> None:
    assert identity_query("x%2Damz%2dsignature=1&X-AMZ-date=2&k+1=a") == ("k+1=a",)
    assert query_name("K+1=a") == "k 1"


@given(st.text(max_size=50))
def test_any_query_has_an_identity(query: str) -> None:
    assert all(piece in query for piece in identity_query(query))


def test_the_table_is_sound() -> None:
    for vendor in VENDORS:
        assert vendor.markers <= vendor.names
        assert vendor.secrets <= vendor.names
        assert vendor.secrets <= SECRETS
        assert all(name == name.lower() for name in vendor.names)
        expiry = vendor.expiry
        assert {name.partition(".")[0] for name in (expiry.end, expiry.start, expiry.life) if name} <= vendor.names
    assert not SECRETS & HARMLESS
