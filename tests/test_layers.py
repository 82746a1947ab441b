"""Imports go down only, and each room touches what its row allows.

Three questions of every import in the source, answered by the tables below: is the other room below this one and on
its row; is this part of the standard library one that the room must stay clear of; is this outside package one that
was chosen for this room?
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from docs_pages.imports import LAYERS, SOURCE, Import, read_tree


class Rule(NamedTuple):
    """What one room may import: other rooms, outside packages; and the modules it never touches, ``but`` for names."""

    rooms: frozenset[str]
    packages: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    but: frozenset[str] = frozenset()
    why: str = ""


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_OUTSIDE = "asyncio socket ssl select selectors subprocess multiprocessing threading sqlite3 tempfile shutil"
_EVERY_ROOM = frozenset(room for layer in LAYERS for room in layer)
_BELOW_FACES = frozenset(room for layer in LAYERS[:6] for room in layer)

RULES: dict[str, Rule] = {
    "core": Rule(
        rooms=frozenset(),
        packages=_set("mypy_extensions"),  # the compiler's own names, while it reads; see core/_mypyc
        never=_set(f"{_OUTSIDE} os io pathlib time random secrets uuid logging"),
        why="core are frozen values without I/O",
    ),
    "codes": Rule(
        rooms=_set("core"),  # the one exception within a layer: the catalogue explains core's values
        never=_set(f"{_OUTSIDE} os io pathlib time random secrets uuid logging"),
        why="the catalogue is data and a search over it",
    ),
    "protocol": Rule(
        rooms=_set("core"),
        packages=_set("idna"),
        never=_set(f"{_OUTSIDE} os io pathlib time logging"),
        but=_set("io.IncrementalNewlineDecoder"),  # a codec; it lives there, and does no I/O
        why="the protocol is sans-IO: bytes in, events out",
    ),
    "message": Rule(
        rooms=_set("core codes"),
        packages=_set("idna"),
        never=_set(f"{_OUTSIDE} time random secrets uuid email.utils.make_msgid email.utils.localtime"),
        why="date and id are arguments of a message",
    ),
    "net": Rule(
        rooms=_set("core"),
        packages=_set("dns idna"),
        why="net carries bytes and does not read them",
    ),
    "spool": Rule(
        rooms=_set("core"),
        packages=_set("asyncpg msgspec"),
        never=_set("socket ssl smtplib email"),
        why="the spool knows no SMTP and reads no mail",
    ),
    "mailauth": Rule(
        rooms=_set("core message"),
        packages=_set("cryptography"),
        never=_set(f"{_OUTSIDE} os time"),
        why="mailauth yields its questions and lets others ask them",
    ),
    "client": Rule(
        rooms=_set("core protocol net"),
        packages=_set("idna"),
        never=_set("email sqlite3"),
        why="the client is given bytes, and keeps nothing",
    ),
    "server": Rule(
        rooms=_set("core protocol net message"),
        packages=_set("idna"),
        never=_set("sqlite3"),
        why="the server asks a policy; it knows no storage and no configuration",
    ),
    "delivery": Rule(
        rooms=_set("core codes protocol message net client server mailauth"),
        never=_set("socket ssl sqlite3"),
        why="a delivery is one attempt at one target, and knows no spool",
    ),
    "relay": Rule(
        rooms=_set("core codes protocol message net spool client mailauth delivery"),
        never=_set("socket ssl sqlite3"),
        why="the relay stands on the packages below and is told what to do from above",
    ),
    "sending": Rule(
        rooms=_set("core codes protocol message net client mailauth delivery"),
        packages=_set("idna"),
        never=_set("sqlite3"),
        why="sending needs no queue of its own",
    ),
    "app": Rule(
        rooms=_set("core codes protocol message net server delivery"),
        never=_set("sqlite3"),
        why="an application is a receiving SMTP with handlers, and needs no queue",
    ),
    "sandbox": Rule(
        rooms=_set("core codes protocol message net client server delivery"),
        never=_set("sqlite3"),
        why="a sandbox plays the other end for tests, and keeps nothing",
    ),
    "service": Rule(
        rooms=_BELOW_FACES - {"service"},
        packages=_set("msgspec cryptography dns uvloop prometheus_client idna"),
        why="the service has no face",
    ),
    "cli": Rule(
        rooms=_set("service sending sandbox core codes client message"),
        packages=_set("click rich msgspec uvloop"),
        never=_set("sqlite3 smtplib"),
        why="a face shows what the service does",
    ),
    "console": Rule(
        rooms=_set("service sending sandbox message core codes"),
        packages=_set("starlette uvicorn jinja2 nh3 msgspec prometheus_client markupsafe"),
        never=_set("sqlite3 smtplib"),
        why="a face shows what the service does",
    ),
    "__init__": Rule(rooms=_EVERY_ROOM, why="the front door"),
    "__main__": Rule(rooms=_EVERY_ROOM, packages=_set("uvloop"), why="the front door"),
    "testing": Rule(
        rooms=_BELOW_FACES,
        packages=_set("pytest hypothesis trustme dns idna"),
        why="testing stands beside the house and needs no face",
    ),
}

#: mailauth is on floor 2 and open to the relay for one question only: how must this destination be reached?
_MAILAUTH_FOR_RELAY = "posthouse.mailauth.transport"


def fault(found: Import) -> str:
    """What is wrong with one import, or ""."""
    rule = RULES.get(found.package)
    if rule is None:
        return f"{found.package!r} is no room of the house; see LAYERS in scripts/docs_pages/imports.py"
    if found.target:
        return _fault_in_house(found, rule)
    for name in rule.never:
        if (found.name == name or found.name.startswith(f"{name}.")) and found.name not in rule.but:
            return f"{found.package} never touches {name}: {rule.why}"
    if found.top not in sys.stdlib_module_names and found.top not in rule.packages:
        allowed = ", ".join(sorted(rule.packages)) or "none"
        return f"{found.top} is not a package for {found.package} (allowed: {allowed})"
    return ""


def _fault_in_house(found: Import, rule: Rule) -> str:
    if found.target == found.package or found.target in rule.rooms:
        if (found.package, found.target) == ("relay", "mailauth") and not found.name.startswith(_MAILAUTH_FOR_RELAY):
            return f"of mailauth, relay may import {_MAILAUTH_FOR_RELAY} only"
        return ""
    if found.target == "testing":
        return "testing stands beside the house: nothing in the house may lean on it"
    if found.target == "__init__" and found.package in ("service", "cli", "console"):
        return ""  # __version__, which the front door states before it imports anything
    allowed = ", ".join(sorted(rule.rooms)) or "no other room"
    return f"{found.package} may import {allowed}: {rule.why}"


def faults(source: Path) -> list[str]:
    """Every wrong import under ``source``, as ``file:line: the import: the rule``."""
    return [
        f"{found.file.relative_to(source.parent)}:{found.line}: imports {found.name}: {rule}"
        for found in read_tree(source)
        if (rule := fault(found))
    ]


def test_imports_go_down_only() -> None:
    wrong = faults(SOURCE)
    assert not wrong, wrong[0] + (f"\n(and {len(wrong) - 1} more after it)" if wrong[1:] else "")


def test_the_table_itself_goes_down_only() -> None:
    level = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    assert set(RULES) == set(level) | {"testing"}
    for room, rule in RULES.items():
        if room in ("testing", "__init__", "__main__"):
            continue
        not_below = {other for other in rule.rooms if level[other] >= level[room] and (room, other) != ("codes", "core")}
        assert not not_below, f"{room} (layer {level[room]}) is allowed {sorted(not_below)}, not below it"


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("core/a.py", "import os", "core never touches os"),
        ("core/a.py", "import os.path", "core never touches os"),
        ("core/a.py", "from posthouse.protocol import Limits", "core may import no other room"),
        ("protocol/a.py", "def f():\n    import asyncio", "protocol never touches asyncio"),
        ("protocol/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl", "never touches ssl"),
        ("protocol/a.py", "import io", "protocol never touches io"),
        ("protocol/a.py", "from io import BytesIO, IncrementalNewlineDecoder", "protocol never touches io"),
        ("protocol/a.py", "import click", "click is not a package for protocol"),
        ("protocol/a.py", "from ..net import clock", "protocol may import core"),
        ("message/a.py", "from email.utils import make_msgid", "message never touches email.utils.make_msgid"),
        ("net/a.py", "from posthouse import protocol", "net may import core"),
        ("spool/a.py", "from posthouse.core import Reply\nfrom posthouse.message import x", "spool may import core"),
        ("client/a.py", "import posthouse.server.policy", "client may import"),
        ("relay/a.py", "from posthouse.mailauth.spf import check", "posthouse.mailauth.transport only"),
        ("server/a.py", "import importlib\nimportlib.import_module('posthouse.spool')", "server may import"),
        ("server/a.py", "from posthouse import __version__", "server may import"),
        ("service/a.py", "from posthouse.testing import fakes", "nothing in the house may lean on it"),
        ("service/a.py", "import rich.console", "rich is not a package for service"),
        ("cli/a.py", "from posthouse.spool import Queue", "cli may import"),
        ("console/a.py", "from posthouse.cli import x", "console may import"),
        ("testing/a.py", "from posthouse.cli import x", "testing may import"),
        ("attic/a.py", "import re", "no room of the house"),
    ],
)
def test_a_wrong_import_is_found_and_named(tmp_path: Path, file: str, text: str, rule: str) -> None:
    place = tmp_path / "posthouse" / file
    place.parent.mkdir(parents=True)
    place.write_text(text)
    (found,) = faults(tmp_path / "posthouse")
    line = text.count("\n") + 1
    assert found.startswith(f"posthouse/{file}:{line}: imports ")
    assert rule in found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("core/a.py", "import re\nfrom posthouse.core.reply import Reply\nfrom . import address"),
        ("protocol/a.py", "import idna\nfrom posthouse.core import Reply"),
        ("protocol/a.py", "from io import IncrementalNewlineDecoder"),
        ("relay/a.py", "from posthouse.mailauth.transport import Policy"),
        ("cli/a.py", "import click\nfrom posthouse import __version__\nfrom posthouse.service import control"),
        ("testing/a.py", "import pytest\nfrom posthouse.service import wiring"),
        ("__main__.py", "from posthouse.cli import main"),
    ],
)
def test_a_right_import_is_let_be(tmp_path: Path, file: str, text: str) -> None:
    place = tmp_path / "posthouse" / file
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    assert faults(tmp_path / "posthouse") == []
