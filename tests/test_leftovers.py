"""The check that a test module leaves the process as it found it: each change is named, and undone where it can be."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from tests import leftovers

import posthouse.core.address

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    """What takes a change back at the end of the test."""
    with ExitStack() as stack:
        yield stack


def variable(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("POSTHOUSE_URL", "smtp://mail.example")


def directory(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    patch.chdir("/")


def umask(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    undo.callback(os.umask, os.umask(0o111))


def handler(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    undo.callback(signal.signal, signal.SIGUSR2, signal.signal(signal.SIGUSR2, signal.SIG_IGN))


def replaced_module(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "colorsys", ModuleType("colorsys"))


def invented_module(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "no_such_module", ModuleType("no_such_module"))


def removed_module(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    patch.delitem(sys.modules, "colorsys")


def global_name(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(posthouse.core.address, "Address", object)


def django(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=SimpleNamespace(configured=True), __spec__=0))


def level(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    undo.callback(logging.root.setLevel, logging.root.level)
    logging.root.setLevel(logging.CRITICAL)


def log_handler(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    added = logging.StreamHandler()
    undo.callback(logging.getLogger("posthouse").removeHandler, added)
    logging.getLogger("posthouse").addHandler(added)


def descriptor(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    for each in os.pipe():
        undo.callback(os.close, each)


def thread(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    end = threading.Event()
    made = threading.Thread(target=end.wait, name="left behind")
    made.start()
    undo.callback(made.join)
    undo.callback(end.set)
    patch.setattr(leftovers, "PATIENCE", 0.0)


def child(undo: ExitStack, patch: pytest.MonkeyPatch) -> None:
    undo.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE))


CHANGES: list[tuple[Callable[[ExitStack, pytest.MonkeyPatch], None], str]] = [
    (variable, "os.environ: POSTHOUSE_URL"),
    (directory, "process: working directory was"),
    (umask, "process: umask was"),
    (handler, f"signal handler: {signal.SIGUSR2}"),
    (replaced_module, "sys.modules: colorsys was"),
    (invented_module, "stand-in for a module: no_such_module is new"),
    (removed_module, "sys.modules: colorsys is missing"),
    (global_name, "global name: posthouse.core.address.Address was"),
    (django, "Django: settings are configured was False"),
    (level, "logger: root was"),
    (log_handler, "logger: posthouse is new"),
    (descriptor, "open descriptor: "),
    (thread, "thread that runs: left behind"),
    (child, "child process: "),
]


@pytest.mark.parametrize(("change", "said"), CHANGES, ids=[each.__name__ for each, _ in CHANGES])
def test_a_change_is_named(
    change: Callable[[ExitStack, pytest.MonkeyPatch], None],
    said: str,
    undo: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import colorsys  # noqa: F401  # a module that has no part in anything here

    monkeypatch.delenv("POSTHOUSE_URL", raising=False)
    monkeypatch.delitem(sys.modules, "django.conf", raising=False)
    before = leftovers.State.now()
    assert leftovers.changes(before) == []
    change(undo, monkeypatch)
    assert any(each.startswith(said) for each in leftovers.changes(before))


def test_a_module_that_leaves_something_behind_fails_and_the_next_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "test_first.py").write_text(
        "import os\n\ndef test_it():\n    os.environ['LEFT'] = '1'\n    os.chdir('/')\n"
    )
    (tmp_path / "test_second.py").write_text("import os\n\ndef test_it():\n    assert 'LEFT' not in os.environ\n")
    options = ("-p", "tests.conftest", "-p", "no:cacheprovider", "-q", "-n", "0", f"--rootdir={ROOT}")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "2 passed, 1 error" in ended.stdout
    assert "os.environ: LEFT is new" in ended.stdout
    assert "process: working directory was" in ended.stdout
