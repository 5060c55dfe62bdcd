"""Keys that become paths, and those that must not: tables over pure functions, then the same on a disk."""

from __future__ import annotations

import ntpath
import os
import pickle
import posixpath
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import (
    Directory,
    InvalidRequest,
    LocalFileError,
    PresignedRequest,
    S3Object,
    Transfer,
    UnsafePathError,
)
from asyncpresign.transfer.paths import (
    Names,
    collisions,
    folded,
    key_below,
    key_of,
    matches,
    name_below,
    relative_name,
)

from .fake_transport import FakeTransport, Say, World, make_signer

# On every system.
UNSAFE = {
    "..": "has '..'",
    "../x": "has '..'",
    "a/../../x": "has '..'",
    "a/..": "has '..'",
    "..\\x": "has '..'",
    "a\\..\\..\\x": "has '..'",
    "/etc/passwd": "is absolute",
    "//host/share": "is absolute",
    "\\\\host\\share": "is absolute",
    "\\x": "is absolute",
    "C:/x": "a drive letter",
    "c:x": "a drive letter",
    "C:\\x": "a drive letter",
    "a\0b": "has a NUL",
    "": "is empty",
    "a/": "ends as a folder does",
    "a//b": "empty piece",
    ".": "empty piece or '.'",
    "./a": "empty piece or '.'",
    "a/./b": "empty piece or '.'",
    "a\ud800b": "not Unicode",
}
SAFE = [
    "a",
    "a/b/c",
    "...",
    "..a",
    "a..",
    "a b",
    "#?%&+",
    "%2e%2e/x",
    "~",
    "-rf",
    "ü",
    "u\u0308",
    "日本/語",
    "a\\b",
    "aa:x",
    "a\nb",
]
ON_WINDOWS = ["a\\b", "aa:b", "a/b?", "con", "a/NUL.txt", "com1", "a.", "a /b", "a\x01b", "a|b", "LPT¹"]
ELSEWHERE = ["console", "a/com", "nul-and-void", "a b.txt", ".hidden"]


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(("key", "why"), UNSAFE.items())
def test_keys_that_lead_elsewhere(key: str, why: str, windows: bool) -> None:
    with pytest.raises(UnsafePathError, match=why) as caught:
        relative_name(key, windows=windows)
    assert [problem.argument for problem in caught.value.problems] == ["key"]


@pytest.mark.parametrize("key", SAFE)
def test_keys_that_are_paths(key: str) -> None:
    assert relative_name(key, windows=False) == key


@pytest.mark.parametrize("key", ON_WINDOWS)
def test_names_that_windows_reads_otherwise(key: str) -> None:
    assert relative_name(key, windows=False) == key
    with pytest.raises(UnsafePathError, match="Windows"):
        relative_name(key, windows=True)


@pytest.mark.parametrize("key", ELSEWHERE)
def test_names_that_only_look_like_devices(key: str) -> None:
    assert relative_name(key, windows=True) == key


@given(st.text(alphabet="a./\\:\0C~ü", max_size=12))
def test_no_key_ever_leaves(key: str) -> None:
    """Whatever is let through stays below the folder, and is the only key with its path."""
    for windows in (False, True):
        try:
            name = relative_name(key, windows=windows)
        except UnsafePathError:
            continue
        library: Any = ntpath if windows else posixpath
        top = "C:\\root" if windows else "/root"
        joined = library.normpath(library.join(top, *name.split("/")))
        assert joined.startswith(top + library.sep)
        assert joined[len(top) + 1 :].replace("\\" if windows else "\0", "/") == key


def test_a_long_key_is_shown_in_part() -> None:
    with pytest.raises(UnsafePathError) as caught:
        relative_name("../" + "x" * 1000)
    assert len(str(caught.value)) < 500


END = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "key"),
    [
        (S3Object("bucket", "a/b c"), "a/b c"),
        ("https://bucket.host/a/b%20c?X-Amz-Signature=0", "b c"),
        (PresignedRequest("GET", "https://host/bucket/a/b%2Fc", {}, END), "b/c"),
        ("https://host/bucket/%2E%2E?x", ".."),
        ("https://host/bucket/", ""),
        ("https://host", ""),
    ],
)
def test_the_key_of_a_source(source: Any, key: str) -> None:
    assert key_of(source) == key


def test_a_directory_is_a_value() -> None:
    made = Directory("out", name="a/b")
    assert pickle.loads(pickle.dumps(made)) == made == Directory("out", name="a/b")
    assert repr(made) == "Directory(root='out', name='a/b')"
    with pytest.raises(TypeError):
        Directory("out", "a/b")  # type: ignore[misc]
    assert Directory(Path("out")).name_for(S3Object("bucket", "x/y")) == "x/y"
    assert made.name_for(S3Object("bucket", "x/y")) == "a/b"


@pytest.mark.parametrize("wrong", [{"root": ""}, {"root": 1}, {"root": b"out"}, {"root": None}, {"root": "out", "name": 1}])
def test_a_wrong_directory(wrong: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"^{'name' if 'name' in wrong else 'root'}: expected"):
        Directory(**wrong)


# --- many keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        ([], []),
        (["a", "b", "a.b", "ab/c"], []),
        (["a", "a/b"], [("a", "a/b")]),
        (["a", "a-b", "a/b", "a/c/d", "a0"], [("a", "a/b"), ("a", "a/c/d")]),
        (["x/a", "x/a/b", "x/b"], [("x/a", "x/a/b")]),
        (["a", "aa", "aa/b", "aaa/b"], [("aa", "aa/b")]),
    ],
)
def test_names_that_are_folders_of_others(names: list[str], pairs: list[tuple[str, str]]) -> None:
    assert collisions(sorted(names), fold=None) == pairs
    assert collisions(sorted(names)) == pairs


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["A", "a"], [("A", "a")]),
        (["A/x", "a/y"], []),
        (["A", "a/y"], [("A", "a/y")]),
        (["a/y", "A"], [("a/y", "A")]),
        (["\u00fc", "u\u0308"], [("\u00fc", "u\u0308")]),
        (["\u00fc", "U\u0308"], [("\u00fc", "U\u0308")]),
        (["stra\u00dfe", "STRASSE"], [("stra\u00dfe", "STRASSE")]),
        (["a", "b"], []),
    ],
)
def test_names_that_a_system_without_case_mixes_up(names: list[str], pairs: list[tuple[str, str]]) -> None:
    assert collisions(names) == pairs
    if not any("/" in name for name in names):
        assert collisions(names, fold=None) == []


@given(st.lists(st.text(alphabet="ab/A", min_size=1, max_size=6).filter(lambda name: "//" not in name), unique=True))
def test_both_ways_of_telling_agree(names: list[str]) -> None:
    """In S3's order the names above are enough to remember."""
    names = sorted(name for name in names if name.strip("/") == name)
    by_order = {later for _, later in collisions(names, fold=None)}
    assert by_order == {later for _, later in collisions(names, fold=str)}


def test_fewer_names_are_remembered_than_there_are_letters() -> None:
    names = Names()
    for number in range(10_000):
        names.clash(f"folder/{number:05}/file")
    assert len(names._above) <= 1


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        ((), (), True),
        (("*.jpg",), (), True),
        (("*.JPG",), (), False),
        (("*.png", "a/*"), (), True),
        ((), ("*.jpg",), False),
        (("*.jpg",), ("a/b/*",), False),
        (("a/?/[cd].jpg",), ("x",), True),
        (("c.jpg",), (), False),
    ],
)
def test_patterns(include: tuple[str, ...], exclude: tuple[str, ...], wanted: bool) -> None:
    assert matches("a/b/c.jpg", include, exclude) is wanted


@pytest.mark.parametrize(
    ("key", "prefix", "name"),
    [
        ("a/b", "", "a/b"),
        ("a/b/c", "a/", "b/c"),
        ("a/b/c", "a", "b/c"),
        ("logs/2024-01/x", "logs/2024-", "2024-01/x"),
        ("run-1", "run-", "run-1"),
        ("a/", "a/", ""),
        ("a//b", "a", "/b"),
    ],
)
def test_the_name_below_a_prefix(key: str, prefix: str, name: str) -> None:
    assert name_below(key, prefix) == name


@given(st.text(alphabet="ab/", max_size=4), st.text(alphabet="ab/", min_size=1, max_size=4))
def test_up_and_down_are_inverse(prefix: str, name: str) -> None:
    assert name_below(key_below(prefix, name), prefix) == name


def test_case_folding_is_stable() -> None:
    assert folded(folded("ẞ\u0345Å")) == folded("ẞ\u0345Å")


# --- on a disk --------------------------------------------------------------------------------------------------------


def moving() -> Transfer:
    return Transfer(make_signer(), transport=FakeTransport(otherwise=Say(body=b"abc")), edge=World().edge())


async def test_a_download_takes_its_name_from_the_key(tmp_path: Path) -> None:
    async with moving() as transfer:
        await transfer.download(S3Object("bucket", "a/b/c.txt"), Directory(tmp_path))
        await transfer.download(S3Object("bucket", "a/b/d.txt"), Directory(tmp_path, name="x/y"))
        await transfer.download("http://s3.test/bucket/p/q%20r?X-Amz-Signature=0", Directory(tmp_path / "new"))
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["a/b/c.txt", "new/q r", "x/y"]


@pytest.mark.parametrize("key", [key for key in UNSAFE if key and "\ud800" not in key])
async def test_an_unsafe_key_is_refused_before_a_request(key: str, tmp_path: Path) -> None:
    transport = FakeTransport()
    async with Transfer(make_signer(), transport=transport, edge=World().edge()) as transfer:
        with pytest.raises(UnsafePathError, match="expected a key that is a path below"):
            await transfer.download(S3Object("bucket", key), Directory(tmp_path / "root"))
        with pytest.raises(UnsafePathError):
            await transfer.download(S3Object("bucket", "x"), Directory(tmp_path / "root", name=key))
    assert (transport.sent, list(tmp_path.iterdir())) == (0, [])


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
@pytest.mark.parametrize("place", ["folder", "file", "dangling", "loop"])
async def test_a_link_out_of_the_folder_is_refused(place: str, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    key = {"folder": "link/file", "file": "link", "dangling": "link", "loop": "link/file"}[place]
    target = {"folder": outside, "file": outside / "file", "dangling": outside / "none", "loop": root / "link"}[place]
    (root / "link").symlink_to(target)
    async with moving() as transfer:
        with pytest.raises(LocalFileError if place == "loop" else UnsafePathError):
            await transfer.download(S3Object("bucket", key), Directory(root))
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("file", b"mine")]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX files")
async def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "root").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "link").symlink_to("sub")
    async with moving() as transfer:
        await transfer.download(S3Object("bucket", "link/file"), Directory(tmp_path / "root"))
    assert (tmp_path / "real" / "sub" / "file").read_bytes() == b"abc"


async def test_a_file_where_a_folder_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    (tmp_path / "b").mkdir()
    async with moving() as transfer:
        with pytest.raises(LocalFileError) as caught:
            await transfer.download(S3Object("bucket", "a/b"), Directory(tmp_path))
        assert caught.value.path == str(tmp_path / "a" / "b")
        with pytest.raises(InvalidRequest, match="the path of a file"):
            await transfer.download(S3Object("bucket", "b"), Directory(tmp_path))
    assert (tmp_path / "a").read_bytes() == b"mine"
