"""Pins the public names, and that asking for them loads no more than they need."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import asyncpresign

NAMES = [
    "AccessDenied",
    "Adjustable",
    "AiobotocoreSigner",
    "Check",
    "CommonPrefix",
    "Conflict",
    "CredentialSource",
    "Credentials",
    "CredentialsError",
    "CredentialsFinder",
    "Difference",
    "Directory",
    "Download",
    "Event",
    "Explanation",
    "FormUpload",
    "InspectedURL",
    "IntegrityError",
    "InvalidRequest",
    "ItemFinished",
    "ItemProgressed",
    "ItemRetried",
    "ItemStarted",
    "JournalError",
    "Limits",
    "LocalFileError",
    "MissingExtra",
    "NetworkError",
    "NotFound",
    "ObjectInfo",
    "OfflineSigner",
    "PreconditionFailed",
    "PresignError",
    "PresignedPost",
    "PresignedRequest",
    "PresignedURLs",
    "Presigner",
    "Problem",
    "Redirected",
    "Response",
    "ResponseError",
    "RetryPolicy",
    "S3Object",
    "ServerError",
    "SignatureMismatch",
    "Signer",
    "SlowDown",
    "Transfer",
    "TransferError",
    "TransferReport",
    "TransferResult",
    "URLExpired",
    "UnsafePathError",
    "UnsupportedRequest",
    "Upload",
    "Verification",
    "VerificationError",
    "botocore_source",
    "content_disposition",
    "default_source",
    "explain_url",
    "inspect_url",
    "verify_post",
    "verify_url",
]
# Names of types that are not classes.
ALIASES = {"CredentialSource", "CredentialsFinder", "Event"}


def run(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    where = str(Path(asyncpresign.__file__).parents[1])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {where!r})\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# Asked for by name only, so that `import *` works without the extra.
NEEDS_AN_EXTRA = ["AiobotocoreSigner"]


def test_a_star_import_needs_no_extra() -> None:
    script = "import sys; sys.modules['aiobotocore'] = None; from asyncpresign import *; print(OfflineSigner.__name__)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert (ended.returncode, ended.stdout) == (0, "OfflineSigner\n"), ended.stderr


def test_the_names_are_these() -> None:
    assert sorted([*asyncpresign.__all__, *NEEDS_AN_EXTRA]) == sorted(["__version__", *NAMES])
    assert len(asyncpresign.__all__) == len(set(asyncpresign.__all__))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_loads(name: str) -> None:
    value = getattr(asyncpresign, name)
    if name not in ALIASES:
        assert value.__name__ == name
        assert value.__module__.startswith("asyncpresign.")
    assert getattr(asyncpresign, name) is value


def test_every_error_is_public_and_one_tree() -> None:
    from asyncpresign import errors

    found = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    classes = {name for name in found if not name.startswith("_")}
    assert classes <= set(NAMES)
    assert all(issubclass(getattr(asyncpresign, name), asyncpresign.PresignError) for name in classes)


@pytest.mark.parametrize("name", ["presigner", "Nothing", "__wrapped__", "_secret", ""])
def test_another_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match="module 'asyncpresign' has no attribute"):
        getattr(asyncpresign, name)


def test_dir_shows_the_names_before_they_are_loaded() -> None:
    listed = run("import asyncpresign; print(*dir(asyncpresign))").split()
    assert set(listed) <= set(dir(asyncpresign))
    assert set(NAMES) | {"__version__", "__all__"} <= set(listed)
    assert listed == sorted(listed)


def test_the_version_is_a_text() -> None:
    assert asyncpresign.__version__.split(".")[0].isdigit()


LOADED = "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names))"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import asyncpresign; dir(asyncpresign)", id="the package"),
        pytest.param(
            "from asyncpresign import Presigner, OfflineSigner, Credentials, PresignError, S3Object, Signer", id="signing"
        ),
        pytest.param("from asyncpresign import CredentialSource, default_source; default_source()", id="credentials"),
        pytest.param(
            "from asyncpresign import Credentials, Presigner\n"
            "signer = Presigner(Credentials('AKID', 'secret'), region='eu-central-1')\n"
            "signer.presign('get_object', {'Bucket': 'bucket', 'Key': 'key'}).curl()\n"
            "signer.presign_urls('get_object', 'bucket', ['key'])\n"
            "signer.presign_post('bucket', 'key').html()",
            id="using it",
        ),
    ],
)
def test_signing_loads_the_standard_library_only(code: str) -> None:
    assert run(f"before = set(sys.modules)\n{code}\n{LOADED}").split() == ["asyncpresign"]


def test_signing_loads_no_event_loop_and_no_socket() -> None:
    networked = {"asyncio", "socket", "ssl", "http", "selectors"}
    code = f"from asyncpresign import OfflineSigner, Presigner, default_source; print(*{networked!r} & set(sys.modules))"
    assert run(code).split() == []


def test_values_cannot_be_changed() -> None:
    """Nobody can change what two tasks share, so every dataclass is frozen but the report, which counts."""
    changeable = {"TransferReport", "_Node"}
    found = 0
    for info in pkgutil.walk_packages(asyncpresign.__path__, "asyncpresign."):
        if ".cli" in info.name or ".testing" in info.name:
            continue
        for name, value in vars(importlib.import_module(info.name)).items():
            if isinstance(value, type) and value.__module__ == info.name and hasattr(value, "__dataclass_params__"):
                assert value.__dataclass_params__.frozen == (name not in changeable), name
                found += 1
    assert found > 40
