"""The installer of ``.venv``: an environment that belongs to another directory is used, and never emptied."""

from __future__ import annotations

from pathlib import Path

import pytest

import set_up


def test_a_linked_environment_is_never_made_again(tmp_path: Path) -> None:
    environment = tmp_path / "one" / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").write_text("")
    (environment / "stamp-daemon").write_text(f"1 2 {tmp_path / 'one'}\n")
    link = tmp_path / "two" / ".venv"
    link.parent.mkdir()
    link.symlink_to(environment)
    stamp = f"1 2 {tmp_path / 'two'}"
    assert set_up.unusable(environment, stamp)  # its own directory has been moved
    assert not set_up.unusable(link, stamp)
    with pytest.raises(set_up.Hindrance, match=r"is a link to .*/one/\.venv, which is not complete"):
        set_up.make(link)
    assert (environment / "bin" / "python").exists()
