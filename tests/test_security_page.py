"""The page on security names a test for each threat, and each test is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| threat ")]


def names(path: Path) -> set[str]:
    """The functions and names that a test module defines."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize("named", NAMED)
def test_each_named_test_is_there(named: str) -> None:
    file, _, test = named.partition("::")
    path = ROOT / file
    assert path.is_file(), f"{file} is named in docs/security.md"
    assert not test or test in names(path), f"{named} is named in docs/security.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_each_threat_has_a_test(row: str) -> None:
    assert "`tests/" in row


def test_there_are_threats() -> None:
    assert len(ROWS) > 30
