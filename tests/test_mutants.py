"""Which changes `scripts.mutants` makes, and that a sample is decided by its seed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import asyncpresign
from scripts.mutants.__main__ import EQUIVALENT, draw, equivalents
from scripts.mutants.operators import Mutant, mutants

PACKAGE = Path(asyncpresign.__file__).parent


def changes(source: str) -> list[str]:
    made = mutants("asyncpresign/a.py", source.encode())
    return [mutant.apply(source.encode()).decode() for mutant in made if mutant.is_change(source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b\n", ["x = a <= b\n", "x = a >= b\n"]),
        ("x = a is not b\n", ["x = a is b\n"]),
        ("x = (a) + (b)\n", ["x = (a) - (b)\n"]),
        ("x = a and b\n", ["x = ((a))\n", "x = ((b))\n", "x = a or b\n"]),
        ("x = not a\n", ["x = (a)\n"]),
        ("x = 5\n", ["x = 6\n"]),
        ("x = 'etag'\n", ["x = ('etag' \"~\")\n"]),
        ("x = f'{a}/b'\n", ["x = (f'{a}/b' \"~\")\n"]),
        ("x = True\n", ["x = False\n"]),
        ("f(a, b)\n", ["pass\n", "f(b, a)\n"]),
        ("f(a, b=c)\n", ["pass\n", "f(a)\n"]),
        ("def f(a=1): return a\n", ["def f(a=2): return a\n", "def f(a=1): return None\n"]),
        (
            "try:\n    a()\nexcept E:\n    b = c\n",
            ["try:\n    pass\nexcept E:\n    b = c\n", "try:\n    a()\nexcept E:\n    raise\n"],
        ),
        ("for a in b:\n    break\n", ["for a in b:\n    continue\n"]),
        ("x = a.lower()\n", ["x = a\n"]),
        ("with suppress(E): a = 'ü' 'ö'\n", ["with suppress(): a = 'ü' 'ö'\n", "with suppress(E): a = ('ü' 'ö' \"~\")\n"]),
        ("async def f():\n    await g()\n", ["async def f():\n    pass\n"]),
    ],
    ids=str,
)
def test_one_place_is_changed_at_a_time(source: str, expected: list[str]) -> None:
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""A docstring."""\n',
        "x: Literal['a', 'b']\n",
        "Size = int | None\n",
        "Word = Literal['a']\n",
        "x = 'the key is too long'\n",
        "x = f'{a} is no key'\n",
        "x = 'a str'\n",
        "if TYPE_CHECKING:\n    import a\n",
        "import a\n",
        "__all__ = ['a']\n",
        "T = TypeVar('T')\n",
        "class A(Protocol):\n    def f(self, a: bool = False) -> None: ...\n",
    ],
)
def test_prose_and_what_only_type_checkers_read_stay(source: str) -> None:
    assert changes(source) == []


def test_a_change_is_known_again_when_lines_are_added_above() -> None:
    source = b"class A:\n    def f(self):\n        return self.a < 5\n"
    (before,) = (mutant for mutant in mutants("a.py", source) if mutant.replacement == "<=")
    (after,) = (mutant for mutant in mutants("a.py", b"x = y\n\n" + source) if mutant.replacement == "<=")
    assert before.key == after.key == ("a.py::A.f", "return self.a < 5 ==> return self.a <= 5")
    assert (before.line, after.line) == (3, 5)
    twice = mutants("a.py", b"def f():\n    g(1)\n    g(1)\n")
    assert len({mutant.key for mutant in twice}) == len(twice) == 4


def test_a_seed_decides_the_sample() -> None:
    sources = {f"asyncpresign/transfer/{name}.py": (PACKAGE / f"transfer/{name}.py").read_bytes() for name in ("rate", "plan")}

    def sample(seed: str) -> list[Mutant]:
        return draw(sources, seed, 20, ["transfer"], "")

    assert sample("1") == sample("1") != sample("2")
    assert len({mutant.key for mutant in sample("1")}) > 10


def test_each_equivalent_mutant_has_a_reason() -> None:
    rows = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    for row in rows:
        assert row.keys() == {"function", "changes", "reason"}
        assert row["reason"]
        assert all(change.count(" ==> ") == 1 for change in row["changes"])
    assert equivalents({}) == {(row["function"], change) for row in rows for change in row["changes"]}
