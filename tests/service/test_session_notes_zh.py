"""Notes of sessions and advice in Chinese: each sentence that the sources have is found there, and has a text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import posthouse
from posthouse.core import Address, Outcome, Recipient, Reply, Result
from posthouse.delivery.tracer import AttemptTracer
from posthouse.protocol.readers import InputFault
from posthouse.service.config.advice_zh import chinese_advice
from posthouse.service.monitor.attempt_book import AttemptRecord
from posthouse.service.operations.checks.lint_zh import DEFECTS_ZH, chinese_defect
from posthouse.service.operations.monitor.session_notes_zh import chinese_note
from posthouse.service.operations.reasons_zh import chinese_own_reply, chinese_reason
from posthouse.testing import ManualClock

SOURCE = Path(posthouse.__file__).parent
CHINESE = re.compile(r"[\u3400-\u9fff]")
#: Names of settings, which are the reason of a refusal by themselves.
SETTING = re.compile(r"[a-z]+(?:_[a-z]+)+")


def plain(node: ast.expr) -> list[str]:
    """The texts that an expression may be, with a value in each gap; none for what is no text of its own."""
    match node:
        case ast.Constant(value=str() as text):
            return [text]
        case ast.JoinedStr():
            parts = [str(ast.literal_eval(part)) if isinstance(part, ast.Constant) else "7" for part in node.values]
            return ["".join(parts)] if any(re.search("[a-z]{3}", each) for each in parts) else []
        case ast.IfExp():
            return plain(node.body) + plain(node.orelse)
    return []


def calls(*places: str) -> Iterator[ast.Call]:
    for place in places:
        root = SOURCE / place
        for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield node


def called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def is_accepted(node: ast.expr) -> bool:
    """Whether a reply written in the source is positive."""
    first = node.args[0] if isinstance(node, ast.Call) and node.args else None
    return isinstance(first, ast.Constant) and isinstance(first.value, int) and first.value < 300


def refusals() -> Iterator[str]:
    """The reason of each refusal in the sources."""
    for call in calls("service/policy", "service/mailauth", "server"):
        if called(call) == "Verdict" and len(call.args) > 1 and not is_accepted(call.args[0]):
            yield from plain(call.args[1])
    for call in calls("protocol/sasl"):
        if called(call) in ("rejected", "malformed") and call.args:
            yield from plain(call.args[0])


def test_each_reason_of_a_refusal_is_chinese() -> None:
    found = [each for each in refusals() if each != "batv: 7"]  # its reasons are those of ``chinese_reason``
    assert len(found) > 60
    for reason in found:
        assert CHINESE.search(chinese_note(reason)) or SETTING.fullmatch(reason), reason
        note = chinese_note(f"RCPT: {reason}")
        assert note.startswith("RCPT："), note


@pytest.mark.parametrize("fault", list(InputFault))
def test_input_that_is_refused_is_named_in_chinese(fault: InputFault) -> None:
    assert not re.search("[a-z]{3}", chinese_note(f"{fault.value}: a rule of the protocol"))


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("the client ended the connection without QUIT", "客户端没有发出 QUIT 就断开了连接"),
        ("127.0.0.1 (127.0.0.1:2525): session kept open, 1 message before", "此前已传 1 封邮件"),
        ("… 12 lines …", "… 省略 12 行 …"),
        ("1,200 more refusals in this session, too many to be written one by one", "还有 1,200 次拒绝"),
        ("MAIL: spf fail: x.test publishes no SPF record", "MAIL：SPF 结果为 fail：x.test 没有发布 SPF 记录"),
        ("DATA: storage is full: No space left on device", "DATA：存储空间已满"),
        (
            "rcpt: the recipient drop@ asks for it; the connection was cut",
            "收件人地址 drop@ 要求模拟此故障；连接已断开",
        ),
        ("127.0.0.1:1 refused the connection", "127.0.0.1:1 拒绝连接"),
        ("tried the configured host: 127.0.0.1:1 refused the connection", "已尝试配置指定的主机：127.0.0.1:1 拒绝连接"),
    ],
)
def test_a_note_is_chinese(note: str, words: str) -> None:
    assert words in chinese_note(note)


@pytest.mark.parametrize("reply", ["550 5.1.1 no such name", "220 mx.here.test ESMTP", "250-paused"])
def test_what_was_said_on_the_wire_stays(reply: str) -> None:
    assert chinese_note(reply) == reply


def test_a_reply_of_this_side_is_chinese_and_that_of_a_host_is_not() -> None:
    assert chinese_own_reply("451 4.4.1 no host answered") == "451 4.4.1 没有主机应答"
    assert chinese_own_reply("451 4.4.4 no route to x.test") == "451 4.4.4 没有通往 x.test 的路由"
    tried = "tried the configured host: 127.0.0.1:1 refused the connection: 451 4.4.1 no host answered"
    assert chinese_reason(tried) == "已尝试配置指定的主机：127.0.0.1:1 拒绝连接：451 4.4.1 没有主机应答"
    said = "mx.far.test[192.0.2.7]:25 said: 451 4.4.1 no host answered (in reply to RCPT TO)"
    assert "no host answered" in chinese_reason(said)
    said = "tried MX of x.test: a.test said: 451 4.3.0 Failing on demand; try again; b.test stopped answering"
    assert chinese_reason(said).endswith("451 4.3.0 Failing on demand; try again；b.test 不再应答")


def test_each_reply_of_this_side_is_chinese() -> None:
    found = [
        text
        for call in calls("delivery", "relay")
        if called(call) == "Reply" and len(call.args) == 3
        for text in plain(call.args[2])
        if text != "7"
    ]
    assert len(found) > 20
    for text in found:
        assert CHINESE.search(chinese_own_reply(f"451 4.0.0 {text}")), text


@pytest.mark.parametrize(
    ("peer", "problem"), [("", "tried x: refused"), ("mx.x.test[192.0.2.1]:25", "451 4.4.1 Later")]
)
def test_the_problem_of_an_attempt_is_what_the_host_said_or_why_none_did(peer: str, problem: str) -> None:
    reply = Reply(451, "4.4.1", "Later")
    outcome = Outcome(Recipient(Address("a", "x.test")), Result.DEFERRED, reply, "tried x: refused", peer)
    record = AttemptRecord(1, "id", 0.0, "x.test", "mx", AttemptTracer(ManualClock()), (outcome,), 1.0)
    assert record.problem == problem


# Advice and defects --------------------------------------------------------------------------------------------------


def test_each_advice_is_chinese() -> None:
    tree = ast.parse((SOURCE / "service/config/advice.py").read_text(encoding="utf-8"))
    described = [node.body[0] for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Module)]
    docstrings = [id(node.value) for node in described if isinstance(node, ast.Expr)]
    texts = [
        each
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in docstrings
        for each in plain(node)
    ]
    begins = re.compile(r"[A-Z\[]|(?:listener|route|domain|certificate|accounts|hostname|DKIM)\b|7(?: is a|:)")
    told = [each for each in dict.fromkeys(texts) if each.endswith(".") and begins.match(each)]
    assert len(told) > 25
    for each in told:
        if each == "certificate 7: 7.":  # what ``open_to_all`` says
            each = "certificate a: every user of this machine may read the key b; take that right away (chmod o-r b)."
        sentence = each.replace("start7.", "start.").replace("it 7; renew", "it ends in 7 days; renew")
        assert CHINESE.search(chinese_advice(sentence)), each
    assert (
        chinese_advice("listener mx: 192.0.2.1 is not an address of this machine.")
        == "监听器 mx：192.0.2.1 不是本机的地址。"
    )
    relative = "domain x.test: the Maildir is a relative path: it is /a/b here, and elsewhere where the daemon is."
    assert chinese_advice(relative).startswith("域 x.test 的 Maildir 是相对路径：此处为 /a/b")


def test_each_defect_of_a_message_is_chinese() -> None:
    codes = {
        text
        for call in calls("message/reading")
        if called(call) == "add" and len(call.args) >= 3
        for text in plain(call.args[0])
    }
    assert len(codes) > 15
    assert codes <= set(DEFECTS_ZH)
    assert chinese_defect("a part has two fields Content-Type; the first counts (second-type)").startswith("有一个部分")
