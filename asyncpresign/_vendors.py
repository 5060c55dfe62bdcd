"""What the query of a signed URL means: a row of `VENDORS` for each vendor. Pure; imports `_values` only.

A row says by which query names a vendor's signed URL is recognised, which names belong to the signature and say nothing of
what is moved, and where the expiry stands. `HARMLESS` are the names whose values may be shown. Names are lower case here and
match in any case. A name that many vendors use (`Signature`, `Expires`, `sp`) belongs to a signature only in a URL that also
has the vendor's markers.

- SigV4: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
- SigV2: https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
- Google: https://cloud.google.com/storage/docs/authentication/signatures, https://cloud.google.com/cdn/docs/using-signed-urls
- Azure: https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
- Swift: https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html
- OSS: https://www.alibabacloud.com/help/oss/developer-reference/add-signatures-to-urls
- COS: https://www.tencentcloud.com/document/product/436/7778
- OBS: https://support.huaweicloud.com/intl/en-us/api-obs/obs_04_0011.html
- CloudFront: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html
- B2: https://www.backblaze.com/apidocs/b2-get-download-authorization
- Akamai: https://techdocs.akamai.com/property-mgr/docs/auth-token-2-0-ver
"""

from __future__ import annotations

from ._values import dataclass


@dataclass(frozen=True, slots=True)
class Expiry:
    """Where a signed URL's end stands: in the parameter `end`, or `life` seconds after the parameter `start`.

    A parameter that holds several values is followed by a dot and the name or position of the part: `__token__.exp` is
    `exp=` in an Akamai token, `q-sign-time.1` the second of two times. `form` is how `end` is written: "epoch" (seconds),
    "hex" (the same, hexadecimal), "iso" (ISO 8601), "epoch or iso". `start` is "basic" ISO 8601, as in 20260301T123045Z, if
    `life` is given. All are empty where the URL does not hold its end.
    """

    end: str = ""
    start: str = ""
    life: str = ""
    form: str = "epoch"


@dataclass(frozen=True, slots=True)
class Vendor:
    """A kind of signed URL: signed by this vendor is a URL that has every one of `markers`.

    `names`, which include the markers, belong to the signature. `secrets` are those of them that grant access. `is_generic`
    says that others use the markers too (`?token=a&expires=1`): what they hold may be which object is meant, so it counts.
    """

    name: str
    markers: frozenset[str]
    names: frozenset[str]
    secrets: frozenset[str]
    expiry: Expiry
    is_generic: bool = False


def _vendor(
    name: str,
    markers: str,
    secrets: str,
    others: str = "",
    expiry: Expiry = Expiry(),  # noqa: B008 (frozen)
    *,
    is_generic: bool = False,
) -> Vendor:
    marking, granting = frozenset(markers.split()), frozenset(secrets.split())
    return Vendor(name, marking, marking | granting | frozenset(others.split()), granting, expiry, is_generic)


def _like_v4(name: str, prefix: str, secrets: str = "", others: str = "") -> Vendor:
    """A vendor whose names are SigV4's with another prefix than `x-amz-`."""
    granting = " ".join(f"{prefix}{word}" for word in ("signature", "credential", "security-token"))
    plain = " ".join(f"{prefix}{word}" for word in ("algorithm", "date", "expires", "signedheaders"))
    expiry = Expiry(start=f"{prefix}date", life=f"{prefix}expires", form="basic")
    return _vendor(name, f"{prefix}signature", f"{granting} {secrets}", f"{plain} {others}", expiry)


_EXPIRES = Expiry(end="expires")

VENDORS: tuple[Vendor, ...] = (
    # X-Amz-Region-Set is SigV4A's, the session token S3 Express's.
    _like_v4("SigV4", "x-amz-", "x-amz-s3session-token", "x-amz-region-set"),
    _vendor("SigV2", "awsaccesskeyid signature", "awsaccesskeyid signature x-amz-security-token", "expires", _EXPIRES),
    _like_v4("Google V4", "x-goog-"),
    _vendor("Google V2", "googleaccessid signature", "googleaccessid signature", "expires", _EXPIRES),
    _vendor("Google CDN", "keyname signature", "signature", "keyname expires urlprefix", _EXPIRES),
    _vendor(
        "Azure SAS",
        "sv sig",
        "sig",
        # Service, account and user delegation SAS; the last line names users, tenants and keys of the delegation.
        "ss srt sr sp spr sip si st se sdd ses sek srh srq skoid sktid skt ske sks skv skdutid sduoid saoid suoid scid",
        Expiry(end="se", form="iso"),
    ),
    _vendor(
        "Swift TempURL",
        "temp_url_sig",
        "temp_url_sig",
        "temp_url_expires temp_url_prefix temp_url_ip_range",
        Expiry(end="temp_url_expires", form="epoch or iso"),
    ),
    _vendor("OSS V1", "ossaccesskeyid signature", "ossaccesskeyid signature security-token", "expires", _EXPIRES),
    _like_v4("OSS V2, V4", "x-oss-", "x-oss-access-key-id", "x-oss-signature-version x-oss-additional-headers"),
    _vendor(
        "COS",
        "q-signature",
        "q-signature q-ak x-cos-security-token",
        "q-sign-algorithm q-sign-time q-key-time q-header-list q-url-param-list",
        Expiry(end="q-sign-time.1"),
    ),
    _vendor("OBS", "accesskeyid signature", "accesskeyid signature x-obs-security-token", "expires", _EXPIRES),
    _like_v4("OBS V4", "x-obs-"),
    _like_v4("TOS", "x-tos-"),
    _vendor("KS3", "kssaccesskeyid signature", "kssaccesskeyid signature", "expires", _EXPIRES),
    _vendor("US3", "ucloudpublickey signature", "ucloudpublickey signature securitytoken", "expires", _EXPIRES),
    _vendor("Kodo", "e token", "token", "e", Expiry(end="e"), is_generic=True),
    # The expiry of a custom policy is inside of Policy.
    _vendor("CloudFront", "key-pair-id signature", "policy signature", "key-pair-id expires hash-algorithm", _EXPIRES),
    # Backblaze B2, and Baidu BOS with x-bce-security-token.
    _vendor("Authorization", "authorization", "authorization x-bce-security-token", is_generic=True),
    *(_vendor("Akamai", name, name, "", Expiry(end=f"{name}.exp")) for name in ("hdnts", "hdnea", "hdntl", "__token__")),
    _vendor("Discord", "ex is hm", "hm", "ex is", Expiry(end="ex", form="hex")),
    _vendor("Bunny", "token expires", "token", "expires token_path token_countries bcdn_token", _EXPIRES, is_generic=True),
    _vendor("Firebase", "alt token", "token", is_generic=True),
    _vendor("OAuth", "access_token", "access_token"),
)

# Names that grant access where no vendor is recognised by them. What they stand for is not known: `/get?token=a` and
# `/get?token=b` may be two files, so they count as a part of what is moved.
_UNKNOWN_GRANTS = (
    "token auth auth_token auth_key api_key api-key apikey key_token jwt sas session sessionid session_token secret password "
    "passwd pwd sig sign signature policy credential credentials client_secret refresh_token id_token security-token"
)

SECRETS: frozenset[str] = frozenset(_UNKNOWN_GRANTS.split()).union(*(vendor.secrets for vendor in VENDORS))
"""Query names whose values grant access, of whatever vendor, in whatever text."""

_HARMLESS = (
    # S3's own parameters and subresources.
    "versionid partnumber uploadid prefix delimiter list-type max-keys max-parts max-uploads encoding-type start-after "
    "marker key-marker version-id-marker upload-id-marker part-number-marker fetch-owner attributes x-id uploads delete "
    "acl cors tagging versions versioning location policystatus lifecycle notification logging website accelerate "
    "requestpayment replication encryption object-lock legal-hold retention torrent restore select select-type append "
    "position inventory metrics analytics intelligent-tiering ownershipcontrols publicaccessblock "
    "response-content-type response-content-language response-expires response-cache-control "
    "response-content-disposition response-content-encoding "
    # What a signature says about itself without granting anything.
    "x-amz-algorithm x-amz-date x-amz-expires x-amz-signedheaders x-amz-region-set x-amz-content-sha256 "
    "x-goog-algorithm x-goog-date x-goog-expires x-goog-signedheaders x-oss-date x-oss-expires x-oss-signature-version "
    "x-oss-additional-headers x-obs-algorithm x-obs-date x-obs-expires x-obs-signedheaders x-tos-algorithm x-tos-date "
    "x-tos-expires x-tos-signedheaders expires temp_url_expires q-sign-algorithm q-sign-time q-key-time q-header-list "
    "q-url-param-list hash-algorithm "
    "sv ss srt sr sp spr st se skt ske sks skv "
    # Other vendors' words for which object, version or part.
    "comp restype blockid snapshot timeout generation alt ifgenerationmatch multipart-manifest format limit"
)

HARMLESS: frozenset[str] = frozenset(_HARMLESS.split())
"""Query names whose values may be shown."""


def query_name(piece: str) -> str:
    """The parameter's name in `piece` of a query (`name=value`), decoded and in lower case."""
    name = piece.partition("=")[0]
    if "%" in name or "+" in name:
        from urllib.parse import unquote_plus

        name = unquote_plus(name)
    return name.lower()


def signed_by(names: frozenset[str]) -> list[Vendor]:
    """The vendors that signed a URL whose query has `names` (lower case): mostly one, none for a URL that is not signed."""
    return [vendor for vendor in VENDORS if vendor.markers <= names]


def identity_query(query: str) -> tuple[str, ...]:
    """What `query` (without its `?`) says of the object: its pieces, as they are written, less those of the signature.

    The same for a URL that is signed anew. Ordered by name; pieces of one name stay in order. Empty pieces do not count, and
    nothing is decoded: `a+b` and `a%2Bb` may be two objects.
    """
    named = [(query_name(piece), piece) for piece in query.split("&") if piece]
    vendors = signed_by(frozenset(name for name, _ in named))
    left = [pair for pair in named if not any(pair[0] in vendor.names for vendor in vendors if not vendor.is_generic)]
    return tuple(piece for _, piece in sorted(left, key=lambda pair: pair[0]))
