"""The tables in docs/ are what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.generate_docs import DOCS, TABLES, filled

PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_of_a_page_are_those_of_the_code(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "python -m scripts.generate_docs"


def test_every_table_stands_on_a_page() -> None:
    shown = {name for page in PAGES for name in re.findall("<!-- begin ([a-z-]+) -->", page.read_text(encoding="utf-8"))}
    assert shown == set(TABLES)
