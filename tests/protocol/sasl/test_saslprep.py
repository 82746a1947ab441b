"""SASLprep: the examples of RFC 4013 §3, and names that must not be two."""

from __future__ import annotations

import pytest

from posthouse.protocol.sasl import NotPrepared, prepare


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("e\u0301", "\u00e9"),
        ("\uff21", "A"),
        ("", ""),
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
    ],
)
def test_prepared(text: str, prepared: str) -> None:
    assert prepare(text) == prepared


@pytest.mark.parametrize(
    "text",
    [
        "\x07",
        "a\tb",
        "a\nb",
        "a\0b",
        "\x7f",
        "\u0085é",
        "\u0627\u0031",  # right-to-left, ends with a digit
        "a\u0627",
        "\u200ea\u00e9",
        "\ue000",
        "\ud800",
        "\U000e0041",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(NotPrepared) as caught:
        prepare(text)
    assert text not in str(caught.value)


def test_a_new_character_may_be_compared_and_not_stored() -> None:
    assert prepare("\u0221") == "\u0221"  # unassigned in Unicode 3.2
    with pytest.raises(NotPrepared, match="newer"):
        prepare("\u0221", new=True)
