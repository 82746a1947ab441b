"""The lint of a message in Chinese: each rule and each remedy that the sources have is found there, and has a text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import posthouse
from posthouse.message import lint
from posthouse.message.lint.body_rules import _OF_THE_READER
from posthouse.service.operations.checks.lint_zh import LINT_RULES_ZH, chinese_lint_remedy, chinese_lint_text

SOURCES = Path(posthouse.__file__).parent / "message" / "lint"


def plain(node: ast.expr) -> list[str]:
    """The texts that an expression may be, with a value in each gap."""
    match node:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.JoinedStr():
            parts = [
                [str(ast.literal_eval(part))] if isinstance(part, ast.Constant) else ["Date", "3"]
                for part in node.values
            ]
            return ["".join(each[0 if len(each) == 1 else kind] for each in parts) for kind in (0, 1)]
        case ast.BinOp(op=ast.Add()):
            return [left + right for left in plain(node.left) for right in plain(node.right)]
        case ast.IfExp():
            return plain(node.body) + plain(node.orelse)
    return []


def findings() -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Rule, text and remedy of each finding in the sources."""
    for path in SOURCES.glob("*_rules.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            kinds = ("error", "warning", "note", "add")
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in kinds:
                skip = 1 if call.func.attr == "add" else 0
                if len(call.args) >= 4 + skip:
                    yield plain(call.args[0]), plain(call.args[2 + skip]), plain(call.args[3 + skip])


def is_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def test_each_rule_has_a_text() -> None:
    found = list(findings())
    assert len(found) > 40
    for rules, texts, _ in found:
        for rule in rules:
            rule = "missing-date" if rule in ("missing-Date", "missing-3") else rule
            assert rule in LINT_RULES_ZH, rule
            assert all(is_chinese(chinese_lint_text(rule, text)) for text in texts)
    assert {rule for rule, _, _ in _OF_THE_READER.values()} <= set(LINT_RULES_ZH)


def test_the_details_are_in_the_text() -> None:
    assert chinese_lint_text("repeated-field", "Date occurs 2 times; programs differ in which they read, and …") == (
        "Date 出现 2 次；各程序读的不是同一个，Gmail 则拒收。"
    )
    assert chinese_lint_text("future-date", "The date is 3 days in the future; filters …").startswith("日期在 3 天之后")
    assert chinese_lint_text("bad-date", "words of a reader") == "日期的格式有误。"
    assert chinese_lint_text("unknown-rule", "text") == "text"


def test_each_remedy_has_a_text() -> None:
    remedies = [remedy for _, _, found in findings() for remedy in found]
    remedies += [remedy for _, remedy, _ in _OF_THE_READER.values()]
    remedies = [each for each in remedies if each != "Make several of at most Date octets."]  # a number stands there
    assert [each for each in remedies if not is_chinese(chinese_lint_remedy(each))] == []


def test_a_whole_message() -> None:
    for each in lint.lint_message(b"From: a\r\nFrom: b\r\nDate: x\r\n\r\n\xff\n", now=0.0):
        assert is_chinese(chinese_lint_text(each.rule, each.text)), each
        assert is_chinese(chinese_lint_remedy(each.remedy)), each
