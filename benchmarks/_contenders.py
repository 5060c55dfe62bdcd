"""One contender in a process of its own: `python _contenders.py NAME` answers tasks, a line of JSON each, with times.

Run by the contender's own interpreter, so that nothing but the standard library and that contender is imported. A row of
`CONTENDERS` says what it can do; each function there prepares a task and returns what is measured. Everybody signs the same
keys with the same credentials, by the machine's clock.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import Any

os.environ["BOTO_DISABLE_CRT"] = "true"

Task = dict[str, Any]
Work = Callable[[], Any]

REGION, BUCKET, EXPIRES = "eu-central-1", "my-bucket", 3600
KEY_PAIR = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
TOKEN = ("IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQDn5Zk+" * 20)[:1024]
FORM_FIELDS = {
    "Content-Type": "image/jpeg",
    "acl": "private",
    "success_action_status": "201",
    "x-amz-meta-owner": "somebody",
}
FORM_RANGE = (1, 10 * 2**20)


@cache
def keys_of(count: int, third: bool) -> list[str]:
    """Keys of one alphabet, or such that every third has to be percent-encoded."""
    plain = (f"photos/2026/11/{number:08}.jpg" for number in range(count))
    return [f"фото {key}+ü" if third and number % 3 == 0 else key for number, key in enumerate(plain)]


def token_of(task: Task) -> str | None:
    return TOKEN if task.get("token") else None


def params_of(task: Task) -> Iterator[dict[str, Any]]:
    """The parameters of one call after the other, each with another key where the operation has one.

    A task's `saved_as` is the parameter that gives each a file name of its own.
    """
    params, saved_as = dict(task["params"]), task.get("saved_as")
    for key in itertools.cycle(keys_of(1000, False)):
        if "Key" in params:
            params = {**params, "Key": key}
        if saved_as:
            params = {**params, saved_as: f'attachment; filename="{key[-12:]}"'}
        yield params


def repeated(sign: Callable[[], Any], count: int) -> Work:
    """`sign`, `count` times; the last answer is returned."""

    def work() -> Any:
        answer = None
        for _ in range(count):
            answer = sign()
        return answer

    return work


# --- asyncpresign -----------------------------------------------------------------------------------------------------


def our_credentials(token: str | None, number: int = 0) -> Any:
    from asyncpresign import Credentials

    access_key_id, secret = KEY_PAIR
    return Credentials(f"{access_key_id}{number or ''}", f"{secret}{number or ''}", token)


def our_presigner(task: Task, number: int = 0) -> Any:
    from asyncpresign import Presigner

    return Presigner(our_credentials(token_of(task), number), region=REGION)


def our_batch(task: Task) -> Work:
    presigner, keys = our_presigner(task), keys_of(task["count"], task.get("third", False))
    return lambda: presigner.presign_urls("get_object", BUCKET, keys, params=task.get("params"), expires_in=EXPIRES)


def our_single(task: Task) -> Work:
    presigner, operation, params = our_presigner(task), task["operation"], params_of(task)
    return repeated(lambda: presigner.presign(operation, next(params), expires_in=EXPIRES), task["count"])


def our_awaited(task: Task) -> Work:
    from asyncpresign import OfflineSigner

    signer, operation, params = (
        OfflineSigner(our_credentials(token_of(task)), region=REGION),
        task["operation"],
        params_of(task),
    )

    async def work() -> Any:
        answer = None
        for _ in range(task["count"]):
            answer = await signer.presign(operation, next(params), expires_in=EXPIRES)
        return answer

    return work


def our_form(task: Task) -> Work:
    presigner, keys = our_presigner(task), itertools.cycle(keys_of(1000, False))
    return repeated(
        lambda: presigner.presign_post(
            BUCKET, next(keys), fields=FORM_FIELDS, content_length_range=FORM_RANGE, expires_in=EXPIRES
        ),
        task["count"],
    )


def our_turns(task: Task) -> Work:
    """One URL each of so many credentials, in turn, each for four regions and buckets."""
    from asyncpresign import Presigner

    presigners = [
        Presigner(our_credentials(None, number), region=region)
        for number in range(task["credentials"])
        for region in ("eu-central-1", "us-east-1", "ap-southeast-1", "sa-east-1")
    ]
    turn, buckets, params = (
        itertools.cycle(presigners),
        itertools.cycle(("one", "two", "three")),
        params_of(task),
    )
    return repeated(lambda: next(turn).presign("get_object", {**next(params), "Bucket": next(buckets)}), task["count"])


def our_loop(task: Task) -> Work:
    """The longest time, in CPU milliseconds of the loop's thread, for which signing kept a callback waiting."""
    from asyncpresign import OfflineSigner

    signer, keys = OfflineSigner(our_credentials(None), region=REGION), keys_of(task["count"], False)

    async def work() -> float:
        loop, times, signing = asyncio.get_running_loop(), [time.thread_time()], True

        def tick() -> None:
            times.append(time.thread_time())
            if signing:
                loop.call_soon(tick)

        loop.call_soon(tick)
        urls = await signer.presign_urls("get_object", BUCKET, keys)
        signing = False
        times.append(time.thread_time())
        assert len(urls) == len(keys)  # they are let go after the last look at the time: that is the caller's doing
        return max(later - earlier for earlier, later in itertools.pairwise(times)) * 1e3

    return work


# --- the others -------------------------------------------------------------------------------------------------------


@cache
def botocore_client(token: str | None, validate: bool) -> Any:
    import botocore.session

    return botocore.session.Session().create_client("s3", **client_options(token, validate))


def client_options(token: str | None, validate: bool) -> dict[str, Any]:
    """SigV4 and the regional host, as we sign; `validate` is their default."""
    from botocore.config import Config

    style = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    return {
        "region_name": REGION,
        "aws_access_key_id": KEY_PAIR[0],
        "aws_secret_access_key": KEY_PAIR[1],
        "aws_session_token": token,
        "config": Config(signature_version="s3v4", s3=style, parameter_validation=validate),
    }


def botocore_single(task: Task) -> Work:
    client = botocore_client(token_of(task), not task.get("body"))  # validation would ask for the body that a URL cannot have
    operation, params = task["operation"], params_of(task)
    return repeated(lambda: client.generate_presigned_url(operation, Params=next(params), ExpiresIn=EXPIRES), task["count"])


def botocore_form(task: Task) -> Work:
    client, keys = botocore_client(None, True), itertools.cycle(keys_of(1000, False))

    def sign() -> Any:
        conditions = [*({name: value} for name, value in FORM_FIELDS.items()), ["content-length-range", *FORM_RANGE]]
        return client.generate_presigned_post(BUCKET, next(keys), dict(FORM_FIELDS), conditions, EXPIRES)

    return repeated(sign, task["count"])


@cache
def aiobotocore_client(token: str | None) -> Any:
    from aiobotocore.session import get_session

    return loop().run_until_complete(get_session().create_client("s3", **client_options(token, True)).__aenter__())


def aiobotocore_awaited(task: Task) -> Work:
    client, operation, params = aiobotocore_client(token_of(task)), task["operation"], params_of(task)

    async def work() -> Any:
        answer = None
        for _ in range(task["count"]):
            answer = await client.generate_presigned_url(operation, Params=next(params), ExpiresIn=EXPIRES)
        return answer

    return work


def aiobotocore_batch(task: Task) -> Work:
    client, keys, more = (
        aiobotocore_client(token_of(task)),
        keys_of(task["count"], task.get("third", False)),
        task.get("params"),
    )

    async def work() -> list[str]:
        return [
            await client.generate_presigned_url(
                "get_object", Params={"Bucket": BUCKET, "Key": key, **(more or {})}, ExpiresIn=EXPIRES
            )
            for key in keys
        ]

    return work


def obstore_batch(task: Task) -> Work:
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        region=REGION,
        access_key_id=KEY_PAIR[0],
        secret_access_key=KEY_PAIR[1],
        virtual_hosted_style_request=True,
    )
    keys = keys_of(task["count"], False)
    return lambda: obstore.sign(store, "GET", keys, timedelta(seconds=EXPIRES))


def fast_s3_url_batch(task: Task) -> Work:
    from fast_s3_url import Credentials, FastS3UrlSigner

    signer = FastS3UrlSigner(
        bucket_endpoint_url=f"https://{BUCKET}.s3.{REGION}.amazonaws.com/",
        credentials=Credentials(*KEY_PAIR),
        aws_region=REGION,
    )
    keys = keys_of(task["count"], False)
    return lambda: signer.generate_presigned_get_object_urls(keys, expires_in=EXPIRES)


CONTENDERS: dict[str, dict[str, Callable[[Task], Work]]] = {
    "asyncpresign": {
        "batch": our_batch,
        "single": our_single,
        "awaited": our_awaited,
        "form": our_form,
        "turns": our_turns,
        "loop": our_loop,
    },
    "aiobotocore": {"awaited": aiobotocore_awaited, "batch": aiobotocore_batch},
    "botocore": {"single": botocore_single, "form": botocore_form},
    "fast-s3-url": {"batch": fast_s3_url_batch},
    "obstore": {"batch": obstore_batch},
}

# A whole program for each, in a fresh interpreter: import, client, first URL.
_OBJECT = f'{{"Bucket": "{BUCKET}", "Key": "key"}}'
_OPTIONS = f"""region_name="{REGION}", aws_access_key_id="{KEY_PAIR[0]}", aws_secret_access_key="{KEY_PAIR[1]}",
    config=Config(signature_version="s3v4", s3={{"addressing_style": "virtual"}})"""
FIRST = {
    "asyncpresign": f"""
from asyncpresign import Credentials, Presigner
url = Presigner(Credentials("{KEY_PAIR[0]}", "{KEY_PAIR[1]}"), region="{REGION}").presign("get_object", {_OBJECT}).url
""",
    "botocore": f"""
import botocore.session
from botocore.config import Config
client = botocore.session.Session().create_client("s3", {_OPTIONS})
url = client.generate_presigned_url("get_object", Params={_OBJECT})
""",
    "aiobotocore": f"""
import asyncio
from aiobotocore.session import get_session
from botocore.config import Config
async def main():
    async with get_session().create_client("s3", {_OPTIONS}) as client:
        return await client.generate_presigned_url("get_object", Params={_OBJECT})
url = asyncio.run(main())
""",
}
# Linux tells the peak of this very program; `getrusage` tells that of the one that started it, if that was larger.
PEAK = """
try:
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
except OSError:
    import resource, sys
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
print(peak, url)
"""


@cache
def loop() -> asyncio.AbstractEventLoop:
    """The one in which whoever has coroutines runs."""
    return asyncio.new_event_loop()


def measure(work: Work) -> dict[str, Any]:
    """Seconds by the wall and of this process, and what came out last."""
    run = (lambda: loop().run_until_complete(work())) if inspect.iscoroutinefunction(work) else work
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    answer = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "answer": _last(answer)}


def _last(answer: Any) -> Any:
    """A URL or a number of what was made; nobody wants a hundred thousand URLs."""
    last = answer[-1] if isinstance(answer, list) else answer
    return last if isinstance(last, str | float) else getattr(last, "url", None) or last["url"]


def serve(name: str) -> None:
    """Answer until the input ends. A task that was seen before is not prepared again."""
    prepared: dict[str, Work] = {}
    for line in sys.stdin:
        task = json.loads(line)
        try:
            if line not in prepared:
                prepared[line] = CONTENDERS[name][task["kind"]](task)
                measure(prepared[line])  # caches warm, modules imported
            answer = measure(prepared[line])
        except Exception as error:  # noqa: BLE001 (whatever a contender raises is its answer)
            answer = {"refused": f"{name}: {type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
