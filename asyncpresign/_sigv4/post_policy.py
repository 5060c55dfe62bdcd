"""POST policies: which conditions a form carries, the document that says so, and its signature.

The document is spelt as botocore spells it (`json.dumps`' defaults), so that equal input gives equal bytes.
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .signing import ALGORITHM, CredentialScope, signature, signing_key

FILENAME = "${filename}"

# `{"field": "value"}`, `["eq" | "starts-with", "$field", "value"]` or `["content-length-range", minimum, maximum]`.
Condition = Mapping[str, str] | Sequence[Any]

# Fields that S3 does not ask the policy to cover: those that carry the proof itself, the file, and what it ignores.
_UNCOVERED = frozenset({"policy", "x-amz-signature", "file", "awsaccesskeyid", "signature"})


def covered_fields(conditions: Iterable[Condition]) -> Iterator[str]:
    """The lower-case names of the fields that `conditions` speak of."""
    for condition in conditions:
        if isinstance(condition, Mapping):
            yield from (name.lower() for name in condition)
        elif len(condition) == 3 and isinstance(condition[1], str):
            yield condition[1].removeprefix("$").lower()


def needs_condition(field: str) -> bool:
    """Whether S3 refuses a form with `field` when no condition speaks of it."""
    return field.lower() not in _UNCOVERED and not field.lower().startswith("x-ignore-")


def key_condition(key: str) -> Condition:
    """An exact match, or `starts-with` for a key that ends in `${filename}`, which S3 replaces by the file's name."""
    return ["starts-with", "$key", key.removesuffix(FILENAME)] if key.endswith(FILENAME) else {"key": key}


def sign_form(
    *,
    bucket: str,
    key: str,
    fields: Mapping[str, str],
    conditions: Sequence[Condition],
    expiration: str,
    access_key_id: str,
    secret_access_key: str,
    session_token: str | None,
    scope: CredentialScope,
    timestamp: str,
) -> dict[str, str]:
    """The form's fields in order: the caller's, the key, the credential, the policy, the signature.

    Conditions are the caller's in order, one for every field that none of them covers, then bucket, key, algorithm,
    credential, date and token; one that the caller gave already is not said again. `expiration` is ISO 8601 in UTC,
    `timestamp` what `amz_date` returns.
    """
    proof = {"x-amz-algorithm": ALGORITHM, "x-amz-credential": f"{access_key_id}/{scope}", "x-amz-date": timestamp}
    if session_token is not None:
        proof["x-amz-security-token"] = session_token
    covered = set(covered_fields(conditions))
    stated: list[Condition] = list(conditions)
    stated += [{name: value} for name, value in fields.items() if needs_condition(name) and name.lower() not in covered]
    implied = ({"bucket": bucket}, key_condition(key), *({name: value} for name, value in proof.items()))
    stated += [condition for condition in implied if condition not in stated]
    plain = [dict(condition) if isinstance(condition, Mapping) else list(condition) for condition in stated]
    document = json.dumps({"expiration": expiration, "conditions": plain})
    policy = base64.b64encode(document.encode()).decode()
    signed = signature(signing_key(secret_access_key, scope), policy)
    return {**fields, "key": key, **proof, "policy": policy, "x-amz-signature": signed}
