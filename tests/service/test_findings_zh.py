"""Each sentence that the checks of a domain and of a message can say has a Chinese form."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import posthouse.mailauth.domain_check
from posthouse.service.operations.checks import auth_advice
from posthouse.service.operations.checks.findings_zh import chinese_finding

CHECKS = Path(posthouse.mailauth.domain_check.__file__).parent
MODULES = (*(CHECKS / name for name in ("mail_hosts.py", "policy_records.py", "spf_survey.py")), auth_advice.__file__)
#: Calls whose arguments are sentences, with their places.
CALLS = {"DomainFinding": (1, 2), "_add": (1, 2), "TopicReport": (1,)}


def _said(node: ast.expr) -> list[str]:
    """What an argument can say, "7" in the place of each value; nothing for what is worked out elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            text = ""
            for each in values:
                match each:
                    case ast.Constant(value=str(part)):
                        text += part
                    case ast.FormattedValue(value=ast.BinOp()):  # the plural
                        text += "s"
                    case _:
                        text += "7"
            return [text]
        case ast.BinOp(left=left, right=ast.IfExp(body=body, orelse=other)):
            return [first + second for first in _said(left) for last in (body, other) for second in _said(last)]
        case ast.IfExp(body=body, orelse=other):
            return [*_said(body), *_said(other)]
    return []


def sentences() -> list[str]:
    found = set()
    for module in MODULES:
        for node in ast.walk(ast.parse(Path(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                for place in CALLS.get(name, ()):
                    if place < len(node.args):
                        found.update(_said(node.args[place]))
            elif isinstance(node, ast.Return) and node.value is not None:
                found.update(text for text in _said(node.value) if text.endswith("."))
    return sorted(each for each in found if re.search("[a-z]{2}", each))


@pytest.mark.parametrize("sentence", sentences())
def test_a_sentence_has_a_chinese_form(sentence: str) -> None:
    if sentence in ("77.", "one record, 7", "_dmarc.7: 7."):  # made of other sentences
        return
    assert re.search(r"[\u4e00-\u9fff]", chinese_finding(sentence)), sentence


def test_there_are_sentences() -> None:
    assert len(sentences()) > 80


def test_a_verdict_is_said_whole() -> None:
    text = "DMARC is fail for example.org: no result is of a domain of example.org. Receivers refuse it."
    assert chinese_finding(text).startswith("example.org 的 DMARC 结果：不通过。")
    assert chinese_finding(text).endswith("接收SMTP会拒收。")
    assert chinese_finding("The signature of x.test is fail: the body was changed.").startswith("x.test 的签名 结果")
    assert chinese_finding("Something else.") == "Something else."
