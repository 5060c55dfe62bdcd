"""Whatever botocore's validation refuses is refused, under the same parameter's name, for every operation."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asyncpresign import InvalidRequest
from asyncpresign._s3._operations_table import NAMES
from asyncpresign._s3.operations import Parameter, bind, lookup

from .botocore_cases import call_of, travelling, value_of
from .botocore_differences import Call, frozen, known_difference

pytestmark = pytest.mark.oracle

# The four things that botocore's validation says, and where it says of which parameter.
REPORTED = re.compile(
    r"""(?mx)^ (?: Missing\ required\ parameter\ in\ input:\ "(\w+)" | Unknown\ parameter\ in\ input:\ "([^"]*)"
    | Invalid\ (?:type|length|value)\ for\ parameter\ (\w+) )"""
)

# What its handlers stumble over before it validates.
CRASHES = (TypeError, ValueError, AttributeError, RuntimeError)
# A value of every type, and the ends of the kinds' ranges.
VALUES = [
    "", "text", b"bytes", bytearray(b"a"), 0, -1, 7, 2**63, 1.5, True, None, [], ["a"], ["a", 5], ("a",), {}, {"a": "b"},
    {"a": 1}, {1: "a"}, {"a": None}, datetime(2026, 1, 1), {"a"}, object(), int, float("nan"),  # noqa: DTZ001
]  # fmt: skip


def refused_by_botocore(call: Call) -> set[str]:
    """The parameters that botocore's validation names, but for those of the body, which a URL has not."""
    with frozen(call.place, validated=True) as client, contextlib.suppress(*CRASHES):
        try:
            client.generate_presigned_url(call.operation, dict(call.params))
        except ParamValidationError as error:
            named = {"".join(groups) for groups in REPORTED.findall(str(error))}
            if "Missing required parameter: '" in str(error):  # of a dict, without saying of which
                named.add("CopySource")
            if not named and "Invalid bucket name" not in str(error):
                raise
            return {name for name in named if getattr(lookup(call.operation).parameters.get(name), "place", "") != "body"}
    return set()


def refused_by_us(call: Call) -> set[str]:
    try:
        bind(call.operation, call.params)
    except InvalidRequest as error:
        return {match[1] for problem in error.problems if (match := re.fullmatch(r"params\['(.*)'\]", problem.argument))}
    return set()


def assert_refused_alike(call: Call) -> None:
    row = known_difference(call)
    assume(row is None or row.refusal is not None)
    assert refused_by_botocore(call) <= refused_by_us(call)


@st.composite
def spoilt_calls(draw: st.DrawFn, operation: str) -> Call:
    """A valid call, of which some parameters are left out, others are of another type, and some are unknown."""
    known = travelling(operation)
    params = {**call_of(operation).params, **{one.name: value_of(one) for one in draw(some(known))}}
    for parameter in draw(some(known)):
        params[parameter.name] = draw(st.sampled_from(VALUES))
    for parameter in draw(some(known)):
        params.pop(parameter.name, None)
    for name in draw(st.lists(st.sampled_from(["Bukket", "versionid", "", "Body2", "x-amz-acl"]), max_size=1)):
        params[name] = draw(st.sampled_from(VALUES))
    return Call(operation, params, validated=True)


def some(known: list[Parameter]) -> st.SearchStrategy[list[Parameter]]:
    return st.lists(st.sampled_from(known), unique=True, max_size=3) if known else st.just([])


@pytest.mark.parametrize("operation", NAMES)
@settings(max_examples=max(1, settings().max_examples // 5))
@given(st.data())
def test_what_botocore_refuses_is_refused(operation: str, data: st.DataObject) -> None:
    assert_refused_alike(data.draw(spoilt_calls(operation)))


@pytest.mark.parametrize("operation", NAMES)
def test_every_parameter_is_refused_with_every_value_that_botocore_refuses(operation: str) -> None:
    good = call_of(operation).params
    for parameter in travelling(operation):
        for value in VALUES:
            call = Call(operation, {**good, parameter.name: value}, validated=True)
            row = known_difference(call)
            if row is None or row.refusal is not None:
                assert refused_by_botocore(call) <= refused_by_us(call), (parameter.name, value)


@pytest.mark.parametrize("operation", NAMES)
def test_everything_that_an_operation_requires_is_asked_for_at_once(operation: str) -> None:
    required = {parameter.name for parameter in travelling(operation) if parameter.required}
    assert refused_by_us(Call(operation, {})) == required == refused_by_botocore(Call(operation, {}))


def misspelt(name: str) -> list[str]:
    """A parameter as another convention would have it, in small letters, and with a letter lost."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return [words, name.lower(), name.upper(), name[:-1]]


@pytest.mark.parametrize("operation", NAMES)
def test_the_right_name_of_a_misspelt_parameter_is_suggested(operation: str) -> None:
    known = lookup(operation).parameters
    for parameter in known.values():
        for wrong in set(misspelt(parameter.name)) - set(known):
            with pytest.raises(InvalidRequest) as caught:
                bind(operation, {**call_of(operation).params, wrong: "x"})
            (problem,) = caught.value.problems
            assert (problem.argument, problem.suggestion) == (f"params[{wrong!r}]", f"did you mean {parameter.name!r}?")
            assert problem.expected == f"a parameter of {lookup(operation).name}"


def test_a_message_names_operation_parameter_and_expectation() -> None:
    params: dict[str, Any] = {"Bucket": "b", "Keey": "k", "PartNumber": "1", "Range": "a\nb"}
    with pytest.raises(InvalidRequest) as caught:
        bind("get_object", params)
    assert str(caught.value).splitlines() == [
        "params['Keey']: expected a parameter of GetObject, got 'Keey'; did you mean 'Key'?",
        "params['Key']: expected a value, which GetObject requires, got nothing",
        "params['PartNumber']: expected an int of 64 bits for GetObject, got a str of length 1",
        "params['Range']: expected text without control characters for GetObject, got a str with a control character",
    ]
