"""A module has at most 400 lines and a function at most 60; one that needs more says why.

The reason stands in its docstring, in a sentence that begins "Over budget:", and is repeated in the notes at the end
of a run, so that nobody forgets it is there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from docs_pages.imports import SOURCE

MODULE = 400
FUNCTION = 60
EXCUSE = "Over budget:"


class Excess(NamedTuple):
    """Something larger than its budget, with the excuse it makes."""

    what: str
    lines: int
    budget: int
    excuse: str

    def __str__(self) -> str:
        text = f"{self.what}: {self.lines} lines, the budget is {self.budget}"
        return f"{text}. {self.excuse}" if self.excuse else text


def excesses(text: str, name: str) -> Iterator[Excess]:
    """What is over budget in a module with this text, called ``name``."""
    tree = ast.parse(text)
    lines = text.count("\n")
    if lines > MODULE:
        yield Excess(name, lines, MODULE, excuse(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION:
                yield Excess(f"{name}:{node.lineno} {node.name}()", lines, FUNCTION, excuse(node))


def excuse(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The sentence of the docstring that begins "Over budget:", or ""."""
    docstring = " ".join((ast.get_docstring(node) or "").split())
    _, found, reason = docstring.partition(EXCUSE)
    sentence = reason.strip().split(". ")[0].rstrip(".")
    return f"{EXCUSE} {sentence}." if found and sentence else ""


def test_everything_is_within_its_budget_or_says_why_not(record_property: Callable[[str, object], None]) -> None:
    found = [
        excess
        for file in sorted(SOURCE.rglob("*.py"))
        for excess in excesses(file.read_text(encoding="utf-8"), str(file.relative_to(SOURCE.parent)))
    ]
    for excess in found:
        if excess.excuse:
            record_property("note", str(excess))
    unexcused = [str(excess) for excess in found if not excess.excuse]
    assert not unexcused, "split, or say why in the docstring (Over budget: ...):\n" + "\n".join(unexcused)


def test_every_module_opens_with_its_strategy() -> None:
    silent = [
        str(file.relative_to(SOURCE.parent))
        for file in sorted(SOURCE.rglob("*.py"))
        if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not silent, f"without a docstring: {', '.join(silent)}"


LONG_FUNCTION = "def f():\n" + "    pass\n" * FUNCTION


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1\n" * MODULE, []),
        ("x = 1\n" * (MODULE + 1), ["m.py: 401 lines, the budget is 400"]),
        (LONG_FUNCTION, ["m.py:1 f(): 61 lines, the budget is 60"]),
        ('"""Law.\n\nOver budget: it is one table. And so on."""\n' + "x = 1\n" * MODULE,
         ["m.py: 403 lines, the budget is 400. Over budget: it is one table."]),
        ('"""Over budget:"""\n' + "x = 1\n" * MODULE, ["m.py: 401 lines, the budget is 400"]),
    ],
    ids=["within", "long module", "long function", "excused", "empty excuse"],
)  # fmt: skip
def test_an_excess_is_found(text: str, found: list[str]) -> None:
    assert [str(excess) for excess in excesses(text, "m.py")] == found


def test_source_is_where_we_look() -> None:
    assert (SOURCE / "__init__.py").is_file()
    assert Path(__file__).resolve().parents[1] / "src" / "posthouse" == SOURCE
