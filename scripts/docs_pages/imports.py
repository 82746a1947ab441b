"""The import graph of the source: between packages and between files, read from the text and not from a run.

The text shows every import: inside functions, under ``TYPE_CHECKING``, and by ``import_module("...")``.  A *package* is
a folder directly in ``src/posthouse`` together with its nested folders; ``__init__`` and ``__main__`` beside the
packages count as packages of layer 7.
"""

from __future__ import annotations

import ast
import functools
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Graph",
    "Import",
    "LAYERS",
    "PACKAGE",
    "SOURCE",
    "circles",
    "file_graph",
    "package_of",
    "read_file",
    "read_tree",
    "shortest_path",
]

PACKAGE = "posthouse"
SOURCE = Path(__file__).resolve().parents[2] / "src" / PACKAGE

#: The layers, lowest first.  Imports go down only; packages of one layer do not import each other.  The one exception
#: is in layer 0: ``codes`` explains the values of ``core`` and imports them.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("core", "codes"),
    ("protocol", "message", "net", "spool"),
    ("client", "server", "mailauth"),
    ("delivery",),
    ("relay", "sending", "app", "sandbox"),
    ("service",),
    ("cli", "console"),
    ("__init__", "__main__", "django", "flask", "logging", "starlette"),
)

#: File → the files that it imports, each with the line of the first such import.  Paths are relative to the source.
Graph = Mapping[str, Mapping[str, int]]


class Import(NamedTuple):
    """One import: ``name`` is the full name of what is imported (``posthouse.core.Reply``, ``email.utils.formatdate``).

    ``package`` is the package that ``file`` belongs to.
    """

    file: Path
    line: int
    package: str
    name: str

    @property
    def target(self) -> str:
        """The package that ``name`` belongs to, or "" outside posthouse; ``__init__`` for posthouse itself."""
        parts = self.name.split(".")
        if parts[0] != PACKAGE:
            return ""
        return parts[1] if len(parts) > 1 and parts[1] != "__version__" else "__init__"

    @property
    def top(self) -> str:
        """The first part of the name: ``email``, ``posthouse``."""
        return self.name.split(".", 1)[0]


def package_of(file: Path, source: Path = SOURCE) -> str:
    """The package that ``file`` belongs to, however deeply nested; for a file beside the packages, its own name."""
    return file.relative_to(source).parts[0].removesuffix(".py")


def read_tree(source: Path = SOURCE) -> list[Import]:
    """Every import of every module under ``source``, in the order of the paths.

    Posthouse's own source is read once in a process: parsing it takes a second.
    """
    return list(_own_tree()) if source == SOURCE else _read_tree(source)


@functools.cache
def _own_tree() -> tuple[Import, ...]:
    return tuple(_read_tree(SOURCE))


def _read_tree(source: Path) -> list[Import]:
    return [found for file in sorted(source.rglob("*.py")) for found in read_file(file, source)]


def read_file(file: Path, source: Path = SOURCE) -> Iterator[Import]:
    """Every import of one module.

    ``from package import a, b`` gives ``package.a`` and ``package.b``, since ``a`` may be a module or a value.
    """
    package = package_of(file, source)
    folder = _dotted(file.parent, source)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        for name in _names(node, folder):
            yield Import(file, getattr(node, "lineno", 0), package, name)


def _dotted(folder: Path, source: Path) -> list[str]:
    return [PACKAGE, *folder.relative_to(source).parts]


def _names(node: ast.AST, folder: list[str]) -> list[str]:
    """The full names that one statement or call imports in a module of ``folder`` (its dotted name, in parts)."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            base = _base(module, level, folder)
            return [f"{base}.{alias.name}" if alias.name != "*" else base for alias in names]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def _base(module: str | None, level: int, folder: list[str]) -> str:
    """The module that ``from ... import`` names, with the leading dots of a relative import resolved."""
    above = folder[: len(folder) - level + 1] if level else []
    return ".".join([*above, *([module] if module else [])])


# Files -------------------------------------------------------------------------------------------------------------


def file_graph(source: Path = SOURCE) -> Graph:
    """The import graph between files, imports in functions and under ``TYPE_CHECKING`` included.

    A name that is imported from a package counts as an import of the file that defines the name: re-exports in
    ``__init__`` files are followed, through several packages if need be.  So a module that imports its neighbour
    through the package (``from posthouse.spool import X``) depends on the neighbour, and the ``__init__`` file itself
    is a target only for what it defines, for ``import *``, and when the package is imported as a module.
    """
    files = _Files(source)
    graph: dict[str, dict[str, int]] = {_relative(file, source): {} for file in files.modules.values()}
    for found in read_tree(source):
        target = files.defining(found.name)
        if target is not None:
            lines = graph[_relative(found.file, source)]
            name = _relative(target, source)
            lines[name] = min(found.line, lines.get(name, found.line))
    return graph


def _relative(file: Path, source: Path) -> str:
    return file.relative_to(source).as_posix()


class _Files:
    """Dotted module name → file, and the file that defines a dotted name."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.modules: dict[str, Path] = {}
        for file in sorted(source.rglob("*.py")):
            parts = [] if file.name == "__init__.py" else [file.stem]
            self.modules[".".join([*_dotted(file.parent, source), *parts])] = file
        self._reexports: dict[Path, Mapping[str, str]] = {}

    def defining(self, name: str, seen: frozenset[str] = frozenset()) -> Path | None:
        """The file that defines ``name``, or None outside the source.  ``seen`` ends a circle of re-exports."""
        parts = name.split(".")
        if parts[0] != PACKAGE:
            return None
        module = PACKAGE
        for number, part in enumerate(parts[1:], start=2):
            file = self.modules.get(module)
            origin = self._imported(file).get(part) if file is not None and file.name == "__init__.py" else None
            inner = f"{module}.{part}"
            # A re-exported function may have the name of its module (message.compose): the last part is the function.
            if inner in self.modules and (origin is None or number < len(parts)):
                module = inner
            elif origin is not None and origin not in seen:
                return self.defining(".".join([origin, *parts[number:]]), seen | {origin})
            else:
                break
        return self.modules.get(module)

    def _imported(self, init: Path) -> Mapping[str, str]:
        """Name → full name, of what an ``__init__`` file imports at module level or under ``if TYPE_CHECKING``."""
        if init not in self._reexports:
            folder = _dotted(init.parent, self._source)
            found: dict[str, str] = {}
            body = ast.parse(init.read_text(encoding="utf-8"), str(init)).body
            for node in [*body, *(inner for each in body if isinstance(each, ast.If) for inner in each.body)]:
                if isinstance(node, ast.ImportFrom):
                    base = _base(node.module, node.level, folder)
                    found |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
            self._reexports[init] = found
        return self._reexports[init]


def circles(graph: Graph) -> list[frozenset[str]]:
    """The strongly connected components of more than one file, and each file that imports itself; sorted."""
    reachable = {file: _reachable(graph, file) for file in graph}
    found = {
        frozenset(other for other in reachable[file] if file in reachable[other])
        for file in graph
        if file in reachable[file]
    }
    return sorted(found, key=sorted)


def _reachable(graph: Graph, start: str) -> set[str]:
    """The files that ``start`` imports, directly or through others; ``start`` itself only if it is on a circle."""
    found: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        file = ahead.pop()
        if file not in found:
            found.add(file)
            ahead += graph[file]
    return found


def shortest_path(graph: Graph, circle: frozenset[str]) -> list[str]:
    """The shortest circular path within a strongly connected component; its first file stands at the end again."""
    paths = (path for start in sorted(circle) if (path := _path_back(graph, circle, start)))
    return min(paths, key=len)


def _path_back(graph: Graph, circle: frozenset[str], start: str) -> list[str]:
    ahead = deque([[start]])
    seen: set[str] = set()
    while ahead:
        path = ahead.popleft()
        for file in sorted(graph[path[-1]]):
            if file == start:
                return [*path, start]
            if file in circle and file not in seen:
                seen.add(file)
                ahead.append([*path, file])
    return []
