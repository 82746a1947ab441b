"""Addresses and the reverse-path as text."""

from __future__ import annotations

import pytest

from posthouse.core import Address, path_text


@pytest.mark.parametrize(
    ("sender", "text"),
    [
        (None, ""),
        (Address("langrui", "sohu.com"), "langrui@sohu.com"),
        (Address("lang rui", "sohu.com"), '"lang rui"@sohu.com'),
        (Address("Postmaster"), "Postmaster"),
    ],
)
def test_the_reverse_path_as_text(sender: Address | None, text: str) -> None:
    assert path_text(sender) == text
