"""What a room gives away is a decision, written down: one ``__all__`` per room and per module, sorted and true."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs_pages.imports import LAYERS, PACKAGE, SOURCE

ROOMS = [*(room for layer in LAYERS[:7] for room in layer), "testing"]
FILES = sorted(file for file in SOURCE.rglob("*.py") if file.name != "__main__.py")

LAZILY = f"{PACKAGE}.core._lazy"  # how a door opens is not what it gives


def public(name: str) -> bool:
    return not name.startswith("_")


def definitions(tree: ast.Module) -> Iterator[str]:
    """The names that a module makes for others: classes, functions, constants and type aliases.

    A variable in lower case (a logger, a compiled expression) is the module's own affair, and so is a type variable.  A
    function that a decorator hands to an object of this module (``@queue.command``) is reached through that object.
    """
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if not any(isinstance(each, ast.Call) and own_object(each.func, tree) for each in node.decorator_list):
                    yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(
                target=ast.Name(id=name), value=value
            ):
                if not name.islower() and not type_variable(value):
                    yield name


def own_object(decorator: ast.expr, tree: ast.Module) -> bool:
    """True for ``thing.method`` where this module makes ``thing``."""
    made = {getattr(node, "name", "") for node in tree.body}
    return isinstance(decorator, ast.Attribute) and isinstance(decorator.value, ast.Name) and decorator.value.id in made


def type_variable(value: ast.expr | None) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in ("TypeVar", "ParamSpec", "TypeVarTuple")
    )


def collected(tree: ast.Module, exported: list[str]) -> set[str]:
    """The names that stand inside a listed constant (``CHECKS = (echoes, ...)``): they are reached through it."""
    found = set()
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.AnnAssign(
                target=ast.Name(id=name), value=ast.expr() as value
            ) if name in exported and name.isupper():
                found |= {each.id for each in ast.walk(value) if isinstance(each, ast.Name)}
    return found


def passed_on(tree: ast.Module) -> Iterator[str]:
    """The names a room's ``__init__`` imports from the house, to pass them on."""
    for node in tree.body:
        match node:
            case ast.ImportFrom():
                yield from from_the_house(node)
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):  # what the door leaves to ``lazily``
                for each in body:
                    if isinstance(each, ast.ImportFrom):
                        yield from from_the_house(each)


def from_the_house(node: ast.ImportFrom) -> Iterator[str]:
    if (node.module or "").split(".")[0] == PACKAGE and node.module != LAZILY:
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


def faults(text: str, *, room: bool) -> list[str]:
    """What is wrong with the ``__all__`` of a module with this text; ``room`` if it is a room's ``__init__``."""
    tree = ast.parse(text)
    exported = listed(tree)
    made = set(definitions(tree)) | (set(passed_on(tree)) if room else set())
    made = {name for name in made if public(name)}
    if exported is None:
        return [f"there is no __all__; it would be {sorted(made)}"] if made or room else []
    wrong = []
    if exported != sorted(set(exported)):
        wrong.append(f"__all__ is not sorted, or says a name twice; sorted: {sorted(set(exported))}")
    if missing := sorted(made - set(exported) - collected(tree, exported)):
        wrong.append(f"__all__ leaves out {missing}; list them, or begin their names with an underscore")
    return wrong


def left_to_lazily(tree: ast.Module) -> set[tuple[str, str]]:
    """(module, name) of what a door imports for readers only."""
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
def test_all_is_sorted_and_true(file: Path) -> None:
    room = file.name == "__init__.py" and file.parent != SOURCE
    wrong = faults(file.read_text(encoding="utf-8"), room=room)
    module = importlib.import_module(module_name(file))
    absent = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
    if absent:
        wrong.append(f"__all__ lists {absent}, which do not exist")
    assert not wrong, f"{file.relative_to(SOURCE.parent)}: {'; '.join(wrong)}"


@pytest.mark.parametrize("room", [room for room in ROOMS if list((SOURCE / room).glob("*.py"))])
def test_each_room_has_a_door(room: str) -> None:
    assert (SOURCE / room / "__init__.py").is_file(), f"{room} has modules and no __init__.py"


@pytest.mark.parametrize(
    ("text", "room", "complaint"),
    [
        ("def f(): ...", False, "no __all__"),
        ("__all__ = ['b', 'a']\na = b = 1", False, "not sorted"),
        ("__all__ = ['f', 'f']\ndef f(): ...", False, "twice"),
        ("__all__ = ['f']\ndef f(): ...\nclass G: ...", False, "leaves out ['G']"),
        ("__all__ = []\nLIMIT = 5", False, "leaves out ['LIMIT']"),
        ("from posthouse.core import Reply\n__all__ = []", True, "leaves out ['Reply']"),
        ("if TYPE_CHECKING:\n    from posthouse.core import Reply\n__all__ = []", True, "leaves out ['Reply']"),
        ("'''A room.'''", True, "no __all__"),
        ("import click\n__all__ = []\n@click.command()\ndef show(): ...", False, "leaves out ['show']"),
        ("__all__ = []\ndef check(): ...\n_ALL = (check,)", False, "leaves out ['check']"),
    ],
)
def test_an_untrue_list_is_found(text: str, room: bool, complaint: str) -> None:
    (found,) = faults(text, room=room)
    assert complaint in found


@pytest.mark.parametrize(
    ("text", "room"),
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
def test_a_true_list_is_let_be(text: str, room: bool) -> None:
    assert faults(text, room=room) == []


LAZY_ROOMS = [file.parent.name for file in FILES if file.name == "__init__.py" and "lazily(" in file.read_text()]


def test_some_rooms_have_lazy_doors() -> None:
    assert "service" in LAZY_ROOMS


@pytest.mark.parametrize("room", LAZY_ROOMS)
def test_a_lazy_door_opens_as_it_says(room: str) -> None:
    tree = ast.parse((SOURCE / room / "__init__.py").read_text(encoding="utf-8"))
    said = left_to_lazily(tree)
    assert said, f"{room} leaves nothing to lazily"
    door = importlib.import_module(f"{PACKAGE}.{room}")
    for module, name in said:
        assert door.__getattr__(name) is getattr(importlib.import_module(module), name)
    eager = {name for node in tree.body if isinstance(node, ast.ImportFrom) for name in from_the_house(node)}
    for name in eager:
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            door.__getattr__(name)
    with pytest.raises(AttributeError, match="no attribute 'horse'"):
        door.horse  # noqa: B018
