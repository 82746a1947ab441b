"""Commands run in this process, and what they leave behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from posthouse.cli import main


class Ran:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run a command in this process, with a home of its own."""
    for name in ("LC_ALL", "LC_MESSAGES", "POSTHOUSE_CONFIG", "POSTHOUSE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which run --app adds the working directory

    def run(*arguments: str) -> Ran:
        code = main(arguments)
        reported = capsys.readouterr()
        return Ran(code, reported.out, reported.err)

    return run
