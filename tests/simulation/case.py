"""The items of one seed, what is known about each, and what must be true of their outcomes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from asyncpresign import (
    Credentials,
    Directory,
    Download,
    FormUpload,
    NetworkError,
    PresignedRequest,
    Presigner,
    S3Object,
    Upload,
)
from asyncpresign.transfer.items import Item, Status, TransferResult

from .bucket import md5
from .server import DOCUMENTS
from .world import ACCESS_KEY_ID, BEGAN, SECRET, TOKEN, World

# Turns of the loop that a task needs to ask its journal for a row, once it knows that its file has its name.
TURNS_TO_ASK = 8
DOWN, UP, FOLDER = "/work/down", "/work/up", "/work/folder"


@dataclass(eq=False, slots=True)
class Thing:
    """An item and what is known about it: `content` is what goes up, `path` where a download ends."""

    item: Item
    key: str
    content: bytes = b""
    path: str | None = None
    # It cannot succeed, or another item of the seed is in its way.
    hopeless: bool = False
    again: bool = False
    memory: io.BytesIO | None = None


class Case:
    """`parts` is the size of a part, at which objects move in parts, too."""

    def __init__(self, world: World, plan: random.Random) -> None:
        self.world = world
        self.plan = plan
        self.parts = plan.choice((2_000, 5_000, 20_000))
        self.settings = plan.getrandbits(32)
        self.things: list[Thing] = []
        self.began = world.now
        self.outcomes: dict[int, TransferResult] = {}
        self.finished = 0
        self.journal = False
        self._count = 0
        self._shared: bytes | None = None
        self._added = 0
        self._of_item: dict[int, Thing] = {}
        self._by_key: dict[str, Thing] = {}
        # Which key each path was done for.
        self._places: dict[str, str] = {}
        # Keys of items that a journal has for done.
        self._written_down: set[str] = set()
        # The turn at which each download's task knew that its file has its name.
        self._known: dict[str, int] = {}
        world.disk.published = self.published
        world.disk.make_folder(DOWN)
        credentials = Credentials(ACCESS_KEY_ID, SECRET, TOKEN)
        # Signs what is given signed already.
        self._presigner = Presigner(credentials, region="us-east-1", endpoint_url="http://s3.test", clock=lambda: BEGAN)

    # --- items --------------------------------------------------------------------------------------------------------

    def size(self) -> int:
        plan = self.plan
        draw = plan.random()
        if draw < 0.08:
            return 0
        if draw < 0.75:
            return plan.randrange(1, 3_000)
        if draw < 0.97:
            return plan.randrange(3_000, 5 * self.parts)
        return plan.randrange(60_000, 200_000)

    def add(self, thing: Thing) -> Thing:
        self._added += 1
        if self._added in self.world.dropped:
            return thing
        self.things.append(thing)
        self.world.items += 1
        self._of_item[id(thing.item)] = thing
        return thing

    def key(self, prefix: str = "k") -> str:
        self._count += 1
        odd = self.plan.choice(("", "", "", "+ü", "/x", " y"))
        return f"{prefix}{self._count}{odd}"

    def object(self, key: str) -> bytes:
        """A stored object: by PUT, in parts, or on a server that says no ETag."""
        plan, bucket = self.plan, self.world.bucket
        data = plan.randbytes(self.size())
        bucket.now = self.began
        etag = None
        if data and plan.random() < 0.15:
            pieces = [data[at : at + self.parts] for at in range(0, len(data), self.parts)]
            etag = f'"{md5(b"".join(map(md5, pieces))).hex()}-{len(pieces)}"'
        elif plan.random() < 0.05:
            bucket.bare.add(key)
        bucket.store(key, data, etag)
        return data

    def download(self, journal: bool = False) -> Thing:
        plan = self.plan
        key = self.key()
        data = self.object(key)
        options: dict[str, Any] = {}
        if plan.random() < 0.15:
            options["checksum"] = "sha256:" + hashlib.sha256(data).hexdigest()
        if plan.random() < 0.15:
            options["size"] = len(data)
        source: Any = S3Object("bucket", key)
        draw = plan.random()
        if draw < 0.15:
            source = self._presigner.presign("get_object", {"Bucket": "bucket", "Key": key}, expires_in=86400)
        elif draw < 0.25:
            self.world.bucket.store(f"/files/{key}?", data)
            source = f"https://files.test/files/{_quoted(key)}"
            key = f"/files/{key}?"
        place, memory, path = plan.choice(("path", "path", "folder", "memory", "file")), None, None
        if journal and place in ("memory", "file"):
            place = "path"
        destination: Any = None
        if place == "path":
            path = destination = f"{DOWN}/{self._count}"
        elif place == "folder":
            name = f"sub{self._count % 3}/f{self._count}"
            destination, path = Directory(FOLDER, name=name), f"{FOLDER}/{name}"
        elif place == "file":
            destination = memory = io.BytesIO()
        if path is not None and plan.random() < 0.1:
            options["if_exists"] = plan.choice(("verify", "error", "skip"))
            if plan.random() < 0.5:
                self.world.disk.write_file(path, data)
        return self.add(Thing(Download(source, destination, **options), key, path=path, memory=memory))

    def upload(self, journal: bool = False) -> Thing:
        plan = self.plan
        key = self.key("u")
        source, size, content = self._source(journal)
        options: dict[str, Any] = {} if size is None else {"size": size}
        if plan.random() < 0.15:
            options["checksum"] = "sha256:" + hashlib.sha256(content).hexdigest()
        destination: Any = S3Object("bucket", key)
        draw = plan.random()
        if draw < 0.1:
            destination = self._presigner.presign("put_object", {"Bucket": "bucket", "Key": key}, expires_in=86400)
        elif draw < 0.25:
            # What tells two of these apart is in the query.
            key = f"/upload?{key}"
            destination = f"https://files.test/upload?name={_quoted(key.partition('?')[2])}&sig={plan.randrange(10**9)}"
        elif draw < 0.3:
            options["if_none_match"] = "*"
        return self.add(Thing(Upload(source, destination, **options), key, content))

    def framed(self) -> Thing:
        """A signed Content-Length that may be another than the body's."""
        plan = self.plan
        key, content = self.key("u"), b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + plan.randbytes(plan.randrange(1, 2_000))
        length = len(content) - plan.choice((0, 1, 5, len(content) - 3))
        item: Item
        if plan.random() < 0.5:
            item = Upload(content, S3Object("bucket", key), params={"ContentLength": length})
        else:
            url = self._presigner.presign("put_object", {"Bucket": "bucket", "Key": key}, expires_in=86400).url
            headers = {plan.choice(("Content-Length", "content-length")): str(length)}
            item = Upload(content, PresignedRequest("PUT", url, headers, BEGAN + timedelta(days=1)))
        return self.add(Thing(item, key, content, hopeless=length != len(content)))

    def form(self, journal: bool = False) -> Thing:
        plan = self.plan
        key = self.key("f")
        source, size, content = self._source(journal)
        if plan.random() < 0.4:
            # One key for all, and the object's name in the form's file name.
            name = f"n{self._count}.bin"
            item = FormUpload(source, S3Object("bucket", "up/${filename}"), filename=name, size=size)
            return self.add(Thing(item, f"up/{name}", content))
        return self.add(Thing(FormUpload(source, S3Object("bucket", key), size=size), key, content))

    def _source(self, journal: bool) -> tuple[Any, int | None, bytes]:
        """What is uploaded, its size where it has to be said, and its bytes."""
        if self.plan.random() < 0.25:
            # One file that several items have.
            if self._shared is None:
                self._shared = self.plan.randbytes(self.size())
                self.world.disk.write_file(f"{UP}/shared", self._shared)
            return f"{UP}/shared", None, self._shared
        content = self.plan.randbytes(self.size())
        kind = self.plan.choice(("path", "bytes") if journal else ("path", "bytes", "file", "stream"))
        match kind:
            case "path":
                path = f"{UP}/{self._count}"
                self.world.disk.write_file(path, content)
                return path, None, content
            case "bytes":
                return content, None, content
            case "file":
                return io.BytesIO(content), None, content
            case _:
                return _Stream(content, self.plan.randrange(1, 5)), len(content), content

    def expect(self, key: str, *, path: str | None = None, content: bytes = b"") -> None:
        """An item that the transfer makes itself, of a listing or a tree."""
        self._by_key[key] = self.add(Thing(Download(S3Object("bucket", key)), key, content, path))

    def named(self, result: TransferResult) -> None:
        """One more outcome of an item that the transfer made."""
        item = result.item
        place = item.source if isinstance(item, Download) else item.destination
        thing = self._by_key.get(place.key) if isinstance(place, S3Object) else None
        if thing is None:
            self.world.violate(f"an outcome of an item that nobody has: {result!r}")
            return
        self._of_item[id(item)] = replace(thing, item=item)
        self.outcome(result)

    def clash(self) -> Thing | None:
        """Another object for a path that an earlier download has, or the same item once more."""
        earlier = [thing for thing in self.things if thing.path is not None and not thing.again]
        if not earlier:
            return None
        first = self.plan.choice(earlier)
        assert isinstance(first.item, Download)
        if self.plan.random() < 0.4:
            # The same: moved once.
            item = Download(first.item.source, first.item.destination, checksum=first.item.checksum)
            return self.add(Thing(item, first.key, path=first.path, again=True))
        key = self.key("c")
        self.object(key)
        assert first.path is not None
        folder, _, name = first.path.rpartition("/")
        path = self.plan.choice((first.path, f"{folder}/./{name}", f"{folder}//{name}"))
        return self.add(Thing(Download(S3Object("bucket", key), path), key, path=first.path, again=True))

    def fill(self, count: int, journal: bool = False, clashes: bool = True) -> None:
        """`clashes`: some items go where another one goes, which only a run or a stream can notice."""
        kinds = [self.download, self.download, self.upload, self.upload, self.form]
        for _ in range(count):
            draw = self.plan.random()
            if draw < 0.05 and clashes:
                self.clash()
            elif draw < 0.08 and not journal:
                self.framed()
            else:
                self.plan.choice(kinds)(journal)

    def items(self) -> list[Item]:
        return [thing.item for thing in self.things]

    def begin_again(self) -> None:
        """The same items, in another process."""
        self.finished = 0
        self.outcomes.clear()
        self._known.clear()

    def crashed(self, certain: bool) -> None:
        """The process died; if that is `certain` to leave what was written, what is done is not moved again."""
        if certain:
            self._written_down |= {
                self._of_item[number].key for number, result in self.outcomes.items() if result.status is Status.DONE
            }
        else:
            # Any of its last rows may be gone.
            self._written_down.clear()
            self._places.clear()
        self.world.forbidden = self._written_down

    def cancelled_at(self, turn: int) -> None:
        """The run was cancelled: what its tasks knew to be done some turns before is in its journal, and not moved again."""
        self._written_down |= {key for key, known in self._known.items() if known + TURNS_TO_ASK <= turn}
        self._written_down |= {
            self._of_item[number].key for number, result in self.outcomes.items() if result.status is Status.DONE
        }
        self.world.forbidden = self._written_down

    # --- what must be true --------------------------------------------------------------------------------------------

    def published(self, path: str, data: bytes) -> None:
        """A file gets its name: it must be whole at this very moment."""
        versions = [
            version.data
            for thing in self.things
            if thing.path == path
            for version in self.world.bucket.versions.get(thing.key, [])
        ]
        if versions and data not in versions:
            self.world.violate(f"{path} is visible with {len(data)} bytes that no version of its object has")
        loop = self.world.loop
        keys = [thing.key for thing in self.things if thing.path == path]
        if len(keys) == 1:
            loop.after_job(lambda: self._known.setdefault(keys[0], loop.turns))

    def outcome(self, result: TransferResult) -> None:
        """One more outcome, at this moment."""
        world = self.world
        thing = self._of_item.get(id(result.item))
        if thing is None:
            world.violate(f"an outcome of an item that nobody gave: {result!r}")
            return
        self.finished += 1
        if id(result.item) in self.outcomes and result.error is None:
            world.violate(f"two outcomes of {thing.key}")
        self.outcomes[id(result.item)] = result
        word = str(result.status) if result.error is None else type(result.error).__name__
        world.seen.outcomes[word] += 1
        world.log(f"outcome {thing.key}: {word} {result.verified_by or ''} {result.error or ''}")
        self._check_shown(repr(result), str(result.error))
        if result.status is Status.DONE or (result.status is Status.SKIPPED and self.journal and not thing.again):
            self._check_done(thing, result)
        elif result.status is Status.FAILED:
            self._known.pop(thing.key, None)
            self._check_failed(thing, result)

    def _check_done(self, thing: Thing, result: TransferResult) -> None:
        if isinstance(thing.item, Download):
            if thing.path is not None and self._places.setdefault(thing.path, thing.key) != thing.key:
                self.world.violate(f"{thing.key} and {self._places[thing.path]} are done, and both are {thing.path}")
            data = self._received(thing, result)
            if data is None:
                self.world.violate(f"{thing.key} is done and its file {thing.path} is not there")
                return
            versions = self.world.bucket.versions.get(thing.key, [])
            fresh = [version.data for version in versions if version.until >= self.began]
            if data not in fresh:
                self.world.violate(f"{thing.key} is done with {len(data)} bytes that no version of it has")
            return
        versions = self.world.bucket.versions.get(thing.key, [])
        if not any(version.data == thing.content for version in versions):
            self.world.violate(f"{thing.key} is done and not stored with its {len(thing.content)} bytes")
        if thing.hopeless:
            self.world.violate(f"{thing.key} is done, although its Content-Length is another than its body's")

    def _received(self, thing: Thing, result: TransferResult) -> bytes | None:
        if thing.path is not None:
            return self.world.disk.read_file(thing.path)
        if thing.memory is not None:
            return thing.memory.getvalue()
        return result.data

    def _check_failed(self, thing: Thing, result: TransferResult) -> None:
        """Nothing fails without a reason."""
        world = self.world
        reasons = thing.hopeless or thing.again or thing.key in world.troubled or world.trouble_for_all
        options = getattr(thing.item, "if_exists", "overwrite") == "error" or world.severity.jumps or world.skew
        options = options or (world.spilled and isinstance(result.error, NetworkError))
        options = options or (isinstance(thing.item, FormUpload) and "form" in world.troubled)
        clashing = sum(thing.path is not None and other.path == thing.path for other in self.things) > 1
        if not reasons and not options and not clashing:
            world.violate(f"{thing.key} failed and met no fault: {result.error!r}")

    def _check_shown(self, *texts: str) -> None:
        for text in texts:
            for secret in self.world.signatures:
                if secret in text:
                    self.world.violate(f"a secret is shown: {text[:200]}")

    def check_end(self, *, complete: bool, crashed: bool = False) -> None:
        """When all is over; `complete` if every item had to have an outcome."""
        world = self.world
        if complete and self.finished != len(self.things):
            world.violate(f"{len(self.things)} items and {self.finished} outcomes")
        if world.limits is not None:
            most = min(world.limits.concurrency, world.limits.per_host or world.limits.concurrency)
            # Small requests have slots of their own, a quarter as many.
            most += max(1, most // 4)
            for host, active in world.most_active.items():
                if active > most:
                    world.violate(f"{active} requests at once to {host}, of which {most} may be")
        known = {thing.path for thing in self.things if thing.path is not None}
        for path, data in world.disk.files("/work").items():
            if path.startswith(UP):
                continue
            if path not in known:
                world.violate(f"left over: {path}")
                continue
            keys = [thing.key for thing in self.things if thing.path == path]
            if not any(version.data == data for key in keys for version in world.bucket.versions.get(key, [])):
                world.violate(f"{path} is there with {len(data)} bytes that no version has")
        # Whoever is cancelled waits for an upload to be created and aborted, but not longer than half a minute: small
        # requests that get no response, or a rate of few requests, are longer in the way.
        met = {operation for _, operation in world.seen.faults} & {"range", "head", *DOCUMENTS, "abort"}
        # One whose id no journal knows yet when the process dies stays, too.
        patient = not (crashed or met or world.trouble_for_all or world.limits.requests_per_second)
        if world.bucket.uploads and patient:
            left = [f"{name} of {upload.key}" for name, upload in world.bucket.uploads.items()]
            world.violate(f"uploads in parts are left open: {left}")


def _quoted(key: str) -> str:
    return quote(key, safe="/")


class _Stream:
    """An async iterable of bytes that can be read once."""

    def __init__(self, content: bytes, pieces: int) -> None:
        self._content = content
        self._size = max(1, len(content) // pieces)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._content), self._size):
            await asyncio.sleep(0)
            yield self._content[at : at + self._size]
