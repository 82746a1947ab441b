"""Findings, advice and reasons in Chinese: each text that the sources have is found there, and has a translation."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import posthouse
from posthouse.service.mailauth.texts.auth_advice_zh import chinese_auth_advice
from posthouse.service.mailauth.texts.auth_words import AUTH_WORDS_ZH, auth_words

ROOT = Path(posthouse.__file__).parent
#: File → the calls whose texts people read, with the places of the arguments.
READ = {
    "mailauth/domain_check/policy_records.py": {"DomainFinding": (1, 2), "TopicReport": (1,)},
    "mailauth/domain_check/mail_hosts.py": {"DomainFinding": (1, 2), "TopicReport": (1,)},
    "mailauth/domain_check/spf_survey.py": {"DomainFinding": (1, 2), "TopicReport": (1,), "_add": (1, 2)},
    "mailauth/dmarc/dmarc_record.py": {"_remark": (0,), "ValueError": (0,)},
    "mailauth/dmarc/tree_walk.py": {"append": (0,)},
    "mailauth/dkim/signature.py": {"SignatureFault": (1,)},
    "mailauth/dkim/verification.py": {"SignatureFault": (1,), "DkimResult": (1,)},
    "mailauth/dkim/key_record.py": {"SignatureFault": (1,)},
    "mailauth/arc/arc_validation.py": {"SignatureFault": (1,), "ArcResult": (1,)},
    "mailauth/arc/arc_fields.py": {"SignatureFault": (1,)},
    "mailauth/dmarc/evaluation.py": {"DmarcResult": ("reason",)},
    "service/operations/checks/auth_advice.py": {"DomainFinding": (1, 2)},
    "service/operations/dkim_keys.py": {"append": (0,)},
}
#: What may stand in braces: a name, a number, a tag, a plural's s that is left out, a capital letter; and in the last
#: braces, a part of a sentence.
_VALUES = ("x.test", "3", "a", "", "T")
_PARTS = (
    "the record has no effect",
    "says nothing about other hosts",
    "3 of 10 look-ups",
    "at least 3 are needed",
    "here is no key: x.test has no TXT record",
)


def texts_of(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may be: what stands in braces is a name or a number."""
    match node:
        case ast.Constant(value=str() as text):
            yield text
        case ast.JoinedStr():
            gaps = sum(isinstance(part, ast.FormattedValue) for part in node.values)
            for filled in itertools.product(*[_VALUES] * (gaps - 1), (*_VALUES, *_PARTS)):
                rest = iter(filled)
                yield "".join(
                    next(rest) if isinstance(part, ast.FormattedValue) else str(ast.literal_eval(part))
                    for part in node.values
                )
        case ast.IfExp():
            yield from texts_of(node.body)
            yield from texts_of(node.orelse)
        case ast.BinOp(op=ast.Add()):
            for left, right in itertools.product(texts_of(node.left), texts_of(node.right)):
                yield left + right


def cases() -> Iterator[tuple[str, list[str]]]:
    """Each text in the sources: where it stands, and what it may be."""
    for path, calls in READ.items():
        for call in ast.walk(ast.parse((ROOT / path).read_text())):
            if not isinstance(call, ast.Call):
                continue
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            for place in calls.get(name, ()):
                named = {each.arg: each.value for each in call.keywords}
                found = named.get(str(place))
                if isinstance(place, int) and len(call.args) > place:
                    found = call.args[place]
                texts = [] if found is None else [text for text in texts_of(found) if " " in text]
                if texts:
                    yield f"{path}:{call.lineno}", texts


CASES = list(cases())


def is_chinese(text: str) -> bool:
    """Whether what is left without commands, quoted texts and names is Chinese."""
    bare = re.sub(r"posthouse [a-z]+ [a-z]+(?: [a-z.-]+)*|chmod .*", "", text)
    return re.search(r"[\u4e00-\u9fff]", bare) is not None and re.search(r"[a-z]{2,} [a-z]{2,}", bare) is None


@pytest.mark.parametrize("texts", [texts for _, texts in CASES], ids=[place for place, _ in CASES])
def test_each_text_has_a_translation(texts: list[str]) -> None:
    assert any(is_chinese(chinese_auth_advice(text)) for text in texts), texts[:20]


def test_the_sources_are_read() -> None:
    assert len(CASES) > 110
    assert {place.rpartition(":")[0] for place, _ in CASES} == set(READ)


def test_parts_are_translated_too() -> None:
    said = chinese_auth_advice
    assert said("SPF is fail for x.test: no term in the SPF record of x.test matches 192.0.2.1.") == (
        "x.test 的 SPF 结果为 fail：x.test 的 SPF 记录中没有一项与 192.0.2.1 相符。"
    )
    assert (
        said("There is no key: s._domainkey.x.test has no TXT record.")
        == "没有密钥：s._domainkey.x.test 没有 TXT 记录。"
    )
    assert said("_dmarc.x.test: pct= is ignored: RFC 9989 has removed it; t=y asks for a milder policy.") == (
        "_dmarc.x.test：pct= 不起作用：RFC 9989 已取消它；t=y 可使策略放宽一级。"
    )
    assert said("words of others") == "words of others"


def test_words_of_the_commands() -> None:
    assert all(is_chinese(each) for each in AUTH_WORDS_ZH.values())
    assert auth_words("en")("the key {} of {} was made; publish this record:", "s", "x.test").startswith("the key s of")
    assert auth_words("zh")("the key {} of {} was made; publish this record:", "s", "x.test").startswith(
        "已生成 x.test"
    )
