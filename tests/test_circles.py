"""Import circles between files: none, apart from those in ``KNOWN``, which may only become fewer.

An import under ``TYPE_CHECKING`` or inside a function counts: it hides a circle from the interpreter, and the two files
still cannot be understood one after the other.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from docs_pages.imports import Graph, circles, file_graph, shortest_path

#: The circles of today, each to be removed.  An entry is the files of one circle, relative to src/posthouse.
KNOWN: frozenset[frozenset[str]] = frozenset()


def described(graph: Graph, circle: frozenset[str]) -> str:
    """The shortest path around the circle with line numbers, then the files of the circle that are not on it."""
    path = shortest_path(graph, circle)
    steps = [f"{file}:{graph[file][following]}" for file, following in pairwise(path)]
    others = sorted(circle - set(path))
    return " → ".join([*steps, path[-1]]) + (f" (and in the same circle: {', '.join(others)})" if others else "")


@pytest.fixture(scope="module")
def source_graph() -> Graph:
    return file_graph()


def test_there_is_no_new_circle(source_graph: Graph) -> None:
    new = [circle for circle in circles(source_graph) if circle not in KNOWN]
    paths = "\n".join(described(source_graph, circle) for circle in new)
    entries = "\n".join(f"frozenset({sorted(circle)})," for circle in new)
    assert not new, f"import circles between files:\n{paths}\nas entries of KNOWN, if files were only moved:\n{entries}"


def test_known_circles_still_exist(source_graph: Graph) -> None:
    gone = [sorted(circle) for circle in sorted(KNOWN - set(circles(source_graph)), key=sorted)]
    assert not gone, f"these circles are gone; remove them from KNOWN: {gone}"


# The graph reader, on small trees ----------------------------------------------------------------------------------


def write(root: Path, files: dict[str, str]) -> Path:
    """A source tree with these files, in a folder ``posthouse``; every folder has an ``__init__``."""
    source = root / "posthouse"
    for name, text in files.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for folder in [source, *(path for path in source.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()
    return source


TYPE_ONLY = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "


@pytest.mark.parametrize(
    ("files", "path"),
    [
        pytest.param(
            {"net/a.py": "import posthouse.net.b", "net/b.py": "\nfrom posthouse.net.a import x"},
            "net/a.py:1 → net/b.py:2 → net/a.py",
            id="two files",
        ),
        pytest.param(
            {"net/a.py": "from .b import x", "net/b.py": "from . import c", "net/c.py": "from ..net import a"},
            "net/a.py:1 → net/b.py:1 → net/c.py:1 → net/a.py",
            id="three files, relative imports",
        ),
        pytest.param(
            {"net/a.py": f"{TYPE_ONLY}from posthouse.net.b import B", "net/b.py": "from posthouse.net.a import A"},
            "net/a.py:3 → net/b.py:1 → net/a.py",
            id="type-only import",
        ),
        pytest.param(
            {"net/a.py": "def f():\n    from posthouse.net.b import B", "net/b.py": "from posthouse.net.a import A"},
            "net/a.py:2 → net/b.py:1 → net/a.py",
            id="import in a function",
        ),
        pytest.param(
            {
                "net/__init__.py": f"{TYPE_ONLY}from posthouse.net.a import A",
                "net/a.py": "from posthouse.net.b import B",
                "net/b.py": "from posthouse.net import A",
            },
            "net/a.py:1 → net/b.py:1 → net/a.py",
            id="through the package's own __init__",
        ),
        pytest.param(
            {
                "spool/__init__.py": "from .sqlite import Spool as SqliteSpool",
                "spool/sqlite/__init__.py": "from .spool import Spool",
                "spool/sqlite/spool.py": "from posthouse.spool.sqlite.files import layout",
                "spool/sqlite/files.py": "from posthouse.spool import SqliteSpool",
            },
            "spool/sqlite/files.py:1 → spool/sqlite/spool.py:1 → spool/sqlite/files.py",
            id="through the __init__ files of nested packages",
        ),
        pytest.param(
            {
                "net/__init__.py": "LIMIT = 5\nfrom posthouse.net.a import A",
                "net/a.py": "from posthouse.net import LIMIT",
            },
            "net/__init__.py:2 → net/a.py:1 → net/__init__.py",
            id="a value that __init__ itself defines",
        ),
        pytest.param(
            {"net/__init__.py": "from posthouse.net.a import A", "net/a.py": "from posthouse import net"},
            "net/__init__.py:1 → net/a.py:1 → net/__init__.py",
            id="the package as a module",
        ),
        pytest.param(
            {"net/__init__.py": "from posthouse.net.a import A", "net/a.py": "from posthouse.net import A"},
            "net/a.py:1 → net/a.py",
            id="a file that imports itself",
        ),
        pytest.param(
            {"net/__init__.py": "from posthouse.net import A", "net/a.py": "from posthouse.net import A"},
            "net/__init__.py:1 → net/__init__.py",
            id="a re-export that leads back to itself",
        ),
        pytest.param(
            {
                "net/a.py": "import posthouse.net.b\nimport posthouse.net.c",
                "net/b.py": "import posthouse.net.a",
                "net/c.py": "import posthouse.net.a",
            },
            "net/a.py:1 → net/b.py:1 → net/a.py (and in the same circle: net/c.py)",
            id="a component larger than its shortest path",
        ),
    ],
)
def test_a_circle_is_found_and_described(tmp_path: Path, files: dict[str, str], path: str) -> None:
    graph = file_graph(write(tmp_path, files))
    assert [described(graph, circle) for circle in circles(graph)] == [path]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(
            {"net/a.py": "import posthouse.net.b\nimport os", "net/b.py": "from posthouse.core import Reply"},
            id="a chain",
        ),
        pytest.param(
            {
                "net/__init__.py": "from posthouse.net.a import A\nfrom posthouse.net.b import B",
                "net/a.py": "from posthouse.net import B",
                "net/b.py": "",
            },
            id="a neighbour through the package's __init__",
        ),
        pytest.param(
            {
                "net/__init__.py": "from posthouse.net.compose import compose",
                "net/compose.py": "",
                "net/a.py": "from posthouse.net import compose\nfrom posthouse.net.compose import compose as again",
            },
            id="a function with the name of its module",
        ),
    ],
)
def test_a_tree_without_circles_passes(tmp_path: Path, files: dict[str, str]) -> None:
    assert circles(file_graph(write(tmp_path, files))) == []


def test_two_circles_are_two_entries(tmp_path: Path) -> None:
    files = {
        f"{package}/{module}.py": f"import posthouse.{package}.{other}"
        for package in ("client", "server")
        for module, other in (("a", "b"), ("b", "a"))
    }
    assert circles(file_graph(write(tmp_path, files))) == [
        {"client/a.py", "client/b.py"},
        {"server/a.py", "server/b.py"},
    ]
