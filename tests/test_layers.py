"""Imports go down only, and each package imports what its row of the table allows.

Each import in the source is checked three times against ``RULES``: an imported package must be in a lower layer and in
the row; an imported part of the standard library must not be among those that the row excludes; a third-party
distribution must be one that was chosen for this package.  Nested packages (``spool/sqlite``) follow the row of their
top-level package.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from docs_pages.imports import LAYERS, SOURCE, Import, file_graph, package_of, read_tree


class Rule(NamedTuple):
    """What one package may import.

    ``packages`` are packages of posthouse, ``third_party`` other distributions.  ``never`` are modules and names of
    the standard library that the package must not import, except for those in ``exceptions``.
    """

    packages: frozenset[str]
    third_party: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    exceptions: frozenset[str] = frozenset()
    why: str = ""


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _layers(first: int, last: int) -> frozenset[str]:
    """The packages of these layers, both ends included."""
    return frozenset(package for layer in LAYERS[first : last + 1] for package in layer)


_OUTSIDE = "asyncio socket ssl select selectors subprocess multiprocessing threading sqlite3 tempfile shutil"

#: The table of DESIGN section 3, with the third-party distributions of each package.
RULES: dict[str, Rule] = {
    "core": Rule(
        packages=frozenset(),
        third_party=_set("mypy_extensions"),  # decorators for the compiler, see core/_mypyc
        never=_set(f"{_OUTSIDE} os io pathlib time random secrets uuid logging"),
        why="core is frozen values without I/O",
    ),
    "codes": Rule(
        packages=_set("core"),  # the one exception within a layer: the catalogue explains the values of core
        never=_set(f"{_OUTSIDE} os io pathlib time random secrets uuid logging"),
        why="the catalogue is data and a search in it",
    ),
    "protocol": Rule(
        packages=_set("core"),
        third_party=_set("idna"),
        never=_set(f"{_OUTSIDE} os io pathlib time logging"),
        exceptions=_set("io.IncrementalNewlineDecoder"),  # a codec; it does no I/O
        why="the protocol is sans-IO: bytes in, events out",
    ),
    "message": Rule(
        packages=_set("core codes"),
        third_party=_set("idna jinja2 markdown_it"),
        never=_set(f"{_OUTSIDE} time random secrets uuid os.urandom email.utils.make_msgid email.utils.localtime"),
        exceptions=_set("os.urandom tempfile.TemporaryFile threading.Lock"),  # see MESSAGE_SEAMS
        why="date and Message-ID are arguments of a message",
    ),
    "net": Rule(
        packages=_set("core"),
        third_party=_set("dns idna cryptography"),
        why="net carries bytes and does not read them; certificates are read and made with cryptography",
    ),
    "spool": Rule(
        packages=_set("core"),
        third_party=_set("asyncpg msgspec"),
        never=_set("socket ssl smtplib email"),
        why="the spool knows no SMTP and parses no mail",
    ),
    "mailauth": Rule(
        packages=_set("core message"),
        third_party=_set("cryptography idna"),
        never=_set(f"{_OUTSIDE} os time"),
        exceptions=_set("asyncio.get_running_loop asyncio.timeout_at time.time"),  # see MAILAUTH_SEAMS
        why="mailauth yields its DNS questions and does no I/O",
    ),
    "client": Rule(
        packages=_set("core protocol net"),
        third_party=_set("idna"),
        never=_set("email sqlite3"),
        why="the client sends bytes that it is given, and stores nothing",
    ),
    "server": Rule(
        packages=_set("core protocol net message"),
        third_party=_set("idna"),
        never=_set("sqlite3"),
        why="the server asks a policy; it knows no storage and no configuration",
    ),
    "delivery": Rule(
        packages=_layers(0, 2) - {"spool"},
        never=_set("socket ssl sqlite3"),
        why="a delivery is one attempt at one target, and knows no spool",
    ),
    "relay": Rule(
        packages=_layers(0, 3) - {"server"},
        never=_set("socket ssl sqlite3"),
        why="the relay moves mail from the queue to deliveries",
    ),
    "sending": Rule(
        packages=_layers(0, 3) - {"spool"},
        third_party=_set("idna anyio"),
        never=_set("sqlite3"),
        why="sending needs no queue",
    ),
    "app": Rule(
        packages=_layers(0, 3) - {"spool"},
        never=_set("sqlite3"),
        why="an application is a receiving SMTP with handlers, and needs no queue",
    ),
    "sandbox": Rule(
        packages=_layers(0, 3) - {"spool"},
        never=_set("sqlite3"),
        why="a sandbox is the peer in a test, and needs no queue",
    ),
    "service": Rule(
        packages=_layers(0, 4),
        third_party=_set("msgspec cryptography dns uvloop prometheus_client idna"),
        why="the service has no user interface",
    ),
    "cli": Rule(
        packages=_set("service sending app sandbox message core codes"),
        third_party=_set("click rich msgspec uvloop"),
        never=_set("sqlite3 smtplib"),
        why="a face shows the operations of the service",
    ),
    "console": Rule(
        packages=_set("service sending sandbox message core codes"),
        third_party=_set("starlette uvicorn h11 jinja2 nh3 msgspec prometheus_client markupsafe uvloop opentelemetry"),
        never=_set("sqlite3 smtplib"),
        why="a face shows the operations of the service",
    ),
    "__init__": Rule(packages=_layers(0, 7) | {"testing"}, why="layer 7 is above all packages, and names testing"),
    "__main__": Rule(packages=_layers(0, 7), third_party=_set("uvloop"), why="layer 7 is above all packages"),
    "django": Rule(packages=_layers(0, 6), third_party=_set("django"), why="an integration knows its framework alone"),
    "flask": Rule(packages=_layers(0, 6), third_party=_set("flask"), why="an integration knows its framework alone"),
    "logging": Rule(packages=_layers(0, 6), why="an integration knows its framework alone"),
    "starlette": Rule(
        packages=_layers(0, 6), third_party=_set("starlette"), why="an integration knows its framework alone"
    ),
    "testing": Rule(
        packages=_layers(0, 5),
        third_party=_set("pytest hypothesis trustme dns idna"),
        why="testing is beside the layers and needs no face",
    ),
}

#: The only files of message that import an exception of its row: what is drawn for a message that names no Message-ID,
#: and the copy of a stream that is attached.
MESSAGE_SEAMS: dict[str, str] = {
    "message/composing/drawn.py": "os.urandom",
    "message/composing/sources.py": "tempfile.TemporaryFile threading.Lock",
}

#: The only files of mailauth that import an exception of its row: the driver that waits for a resolver, and the default
#: of ``now``.
MAILAUTH_SEAMS: dict[str, str] = {
    "mailauth/questions.py": "asyncio.get_running_loop asyncio.timeout_at",
    "mailauth/wall_time.py": "time.time",
}

#: Wrong imports of today, each to be removed: the file, and the package that it must not import.
KNOWN: frozenset[tuple[str, str]] = frozenset()


def fault(found: Import) -> str:
    """What is wrong with one import, or ""."""
    rule = RULES.get(found.package)
    if rule is None:
        return f"{found.package!r} is not a package of posthouse; see LAYERS in scripts/docs_pages/imports.py"
    if found.target:
        return _internal_fault(found, rule)
    for name in rule.never:
        if (found.name == name or found.name.startswith(f"{name}.")) and found.name not in rule.exceptions:
            return f"{found.package} never imports {name}: {rule.why}"
    if found.top not in sys.stdlib_module_names and found.top not in rule.third_party:
        allowed = ", ".join(sorted(rule.third_party)) or "none"
        return f"{found.top} is not a third-party package for {found.package} (allowed: {allowed})"
    return ""


def _internal_fault(found: Import, rule: Rule) -> str:
    """What is wrong with an import from a package of posthouse, or ""."""
    if found.target == found.package or found.target in rule.packages:
        return ""
    if found.target == "testing":
        return "no layer may import testing, which is beside them"
    if found.target == "__init__" and found.package in ("service", "cli", "console"):
        return ""  # __version__, which posthouse/__init__ defines without an import
    allowed = ", ".join(sorted(rule.packages)) or "no other package"
    return f"{found.package} may import {allowed}: {rule.why}"


class Fault(NamedTuple):
    """One wrong import and the rule against it; ``file`` is relative to the source."""

    file: str
    line: int
    target: str
    name: str
    rule: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: imports {self.name}: {self.rule}"


def faults(source: Path) -> list[Fault]:
    """Every wrong import under ``source``."""
    return [
        Fault(found.file.relative_to(source).as_posix(), found.line, found.target, found.name, rule)
        for found in read_tree(source)
        if (rule := fault(found))
    ]


def test_imports_go_down_only() -> None:
    wrong = [str(each) for each in faults(SOURCE) if (each.file, each.target) not in KNOWN]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("package", "seams"), [("message", MESSAGE_SEAMS), ("mailauth", MAILAUTH_SEAMS)])
def test_each_exception_of_a_row_is_in_one_file(package: str, seams: dict[str, str]) -> None:
    found: dict[str, set[str]] = {}
    for each in read_tree(SOURCE):
        if each.package == package and each.name in RULES[package].exceptions:
            found.setdefault(each.file.relative_to(SOURCE).as_posix(), set()).add(each.name)
    assert found == {file: set(names.split()) for file, names in seams.items()}


def test_one_file_of_message_reads_the_clock_and_draws() -> None:
    drawing = re.compile(r"urandom|\.now\(|\.today\(|utcnow")
    files = [file for file in (SOURCE / "message").rglob("*.py") if drawing.search(file.read_text(encoding="utf-8"))]
    assert [file.relative_to(SOURCE).as_posix() for file in files] == ["message/composing/drawn.py"]


def test_known_wrong_imports_still_exist() -> None:
    gone = KNOWN - {(each.file, each.target) for each in faults(SOURCE)}
    assert not gone, f"these imports are gone; remove them from KNOWN: {sorted(gone)}"


#: The order inside service: each of these imports only those before it.  ``demo`` joins two daemons,
#: ``code_tour`` a daemon and a sink.
SERVICE: tuple[str, ...] = (
    "inbox", "config", "accounts", "directory", "config_file", "mailauth", "monitor", "policy", "operations", "control",
    "process", "maildrop", "daemon", "demo", "code_tour", "practice"
)  # fmt: skip


def part_of(file: str) -> str:
    """The part of service that a file belongs to: ``service/config/model.py`` to config; "" for others."""
    package, *rest = file.removesuffix(".py").split("/")
    return rest[0] if package == "service" and rest[0] != "__init__" else ""


def service_faults(source: Path) -> list[str]:
    """Every import inside service from a part that does not come before the file's own, type-only ones too."""
    order = {part: number for number, part in enumerate(SERVICE)}
    wrong = []
    for file, imports in file_graph(source).items():
        for target, line in imports.items():
            part, other = part_of(file), part_of(target)
            if part and other and part != other and order[other] > order[part]:
                wrong.append(f"{file}:{line}: {part} comes before {other}")
    return wrong


def test_the_parts_of_service_have_an_order() -> None:
    assert {part for file in file_graph(SOURCE) if (part := part_of(file))} == set(SERVICE)
    assert service_faults(SOURCE) == []


def test_an_import_against_the_order_of_service_is_found(tmp_path: Path) -> None:
    source = tmp_path / "posthouse"
    for name, text in (
        ("service/config/model.py", "def f():\n    from posthouse.service.directory.directory import Directory"),
        ("service/directory/directory.py", "from posthouse.service.config.model import Config"),
    ):
        (source / name).parent.mkdir(parents=True)
        (source / name).write_text(text)
        (source / name).parent.joinpath("__init__.py").touch()
    (source / "__init__.py").touch()
    (source / "service/__init__.py").touch()
    assert service_faults(source) == ["service/config/model.py:2: config comes before directory"]


def test_every_package_has_a_layer() -> None:
    present = {package_of(file) for file in SOURCE.rglob("*.py")}
    assert present <= set(RULES), f"without a row in RULES: {sorted(present - set(RULES))}"


def test_the_table_itself_goes_down_only() -> None:
    level = {package: number for number, layer in enumerate(LAYERS) for package in layer}
    assert set(RULES) == set(level) | {"testing"}
    for package, rule in RULES.items():
        if package in ("testing", *LAYERS[-1]):
            continue
        not_below = {other for other in rule.packages if level[other] >= level[package]}
        if package == "codes":
            not_below -= {"core"}
        assert not not_below, f"{package} (layer {level[package]}) is allowed {sorted(not_below)}, not below it"


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("core/a.py", "import os", "core never imports os"),
        ("core/a.py", "import os.path", "core never imports os"),
        ("core/a.py", "from posthouse.protocol import Limits", "core may import no other package"),
        ("protocol/a.py", "def f():\n    import asyncio", "protocol never imports asyncio"),
        ("protocol/a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl", "never imports ssl"),
        ("protocol/a.py", "import io", "protocol never imports io"),
        ("protocol/a.py", "from io import BytesIO, IncrementalNewlineDecoder", "protocol never imports io"),
        ("protocol/a.py", "import click", "click is not a third-party package for protocol"),
        ("protocol/a.py", "from ..net import clock", "protocol may import core"),
        ("message/a.py", "from email.utils import make_msgid", "message never imports email.utils.make_msgid"),
        ("net/a.py", "from posthouse import protocol", "net may import core"),
        ("spool/a.py", "from posthouse.core import Reply\nfrom posthouse.message import x", "spool may import core"),
        ("client/a.py", "import posthouse.server.policy", "client may import"),
        ("spool/sqlite/a.py", "from posthouse.net import clock", "spool may import core"),
        ("spool/sqlite/storage/a.py", "from .... import net", "spool may import core"),
        ("spool/sqlite/storage/a.py", "import email", "spool never imports email"),
        ("mailauth/a.py", "from posthouse.net import Resolver", "mailauth may import core, message"),
        ("delivery/a.py", "from posthouse.spool import Spool", "delivery may import"),
        ("relay/scheduling/a.py", "from posthouse.server import Server", "relay may import"),
        ("sending/a.py", "from posthouse.relay import Worker", "sending may import"),
        ("sandbox/a.py", "from posthouse.sending import send", "sandbox may import"),
        ("server/a.py", "import importlib\nimportlib.import_module('posthouse.spool')", "server may import"),
        ("server/a.py", "from posthouse import __version__", "server may import"),
        ("service/a.py", "from posthouse.testing import fakes", "no layer may import testing"),
        ("service/a.py", "import rich.console", "rich is not a third-party package for service"),
        ("cli/a.py", "from posthouse.spool import Spool", "cli may import"),
        ("cli/a.py", "from posthouse.client import Session", "cli may import"),
        ("console/a.py", "from posthouse.cli import x", "console may import"),
        ("testing/a.py", "from posthouse.cli import x", "testing may import"),
        ("attic/a.py", "import re", "not a package of posthouse"),
    ],
)
def test_a_wrong_import_is_found_and_named(tmp_path: Path, file: str, text: str, rule: str) -> None:
    path = tmp_path / "posthouse" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (found,) = faults(tmp_path / "posthouse")
    line = text.count("\n") + 1
    assert str(found).startswith(f"{file}:{line}: imports ")
    assert rule in str(found)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("core/a.py", "import re\nfrom posthouse.core.reply import Reply\nfrom . import address"),
        ("protocol/a.py", "import idna\nfrom posthouse.core import Reply"),
        ("protocol/a.py", "from io import IncrementalNewlineDecoder"),
        ("relay/a.py", "from posthouse.mailauth.transport import Policy"),
        ("relay/scheduling/a.py", "from ..model import Delivery\nfrom ...delivery import Deliverer"),
        ("spool/sqlite/storage/a.py", "from ... import model\nimport sqlite3\nfrom posthouse.core import units"),
        ("delivery/a.py", "from posthouse.server import Server"),
        ("cli/a.py", "import click\nfrom posthouse import __version__\nfrom posthouse.service import control"),
        ("testing/a.py", "import pytest\nfrom posthouse.service import wiring"),
        ("__main__.py", "from posthouse.cli import main"),
    ],
)
def test_a_right_import_passes(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / "posthouse" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert faults(tmp_path / "posthouse") == []
