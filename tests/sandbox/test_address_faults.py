"""Faults by address: the table of words and places, what is no such address, and how often each strikes."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.core import Address, Reply
from posthouse.sandbox.address_faults import PLACES, WORDS, AddressFault, AddressFaults, parse_address_fault
from posthouse.sandbox.faulty_policy import Moment


def address(local: str) -> Address:
    return Address(local, "example.com")


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.word)
@pytest.mark.parametrize("place", PLACES)
def test_each_word_at_each_place(word: object, place: str) -> None:
    local = word.word.replace("CODE", "452") + place  # type: ignore[attr-defined]
    for spelt in (local, local.upper(), f"{local}+7", f"{local}+7+ann", f"{local}+ann"):
        fault = parse_address_fault(spelt)
        assert fault is not None, spelt
        assert fault.stage == PLACES[place][0]
        assert local in fault.strike.why


@pytest.mark.parametrize(
    ("local", "code", "times"),
    [
        ("tempfail", 451, 0),
        ("tempfail+3", 451, 3),
        ("permfail+1+ann", 550, 1),
        ("greylist", 451, 1),
        ("greylist+2", 451, 2),
        ("mailbox-full", 552, 0),
        ("reply-421", 421, 0),
        ("reply-599-after-data+2", 599, 2),
        ("drop+4", None, 4),
        ("drop-at-data", None, 0),
    ],
)
def test_numbers_are_times(local: str, code: int | None, times: int) -> None:
    fault = parse_address_fault(local)
    assert isinstance(fault, AddressFault)
    assert fault.times == times
    assert (fault.strike.reply.code if fault.strike.reply else None) == code
    assert fault.strike.drop is local.startswith("drop")


@pytest.mark.parametrize(("local", "seconds"), [("slow", 5), ("slow+0", 0), ("slow+12", 12), ("slow+99999", 300)])
def test_the_number_of_slow_is_seconds(local: str, seconds: float) -> None:
    fault = parse_address_fault(local)
    assert fault is not None
    assert (fault.strike.delay, fault.times, fault.strike.reply) == (seconds, 0, None)


@pytest.mark.parametrize(
    "local",
    [
        "ann",
        "tempfails",
        "x-tempfail",
        "tempfail-",
        "tempfail-before-data",
        "tempfail3",
        "tempfail+0",
        "reply",
        "reply-CODE",
        "reply-251",
        "reply-4511",
        "reply+451",
        "slow.down",
        "",
        "drop-after-data-at-data",
    ],
)
def test_other_addresses_are_ordinary(local: str) -> None:
    assert parse_address_fault(local) is None


def test_replies_begin_with_the_same_digit_as_their_enhanced_codes() -> None:
    for local in ("reply-421", "reply-550", *(each.word for each in WORDS if "CODE" not in each.word)):
        fault = parse_address_fault(local)
        assert fault is not None
        reply = fault.strike.reply
        assert reply is None or (isinstance(reply, Reply) and str(reply.code)[0] == reply.enhanced[0])


def test_each_address_is_counted_by_itself() -> None:
    faults = AddressFaults()

    def struck(local: str, stage: str = "rcpt") -> bool:
        return faults.strike(Moment(stage, recipients=(address(local),))) is not None

    assert [struck("tempfail+2") for _ in range(4)] == [True, True, False, False]
    assert [struck("TempFail+2") for _ in range(2)] == [False, False]
    assert [struck("tempfail+2+ann") for _ in range(3)] == [True, True, False]
    assert [struck("tempfail") for _ in range(9)] == [True] * 9
    assert not struck("tempfail", "data")
    assert [struck("drop-after-data+1", stage) for stage in ("rcpt", "data", "end", "end")] == [
        False,
        False,
        True,
        False,
    ]


def test_the_first_recipient_with_a_fault_decides_on_the_message() -> None:
    faults = AddressFaults()
    recipients = tuple(map(address, ("ann", "tempfail-after-data+1", "permfail-after-data")))
    assert faults.watches("data", recipients)
    assert not faults.watches("data", (address("ann"), address("bob")))
    codes = []
    for _ in range(2):
        strike = faults.strike(Moment("end", recipients=recipients))
        assert strike is not None
        assert strike.reply is not None
        codes.append(strike.reply.code)
    assert codes == [451, 550]


def test_counts_are_bounded() -> None:
    faults = AddressFaults()
    for number in range(10_001):
        assert faults.strike(Moment("rcpt", recipients=(address(f"tempfail+1+{number}"),)))
    assert len(faults._struck) == 10_000
    assert faults.strike(Moment("rcpt", recipients=(address("tempfail+1+0"),))), "counted longest ago, and forgotten"
    assert faults.strike(Moment("rcpt", recipients=(address("tempfail+1+9999"),))) is None


def test_the_manual_has_the_table() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
    for word in WORDS:
        assert f"| `{word.word}` | {word.meaning} | {word.number} |\n" in text
    for place, (_, meaning) in PLACES.items():
        assert not place or f"| `{place}` | {meaning} |\n" in text
    assert text.count("\n| `-") == len(PLACES) - 1
