"""The compiled product is the same product: what pyproject.toml lists is there, and is what runs when it should."""

from __future__ import annotations

import ast
import importlib
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import compiling
from posthouse.core._mypyc import compiled, mypyc_attr
from posthouse.server import Server

ROOT = Path(__file__).resolve().parents[1]


def test_every_module_that_is_to_be_compiled_exists_once_and_in_order() -> None:
    paths = compiling.modules(ROOT)
    assert paths == sorted(set(paths))
    assert len(paths) > 20


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.posthouse]\ncompiled = ["core.nothing"]\n')
    with pytest.raises(SystemExit, match=r"names posthouse/core/nothing\.py, and there is no src/"):
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


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in compiling.modules(ROOT):
        for node in ast.walk(ast.parse((ROOT / "src" / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path}: {node.name}", node


def test_exceptions_of_two_kinds_have_two_names() -> None:
    """One variable has one type in C: ``except A as error`` and ``except B as error`` would make a TypeError of B."""
    wrong = []
    for where, function in _functions():
        kinds: dict[str, set[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                kinds.setdefault(node.name, set()).add(ast.unparse(node.type))
        wrong += [f"{where}: {name} is {' and '.join(sorted(of))}" for name, of in kinds.items() if len(of) > 1]
    assert wrong == []


def test_nothing_is_awaited_while_an_exception_is_handled() -> None:
    """A compiled coroutine that waits there leaves the exception it handles to whoever runs meanwhile: it would be the
    context of theirs, and stay in memory."""
    wrong = []
    for where, function in _functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Try):
                inside = [*node.finalbody, *(each for handler in node.handlers for each in handler.body)]
                waits = [each for part in inside for each in ast.walk(part)]
                if any(isinstance(each, ast.Await | ast.Yield | ast.YieldFrom) for each in waits):
                    wrong.append(f"{where}, line {node.lineno}")
            if isinstance(node, ast.AsyncWith | ast.AsyncFor):
                wrong.append(f"{where}, line {node.lineno}: async with, async for")
    assert wrong == []


#: Calls that may be made twice: they only look.
_LOOKS = {"len", "min", "max", "start", "end", "rfind", "rindex", "find", "split"}


def test_the_bound_of_a_slice_changes_nothing() -> None:
    """A call in the bound of a slice is made twice where the object is no list, text, tuple or octets: a memoryview."""
    wrong = []
    for where, function in _functions():
        slices = [node for node in ast.walk(function) if isinstance(node, ast.Slice)]
        for call in (each for part in slices for each in ast.walk(part) if isinstance(each, ast.Call)):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
            if called not in _LOOKS:
                wrong.append(f"{where}, line {call.lineno}: {ast.unparse(call)}")
    assert wrong == []


def _classes() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class of the source with the dotted name of its module."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield module, node


def test_a_subclass_of_a_compiled_class_is_compiled_or_allowed() -> None:
    """The first object of an interpreted subclass would raise TypeError."""
    hot = {path.removesuffix(".py").replace("/", ".") for path in map(str, compiling.modules(ROOT))}
    closed = {
        node.name
        for module, node in _classes()
        if module in hot
        and not any(ast.unparse(base).partition("[")[0] in _NOT_NATIVE for base in node.bases)
        and not any("allow_interpreted_subclasses=True" in ast.unparse(each) for each in node.decorator_list)
    }
    wrong = [
        f"{module}: {node.name} inherits from the compiled {base}"
        for module, node in _classes()
        if module not in hot
        for base in (ast.unparse(each).partition("[")[0].rpartition(".")[2] for each in node.bases)
        if base in closed
    ]
    assert wrong == []


#: Bases whose classes mypyc leaves to the interpreter.
_NOT_NATIVE = {"NamedTuple", "Protocol", "enum.Enum", "enum.StrEnum", "enum.IntEnum", "enum.Flag", "Exception"}


class _Interface:
    """As much of hatchling's as the hook uses."""

    root, target_name = str(ROOT), "wheel"
    metadata = SimpleNamespace(
        core=SimpleNamespace(dependencies=["idna"], optional_dependencies={"daemon": ["msgspec"]})
    )


@pytest.mark.parametrize(
    ("wanted", "version"), [("1", "standard"), ("", "standard"), ("0", "standard"), ("1", "editable")]
)
def test_a_wheel_is_compiled_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, version: str
) -> None:
    interface = ModuleType("hatchling.builders.hooks.plugin.interface")
    monkeypatch.setattr(interface, "BuildHookInterface", _Interface, raising=False)
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    monkeypatch.setenv("POSTHOUSE_COMPILED", wanted)
    hook = runpy.run_path(str(ROOT / "scripts" / "build_hook.py"))
    made = [Path("posthouse__mypyc.so"), Path("posthouse/core/reply.so")]
    into: list[Path] = []

    def compile_into(root: Path, out: Path) -> list[Path]:
        assert root == ROOT
        into.append(out)
        return made

    compiler = SimpleNamespace(compile_into=compile_into)
    one = hook["CompiledHook"]()
    monkeypatch.setitem(one.initialize.__globals__, "_compiling", lambda root: compiler)
    data: dict[str, Any] = {"force_include": {}, "pure_python": True, "infer_tag": False}
    one.initialize(version, data)
    one.finalize(version, data, "a.whl")
    if wanted == "1" and version == "standard":
        assert data["force_include"] == {str(into[0] / path): str(path) for path in made}
        assert (data["pure_python"], data["infer_tag"]) == (False, True)
        assert not into[0].parent.exists()
    else:
        assert data == {"force_include": {}, "pure_python": True, "infer_tag": False}
        assert into == []
    needs = one.dependencies()
    assert ({"idna", "msgspec"} <= set(needs) and any(each.startswith("mypy") for each in needs)) is (wanted == "1")


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
