"""Every fuzz target on its corpus, and the parts of the runner that need no coverage."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import CORPUS, TARGETS, target
from fuzz import __main__ as runner

FILES = sorted(file for name in TARGETS for file in (CORPUS / name).iterdir())


def test_each_target_has_seeds_and_each_folder_a_target() -> None:
    assert {file.name for file in CORPUS.iterdir()} == set(TARGETS)
    assert {file.parent.name for file in FILES} == set(TARGETS)
    assert sum(file.stat().st_size for file in FILES) < 262_144, "the corpus stays small"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_breaks_no_promise(name: str) -> None:
    run = target(name)
    run(b"")
    for file in FILES:
        if file.parent.name == name:
            run(file.read_bytes())


def test_without_coverage_the_corpus_is_changed_at_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "_BUILD", tmp_path)
    seen: set[bytes] = set()

    def fails_on_change(data: bytes) -> None:
        seen.add(data)
        assert data in {file.read_bytes() for file in (CORPUS / "replies").iterdir()}

    with pytest.raises(AssertionError):
        runner._change_at_random(fails_on_change, CORPUS / "replies", 30, "replies")
    (crash,) = tmp_path.iterdir()
    assert crash.read_bytes() in seen
    assert str(crash) in capsys.readouterr().out
