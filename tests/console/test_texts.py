"""The texts: every key in both languages, with the same values, and every key of a template exists."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import posthouse.console
from posthouse.console.api.operation_helps_zh import CHINESE_HELPS
from posthouse.console.api.operation_routes import offered
from posthouse.console.texts import tables, text

TEMPLATES = Path(posthouse.console.__file__).parent / "templates"


def _fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


@pytest.mark.parametrize("key", sorted(tables()))
def test_a_text_has_both_languages_with_the_same_values(key: str) -> None:
    english, chinese = tables()[key]
    assert english.strip()
    assert chinese.strip()
    assert _fields(english) == _fields(chinese)
    assert re.search(r"[\u4e00-\u9fff]", chinese) or english == chinese, "the Chinese text is not Chinese"


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_every_key_of_a_template_exists(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    for key in re.findall(r"""\bt\(["']([a-z0-9_.]+)["'][,)]""", source):
        assert key in tables(), f"{template.name}: {key}"
    for prefix in re.findall(r"""\bt\(["']([a-z0-9_.]+)["'] ~""", source):
        assert any(key.startswith(prefix) for key in tables()), f"{template.name}: {prefix}…"


def test_every_operation_and_parameter_has_a_chinese_text() -> None:
    written = {text for each in offered() for text in (each.help, *(one.help for one in each.parameters))}
    assert set(CHINESE_HELPS) == written
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for chinese in CHINESE_HELPS.values())


def test_a_value_is_put_in() -> None:
    assert text("en", "error.path", path="/x") == "There is no page at /x."
    assert text("zh", "error.path", path="/x") == "/x 处没有页面。"


@pytest.mark.parametrize(
    ("number", "words"),
    [("1", "1 recipient is held."), ("21", "21 recipients are held."), ("1,001", "1,001 recipients are held.")],
)
def test_one_is_singular(number: str, words: str) -> None:
    assert text("en", "queue.done.hold", number=number) == words
