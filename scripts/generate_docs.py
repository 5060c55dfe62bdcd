"""Prints the tables of docs/ from the code that they speak of: `python -m scripts.generate_docs`.

A page is written by hand but for what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`: that is what NAME's
function in `TABLES` returns. tests/test_docs.py fails when a page differs, or names a table that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncpresign import UnsupportedRequest
from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.endpoints import EndpointOptions, resolve
from asyncpresign._s3.forms import FIELDS
from asyncpresign._s3.hoisting import HONOURED
from asyncpresign._s3.multipart import COMPLETE, CREATE, PART, share
from asyncpresign._s3.operations import Trait, lookup
from asyncpresign._sigv4.comparison import CAUSES
from asyncpresign.inspection.refusals import REFUSALS
from asyncpresign.transfer import decide
from asyncpresign.transfer.plan import MAX_OBJECT, GiB, MiB, part_size_for
from tests.botocore_differences import DIFFERENCES
from tests.endpoint_differences import DIFFERENCES as ENDPOINT_DIFFERENCES
from tests.environment_cases import DIFFERENCES as ENVIRONMENT_DIFFERENCES
from tests.faults import FAULTS
from tests.form_cases import DIFFERS as FORM_DIFFERS

# What is asked of a signer for us-west-2, and how it is set up.
EXAMPLES: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("bucket", {}),
    ("my.bucket", {}),
    ("bucket", {"addressing_style": "path"}),
    ("bucket", {"region": "cn-north-1"}),
    ("bucket", {"use_dualstack": True}),
    ("bucket", {"use_fips": True}),
    ("bucket", {"use_fips": True, "use_dualstack": True}),
    ("bucket", {"use_accelerate": True}),
    ("bucket", {"use_accelerate": True, "use_dualstack": True}),
    ("bucket", {"endpoint_url": "http://minio:9000"}),
    ("bucket", {"endpoint_url": "https://s3.example.com", "addressing_style": "virtual"}),
    ("arn:aws:s3:eu-west-1:123456789012:accesspoint/point", {}),
    ("arn:aws:s3:eu-west-1:123456789012:accesspoint/point", {"use_fips": True}),
    ("arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/point", {}),
    ("arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-1/accesspoint/point", {}),
    ("arn:aws:s3::123456789012:accesspoint/name.mrap", {}),
    ("bucket--usw2-az1--x-s3", {}),
)

DOCS = Path(__file__).parent.parent / "docs"
_BLOCK = re.compile(r"(<!-- begin (?P<name>[a-z-]+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; `|` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def codes() -> str:
    rows = [(f"`{code}`", action, kind.__name__) for code, (action, kind) in sorted(decide.CODES.items())]
    rows += [(f"{status}", action, kind.__name__) for status, (action, kind) in sorted(decide.STATUSES.items())]
    rows += [(f"any other {n}xx", action, kind.__name__) for n, (action, kind) in decide.STATUS_CLASSES.items()]
    return table(("S3's code, else the status", "cure", "error when it does not help"), rows)


def differences() -> str:
    does = {None: "signs it otherwise"}
    rows = [(row.name, row.reason, does.get(row.refusal) or f"`{row.refusal.__name__}`") for row in DIFFERENCES]
    return table(("what", "why", "asyncpresign"), rows)


def operations() -> str:
    every = [(snake, lookup(name)) for snake, name in NAMES.items()]
    rows = [
        (
            f"`{snake}`",
            one.method,
            ", ".join(f"`{it.name}`" for it in one.parameters.values() if it.required and it.place != "body"),
            one.body,
            "yes" if Trait.CHECKSUM in one.traits else "",
        )
        for snake, one in every
    ]
    return table(("operation", "method", "requires", "body", "digest of the body"), rows)


def hoisted() -> str:
    return table(("header",), [(f"`{name}`",) for name in HONOURED])


def endpoint_differences() -> str:
    does = {False: "refuses it", True: "answers otherwise"}
    rows = [(row.name, row.reason, does[row.answers]) for row in ENDPOINT_DIFFERENCES]
    return table(("what", "why", "asyncpresign"), rows)


def environment_differences() -> str:
    return table(("what", "asyncpresign, and why"), ENVIRONMENT_DIFFERENCES.items())


def endpoints() -> str:
    """Examples of every kind, resolved."""
    rows = []
    for bucket, options in EXAMPLES:
        shown = ", ".join(f"`{name}={value!r}`" for name, value in options.items())
        chosen = EndpointOptions(**{"region": "us-west-2", **options})
        try:
            endpoint = resolve(chosen, bucket)
            rows.append((f"`{bucket}`", shown, f"`{endpoint.url}`", f"{endpoint.service}, {endpoint.region}"))
        except UnsupportedRequest as error:
            rows.append((f"`{bucket}`", shown, "`UnsupportedRequest`", str(error).removeprefix("bucket: ")))
    return table(("bucket", "options", "goes to", "signed for"), rows)


def wordings() -> str:
    rows = [(f'"{words}"', action, kind.__name__) for words, (action, kind) in decide.WORDINGS.items()]
    return table(("the message has", "cure", "error when it does not help"), rows)


def faults() -> str:
    rows = [(fault.happens, fault.happens_to, fault.what_the_user_sees) for fault in FAULTS.values()]
    return table(("what happens", "to a", "what you see"), rows)


def form_fields() -> str:
    """Every field of S3's forms, but for what stands for all others."""
    written = {True: "asyncpresign or the client", False: "the caller"}
    matching = {True: "exact, starts-with", False: "exact"}
    rows = [
        (f"`{row.name}`", written[row.ours], matching[row.starts_with] if row.in_policy else "none", _digest(row.digest))
        for row in FIELDS[:-1]
    ]
    return table(("field", "written by", "conditions", "value"), rows)


def _digest(size: int) -> str:
    return f"base64 of {size} bytes" if size else "text"


def form_differences() -> str:
    rows = [
        (server, reason, ", ".join(f"`{name}`" for name in sorted(named))) for (server, reason), named in FORM_DIFFERS.items()
    ]
    return table(("server", "why it differs", "forms"), rows)


def causes() -> str:
    rows = [(f"the {part}", cause) for part, cause in CAUSES.items()]
    for codes, words, cause in REFUSALS:
        said = [", ".join(f"`{code}`" for code in codes), f'"{words}" in the message' if words else ""]
        rows.append((" with ".join(filter(None, said)), cause))
    return table(("what differs, or what the server says (the first row that fits)", "usual cause"), rows)


def part_sizes() -> str:
    sizes = {
        "64 MiB": 64 * MiB,
        "1 GiB": GiB,
        "78 GiB": 78 * GiB,
        "100 GiB": 100 * GiB,
        "1 TiB": 1024 * GiB,
        "5 TiB": MAX_OBJECT,
    }
    cut = [(name, size, part_size_for(size)) for name, size in sizes.items()]
    return table(("object", "part", "parts"), [(name, f"{part // MiB} MiB", -(-size // part)) for name, size, part in cut])


def upload_parameters() -> str:
    """By who takes them, those together that are taken by the same."""
    shown: dict[str, list[str]] = {}
    for name in sorted({*lookup("PutObject").parameters, "ChecksumType"} - {"Body", "Bucket", "Key", "WriteOffsetBytes"}):
        shares = share({name: ""})
        takers = ", ".join(f"`{request}`" for request in (CREATE, PART, COMPLETE) if name in shares.of[request])
        shown.setdefault(takers or "none: it is compared with the source", []).append(f"`{name}`")
    return table(("request", "parameters"), [(takers, ", ".join(names)) for takers, names in shown.items()])


TABLES: Mapping[str, Callable[[], str]] = {
    "causes": causes,
    "codes": codes,
    "differences": differences,
    "endpoint-differences": endpoint_differences,
    "endpoints": endpoints,
    "environment-differences": environment_differences,
    "faults": faults,
    "form-differences": form_differences,
    "form-fields": form_fields,
    "hoisted": hoisted,
    "operations": operations,
    "part-sizes": part_sizes,
    "upload-parameters": upload_parameters,
    "wordings": wordings,
}


def filled(text: str) -> str:
    """`text` with every block as `TABLES` has it now."""
    return _BLOCK.sub(lambda block: f"{block[1]}{TABLES[block['name']]()}{block[3]}", text)


def main() -> None:
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
