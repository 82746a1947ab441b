"""Chinese says all that English says, in the terms and the punctuation of a Chinese text."""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from posthouse.core import Bytes, MethodVerdict, Reply, Result
from posthouse.relay.recording.retry import RetrySchedule
from posthouse.service.config.chinese_texts import TEXTS, TYPES, type_of
from posthouse.service.config.docs import settings
from posthouse.service.mailauth.texts.verdict_text import verdict_entries, verdict_sentence
from posthouse.service.operations.explain_text import address_sentences, history_sentences
from posthouse.service.operations.explain_words import EXPLAIN_TEXTS
from posthouse.service.operations.reasons_zh import chinese_reason
from posthouse.service.operations.results import AddressForecast, AttemptEntry
from posthouse.spool.interface import StoredMessage

from .operation_harness import LATER, TRACE, OperationHarness, run
from .policy_harness import envelope

SOURCE = Path(__file__).resolve().parents[2] / "src" / "posthouse"
CHINESE = re.compile(r"[\u3400-\u9fff]")

CONFIG = """
hostname = "mx.here.test"
[[domain]]
name = "here.test"
mailboxes = ["ann", "bob", "small"]
paused = ["bob"]
aliases = { team = ["ann", "bob@far.test"] }
lists.all = { members = ["ann", "bob@far.test", "zoe@far.test"], owner = "ann" }
moved = { dave = "dave@example.net" }
[[domain]]
name = "told.test"
moved = { eve = "eve@example.net" }
moved_action = "tell"
[[domain]]
name = "full.test"
mailboxes = ["small", "later"]
quota = "2KiB"
[[route]]
to = "far.test"
via = "smtp://192.0.2.99:2600"
"""


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(EXPLAIN_TEXTS))
def test_both_languages_have_the_same_facts(key: str) -> None:
    english, chinese = EXPLAIN_TEXTS[key]
    assert fields(english) == fields(chinese)
    assert CHINESE.search(chinese) or not re.search("[a-z]{3}", re.sub(r"\{\w+\}|Message-ID", "", english))


#: Facts that a sentence may have: addresses, times, hosts, codes, numbers.
FACTS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*|T\+\d+|\d+\.\d+\.\d+(?:\.\d+)?(?::\d+)?|\d+")


@pytest.mark.parametrize(
    "address",
    [
        *("ann@here.test", "bob@here.test", "team@here.test", "all@here.test", "dave@here.test", "eve@told.test"),
        *("small@full.test", "nobody@here.test", "x@far.test", "x@elsewhere.test"),
    ],
)
def test_a_forecast_has_the_same_facts_in_both_languages(address: str) -> None:
    async def scenario() -> AddressForecast:
        desk = await OperationHarness(text=CONFIG)
        found = (await desk.do("explain", what=address)).address
        assert isinstance(found, AddressForecast)
        return found

    found = run(scenario)
    english, chinese = ([each.text for each in address_sentences(found, lang, clock_words)] for lang in ("en", "zh"))
    assert len(english) == len(chinese)
    for line, other in zip(english, chinese, strict=True):
        assert sorted(FACTS.findall(line)) == sorted(FACTS.findall(other)), (line, other)
        assert CHINESE.search(other) or not re.search("[a-z]{3}", re.sub(r"\S*\.test", "", line))


def clock_words(at: float) -> str:
    return f"T+{at - 1_800_000_000.0:.0f}"


def test_a_history_has_the_same_facts_in_both_languages() -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("bob@far.test", "zoe@near.test")
        await desk.attempt(Result.DEFERRED, LATER, trace=TRACE, only="far.test")
        await desk.do("queue hold", filter="to:zoe@near.test")
        history = (await desk.do("explain", what=queue_id)).message
        pairs = [list(history_sentences(history, lang, clock_words)) for lang in ("en", "zh")]
        for line, other in zip(*pairs, strict=True):
            assert (line.tone, line.at, line.depth) == (other.tone, other.at, other.depth)
            assert sorted(FACTS.findall(line.text)) == sorted(FACTS.findall(other.text)), (line.text, other.text)

    run(scenario)


# Mailboxes that take no mail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "reply"), [("refuse", "552 5.2.2"), ("defer", "452 4.2.2")])
def test_a_full_mailbox_is_explained_as_it_is_answered(action: str, reply: str) -> None:
    async def scenario() -> None:
        text = CONFIG.replace('quota = "2KiB"', f'quota = "2KiB"\nquota_action = "{action}"')
        desk = await OperationHarness(text=text)
        receipt = desk.queue.receive()
        receipt.abort()
        for octets, full in ((1000, False), (1048, True)):
            message = StoredMessage(receipt.id, envelope("small@full.test"), 0.0, octets)
            receipt = desk.queue.receive()
            receipt.abort()
            await desk.queue.keep("small@full.test", message, Bytes(b"x" * octets))
            found = (await desk.do("explain", what="small@full.test")).address
            checked = await desk.do("check address", address="small@full.test")
            assert found.facts.full is full
            assert found.reply == checked.reply == (reply if full else "250 2.1.5")
            assert bool(found.ends) is not full
            lines = [each.text for each in address_sentences(found, "en", str)]
            assert ("Mail for this address is refused." in lines) is full
            assert "of its quota of 2.0 KiB are used" in lines[1]
            zh = [each.text for each in address_sentences(found, "zh", str)]
            assert ("邮箱已满：配额 2.0 KiB，已用 2.0 KiB。" in zh[1]) is full
        assert (await desk.do("check address", address="later@full.test")).reply == "250 2.1.5"

    run(scenario)


def test_a_paused_mailbox_says_so_in_chinese() -> None:
    async def scenario() -> None:
        found = (await (await OperationHarness(text=CONFIG)).do("explain", what="bob@here.test")).address
        lines = [each.text for each in address_sentences(found, "zh", str)]
        assert "已暂停接收" in lines[1]
        assert "450 4.2.1" in lines[2]

    run(scenario)


# Reasons --------------------------------------------------------------------------------------------------------------


def test_the_reasons_of_retries_are_chinese() -> None:
    schedule = RetrySchedule()
    for attempts, now, asked in (
        (1, 10.0, None),
        (1, 10.0, 600.0),
        (9, 431_000.0, None),
        (9, 431_990.0, None),
        (9, 1e6, None),
        (10, 1e6, None),
    ):
        why = schedule.plan(attempts, 0.0, now, Random(1), asked=asked, certain=attempts < 10).why
        text = chinese_reason(why)
        assert text != why
        assert not re.search(r"[a-z]{3}", text), text


RESULTS = """
tried the configured host: 127.0.0.1:2600 refused the connection
tried MX of far.test: 10 mx.far.test: mx.far.test: 192.0.2.7:25 refused the connection; b.far.test stopped answering
3 connections in a row could not be opened: 127.0.0.1:2600 refused the connection
mx.far.test[192.0.2.7]:25 refused the session: 421 4.3.2 @
mx.far.test[192.0.2.7]:25 refused EHLO: 550 @
mx.far.test[192.0.2.7]:25 said: 450 4.7.1 @
no answer to RCPT within 300 seconds
the connection was lost after the whole message had been sent to mx.far.test; it may have arrived
the peer closed the connection; trying again, which may make a second copy
gave up after 9 attempts in 5.0 days; the last: tried the configured host: 127.0.0.1:2600 refused the connection
gave up after 9 attempts; the last: the connection was lost
not attempted: mx.far.test is suspended for a while, as 3 connections in a row could not be opened
attempt 2 may have succeeded, and each further one may make a copy; so the wait is longer, from 30 minutes to at most \
24 hours, less a random part
kept in the mailbox ann@here.test
discarded, as the configuration says
this session was kept and had ended meanwhile; a new one is opened
certificate of mx.far.test, verified
certificate of other.far.test, not verified; it is for other.far.test, not for mx.far.test
certificate of mx.far.test, not verified; it expired on 2026-01-02
in clear: mx.far.test[192.0.2.7]:25 does not offer STARTTLS
in clear: mx.far.test[192.0.2.7]:25 refused STARTTLS: 454 4.7.0 @
in clear: TLS failed: the TLS handshake was not over after 30 s
in clear: TLS failed: the TLS handshake with mx.far.test was not completed: the peer closed the connection
in clear: TLS failed: mx.far.test speaks none of our TLS versions (1.2 and 1.3)
tried MX of far.test: 10 mx.far.test: the certificate of mx.far.test is for far.test, not for mx.far.test; it expired \
on 2026-01-02
tried the configured host: mx.far.test[192.0.2.7]:465 refused the login by PLAIN: 535 5.7.8 @; check the name and the \
password
""".strip().splitlines()


@pytest.mark.parametrize("reason", RESULTS)
def test_reasons_of_results_are_chinese(reason: str) -> None:
    """But for hosts, commands, DNS terms and what a peer said."""
    text = chinese_reason(reason)
    assert not re.search(r"(?<![\w.])[a-z]{2,}(?![\w.\[@-])", text), text
    assert sorted(FACTS.findall(reason)) == sorted(FACTS.findall(text))


# Terms ----------------------------------------------------------------------------------------------------------------

#: Words that the texts do not use, each with the term that stands for it.
RETIRED = {
    r"发送方|寄方": "发送SMTP",
    r"接收端|接收方": "接收SMTP",
    r"响应码|返回码": "应答码",
    r"写信人|寄信人": "发件人",
    r"收信人": "收件人",
    r"信箱": "邮箱",
    r"(?<![黑灰白])名单": "邮件列表",
    r"延后|挂起": "暂缓",
    r"中继|派送": "中转、投递",
    r"暂不打扰": "暂停连接",
    r"再试": "重试",
    r"域是我们的": "该域由本机负责",
    r"信件": "邮件",
}
#: Half-width punctuation between Chinese characters.
HALF_WIDTH = re.compile(r"[\u3400-\u9fff][,;:!?](?=[\s\u3400-\u9fff]|$)|[,;!?] ?[\u3400-\u9fff]")


def chinese_texts() -> list[tuple[str, str]]:
    """Every Chinese string of the source, with its place; not the words that are looked for in mail."""
    found: list[tuple[str, str]] = []
    for file in sorted({*SOURCE.rglob("*.py")} - {SOURCE / "message/reading/code_words.py"}):
        found += [
            (f"{file.relative_to(SOURCE)}:{node.lineno}", node.value)
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CHINESE.search(node.value)
        ]
    return found


def test_one_term_for_one_thing() -> None:
    texts = chinese_texts()
    assert len(texts) > 400
    for place, text in texts:
        found = {word: term for word, term in RETIRED.items() if re.search(word, text)}
        assert not found, f"{place}: {text}: {found}"


def test_punctuation_is_full_width() -> None:
    wrong = [f"{place}: {text}" for place, text in chinese_texts() if HALF_WIDTH.search(text)]
    assert not wrong, "\n".join(wrong)


def test_every_setting_is_explained_in_chinese() -> None:
    """``posthouse explain SETTING --lang zh``: what is added to the configuration gets a text in ``chinese_texts``."""
    known = settings()
    assert {each.path for each in known} == set(TEXTS)
    named = re.compile(r"\b[2-5][0-9]{2}(?: [245]\.[0-9.]+[0-9])?\b|§[0-9.]+[0-9]|RFC [0-9]+|`[a-z_]+`")
    for each in known:
        text = TEXTS[each.path]
        assert CHINESE.search(text), each.path
        assert text.endswith("。"), each.path
        # Reply codes, sections and settings that the English text names are in the Chinese one.
        assert [fact for fact in named.findall(each.text) if fact not in text] == [], each.path
    written = {each.type for each in known}
    assert set(TYPES) <= written
    for kind in written:
        assert CHINESE.search(type_of(kind)) or re.fullmatch(r'"[^"]+"(、"[^"]+")*', type_of(kind)), kind


def test_verdicts_are_told_in_both_languages() -> None:

    spf, dmarc = verdict_entries(
        [
            MethodVerdict("spf", "pass", "x.test", "ip4:192.0.2.1 matches"),
            MethodVerdict("dmarc", "fail", "x.test", "nothing is aligned", "reject"),
        ]
    )
    assert verdict_sentence(spf, "en") == "SPF: pass for x.test: ip4:192.0.2.1 matches"
    assert verdict_sentence(dmarc, "en") == "DMARC: fail for x.test, the policy is reject: nothing is aligned"
    assert verdict_sentence(spf, "zh") == "SPF 结果为 pass（通过），域 x.test：ip4:192.0.2.1 matches"
    assert verdict_sentence(dmarc, "zh") == "DMARC 结果为 fail（不通过），域 x.test，策略为拒绝：nothing is aligned"


@pytest.mark.parametrize(
    ("peer", "reply", "chinese"),
    [
        ("ann@here.test", "250 2.0.0 kept in the mailbox", "250 2.0.0 已存入邮箱"),
        ("/var/mail/ann", "250 2.0.0 delivered to the Maildir", "250 2.0.0 已存入 Maildir"),
        ("mx.test[192.0.2.7]:25", "250 2.0.0 kept in the mailbox", "250 2.0.0 kept in the mailbox"),
        ("/run/lmtp.sock", "250 2.0.0 Saved", "250 2.0.0 Saved"),
    ],
)
def test_only_a_reply_of_this_side_is_told_in_chinese(peer: str, reply: str, chinese: str) -> None:
    async def scenario() -> None:
        desk = await OperationHarness()
        queue_id = await desk.store("ann@here.test")
        await desk.attempt(Result.DELIVERED, Reply(250, "2.0.0", "OK"), trace=TRACE)
        history = (await desk.do("explain", what=queue_id)).message
        events = [
            replace(each, ends=[replace(one, reply=reply, reason="", peer=peer) for one in each.ends])
            if isinstance(each, AttemptEntry)
            else each
            for each in history.events
        ]
        told = "\n".join(each.text for each in history_sentences(replace(history, events=events), "zh", str))
        assert f"ann@here.test：已投递，{chinese}" in told

    run(scenario)
