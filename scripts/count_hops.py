"""Count the calls that one small download makes inside the package: `python -m scripts.count_hops [--trace]`.

Prints the number of calls, of modules and of changes from one module to another, for the tenth
`transfer.download` of 4 KiB from a server on loopback to a path, as `sys.setprofile` sees them. A comprehension or a resumed
generator counts as the interpreter reports it: as a call.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from pathlib import Path
from types import FrameType

import asyncpresign
from asyncpresign import Credentials, OfflineSigner, S3Object, Transfer

BODY = b"x" * 4096
WARM = 9  # downloads before the one that is counted
ROOT = str(Path(asyncpresign.__file__).parent)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request on the connection with `BODY`, until the client closes it."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(head + BODY)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


class Hops:
    """The calls into the package, in order, as (module, function) pairs."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(ROOT):
            self.calls.append((path.removeprefix(ROOT).lstrip("/\\"), frame.f_code.co_qualname))

    @property
    def modules(self) -> int:
        return len({module for module, _ in self.calls})

    @property
    def changes(self) -> int:
        names = [module for module, _ in self.calls]
        return sum(before != after for before, after in itertools.pairwise(names))


async def count(folder: Path) -> Hops:
    hops = Hops()
    credentials = Credentials("AKIDEXAMPLE", "secret")
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    signer = OfflineSigner(credentials, region="us-east-1", endpoint_url=f"http://127.0.0.1:{port}")
    async with server, Transfer(signer) as transfer:
        for number in range(WARM + 1):
            sys.setprofile(hops if number == WARM else None)
            try:
                await transfer.download(S3Object("bucket", "key"), folder / f"{number}")
            finally:
                sys.setprofile(None)
    return hops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", action="store_true", help="print every call")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hops = asyncio.run(count(Path(folder)))
    if arguments.trace:
        for module, function in hops.calls:
            print(f"{module:<32} {function}")
    print(f"{len(hops.calls)} calls, {hops.modules} modules, {hops.changes} changes of module")


if __name__ == "__main__":
    main()
