"""The form's page in a real browser, against a real server: what is chosen, sent, refused and said.

The pages are served by a server of this test's own, under a Content-Security-Policy as strict as it gets; the storage is
another origin, as it is in life.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from asyncpresign import PresignedPost, Presigner
from asyncpresign.testing import LocalS3

sync_api = pytest.importorskip("playwright.sync_api", reason="needs a browser's driver: python -m pip install playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The origin of a server on loopback for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Site:
    """A web site that shows `page` at its root, and anything else as it is asked for."""

    origin: str = ""
    page: str = ""
    policy: str = ""
    seen: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(Quiet):
        def do_GET(self) -> None:
            site.seen.append(self.path)
            body = (site.page if self.path == "/" else "<title>Thank you</title>").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            if site.policy:
                self.send_header("Content-Security-Policy", site.policy)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as origin:
        site.origin = origin
        yield site


@contextmanager
def without_cors(target: str, seen: list[str]) -> Iterator[str]:
    """A proxy of `target` that no page may read: it refuses OPTIONS and takes CORS headers off every answer."""
    address = urlsplit(target).netloc

    class Handler(Quiet):
        def do_OPTIONS(self) -> None:
            seen.append("OPTIONS")
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            seen.append("POST")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            connection = HTTPConnection(address, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if not name.lower().startswith(("access-control-", "connection", "content-length", "transfer-encoding")):
                    self.send_header(name, value)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

    with serving(Handler) as origin:
        yield origin


@dataclass(frozen=True)
class Store:
    """A bucket, looked at by signed requests."""

    presigner: Presigner
    bucket: str

    def ask(self, operation: str, **params: Any) -> tuple[int, dict[str, str], bytes]:
        request = self.presigner.presign(operation, {"Bucket": self.bucket, **params})
        parts = urlsplit(request.url)
        connection = HTTPConnection(parts.netloc, timeout=30)
        connection.request(request.method, f"{parts.path}?{parts.query}", headers=dict(request.headers))
        answer = connection.getresponse()
        content = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return content

    def stored(self, key: str) -> tuple[bytes, str] | None:
        """The object's bytes and type."""
        status, headers, body = self.ask("get_object", Key=key)
        return (body, headers["content-type"]) if status == 200 else None


@pytest.fixture(scope="module")
def store(local_s3: LocalS3) -> Store:
    presigner = Presigner(local_s3.credentials, region=local_s3.region, endpoint_url=local_s3.endpoint_url)
    made = Store(presigner, f"test-{secrets.token_hex(6)}")
    assert made.ask("create_bucket")[0] == 200
    return made


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    yield page
    context.close()
    assert problems == []


def show(page: Any, site: Site, post: PresignedPost, **options: Any) -> None:
    """Open the form's page as a careful site would serve it."""
    site.page, site.policy = post.html(**options), post.content_security_policy()
    page.goto(site.origin)


def choose(page: Any, name: str, content: bytes, kind: str = "text/plain") -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": kind, "buffer": content})


def says(page: Any, text: str) -> None:
    sync_api.expect(page.get_by_role("status")).to_contain_text(text)


def press(page: Any) -> None:
    page.get_by_role("button", name="Upload").click()


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [5, 3_000_000])
def test_a_chosen_file_is_stored_byte_for_byte_with_its_type(page: Any, site: Site, store: Store, size: int) -> None:
    show(page, site, store.presigner.presign_post(store.bucket, f"{size}/${{filename}}", fields={"Content-Type": "text/csv"}))
    content = secrets.token_bytes(size)
    choose(page, "été 1.csv", content, "text/csv")
    press(page)
    says(page, "Uploaded: “été 1.csv”")
    assert store.stored(f"{size}/été 1.csv") == (content, "text/csv")


def test_the_files_own_type_is_stored_where_the_policy_leaves_it_open(page: Any, site: Site, store: Store) -> None:
    post = store.presigner.presign_post(store.bucket, "own-type", conditions=[["starts-with", "$Content-Type", "image/"]])
    show(page, site, post)
    choose(page, "a.png", b"png", "image/png")
    press(page)
    says(page, "Uploaded")
    assert store.stored("own-type") == (b"png", "image/png")


def test_a_file_is_dropped(page: Any, site: Site, store: Store) -> None:
    show(page, site, store.presigner.presign_post(store.bucket, "dropped/${filename}"))
    transfer = page.evaluate_handle(
        "() => { const d = new DataTransfer(); d.items.add(new File(['drop'], 'd.txt')); return d; }"
    )
    page.dispatch_event("label", "drop", {"dataTransfer": transfer})
    says(page, "“d.txt”, 4 bytes.")
    press(page)
    says(page, "Uploaded")
    assert store.stored("dropped/d.txt") is not None


def test_a_redirect_is_followed(page: Any, site: Site, store: Store) -> None:
    fields = {"success_action_redirect": f"{site.origin}/thanks"}
    show(page, site, store.presigner.presign_post(store.bucket, "redirected", fields=fields))
    choose(page, "r.txt", b"redirect")
    press(page)
    page.wait_for_url(f"{site.origin}/thanks?*")
    assert page.title() == "Thank you"
    assert store.stored("redirected") is not None


def test_a_bucket_without_cors_is_sent_to_as_a_plain_form_and_never_called_a_failure(
    page: Any, site: Site, store: Store
) -> None:
    post = store.presigner.presign_post(store.bucket, "no-cors", fields={"success_action_status": "201"})
    seen: list[str] = []
    with without_cors(post.url, seen) as origin:
        proxied = PresignedPost(origin + urlsplit(post.url).path, post.fields, post.expires_at)
        show(page, site, proxied)
        choose(page, "n.txt", b"no cors")
        with page.expect_navigation():
            press(page)
        assert "<Key>no-cors</Key>" in page.content()
    assert seen == ["OPTIONS", "POST"]
    assert store.stored("no-cors") == (b"no cors", "application/octet-stream")


def test_without_cors_and_with_an_empty_answer_the_page_says_how_to_tell(page: Any, site: Site, store: Store) -> None:
    post = store.presigner.presign_post(store.bucket, "no-cors-204")
    seen: list[str] = []
    with without_cors(post.url, seen) as origin:
        show(page, site, PresignedPost(origin + urlsplit(post.url).path, post.fields, post.expires_at))
        choose(page, "n.txt", b"no cors")
        with page.expect_event("response", lambda answer: answer.request.method == "POST") as answered:
            press(page)
        assert answered.value.status == 204
        says(page, "if this page is still here when your browser has finished, the file was stored")
        assert page.get_by_role("status").get_attribute("data-state") == "plain"
    assert store.stored("no-cors-204") is not None


def test_it_works_without_javascript(browser: Any, site: Site, store: Store) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    fields = {"success_action_status": "201"}
    post = store.presigner.presign_post(
        store.bucket, "no-script", fields=fields, conditions=[["starts-with", "$Content-Type", "text/plain"]]
    )
    show(page, site, post)
    choose(page, "s.txt", b"no script")
    press(page)
    page.wait_for_url(post.url)
    context.close()
    assert store.stored("no-script") == (b"no script", "text/plain")


@pytest.mark.parametrize("nonce", [None, "bm9uY2U"])
def test_a_fragment_works_in_a_page_of_somebody_elses(page: Any, site: Site, store: Store, nonce: str | None) -> None:
    post = store.presigner.presign_post(store.bucket, f"fragment-{nonce}")
    own = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src *; form-action *"
    form = post.html(fragment=True, nonce=nonce, title="Yours")
    site.page = f"<!DOCTYPE html><title>Ours</title><h1>Ours</h1>{form}{form}"
    site.policy = post.content_security_policy() if nonce is None else own
    page.goto(site.origin)
    second = page.get_by_role("region", name="Yours").nth(1)
    second.locator("input[type=file]").set_input_files({"name": "f", "mimeType": "text/plain", "buffer": b"second"})
    second.get_by_role("button", name="Upload").click()
    sync_api.expect(second.get_by_role("status")).to_contain_text("Uploaded")
    assert page.locator("[role=status]").first.text_content() == ""
    assert store.stored(f"fragment-{nonce}") is not None


# --- what is refused, and what is said --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "kind", "why"),
    [
        ("big.png", b"x" * 2049, "image/png", "too large: at most 2 KiB"),
        ("empty.png", b"", "image/png", "too small: at least 1 byte must"),
        ("a.txt", b"text", "text/plain", "wrong type (text/plain): only images can be uploaded"),
        ("a", b"text", "", "wrong type"),
    ],
)
def test_the_page_says_why_a_file_is_not_sent(
    page: Any, site: Site, store: Store, name: str, content: bytes, kind: str, why: str
) -> None:
    post = store.presigner.presign_post(
        store.bucket, "checked", conditions=[["starts-with", "$Content-Type", "image/"]], content_length_range=(1, 2048)
    )
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method) if request.url == post.url else None)
    show(page, site, post)
    choose(page, name, content, kind)
    says(page, why)
    press(page)
    says(page, why)
    assert page.get_by_role("status").get_attribute("data-state") == "refused"
    assert sent == []
    assert store.stored("checked") is None


def test_nothing_chosen_is_nothing_sent(page: Any, site: Site, store: Store) -> None:
    show(page, site, store.presigner.presign_post(store.bucket, "nothing"))
    press(page)
    says(page, "Choose a file first.")


def test_what_the_storage_refuses_is_said_in_words_and_in_its_own(page: Any, site: Site, store: Store) -> None:
    post = store.presigner.presign_post(store.bucket, "refused")
    show(page, site, PresignedPost(post.url, {**post.fields, "key": "another"}, post.expires_at))
    choose(page, "r.txt", b"refused")
    press(page)
    says(page, "The storage refused the file. (HTTP 403 AccessDenied")
    assert page.get_by_role("button", name="Upload").is_enabled()


def test_an_answer_that_breaks_off_after_the_file_was_sent_is_unknown(page: Any, site: Site, store: Store) -> None:
    class Breaking(Quiet):
        def do_OPTIONS(self) -> None:
            self.send_response(200)
            for name in ("Origin", "Methods", "Headers"):
                self.send_header(f"Access-Control-Allow-{name}", "*")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.close_connection = True

    post = store.presigner.presign_post(store.bucket, "broken")
    with serving(Breaking) as origin:
        show(page, site, PresignedPost(f"{origin}/", post.fields, post.expires_at))
        choose(page, "b.txt", b"x" * 100_000)
        press(page)
        says(page, "it may have been stored, or not")
        assert page.get_by_role("status").get_attribute("data-state") == "unknown"
        assert page.get_by_role("button", name="Send once more").is_visible()


HOSTILE = "\"><script>alert('x')</script>"


def test_hostile_names_stay_text(page: Any, site: Site, store: Store) -> None:
    """`page` fails on any dialog or script error."""
    fields = {"x-amz-meta-title": HOSTILE, "action": HOSTILE, "submit": HOSTILE}
    post = store.presigner.presign_post(
        store.bucket, f"h/{HOSTILE}", fields=fields, conditions=[{"action": HOSTILE}, {"submit": HOSTILE}]
    )
    show(page, site, post, title=HOSTILE)
    assert page.title() == HOSTILE
    assert page.get_by_role("heading", name=HOSTILE).is_visible()
    choose(page, "<img src=x onerror=alert(1)>.txt", b"hostile")
    says(page, "<img src=x onerror=alert(1)>.txt")
    press(page)
    says(page, "Uploaded")
    status, headers, body = store.ask("get_object", Key=f"h/{HOSTILE}")
    assert (status, headers["x-amz-meta-title"], body) == (200, HOSTILE, b"hostile")


# Properties of the form that the script uses or could use, of its elements and of the document, and names that are special.
CLOBBERING = [
    "dataset", "elements", "action", "submit", "method", "enctype", "target", "length", "name", "id", "children", "files",
    "getAttribute", "addEventListener", "querySelector", "querySelectorAll", "requestSubmit", "reset", "checkValidity",
    "parentNode", "ownerDocument", "nodeName", "tagName", "innerHTML", "classList", "firstChild", "lastChild", "attributes",
    "currentScript", "documentElement", "body", "cookie", "__proto__", "constructor", "hasOwnProperty", "toString", "type",
    "accept", "required", "value", "append", "entries", "_charset_", "isindex", "root", "0", "label", "input", "native", "stop",
]  # fmt: skip


def clobbering() -> dict[str, str]:
    return {name: f"value of {name}" for name in CLOBBERING}


@pytest.mark.parametrize("plain", [False, True])
def test_no_name_of_a_field_changes_what_the_page_does(page: Any, site: Site, store: Store, plain: bool) -> None:
    """`page` fails on any script error."""
    limits = {"conditions": [["starts-with", "$Content-Type", "text/"]], "content_length_range": (2, 2048)}
    key = f"clobbered-{plain}"
    post = store.presigner.presign_post(store.bucket, key, fields=clobbering(), **limits)
    with without_cors(post.url, []) as origin:
        show(page, site, PresignedPost(origin + urlsplit(post.url).path, post.fields, post.expires_at) if plain else post)
        # The driver's own clicks and other selectors read properties of the form.
        status, chooser = page.locator("css=[role=status]"), page.locator("css=input[type=file]")
        for content, why in (
            (b"x" * 2049, "too large: at most 2 KiB"),
            (b"x", "has 1 byte, which is too small: at least 2 bytes"),
            (b"text", "4 bytes."),
        ):
            chooser.set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": content})
            sync_api.expect(status).to_contain_text(why)
        sent = dict(page.evaluate("[...new FormData(document.querySelector('form'))].filter(([name]) => name != 'file')"))
        assert sent == {**post.fields, "Content-Type": "text/*", **clobbering()}
        with page.expect_event("response", lambda answer: answer.request.method == "POST") as answered:
            page.evaluate("document.querySelector('button[type=submit]').click()")
        assert answered.value.status == 204, answered.value.text()
    assert store.stored(key) == (b"text", "text/plain")


@pytest.mark.parametrize("code", ["toString", "constructor", "__proto__", "EntityTooLarge"])
def test_what_a_server_says_is_no_name_of_the_scripts(page: Any, site: Site, store: Store, code: str) -> None:
    class Refusing(Quiet):
        def answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            for name in ("Origin", "Methods", "Headers"):
                self.send_header(f"Access-Control-Allow-{name}", "*")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_OPTIONS(self) -> None:
            self.answer(200)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(400, f"<Error><Code>{code}</Code></Error>".encode())

    post = store.presigner.presign_post(store.bucket, "refused")
    with serving(Refusing) as origin:
        show(page, site, PresignedPost(f"{origin}/", post.fields, post.expires_at))
        choose(page, "r.txt", b"refused")
        press(page)
        why = "The file is too large." if code == "EntityTooLarge" else "The storage refused the file."
        says(page, f"{why} (HTTP 400 {code})")


def test_every_control_has_a_name_and_is_reached_by_the_keyboard(page: Any, site: Site, store: Store) -> None:
    show(page, site, store.presigner.presign_post(store.bucket, "keys"), title="Send it")
    reached = []
    for _ in range(2):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.type"))
    assert reached == ["file", "submit"]
    assert page.get_by_label(re.compile("Choose a file")).count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("width", [320, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows(browser: Any, site: Site, store: Store, tmp_path: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page = context.new_page()
    post = store.presigner.presign_post(
        store.bucket, "k", conditions=[["starts-with", "$Content-Type", "image/"]], content_length_range=(1, 10 << 20)
    )
    show(page, site, post, title="A title as long as somebody may want it, withaverylongwordthatcannotbebrokenanywhere")
    choose(page, f"{'long' * 40}.png", b"x", "image/png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
