"""The form's HTML as a parser sees it; tests/test_browser.py has what a browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest, PresignedPost, PresignedRequest
from asyncpresign._s3.form_page import SCRIPT

END = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make_post(*conditions: Any, url: str = "https://bucket.example/", **fields: str) -> PresignedPost:
    policy = base64.b64encode(json.dumps({"expiration": "2026-01-02T03:04:05Z", "conditions": conditions}).encode()).decode()
    return PresignedPost(url, {"key": "k", **fields, "policy": policy}, END)


class Page(HTMLParser):
    """What a browser makes of a page: the tags with their attributes, and the texts by the tag that holds them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags:
            self.texts.append((self.tags[-1][0], data))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.tags if found == tag]

    def text(self, tag: str) -> str:
        return "".join(text for found, text in self.texts if found == tag)

    @property
    def fields(self) -> list[tuple[str | None, str | None]]:
        return [(field["name"], field["value"]) for field in self.attributes("input") if field["type"] == "hidden"]

    @property
    def chooser(self) -> dict[str, str | None]:
        (found,) = (field for field in self.attributes("input") if field["type"] == "file")
        return found


HOSTILE = (
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "</title><script>",
    "</style><script>",
    "<!--",
    "&quot;",
    "&amp;lt;",
    "]]>",
    "javascript:alert(1)",
    "<",
    '"',
    "'",
    "&",
    "",
)
hostile = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs", "Cc"])))
PLAIN = [tag for tag, _ in Page(PresignedPost("https://h/", {}, END).html()).tags]


@given(st.dictionaries(hostile, hostile, max_size=4), hostile, hostile, st.booleans())
def test_a_form_is_read_back_as_it_was_and_adds_no_tag(fields: dict[str, str], title: str, accept: str, fragment: bool) -> None:
    url = f"https://h/{title}"
    page = Page(PresignedPost(url, fields, END).html(title=title, accept=accept, fragment=fragment))
    expected = [tag for tag in PLAIN if tag != "input"]
    if fragment:
        expected = [*expected[expected.index("section") - 1 :]]
        expected.remove("h1")
    assert [tag for tag, _ in page.tags if tag != "input"] == expected
    (form,) = page.attributes("form")
    assert (form["action"], form["method"], form["enctype"]) == (url, "post", "multipart/form-data")
    assert page.fields == list(fields.items())
    assert page.chooser.get("accept", "") == accept
    if title.strip() and not fragment:
        assert page.text("h1").strip() == page.text("title").strip() == title.strip()


def test_the_file_is_the_last_field_and_everything_after_it_has_no_name() -> None:
    page = Page(make_post(**{"x-amz-meta-a": "1"}).html())
    assert [attributes.get("name") for attributes in page.attributes("input")] == ["key", "x-amz-meta-a", "policy", "file"]
    assert not any("name" in attributes for attributes in page.attributes("button"))


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "data:text/html,x", "//host/", "https://h;script-src */", "https://h 'self'/", "", "https://"],
)
def test_a_form_that_leads_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^url: "):
        PresignedPost(url, {}, END).html()
    with pytest.raises(InvalidRequest, match=r"^url: "):
        PresignedPost(url, {}, END).html(fragment=True)


@pytest.mark.parametrize(
    ("conditions", "fields", "accept", "sent"),
    [
        ([], {}, None, None),
        ([], {"Content-Type": "image/png"}, "image/png", "image/png"),
        ([["eq", "$Content-Type", "image/png"]], {"Content-Type": "image/png"}, "image/png", "image/png"),
        ([], {"Content-Type": "application/octet-stream"}, None, "application/octet-stream"),
        ([["starts-with", "$Content-Type", "image/"]], {}, "image/*", "image/*"),
        ([["starts-with", "$content-type", "image/"]], {"Content-Type": "image/png"}, "image/*", "image/png"),
        ([["starts-with", "$Content-Type", ""]], {}, None, "application/octet-stream"),
    ],
)
def test_the_types_that_a_policy_admits_are_offered_and_one_of_them_is_sent(
    conditions: list[Any], fields: dict[str, str], accept: str | None, sent: str | None
) -> None:
    page = Page(make_post(*conditions, **fields).html())
    assert page.chooser.get("accept") == accept
    assert dict(page.fields).get("Content-Type") == sent


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 10 * 1024**2, "At most 10 MiB."),
        (2048, 1_500_000, "At least 2 KiB, at most 1.4 MiB."),
        (1, 1023, "At most 1023 bytes."),
        (0, 1, "At most 1 byte."),
    ],
)
def test_the_limits_of_size_are_told(low: int, high: int, words: str) -> None:
    page = Page(make_post(["content-length-range", low, high]).html())
    assert page.text("p").startswith(words)
    (section,) = page.attributes("section")
    assert (section.get("data-max"), section.get("data-min", "0")) == (str(high), str(low))


@pytest.mark.parametrize(
    "policy", ["", "%%%", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"conditions": 1}').decode()]
)
def test_a_policy_that_cannot_be_read_says_nothing(policy: str) -> None:
    page = Page(PresignedPost("https://h/", {"policy": policy}, END).html())
    assert page.fields == [("policy", policy)]
    assert not {"data-max", "data-type-prefix"} & set(page.attributes("section")[0])


def test_style_and_script_pass_the_policy_by_their_hashes_or_by_a_nonce() -> None:
    post = make_post()
    policy = post.content_security_policy()
    page = Page(post.html(nonce='a"b'))
    for tag in ("style", "script"):
        assert all(attributes == {"nonce": 'a"b'} for attributes in page.attributes(tag))
        assert all(attributes == {} for attributes in Page(post.html()).attributes(tag))
        for text in [text for found, text in page.texts if found == tag and text.strip()]:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert page.attributes("meta")[1]["content"] == policy


def test_a_form_with_a_redirect_is_not_sent_by_script() -> None:
    told = [
        Page(make_post(**fields).html()).attributes("section")[0] for fields in ({}, {"success_action_redirect": "https://a/"})
    ]
    assert ["data-redirects" in section for section in told] == [False, True]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"success_action_status": "204"}, True),
        ({"Success_Action_Status": "200"}, False),
        ({"success_action_status": "201"}, False),
        ({"success_action_redirect": "https://a/"}, False),
        ({"redirect": "https://a/"}, False),
        ({"success_action_redirect": ""}, True),
    ],
)
def test_a_page_that_would_stay_empty_after_the_upload_says_so(fields: dict[str, str], expected: bool) -> None:
    assert ("<noscript>" in make_post(**fields).html()) == expected


def test_what_the_policy_demands_is_said_to_the_script() -> None:
    conditions = (["content-length-range", 2, 3 << 20], ["starts-with", "$Content-Type", "image/"])
    (section,) = Page(make_post(*conditions).html()).attributes("section")
    assert {name: value for name, value in section.items() if name.startswith("data-")} == {
        "data-url": "https://bucket.example/",
        "data-kind-words": "images",
        "data-type-prefix": "image/",
        "data-min": "2",
        "data-min-words": "2 bytes",
        "data-max": str(3 << 20),
        "data-max-words": "3 MiB",
    }


def test_only_a_form_with_a_redirect_may_lead_on_to_another_site() -> None:
    assert "form-action https://bucket.example;" in make_post().content_security_policy()
    assert "form-action" not in make_post(success_action_redirect="https://a/").content_security_policy()


WRONG: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {"title": None}, ["title"]),
    ({}, {"title": "\ud800"}, ["title"]),
    ({}, {"accept": 0}, ["accept"]),
    ({}, {"accept": "image/\udcff"}, ["accept"]),
    ({}, {"nonce": b"nonce"}, ["nonce"]),
    ({}, {"nonce": "\udfff"}, ["nonce"]),
    ({}, {"fragment": "yes"}, ["fragment"]),
    ({}, {"title": 1, "accept": [], "nonce": 2, "fragment": None}, ["title", "accept", "nonce", "fragment"]),
    ({"url": None}, {}, ["url"]),
    ({"url": "https://h/\ud800"}, {}, ["url"]),
    ({"fields": [("a", "b")]}, {}, ["fields"]),
    ({"fields": {"a": 1, "b\ud800": "", "c": "\udfff"}}, {}, ["fields['a']", "fields['b\\ud800']", "fields['c']"]),
    ({"fields": {1: "a"}}, {}, ["fields[1]"]),
    ({"fields": {"a": "b\nc", "d": "\0", "e": "f\r", "g": "\n\r"}}, {}, [f"fields['{name}']" for name in "adeg"]),
    ({"expires_at": "2026-01-02"}, {}, ["expires_at"]),
    ({"expires_at": datetime(2026, 1, 2)}, {}, ["expires_at"]),  # noqa: DTZ001
]


@pytest.mark.parametrize(("form", "options", "arguments"), WRONG)
def test_what_no_page_can_have_is_named_all_at_once(
    form: dict[str, Any], options: dict[str, Any], arguments: list[str]
) -> None:
    post = PresignedPost(**{"url": "https://h/", "fields": {}, "expires_at": END, **form})
    calls: list[Any] = [lambda: post.html(**options), lambda: post.html(**{"fragment": True, **options})]
    if arguments[0].startswith(("url", "fields")):
        calls.append(post.content_security_policy)
    for call in calls:
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert [problem.argument for problem in caught.value.problems] == arguments


def test_a_line_break_that_browsers_send_as_it_is_stands_in_the_page_as_a_parser_reads_it() -> None:
    page = PresignedPost("https://h/", {"a": "b\r\nc\x01\t"}, END).html()
    assert 'value="b&#13;&#10;c\x01\t"' in page


def test_no_browser_replaces_a_field_by_the_name_of_the_forms_encoding() -> None:
    """https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#attr-fe-name-charset"""
    for name in ("_charset_", "_CHARSET_"):
        inputs = Page(PresignedPost("https://h/", {name: "mine"}, END).html()).attributes("input")
        assert inputs[0] == {"type": "text", "hidden": None, "name": name, "value": "mine"}


def test_the_script_reads_no_property_of_the_form() -> None:
    """Each could be a field of the caller's. A name of a method that is looked up on the form is no different."""
    assert re.findall(r"\bform\b\s*(?:\.\w|\[)", SCRIPT) == []


@pytest.mark.parametrize("file", [None, 5, b"file"])
def test_the_curl_lines_take_the_name_of_a_file(file: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^file: "):
        make_post().curl(file)
    if file is not None:
        with pytest.raises(InvalidRequest, match=r"^file: "):
            PresignedRequest("PUT", "https://h/", {}, END).curl(file=file)
