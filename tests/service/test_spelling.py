"""Spellings of one address that name the same inbox."""

from __future__ import annotations

import pytest

from posthouse.service.operations.spelling import inbox_name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Bob@X.test", "bob@x.test"),
        (" <bob@x.test> ", "bob@x.test"),
        ("JOSÉ@x.test", "josé@x.test"),
        ("Jose\u0301@x.test", "jos\u00e9@x.test"),
        ("bob@Bücher.test", "bob@xn--bcher-kva.test"),
        ("bob", "bob"),
    ],
)
def test_an_inbox_is_found_under_every_spelling_of_its_name(written: str, name: str) -> None:
    assert inbox_name(written) == name
