"""``SendResult``: what it answers, when it counts as seen, and that it is a value."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import warnings
from collections.abc import Callable

import pytest

from posthouse import Ambiguous, SendFailed, SendResult, UnseenFailureWarning
from posthouse.core import Address, Outcome, PosthouseError, Recipient, Reply, Result


def outcome(address: str, result: Result = Result.DELIVERED) -> Outcome:
    local, _, domain = address.partition("@")
    reply = {Result.DELIVERED: Reply(250, "2.0.0", "OK"), Result.FAILED: Reply(550, "5.1.1", "no such user")}.get(
        result
    )
    return Outcome(Recipient(Address(local, domain)), result, reply, f"mx said {result}")


def test_it_answers_for_each_recipient() -> None:
    result = SendResult(
        [outcome("a@x.example"), outcome("b@x.example", Result.FAILED), outcome("c@x.example", Result.DEFERRED)]
    )
    assert not result.ok
    assert not result
    assert [each.result for each in result] == [Result.DELIVERED, Result.FAILED, Result.DEFERRED]
    assert result["b@X.example"].reply == Reply(550, "5.1.1", "no such user")
    assert (len(result.delivered), len(result.failed), len(result.deferred), len(result.ambiguous)) == (1, 1, 1, 0)
    assert result["c@x.example"].temporary
    assert not result["b@x.example"].temporary
    with pytest.raises(KeyError, match=r"nobody@x\.example is no recipient"):
        result["nobody@x.example"]


def test_a_domain_is_found_in_either_form() -> None:
    result = SendResult([outcome("info@faß.de")])
    assert result["info@xn--fa-hia.de"] is result["info@faß.de"]
    assert Address("info", "faß.de") in result
    assert "info@fass.de" not in result


def test_raise_for_failures_returns_a_good_result_and_raises_for_others() -> None:
    good = SendResult([outcome("a@x.example")])
    assert good.raise_for_failures() is good
    with pytest.raises(SendFailed, match=r"1 of 2 .* did not get the message: b@x\.example failed") as raised:
        SendResult([outcome("a@x.example"), outcome("b@x.example", Result.FAILED)]).raise_for_failures()
    assert not isinstance(raised.value, Ambiguous)
    assert raised.value.result["a@x.example"].result is Result.DELIVERED
    with pytest.raises(Ambiguous):
        SendResult(
            [outcome("a@x.example", Result.FAILED), outcome("b@x.example", Result.AMBIGUOUS)]
        ).raise_for_failures()
    again = pickle.loads(pickle.dumps(raised.value))
    assert str(again) == str(raised.value)
    assert again.result == raised.value.result
    assert isinstance(again, PosthouseError)


def test_a_failure_that_nothing_looked_at_is_warned_of() -> None:
    with pytest.warns(UnseenFailureWarning, match=r"1 of 2 recipients .* b@x\.example failed: mx said failed"):
        SendResult([outcome("a@x.example"), outcome("b@x.example", Result.FAILED)])


def raises(result: SendResult) -> None:
    with pytest.raises(SendFailed):
        result.raise_for_failures()


LOOKS: list[Callable[[SendResult], object]] = [
    lambda result: result.ok,
    bool,
    list,
    repr,
    pickle.dumps,
    lambda result: result["b@x.example"],
    lambda result: result.failed,
    lambda result: result.to_json(),
    raises,
]


@pytest.mark.parametrize("look", LOOKS)
def test_looking_at_a_result_is_enough(look: Callable[[SendResult], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = SendResult([outcome("b@x.example", Result.FAILED)])
        look(result)
        del result
        gc.collect()


def test_a_good_result_may_be_dropped() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SendResult([outcome("a@x.example")])
        gc.collect()


def test_it_is_a_value() -> None:
    result = SendResult([outcome("a@x.example")], queue_id="7", transcript=["S: EHLO x"], index=3, message=b"x")
    same = pickle.loads(pickle.dumps(result))
    assert (same, same.transcript, same.index, same.message) == (result, ("S: EHLO x",), 3, b"x")
    assert {same: 1}[result] == 1
    assert copy.copy(result) == result
    assert result != 1
    with pytest.raises(AttributeError, match="cannot be changed"):
        result.queue_id = "8"
    found = json.loads(result.to_json())
    assert (found["ok"], found["queue_id"], found["outcomes"][0]["code"]) == (True, "7", 250)
    assert found["transcript"] == ["S: EHLO x"]
