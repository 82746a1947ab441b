"""The scripts in front of the command line: which Python they take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def prepared(python: str) -> subprocess.CompletedProcess[str]:
    """``prepare`` of scripts/lib.sh, up to where it would install something."""
    script = f'root=/nowhere; . "{ROOT}/scripts/lib.sh"; new_enough "$PYTHON" && exit 0; prepare daemon'
    return subprocess.run(["sh", "-c", script], env={"PYTHON": python}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("python", ["/bin/false", "/bin/true", "/bin/echo", "/no/such/python"])
def test_a_python_that_was_named_and_is_none_is_refused(python: str) -> None:
    """Another one is not taken silently in its place."""
    done = prepared(python)
    assert done.returncode == 69
    assert f"$PYTHON is {python}, which is no Python 3.11 or newer" in done.stderr


def test_a_python_that_was_named_is_taken() -> None:
    assert prepared(sys.executable).returncode == 0
