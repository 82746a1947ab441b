"""Exports: each package, nested ones too, and each module has an ``__all__`` that is sorted and complete."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs_pages.imports import PACKAGE, SOURCE

FILES = sorted(file for file in SOURCE.rglob("*.py") if file.name != "__main__.py")
FOLDERS = sorted({file.parent for file in SOURCE.rglob("*.py")})

LAZILY = f"{PACKAGE}.core._lazy"  # the mechanism of lazy re-exports; a package does not re-export it


def public(name: str) -> bool:
    return not name.startswith("_")


def definitions(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines for others: classes, functions, constants and type aliases.

    A variable in lower case (a logger, a compiled expression) is internal to the module, and so is a type variable.  A
    function that a decorator passes to an object of this module (``@queue.command``) is reached through that object.
    """
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not any(isinstance(each, ast.Call) and own_object(each.func, tree) for each in node.decorator_list):
                    yield name
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                if not name.islower() and not type_variable(value):
                    yield name


def own_object(decorator: ast.expr, tree: ast.Module) -> bool:
    """True for a decorator ``name.method`` where this module defines ``name``."""
    own = {getattr(node, "name", "") for node in tree.body}
    return isinstance(decorator, ast.Attribute) and isinstance(decorator.value, ast.Name) and decorator.value.id in own


def type_variable(value: ast.expr | None) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in ("TypeVar", "ParamSpec", "TypeVarTuple")
    )


def collected(tree: ast.Module, exported: list[str]) -> set[str]:
    """The names inside an exported constant (``CHECKS = (echoes, ...)``): they are reached through the constant."""
    found = set()
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if name in exported and name.isupper():
                found |= {each.id for each in ast.walk(value) if isinstance(each, ast.Name)}
    return found


def reexported(tree: ast.Module) -> Iterator[str]:
    """The names that an ``__init__`` imports from posthouse, at module level or lazily under ``TYPE_CHECKING``."""
    for node in tree.body:
        match node:
            case ast.ImportFrom():
                yield from imported_from_posthouse(node)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
                for each in body:
                    if isinstance(each, ast.ImportFrom):
                        yield from imported_from_posthouse(each)


def imported_from_posthouse(node: ast.ImportFrom) -> Iterator[str]:
    internal = node.level > 0 or (node.module or "").split(".")[0] == PACKAGE
    if internal and node.module != LAZILY:
        yield from (alias.asname or alias.name for alias in node.names)


def listed(tree: ast.Module) -> list[str] | None:
    """The literal ``__all__``, or None."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return list(ast.literal_eval(value))
            case ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value):
                return list(ast.literal_eval(value))
    return None


def faults(text: str, *, package: bool) -> list[str]:
    """What is wrong with the ``__all__`` of a module with this text; ``package`` if it is a package's ``__init__``."""
    tree = ast.parse(text)
    exported = listed(tree)
    names = set(definitions(tree)) | (set(reexported(tree)) if package else set())
    names = {name for name in names if public(name) and name != "TYPE_CHECKING"}
    if exported is None:
        return [f"there is no __all__; it would be {sorted(names)}"] if names or package else []
    wrong = []
    if exported != sorted(set(exported)):
        wrong.append(f"__all__ is not sorted, or contains a name twice; sorted: {sorted(set(exported))}")
    if missing := sorted(names - set(exported) - collected(tree, exported)):
        wrong.append(f"__all__ leaves out {missing}; list them, or begin their names with an underscore")
    return wrong


def lazy_names(tree: ast.Module) -> set[tuple[str, str]]:
    """(module, name) of each import under ``TYPE_CHECKING`` in an ``__init__``: these names are lazy."""
    return {
        (str(each.module), alias.name)
        for node in tree.body
        if isinstance(node, ast.If)
        for each in node.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }


def module_name(file: Path) -> str:
    parts = [PACKAGE, *file.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("file", FILES, ids=module_name)
def test_all_is_sorted_and_complete(file: Path) -> None:
    package = file.name == "__init__.py" and file.parent != SOURCE
    wrong = faults(file.read_text(encoding="utf-8"), package=package)
    module = importlib.import_module(module_name(file))
    absent = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
    if absent:
        wrong.append(f"__all__ lists {absent}, which do not exist")
    assert not wrong, f"{file.relative_to(SOURCE.parent)}: {'; '.join(wrong)}"


def without_init(folders: list[Path]) -> list[Path]:
    return [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_each_folder_is_a_package() -> None:
    assert not without_init(FOLDERS), "folders with modules and without an __init__.py"


def test_a_folder_without_init_is_found(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    nested = tmp_path / "nested"
    nested.mkdir()
    assert without_init([tmp_path, nested]) == [nested]


@pytest.mark.parametrize(
    ("text", "package", "complaint"),
    [
        ("def f(): ...", False, "no __all__"),
        ("__all__ = ['b', 'a']\na = b = 1", False, "not sorted"),
        ("__all__ = ['f', 'f']\ndef f(): ...", False, "twice"),
        ("__all__ = ['f']\ndef f(): ...\nclass G: ...", False, "leaves out ['G']"),
        ("__all__ = []\nLIMIT = 5", False, "leaves out ['LIMIT']"),
        ("from posthouse.core import Reply\n__all__ = []", True, "leaves out ['Reply']"),
        ("from .sqlite import Spool\n__all__ = []", True, "leaves out ['Spool']"),
        ("if TYPE_CHECKING:\n    from posthouse.core import Reply\n__all__ = []", True, "leaves out ['Reply']"),
        ("'''A package.'''", True, "no __all__"),
        ("import click\n__all__ = []\n@click.command()\ndef show(): ...", False, "leaves out ['show']"),
        ("__all__ = []\ndef check(): ...\n_ALL = (check,)", False, "leaves out ['check']"),
    ],
)
def test_a_wrong_list_is_found(text: str, package: bool, complaint: str) -> None:
    (found,) = faults(text, package=package)
    assert complaint in found


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("import re\n_A = re.compile('a')\nlog = 1", False),
        ("__all__ = ['A', 'b']\nclass A: ...\ndef b(): ...\ndef _c(): ...", False),
        ("from posthouse.core.reply import Reply\n__all__ = ['Reply']", True),
        ("__all__: list[str] = []", True),
        ("from typing import TypeVar\nT = TypeVar('T')", False),
        ("__all__ = ['queue']\ndef queue(): ...\n@queue.command()\ndef show(): ...", False),
        ("__all__ = ['CHECKS']\ndef check(): ...\nCHECKS = (check,)", False),
    ],
)
def test_a_right_list_passes(text: str, package: bool) -> None:
    assert faults(text, package=package) == []


LAZY_PACKAGES = [file for file in FILES if file.name == "__init__.py" and "lazily(" in file.read_text(encoding="utf-8")]


def test_some_packages_are_lazy() -> None:
    assert f"{PACKAGE}.service" in map(module_name, LAZY_PACKAGES)


@pytest.mark.parametrize("init", LAZY_PACKAGES, ids=module_name)
def test_lazy_names_are_those_of_the_type_checker(init: Path) -> None:
    tree = ast.parse(init.read_text(encoding="utf-8"))
    lazy = lazy_names(tree)
    assert lazy, f"{module_name(init)} calls lazily and imports nothing under TYPE_CHECKING"
    package = importlib.import_module(module_name(init))
    modules = {file.stem for file in init.parent.glob("*.py")} | {folder.name for folder in init.parent.iterdir()}
    # Importing the module would make the name the module, and what a program gets would depend on what came before.
    assert not {name for _, name in lazy} & modules, "a lazy name is no module's name"
    for module, name in lazy:
        assert package.__getattr__(name) is getattr(importlib.import_module(module), name)
    eager = {name for node in tree.body if isinstance(node, ast.ImportFrom) for name in imported_from_posthouse(node)}
    for name in eager:
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            package.__getattr__(name)
    with pytest.raises(AttributeError, match="no attribute 'horse'"):
        package.horse  # noqa: B018


@pytest.mark.parametrize("package", ["mailauth", "message", "sending", "testing"])
def test_dir_lists_what_is_imported_at_its_first_use(package: str) -> None:
    """Shells and editors complete the names that ``dir`` has."""
    module = importlib.import_module(f"{PACKAGE}.{package}")
    assert set(module.__all__) <= set(dir(module))
