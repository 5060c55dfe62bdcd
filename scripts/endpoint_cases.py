"""AWS's published endpoint cases for S3, asked of `resolve_endpoint`; what is expected is read from their file only.

The file is in botocore's sdist, as `SOURCE` says; it is not kept here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore

from asyncpresign import InvalidRequest, UnsupportedRequest
from asyncpresign._s3.hosts import Endpoint, EndpointInputs
from asyncpresign._s3.rules import resolve_endpoint

SOURCE = "tests/functional/endpoint-rules/s3/endpoint-tests-1.json"

# A parameter of AWS's rules, and the input that it is here.
PARAMETERS: Mapping[str, str] = {
    "Accelerate": "use_accelerate",
    "Bucket": "bucket",
    "DisableAccessPoints": "no_access_points",
    "DisableMultiRegionAccessPoints": "no_multi_region",
    "DisableS3ExpressSessionAuth": "no_s3express_session",
    "Endpoint": "endpoint_url",
    "ForcePathStyle": "path_style",
    "Region": "region",
    "UseArnRegion": "use_arn_region",
    "UseDualStack": "use_dualstack",
    "UseFIPS": "use_fips",
    "UseGlobalEndpoint": "use_global_endpoint",
    "UseObjectLambdaEndpoint": "object_lambda",
    "UseS3ExpressControlEndpoint": "s3express_control",
}
# The rules take these and no rule looks at them.
IDLE = frozenset({"CopySource", "Key", "Prefix"})

Answer = tuple[str, list[tuple[str, str, list[str]]]]
"""URL, and of each signature its kind, the service's name and the region, or the set of regions."""


def inputs_of(parameters: Mapping[str, Any]) -> EndpointInputs:
    """A name that is neither above is a KeyError: nothing is passed over."""
    return EndpointInputs(**{PARAMETERS[name]: value for name, value in parameters.items() if name not in IDLE})


def answer_of(endpoint: Endpoint) -> Answer:
    signatures = [(kind.value, service, list(regions)) for kind, service, regions in endpoint.signatures]
    return endpoint.url, signatures


def expected_of(endpoint: Mapping[str, Any]) -> Answer:
    """The same, as AWS writes it. The service has no headers of its own, and never encodes a path twice."""
    known = {"url", "headers", "properties"}, {"authSchemes", "backend"}
    if endpoint.get("headers") or not endpoint.keys() <= known[0] or not endpoint["properties"].keys() <= known[1]:
        raise ValueError(f"what is this? {endpoint}")
    signatures = []
    for scheme in endpoint["properties"]["authSchemes"]:
        regions = scheme["signingRegionSet"] if "signingRegionSet" in scheme else [scheme["signingRegion"]]
        if scheme["disableDoubleEncoding"] is not True:
            raise ValueError(f"what is this? {scheme}")
        signatures.append((scheme["name"], scheme["signingName"], regions))
    return endpoint["url"], signatures


def failure(case: Mapping[str, Any]) -> str:
    """What is wrong with our answer to a case; empty when nothing is."""
    try:
        answer: Answer | str = answer_of(resolve_endpoint(inputs_of(case["params"])))
    except (InvalidRequest, UnsupportedRequest) as error:
        answer = str(error)
    expected = case["expect"]
    if "error" not in expected:
        wanted = expected_of(expected["endpoint"])
        return "" if answer == wanted else f"{case['documentation']}: expected {wanted}, got {answer}"
    named = isinstance(answer, str) and answer.partition(":")[0] in EndpointInputs._fields
    return "" if named else f"{case['documentation']}: expected the error {expected['error']!r}, got {answer}"


def endpoint_cases(path: Path) -> tuple[int, list[str]]:
    """How many cases the file at `path` has, and what is wrong with our answers."""
    cases = json.loads(path.read_text(encoding="utf-8"))["testCases"]
    return len(cases), [found for found in map(failure, cases) if found]


def published(folder: Path) -> Path:
    """The file of the installed botocore's version, fetched into `folder` by pip."""
    name = f"botocore-{botocore.__version__}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    subprocess.run([*command, name.replace("-", "==")], check=True)
    with tarfile.open(folder / f"{name}.tar.gz") as archive:
        archive.extract(f"{name}/{SOURCE}", folder, filter="data")
    return folder / name / SOURCE
