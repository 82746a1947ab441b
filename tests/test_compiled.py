"""The compiled product is the same product: what pyproject.toml lists is there, and is what runs when it should."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

import compiling
from posthouse.server import Server
from posthouse.words.native import compiled, mypyc_attr

ROOT = Path(__file__).resolve().parents[1]


def test_every_module_that_is_to_be_compiled_exists_once_and_in_order() -> None:
    paths = compiling.modules(ROOT)
    assert paths == sorted(set(paths))
    assert len(paths) > 20


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.posthouse]\ncompiled = ["words.nothing"]\n')
    with pytest.raises(SystemExit, match=r"names posthouse/words/nothing\.py, and there is no src/"):
        compiling.modules(tmp_path)


def test_the_fingerprint_changes_with_a_source_and_with_the_list(tmp_path: Path) -> None:
    source = tmp_path / "src" / "posthouse" / "a.py"
    source.parent.mkdir(parents=True)
    source.write_text("A = 1\n")
    (tmp_path / "pyproject.toml").write_text("one")
    prints = [compiling.fingerprint(tmp_path), compiling.fingerprint(tmp_path)]
    source.write_text("A = 2\n")
    prints.append(compiling.fingerprint(tmp_path))
    (tmp_path / "pyproject.toml").write_text("two")
    prints.append(compiling.fingerprint(tmp_path))
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_what_runs_is_what_was_asked_for() -> None:
    """All listed modules or none, and none of the others."""
    wanted = os.environ.get("POSTHOUSE_TESTED") == "compiled"
    assert compiled() is wanted
    listed = {path.removesuffix(".py").replace("/", ".") for path in compiling.modules(ROOT)}
    for name in listed:
        importlib.import_module(name)
    for name, module in list(sys.modules.items()):
        if name.startswith("posthouse.") and name.partition(".testing")[1] == "" and module.__file__ is not None:
            assert module.__file__.endswith(".py") is not (wanted and name in listed), name


def test_a_class_that_says_so_can_be_inherited_from_either_way() -> None:
    class Mine(Server):
        greeting = "hello"

        @property
        def sessions(self) -> int:
            return 7

    assert Mine.__mro__[1] is Server
    assert Mine.sessions.fget is not None
    kept = mypyc_attr(allow_interpreted_subclasses=True)(Mine)
    assert kept is Mine
