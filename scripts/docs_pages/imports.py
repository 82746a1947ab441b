"""The imports between packages, read from the source text and never from a running program.

Text shows what a run may hide: imports inside functions, under ``TYPE_CHECKING``, and by ``import_module("...")``.  A
package is a directory of ``src/posthouse``; ``__init__`` and ``__main__`` beside them are the front door.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Import", "LAYERS", "PACKAGE", "SOURCE", "package_of", "read_file", "read_tree"]

PACKAGE = "posthouse"
SOURCE = Path(__file__).resolve().parents[2] / "src" / PACKAGE

#: The layers, lowest first.  Imports go down only; packages of one layer do not import each other (but ``codes`` the
#: values of ``core``, which explains them).
LAYERS: tuple[tuple[str, ...], ...] = (
    ("core", "codes"),
    ("protocol", "message", "net", "spool"),
    ("mailauth", "client", "server"),
    ("delivery",),
    ("relay", "sending", "app", "sandbox"),
    ("service",),
    ("cli", "console"),
    ("__init__", "__main__"),
)


class Import(NamedTuple):
    """One import: ``name`` is what comes in, in full (``posthouse.core.Reply``, ``email.utils.formatdate``)."""

    file: Path
    line: int
    package: str
    name: str

    @property
    def target(self) -> str:
        """The package it comes from, or "" for what is not ours.  The front door itself is ``__init__``."""
        parts = self.name.split(".")
        if parts[0] != PACKAGE:
            return ""
        return parts[1] if len(parts) > 1 and parts[1] != "__version__" else "__init__"

    @property
    def top(self) -> str:
        """The first part of the name: ``email``, ``posthouse``."""
        return self.name.split(".", 1)[0]


def package_of(file: Path, source: Path = SOURCE) -> str:
    """The package that ``file`` stands in; a file beside the packages is called by its own name."""
    return file.relative_to(source).parts[0].removesuffix(".py")


def read_tree(source: Path = SOURCE) -> list[Import]:
    """Every import of every module under ``source``, in the order of the paths."""
    return [found for file in sorted(source.rglob("*.py")) for found in read_file(file, source)]


def read_file(file: Path, source: Path = SOURCE) -> Iterator[Import]:
    """Every import of one module.

    ``from package import a, b`` gives ``package.a`` and ``package.b``, for ``a`` may be a module as well as a value.
    """
    owner = package_of(file, source)
    package = [PACKAGE, *file.relative_to(source).parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        for name in _names(node, package):
            yield Import(file, getattr(node, "lineno", 0), owner, name)


def _names(node: ast.AST, package: list[str]) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            above = package[: len(package) - level + 1] if level else []
            base = ".".join([*above, *([module] if module else [])])
            return [f"{base}.{alias.name}" if alias.name != "*" else base for alias in names]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []
