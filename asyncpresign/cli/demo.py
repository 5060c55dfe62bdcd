"""`asyncpresign demo`: the main job, end to end, against an embedded S3 server that checks every signature."""

from __future__ import annotations

import asyncio
import filecmp
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import anyio.to_thread
import click

from .. import __version__
from ..errors import PresignError, ResponseError
from ..models import PresignedRequest, S3Object
from ..signers.offline import OfflineSigner
from ..testing import local_s3
from ..transfer.edge import Edge
from ..transfer.items import Download, FormUpload, Item
from ..transfer.report import TransferReport
from ..transfer.transfer import Transfer
from .console import parse_size, progress, say, show_size

BUCKET = "asyncpresign-demo"
WIDTH = 7


@dataclass(frozen=True, slots=True)
class Phase:
    """How one direction went: `size` in bytes, rates a second."""

    objects: int
    failed: int
    size: int
    seconds: float
    objects_per_second: float
    bytes_per_second: float
    attempts: int

    @classmethod
    def of(cls, report: TransferReport) -> Phase:
        seconds = report.seconds or 1e-9
        return cls(
            report.done, report.failed, report.size, seconds, report.done / seconds, report.size / seconds, report.attempts
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What `--json` prints. `peak_memory` is this process's, in bytes; None where the system does not tell."""

    v: int
    objects: int
    size: int
    concurrency: int
    uploaded: Phase
    downloaded: Phase
    equal: int
    refused: dict[str, str]
    peak_memory: int | None
    loop: str
    versions: dict[str, str]

    @property
    def good(self) -> bool:
        return self.equal == self.uploaded.objects == self.downloaded.objects == self.objects and all(self.refused.values())


@dataclass(frozen=True, slots=True)
class Demo:
    """One run: what the user asked for."""

    objects: int
    size: int
    concurrency: int
    as_json: bool
    keep: bool

    async def run(self) -> Summary:
        self._tell("Starting an S3 server on this machine ...")
        async with local_s3() as s3:
            self._tell(f"  {s3.server} at {s3.endpoint_url}; it checks every signature")
            signer = OfflineSigner(s3.credentials, region=s3.region, endpoint_url=s3.endpoint_url)
            async with Transfer(signer, concurrency=self.concurrency) as transfer:
                await transfer.send(await signer.presign("create_bucket", {"Bucket": BUCKET}))
                # In the server's own folder, which goes with it, however this process ends.
                summary = await self._move(transfer, signer, s3.folder / "demo")
                self._report(summary)
                await self._show_links(signer, s3.folder / "demo")
                if self.keep:
                    await anyio.sleep_forever()
        return summary

    async def _move(self, transfer: Transfer, signer: OfflineSigner, folder: Path) -> Summary:
        sent, back = folder / "sent", folder / "back"
        await anyio.to_thread.run_sync(self._generate, sent, back)
        self._tell(
            f"Uploading {self.objects} files of {show_size(self.size)} by signed forms, {self.concurrency} at a time ..."
        )
        uploaded = await self._phase(transfer, "Upload", self._uploads(sent))
        self._tell(f"Downloading them by signed URLs, {self.concurrency} at a time ...")
        downloaded = await self._phase(transfer, "Download", self._downloads(back))
        equal = await anyio.to_thread.run_sync(self._count_equal, sent, back)
        refused = await self._refusals(transfer, signer)
        return Summary(
            v=1,
            objects=self.objects,
            size=self.size,
            concurrency=self.concurrency,
            uploaded=uploaded,
            downloaded=downloaded,
            equal=equal,
            refused=refused,
            peak_memory=peak_memory(),
            loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
            versions={"asyncpresign": __version__, "python": platform.python_version(), "machine": platform.machine()},
        )

    async def _phase(self, transfer: Transfer, label: str, items: Iterable[Item]) -> Phase:
        report = TransferReport()
        started = time.monotonic()
        with progress(label, self.objects, self.objects * self.size, to_stderr=self.as_json) as advance:
            async with transfer.stream(items) as results:
                async for result in results:
                    report.add(result)
                    advance(result.size)
        report.seconds = time.monotonic() - started
        for failure in report.failures[:3]:
            self._tell(f"  failed: {failure.error}")
        phase = Phase.of(report)
        self._tell(
            f"  {phase.objects} objects, {show_size(phase.size)}, {phase.seconds:.2f} s: "
            f"{phase.objects_per_second:,.0f} objects/s, {show_size(phase.bytes_per_second)}/s"
        )
        return phase

    # --- the objects --------------------------------------------------------------------------------------------------

    def _names(self) -> Iterator[str]:
        return (f"object-{number:0{WIDTH}}.bin" for number in range(self.objects))

    def _generate(self, sent: Path, back: Path) -> None:
        sent.mkdir(parents=True)
        back.mkdir()
        for name in self._names():
            (sent / name).write_bytes(os.urandom(self.size))

    def _uploads(self, sent: Path) -> Iterator[FormUpload]:
        return (FormUpload(sent / name, S3Object(BUCKET, f"demo/{name}")) for name in self._names())

    def _downloads(self, back: Path) -> Iterator[Download]:
        return (Download(S3Object(BUCKET, f"demo/{name}"), back / name, size=self.size) for name in self._names())

    def _count_equal(self, sent: Path, back: Path) -> int:
        """How many came back byte for byte; a file that is missing is not equal."""
        return len(filecmp.cmpfiles(sent, back, list(self._names()), shallow=False)[0])

    # --- what must not work, and what can be tried --------------------------------------------------------------------

    async def _refusals(self, transfer: Transfer, signer: OfflineSigner) -> dict[str, str]:
        """What the server said to a URL that was changed and to one past its end; empty where it did not refuse."""
        await transfer.upload_form(b"for your eyes only", S3Object(BUCKET, "demo/secret.txt"))
        params = {"Bucket": BUCKET, "Key": "demo/secret.txt"}
        good = await signer.presign("get_object", params)
        other_end = "0" if not good.url.endswith("0") else "1"
        tampered = PresignedRequest("GET", good.url[:-1] + other_end, good.headers, good.expires_at)
        then = datetime.now(UTC) - timedelta(hours=1)
        expired = await signer.presign("get_object", params, expires_in=60, signing_time=then)
        # By a clock that tells the time, what has expired would not be sent at all.
        async with Transfer(edge=Edge(now=lambda: then)) as unaware:
            return {"tampered": await _refusal(transfer, tampered), "expired": await _refusal(unaware, expired)}

    async def _show_links(self, signer: OfflineSigner, folder: Path) -> None:
        if self.as_json and not self.keep:
            return
        key = "demo/secret.txt"
        link = await signer.presign("get_object", {"Bucket": BUCKET, "Key": key, "ResponseContentType": "text/plain"})
        form = await signer.presign_post(BUCKET, "from-browser/${filename}", content_length_range=(1, 10 * 1024 * 1024))
        page = folder / "upload-form.html"
        await anyio.to_thread.run_sync(page.write_text, form.html(title="Upload to the demo"))
        stay = "they work until you press Ctrl-C" if self.keep else "they work while the server runs: see --keep"
        self._tell(f"\nTo try ({stay}):")
        self._tell(f"\n  a link         {link.url}")
        self._tell(f"\n  a curl line    {link.curl()}")
        if self.keep:
            self._tell(f"\n  an HTML form   {page.as_uri()}")
        else:
            # As a browser without scripts sees it: style and script would fill screens.
            whole = form.html(fragment=True)
            self._tell(f"\n  an HTML form\n\n{whole[whole.index('<form') : whole.index('</section>')]}")

    def _report(self, summary: Summary) -> None:
        if self.as_json:
            say(json.dumps(asdict(summary), indent=2))
            return
        say(f"Proven: {summary.equal} of {summary.objects} files came back byte for byte.")
        for name, answer in summary.refused.items():
            say(f"Refused: a URL that was {name}: {answer}" if answer else f"NOT refused: a URL that was {name}")
        if summary.peak_memory is not None:
            say(f"Peak memory of this process: {show_size(summary.peak_memory)}.")

    def _tell(self, line: str) -> None:
        say(line, to_stderr=self.as_json)


async def _refusal(transfer: Transfer, request: PresignedRequest) -> str:
    try:
        await transfer.download(request)
    except ResponseError as error:
        return f"{type(error).__name__} (HTTP {error.status} {error.code})"
    return ""


def peak_memory() -> int | None:
    """The most memory this process ever had resident, in bytes; None where the system does not tell."""
    # Not getrusage(): on Linux its maximum begins with what the parent had when it started this process.
    with suppress(OSError), open("/proc/self/status", encoding="ascii") as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:")), None)
    return None


@click.command()
@click.option("--objects", default=200, show_default=True, type=click.IntRange(1, 1_000_000), help="How many files to move.")
@click.option(
    "--size", default="64KiB", show_default=True, type=parse_size, metavar="SIZE", help="The size of each: 512, 4KiB, 1.5MB."
)
@click.option("--concurrency", default=64, show_default=True, type=click.IntRange(1, 1024), help="How many at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON, and everything else to standard error.")
@click.option("--keep", is_flag=True, help="Leave the server running, with links and a form to try, until Ctrl-C.")
def demo(objects: int, size: int, concurrency: int, as_json: bool, keep: bool) -> int:
    """Upload files by offline-signed forms to an embedded S3 server, download them by signed URLs, prove every byte."""
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        summary = runner.run(Demo(objects, size, concurrency, as_json, keep).run())
    if not summary.good:
        raise PresignError("the demo did not end as it should; see above")
    return 0


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where the extra `speed` is installed; otherwise asyncio's own."""
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None
