"""The API reference: every public name has an entry, a docstring and a running example; a user's program is checked."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import posthouse
from docs_pages.api import named, page

ROOT = Path(__file__).resolve().parents[1]
#: Not on the page: the number of this version.
EXCEPTED = {"__version__"}
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", page(""), re.DOTALL | re.MULTILINE)


def test_every_public_name_has_an_entry() -> None:
    assert set(named()) == set(posthouse.__all__) - EXCEPTED


def test_every_public_name_has_a_docstring() -> None:
    for name in named():
        text = getattr(posthouse, name).__doc__ or ""
        assert len(text.split()) >= 3, name
        assert not text.startswith(f"{name}("), f"{name} has only the text that Python makes"


def used(text: str) -> set[str]:
    """The names of posthouse that an example uses."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=ast.Name(id="posthouse"), attr=name):
                found.add(name)
            case ast.ImportFrom(module="posthouse", names=names):
                found.update(each.name for each in names)
    return found


def test_every_public_name_is_used_in_an_example() -> None:
    every = set().union(*map(used, EXAMPLES))
    assert set(posthouse.__all__) - EXCEPTED <= every


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_run(number: int) -> None:
    exec(compile(EXAMPLES[number], f"docs/api.md, example {number + 1}", "exec"), {"__name__": "example"})


def test_pyright_accepts_users_programs(tmp_path: Path) -> None:
    """In its strict mode.  mypy reads the same program in ``scripts/check``."""
    settings = {
        "include": [
            str(ROOT / "tests/typing/user_program.py"),
            str(ROOT / "tests/typing/sending_program.py"),
            str(ROOT / "examples"),
        ],
        "exclude": [str(ROOT / "examples/django_mail.py")],  # Django has no types
        "extraPaths": [str(ROOT / "src")],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "-p", str(tmp_path), "--pythonpath", sys.executable]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout
    assert "0 errors" in result.stdout
