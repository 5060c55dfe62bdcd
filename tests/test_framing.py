"""Which requests HTTP/1.1 can carry, and where a response's head ends: tables and properties, without a socket."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest
from asyncpresign.http.framing import HeadScanner, check_request, ends_cleanly, url_problems
from asyncpresign.http.transport import Request

GOOD_URLS = [
    "http://h",
    "https://h/",
    "HTTPS://H.example/k",
    "http://127.0.0.1:9000/b/k?a=b",
    "http://[::1]:9000/b/k",
    "http://bucket_name.s3.example.test/k",
    "https://user:password@h/k",
    "https://h?X-Amz-Signature=1",
    "https://h/a|b\"c<d>e{f}g^h`i\\j'k[l]m",
    "https://h/%2f%2F//..",
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_url_that_http_can_carry_has_no_problem(url: str) -> None:
    assert url_problems(url) == []


BAD_URLS = {
    "https://h/a b": "' ' at 11",
    "https://h/a\tb": "'\\t' at 11",
    "https://h/a\r\nX: y": "'\\r' at 11",
    "https://h/a\x00": "'\\x00' at 11",
    "https://h/a\x7f": "'\\x7f' at 11",
    "https://h/é": "'\\xe9' at 10",
    "https://h/\ud800": "'\\ud800' at 10",
    "https://ü.example/": "'\\xfc' at 8",
    "https://h/a#b": "'#' at 11",
    "https://h/#": "'#' at 10",
    "https://h/a%": "others at 11",
    "https://h/a%4": "others at 11",
    "https://h/a?b=%zz": "others at 14",
    "https:///a": "a str of length 10",
    "https:/h/a": "a str of length 10",
    "//h/a": "a str of length 5",
    "ftp://h/a": "a str of length 9",
    "https://h:0/": "a str of length 12",
    "https://h:65536/": "a str of length 16",
    "https://h:port/": "a str of length 15",
    "https://good\\@evil/": "a str of length 19",
    "https://a@b@c/": "a str of length 14",
    "": "an empty str",
    None: "None",
    b"https://h/": "a bytes of length 10",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_that_http_cannot_carry_is_refused_without_being_shown(url: object) -> None:
    (problem,) = url_problems(url)
    assert (problem.argument, problem.got) == ("url", BAD_URLS[url])  # type: ignore[index]


@given(st.text())
def test_whatever_the_url_the_check_returns(url: str) -> None:
    problems = url_problems(f"https://h/{url}")
    assert bool(problems) == (not all("!" <= letter <= "~" for letter in url) or "#" in url or _has_bad_escape(url))


def _has_bad_escape(url: str) -> bool:
    digits = set("0123456789abcdefABCDEF")
    return any(len(after[:2]) < 2 or not set(after[:2]) <= digits for after in url.split("%")[1:])


@pytest.mark.parametrize("value", ["h", "H", "h:443"])
def test_a_host_header_that_means_the_urls_host_is_accepted(value: str) -> None:
    check_request(Request("GET", "https://h/k", {"host": value}))


@pytest.mark.parametrize("value", ["other", "h:80", "", "h/", "h:443:443"])
def test_another_host_header_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="the URL's host"):
        check_request(Request("GET", "https://h/k", {"Host": value}))


def test_all_problems_are_raised_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_request(Request("G T", "ftp://h", {"Host": "other", "a b": "c", "Content-Length": "1", "x": "\n"}))
    assert [problem.argument for problem in caught.value.problems] == [
        "url",
        "headers['a b']",
        "headers['Content-Length']",
        "headers['x']",
        "method",
    ]


HEADS = [b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", b"HTTP/1.0 200 OK\n\n", b"HTTP/1.1 200\r\nA: b\n\r\n"]


@given(st.sampled_from(HEADS), st.binary(max_size=20), st.lists(st.integers(0, 60), max_size=6))
def test_the_end_of_a_head_is_the_same_however_it_is_split(head: bytes, body: bytes, cuts: list[int]) -> None:
    whole = head + body
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    scanner, taken = HeadScanner(), 0
    for start, end in pairwise(edges):
        piece = whole[start:end]
        size = scanner.end(piece)
        taken += size
        if size < len(piece) or taken == len(head):
            break
    assert (taken, scanner.size) == (len(head), len(head))


@pytest.mark.parametrize(
    ("last", "clean"),
    [
        (b"0\r\n\r\n", True),
        (b": y\r\n\r\n", True),
        (b"\r\n\r\n\r\n", False),
        (b"\r\n\r\nH", False),
        (b"\n\n", False),
        (b"", False),
    ],
)
def test_a_chunked_body_ends_cleanly_behind_one_empty_line(last: bytes, clean: bool) -> None:
    assert ends_cleanly(last) is clean
