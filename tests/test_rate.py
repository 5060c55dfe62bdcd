"""Windows and buckets as tables and properties: no loop, no clock, nobody who waits."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign.transfer.rate import BURST, Window, spend

# --- how many at once -------------------------------------------------------------------------------------------------


def test_a_window_is_halved_once_for_all_that_were_under_way_together() -> None:
    window = Window(64, 64.0)
    for _ in range(64):
        window = window.slowed(cuts=0, now=0.0, pause=0.0)
    assert (window.limit, window.cuts) == (32.0, 1)
    assert window.slowed(cuts=1, now=0.0, pause=0.0).limit == 16.0


def test_a_window_never_closes_by_halving() -> None:
    window = Window(3, 3.0)
    for cuts in range(10):
        window = window.slowed(cuts, now=0.0, pause=0.0)
    assert window.limit == 1.0


def test_a_window_grows_by_one_for_a_windowful_of_successes() -> None:
    window = Window(64, 8.0)
    for _ in range(9):
        window = window.succeeded()
    assert 9.0 <= window.limit < 9.1


@given(st.integers(1, 1000), st.lists(st.booleans(), max_size=300))
def test_a_window_stays_between_one_and_its_most(most: int, story: list[bool]) -> None:
    window = Window(most, float(most))
    for slow in story:
        window = window.slowed(window.cuts, 0.0, 0.0) if slow else window.succeeded()
        assert 1.0 <= window.limit <= most


@pytest.mark.parametrize(
    ("until", "now", "pause", "closed_until"),
    [
        (-inf, 10.0, 0.0, -inf),
        (-inf, 10.0, 5.0, 15.0),
        (20.0, 10.0, 5.0, 20.0),
        (12.0, 10.0, 5.0, 15.0),
        (12.0, 10.0, 0.0, 12.0),
    ],
)
@pytest.mark.parametrize("cuts", [0, 1], ids=["late", "first"])
def test_a_host_is_left_alone_for_the_longest_it_asked_for(
    until: float, now: float, pause: float, closed_until: float, cuts: int
) -> None:
    window = Window(8, 8.0, 1, until).slowed(cuts, now, pause)
    assert window.closed_until == closed_until
    assert window.limit == (4.0 if cuts else 8.0)
    assert window.opened().closed_until == -inf
    assert Window(8, 8.0) == Window(8, 8.0, cuts=0, closed_until=-inf)


# --- how fast ---------------------------------------------------------------------------------------------------------


def test_the_first_does_not_wait_however_much_it_takes() -> None:
    assert spend(-inf, 1e9, rate=1.0, now=50.0) == (50.0 + 1e9, 0.0)


def test_the_next_waits_for_what_those_before_took() -> None:
    full_at, _ = spend(-inf, 100, rate=10.0, now=0.0)
    assert spend(full_at, 1, rate=10.0, now=0.0) == (10.1, 10.0 - BURST)
    assert spend(full_at, 1, rate=10.0, now=4.0) == (10.1, 6.0 - BURST)
    assert spend(full_at, 1, rate=10.0, now=30.0) == (30.1, 0.0)


@given(st.floats(0.5, 1e6), st.lists(st.tuples(st.floats(0, 10), st.integers(1, 10_000)), min_size=1, max_size=60))
def test_no_more_passes_than_the_rate_allows(rate: float, takers: list[tuple[float, int]]) -> None:
    """Up to any moment: the rate's worth, what a rest saves up, and the last taker's own."""
    full_at, now, passed = -inf, 0.0, 0.0
    for pause, amount in takers:
        now += pause
        full_at, delay = spend(full_at, amount, rate, now)
        assert passed <= rate * (now + delay + BURST) * (1 + 1e-9)
        passed += amount


@given(st.floats(0.5, 1e6), st.lists(st.integers(1, 10_000), min_size=2, max_size=60))
def test_nobody_waits_for_longer_than_those_before_are_worth(rate: float, amounts: list[int]) -> None:
    full_at, before = -inf, 0.0
    for amount in amounts:
        full_at, delay = spend(full_at, amount, rate, 0.0)
        assert delay == pytest.approx(max(0.0, before / rate - BURST))
        before += amount
