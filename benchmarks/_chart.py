"""A bar chart as SVG text, that can be read on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

WIDTH, BAR, GAP, LABEL = 720, 22, 12, 150


def bars(rows: Iterable[Mapping[str, Any]]) -> str:
    """Microseconds a URL of everybody who signs the first row's task, ours first."""
    rows = list(rows)
    same = [row for row in rows if row["what"] == rows[0]["what"] and "ratio" in row]
    if not same:
        return _svg(0, [])
    figures = {"asyncpresign": same[0]["ours"], **{row["against"]: row["theirs"] for row in same}}
    ordered = sorted(figures.items(), key=lambda item: item[1])
    scale = (WIDTH - LABEL - 90) / max(figures.values())
    return _svg(len(ordered), [_bar(place, name, figure, scale) for place, (name, figure) in enumerate(ordered)])


def _bar(place: int, name: str, figure: float, scale: float) -> str:
    top, width = place * (BAR + GAP) + 34, max(2.0, figure * scale)
    kind = "ours" if name == "asyncpresign" else "other"
    middle = top + BAR - 6
    return (
        f'<text x="{LABEL - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>'
        f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="3"/>'
        f'<text x="{LABEL + width + 8:.1f}" y="{middle}">{figure:g} µs</text>'
    )


def _svg(lines: int, content: list[str]) -> str:
    height = lines * (BAR + GAP) + 40
    title = "Microseconds to presign one URL, in a batch"
    style = (
        "text{font:14px system-ui,sans-serif;fill:#444}.ours{fill:#1a7f64}.other{fill:#9aa5b1}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}.ours{fill:#3fc79a}.other{fill:#6b7785}}"
    )
    lines_ = "\n".join(content)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}">\n'
        f"<style>{style}</style>\n"
        f'<text x="{LABEL}" y="20">{title}</text>\n{lines_}\n</svg>\n'
    )
