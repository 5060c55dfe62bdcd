"""The form's HTML as a parser sees it; tests/test_browser.py has what a browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest, PresignedPost

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
    ],
)
def test_the_limits_of_size_are_told(low: int, high: int, words: str) -> None:
    page = Page(make_post(["content-length-range", low, high]).html())
    assert page.text("p").startswith(words)
    (form,) = page.attributes("form")
    assert (form.get("data-max"), form.get("data-min", "0")) == (str(high), str(low))


@pytest.mark.parametrize(
    "policy", ["", "%%%", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"conditions": 1}').decode()]
)
def test_a_policy_that_cannot_be_read_says_nothing(policy: str) -> None:
    page = Page(PresignedPost("https://h/", {"policy": policy}, END).html())
    assert page.fields == [("policy", policy)]
    assert not {"data-max", "data-type-prefix"} & set(page.attributes("form")[0])


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
        Page(make_post(**fields).html()).attributes("form")[0] for fields in ({}, {"success_action_redirect": "https://a/"})
    ]
    assert ["data-redirects" in form for form in told] == [False, True]


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
    (form,) = Page(make_post(*conditions).html()).attributes("form")
    assert {name: value for name, value in form.items() if name.startswith("data-")} == {
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
