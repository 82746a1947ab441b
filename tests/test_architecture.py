"""The drawing of the layers and the table of packages, on a small tree with nested packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs_pages.architecture import layers, packages
from docs_pages.imports import read_tree

FILES = {
    "core/__init__.py": '"""Values."""',
    "core/reply.py": "",
    "spool/__init__.py": '"""The queue\non disk.\n\nMore."""\nfrom posthouse.core import reply',
    "spool/model.py": "from posthouse.core.reply import Reply",
    "spool/sqlite/__init__.py": '"""SQLite."""',
    "spool/sqlite/spool.py": "from posthouse.spool.sqlite.storage import Files\nfrom ..model import Message",
    "spool/sqlite/storage/__init__.py": '"""Files."""',
    "spool/sqlite/storage/files.py": "from posthouse.core.reply import Reply",
    "relay/__init__.py": '"""The relay."""',
    "relay/scheduling/__init__.py": '"""The scheduler."""',
    "relay/scheduling/queue.py": "from posthouse.spool.sqlite import Spool\nfrom posthouse.relay.scheduling import x",
    "__main__.py": "import posthouse.relay",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "posthouse"
    for name, text in FILES.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return source


def test_the_drawing_names_nested_packages_in_the_box_of_their_parent(source: Path) -> None:
    assert layers(read_tree(source), source).splitlines() == [
        "```mermaid",
        "flowchart TB",
        '  subgraph layer7["layer 7"]',
        '    package_main["posthouse/__main__.py"]',
        "  end",
        '  subgraph layer4["layer 4"]',
        '    package_relay["relay<br><small>scheduling</small>"]',
        "  end",
        '  subgraph layer1["layer 1"]',
        '    package_spool["spool<br><small>sqlite</small>"]',
        "  end",
        '  subgraph layer0["layer 0"]',
        "    package_core[core]",
        "  end",
        "  package_main --> package_relay",
        "  package_relay --> package_spool",
        "```",
    ]


def test_the_table_lists_nested_packages_below_their_parent(source: Path) -> None:
    assert packages(read_tree(source), source).splitlines()[2:] == [
        "| 4 | `relay` | The relay | spool |",
        "| 4 | `relay/scheduling` | The scheduler | spool |",
        "| 1 | `spool` | The queue on disk | core |",
        "| 1 | `spool/sqlite` | SQLite | spool, spool/sqlite/storage |",
        "| 1 | `spool/sqlite/storage` | Files | core |",
        "| 0 | `core` | Values | – |",
    ]
