"""The retry policy: what is a policy, how long it waits, and the budget that all items share."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncpresign import InvalidRequest, Limits, RetryPolicy
from asyncpresign.transfer.policy import RetryBudget


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", -1),
        ("attempts", 1.5),
        ("attempts", "3"),
        ("attempts", None),
        ("attempts", True),
        ("base", -0.1),
        ("base", "1"),
        ("base", float("nan")),
        ("base", float("inf")),
        ("cap", -1),
        ("cap", None),
        ("cap", float("nan")),
        ("cap", float("inf")),
        ("budget", -1),
        ("budget", 0.5),
        ("budget", False),
    ],
)
def test_what_is_no_policy_is_named(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=name):
        RetryPolicy(**{name: value})  # type: ignore[arg-type]


def test_the_least_that_makes_sense_is_a_policy() -> None:
    policy = RetryPolicy(attempts=1, base=0, cap=0, budget=0)
    assert policy.backoff(1, 1.0) == 0
    limits = {"concurrency": 1, "per_host": 1, "memory": 1, "slowest": 0}
    assert dataclasses.asdict(Limits(**limits)).items() >= limits.items()  # type: ignore[arg-type]
    for name in ("bytes_per_second", "requests_per_second", "connect", "stall"):
        assert getattr(Limits(**{name: 1e-9}), name) == 1e-9


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        RetryPolicy(attempts=0, base=-1, cap=-1, budget=-1)
    assert [problem.argument for problem in caught.value.problems] == ["attempts", "base", "cap", "budget"]


def test_a_policy_is_a_value() -> None:
    policy = RetryPolicy(attempts=2)
    assert pickle.loads(pickle.dumps(policy)) == policy == RetryPolicy(attempts=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.attempts = 3  # type: ignore[misc]


@pytest.mark.parametrize(("retry", "longest"), [(1, 0.1), (2, 0.2), (3, 0.4), (8, 12.8), (9, 20.0), (10**9, 20.0)])
def test_backoff_doubles_up_to_the_cap(retry: int, longest: float) -> None:
    policy = RetryPolicy(base=0.1, cap=20.0)
    assert policy.backoff(retry, 1.0) == pytest.approx(longest)
    assert policy.backoff(retry, 0.5) == pytest.approx(longest / 2)
    assert policy.backoff(retry, 0.0) == 0.0


@given(st.integers(1, 10**6), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6))
def test_backoff_is_between_nothing_and_the_cap(retry: int, jitter: float, base: float, cap: float) -> None:
    assert 0.0 <= RetryPolicy(base=base, cap=cap).backoff(retry, jitter) <= cap


def test_a_budget_is_spent_and_given_back() -> None:
    budget = RetryBudget(2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    budget.give()
    assert [budget.take(), budget.take()] == [True, False]


def test_a_budget_never_grows_beyond_its_capacity() -> None:
    budget = RetryBudget(1)
    for _ in range(5):
        budget.give()
    assert [budget.take(), budget.take()] == [True, False]


def test_a_budget_of_nothing_allows_no_retry() -> None:
    budget = RetryBudget(0)
    budget.give()
    assert not budget.take()
