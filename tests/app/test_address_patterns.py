"""Address patterns: what they match, what they refuse to be, and how much work a hostile address can cause."""

from __future__ import annotations

import enum
import uuid
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.app.address_patterns import AddressPattern, converter_of
from posthouse.core import Address, LocalError
from posthouse.protocol.grammar import parse_mailbox


@pytest.mark.parametrize(
    ("pattern", "address", "found"),
    [
        ("orders@example.com", "orders@example.com", {}),
        ("orders@example.com", "ORDERS@EXAMPLE.COM", {}),
        ("orders@example.com", "orders@example.org", None),
        ("orders+{tag}@example.com", "orders+17@example.com", {"tag": "17"}),
        ("orders+{tag}@example.com", "Orders+Abc@example.com", {"tag": "Abc"}),
        ("orders+{tag}@example.com", "orders@example.com", None),
        ("orders+{tag}@example.com", "orders+@example.com", None),
        ("orders+{tag}@example.com", "orders+a+b@example.com", {"tag": "a+b"}),
        ("{a}-{b}@example.com", "1-2-3@example.com", {"a": "1", "b": "2-3"}),
        ("{a}-{b}@example.com", "-2@example.com", None),
        ("{a}-{b}-x@example.com", "1-2-3-x@example.com", {"a": "1", "b": "2-3"}),
        ("{name}@{shop}.example.com", "ann@north.example.com", {"name": "ann", "shop": "north"}),
        ("{name}@{shop}.example.com", "ann@example.com", None),
        ("*@example.com", "anyone@example.com", {}),
        ("slow@*", "slow@sina.com", {}),
        ("a{{{x}}}@example.com", "a{1}@example.com", {"x": "1"}),
        ("{local}", "ann@sina.com", {"local": "ann"}),
        ("info@bücher.example", "info@xn--bcher-kva.example", {}),
        ("info@xn--bcher-kva.example", "info@bücher.example", {}),
        ("JÖRG+{x}@example.com", "jörg+1@example.com", {"x": "1"}),
        ("{x}@[192.0.2.1]", "ann@[192.0.2.1]", {"x": "ann"}),
        ("ann@[192.0.2.1]", "ann@[192.0.2.1]", {}),
        ("postmaster@example.com", "Postmaster", {}),
        ("ann@example.com", "Postmaster", None),
        ("{x} y@example.com", '"a y"@example.com', {"x": "a"}),
    ],
)
def test_a_pattern_matches_an_address(pattern: str, address: str, found: dict[str, str] | None) -> None:
    assert AddressPattern(pattern).match(parse_mailbox(address)) == found


@pytest.mark.parametrize(
    ("pattern", "cause"),
    [
        ("{a}{b}@example.com", "two parameters in a row"),
        ("{a}@{a}", "a parameter twice"),
        ("{a b}@example.com", "no name of Python"),
        ("{}@example.com", "no name of Python"),
        ("a{@example.com", "single brace"),
        ("@example.com", "nothing on one side"),
        ("a@", "no right domain"),
        ("a@ex ample", "no right domain"),
        ("-".join(f"{{p{n}}}" for n in range(9)), "more than 8"),
    ],
)
def test_a_text_that_is_no_pattern_is_refused_with_its_cause(pattern: str, cause: str) -> None:
    with pytest.raises(LocalError, match=cause):
        AddressPattern(pattern)


def test_a_hostile_address_costs_one_pass() -> None:
    """Eight parameters before a text that does not come: a pattern that tries all ways would never end."""
    pattern = AddressPattern("-".join(f"{{p{n}}}" for n in range(8)) + "x@example.com")
    assert pattern.match(Address("a-" * 200_000, "example.com")) is None


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=4))
def test_what_is_put_together_is_taken_apart(parts: list[str]) -> None:
    pattern = AddressPattern("+".join(f"{{p{n}}}" for n in range(len(parts))) + "@example.com")
    assert pattern.match(Address("+".join(parts), "example.com")) == {f"p{n}": each for n, each in enumerate(parts)}


class Shop(enum.Enum):
    NORTH = "north"
    SOUTH = "south"


ID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, "x", "x"),
        (int, "17", 17),
        (int, "-5", -5),
        (float, "2.5", 2.5),
        (Shop, "North", Shop.NORTH),
        (Literal["a", "b"], "B", "b"),
        (uuid.UUID, str(ID), ID),
        (uuid.UUID, ID.hex, ID),
    ],
)
def test_a_parameter_gets_its_type(kind: object, text: str, value: object) -> None:
    convert = converter_of(kind)
    assert convert is not None
    assert convert(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [(int, "2_5"), (int, "٣"), (int, "1" * 19), (float, "nan"), (float, "1e9"), (Shop, "east"), (uuid.UUID, "{1}")],
)
def test_a_text_of_another_type_is_refused(kind: object, text: str) -> None:
    convert = converter_of(kind)
    assert convert is not None
    with pytest.raises(ValueError, match="not"):
        convert(text)


def test_a_type_that_no_text_has_is_none() -> None:
    assert converter_of(bytes) is None
    assert converter_of(int | str) is None
