"""Histories and forecasts as sentences, in English and Chinese.

A sentence has a tone, by which a face may colour it, and the time of the event that it describes, if there is one.
Recipients with equal results share a sentence, so that the history of a message with 500 recipients has 12 lines.  The
texts of peers are shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from posthouse.core.units import duration_in_words
from posthouse.service.operations.reasons_zh import chinese_reason
from posthouse.service.operations.results import (
    AddressForecast,
    AttemptEntry,
    ConnectionEntry,
    EndForecast,
    EventEntry,
    MessageHistory,
    RecipientNow,
    ResultEntry,
)

__all__ = ["Sentence", "When", "address_sentences", "history_sentences"]

#: Writes a time in the reader's own time zone.
When = Callable[[float], str]
_Tone = Literal["title", "fact", "good", "bad", "wait", "quiet", "line"]

_NAMED = 3  # recipients that one sentence names


class Sentence(NamedTuple):
    """One line: its text, its tone, the time of the event if there is one, and its depth (0 to 2)."""

    text: str
    tone: _Tone = "fact"
    at: float | None = None
    depth: int = 0


_EN: Final = {
    "title": "{id}  from {sender} to {recipients}, {size} octets",
    "message-id": "Message-ID {id}",
    "about": "This message is a delivery report about {id}.",
    "corrupt": "The content is missing or damaged; the message is kept for inspection.",
    "accepted": "accepted from {source}",
    "helo": ", which calls itself {name}",
    "user": ", authenticated as {name}",
    "tls": ", by {tls}",
    "attempt": "attempt {number}, for {where}",
    "rule": "route: {rule}",
    "reused": "on a session that had taken {number} before",
    "took": "{span} in all ({phases})",
    "delivered": "{recipients}: delivered, {reply}",
    "deferred": "{recipients}: deferred, {reply}",
    "failed": "{recipients}: failed, {reply}",
    "ambiguous": "{recipients}: unknown whether it was delivered: {reply}",
    "expired": "{recipients}: given up, {reply}",
    "next": "next attempt {due}: {why}",
    "held": "{recipients} held by {who}",
    "released": "{recipients} released by {who}",
    "retried": "{who} asked for an attempt now for {recipients}",
    "dropped": "{recipients} dropped by {who}",
    "rerouted": "{recipients} rerouted by {who}: {text}",
    "warned": "the sender was told that delivery is delayed for {recipients}",
    "reported": "a delivery report was sent to the sender: {text}",
    "suspected": "the worker that was delivering it crashed; it will be tried again",
    "quarantined": "held on arrival: {text}",
    "poison": "{recipients} held as a poison message: three workers crashed while they were delivering it",
    "corrupt-event": "the content was found to be missing or damaged: {text}",
    "configuration": "the configuration decides again",
    "operator": "an operator",
    "all": "all recipients",
    "more": "{recipients} and {number} more",
    "and": ", ",
    "now-title": "Now",
    "now-waiting": "{recipients}: waiting for attempt {number}, {due}",
    "now-active": "{recipients}: due now; in delivery, in its ready queue, or waiting for a suspended site",
    "now-held": "{recipients}: held until an operator releases it (posthouse queue release id:{id})",
    "now-delivered": "{recipients}: delivered",
    "now-failed": "{recipients}: failed permanently",
    "now-route": "{recipients}: rerouted to {route} by an operator",
    "gone": "The message has left the queue; only its history is kept.",
    "because": ": {why}",
    "in": "{when} (in {span})",
    "reply": "RCPT from outside the trusted networks is answered {reply}.",
    "nowhere": "Mail for this address is refused.",
    "way": "{recipient}: goes by {way} to {target}",
    "no-way": "{recipient}: has no route now",
    "why": "because {rule}",
    "lookup": "next hop: {lookup}",
    "exchange": "{name}: {addresses}",
    "queued": "in the queue for {destination}: {waiting} waiting, {held} held, the oldest for {span}",
    "suspended": "site suspended until {until}: {why}",
    "limit": "concurrency limit of the site now: {limit}",
    "would-try": "A message would be tried at once at {name}.",
    "would-wait": "A message would wait until {until} before it is tried.",
    "would-keep": "A message would be delivered at once.",
    "would-defer": "A message would be deferred: {reply}",
    "would-fail": "A message would fail: {reply}",
}

_ZH: Final = {
    "title": "{id}  发件人 {sender}，收件人 {recipients}，{size} 字节",
    "message-id": "Message-ID {id}",
    "about": "这是关于 {id} 的报告。",
    "corrupt": "内容缺失或损坏；保留以供查看。",
    "accepted": "接收自 {source}",
    "helo": "，对方自称 {name}",
    "user": "，已验证身份：{name}",
    "tls": "，经 {tls}",
    "attempt": "第 {number} 次尝试，目的地 {where}",
    "rule": "路由：{rule}",
    "reused": "沿用此前已投递 {number} 封邮件的会话",
    "took": "共 {span}（{phases}）",
    "delivered": "{recipients}：已投递，{reply}",
    "deferred": "{recipients}：暂缓，{reply}",
    "failed": "{recipients}：失败，{reply}",
    "ambiguous": "{recipients}：不能确定是否已投递：{reply}",
    "expired": "{recipients}：放弃，{reply}",
    "next": "下次尝试 {due}：{why}",
    "held": "{who} 扣留了 {recipients}",
    "released": "{who} 放行了 {recipients}",
    "retried": "{who} 要求立即重试 {recipients}",
    "dropped": "{who} 丢弃了 {recipients}",
    "rerouted": "{who} 为 {recipients} 改设路由：{text}",
    "warned": "已告知发件人 {recipients} 的投递延迟",
    "reported": "已向发件人发送报告：{text}",
    "suspected": "处理它的进程已崩溃；将重新尝试",
    "quarantined": "接收时即被扣留：{text}",
    "poison": "{recipients} 被扣留：三个进程先后在处理它时崩溃",
    "corrupt-event": "发现内容缺失或损坏：{text}",
    "configuration": "由配置决定",
    "operator": "管理员",
    "all": "所有收件人",
    "more": "{recipients} 等（另有 {number} 人）",
    "and": "、",
    "now-title": "现在",
    "now-waiting": "{recipients} 等待第 {number} 次尝试，{due}",
    "now-active": "{recipients}：已到期；正在尝试、排队，或已暂停连接其目的主机",
    "now-held": "{recipients}：被扣留，等待管理员决定（posthouse queue release id:{id}）",
    "now-delivered": "{recipients}：已投递",
    "now-failed": "{recipients}：失败",
    "now-route": "{recipients}：按管理员的决定走 {route}",
    "gone": "它已离开队列，只保留了经过记录。",
    "because": "：{why}",
    "in": "{when}（{span}后）",
    "reply": "不受信任的客户端发送 RCPT，得到应答 {reply}。",
    "nowhere": "本机不接收发往它的邮件，因此不会投递到任何地方。",
    "way": "{recipient}：经 {way} 发往 {target}",
    "no-way": "{recipient}：现在没有可用的路由",
    "why": "因为 {rule}",
    "lookup": "下一跳：{lookup}",
    "exchange": "{name}：{addresses}",
    "queued": "队列中发往 {destination} 的收件人：{waiting} 位等待，{held} 位扣留，最早的已等 {span}",
    "suspended": "暂停连接，直到 {until}：{why}",
    "limit": "目前最多同时进行 {limit} 次尝试",
    "would-try": "邮件会立即尝试投递到 {name}。",
    "would-wait": "邮件会等到 {until} 再尝试。",
    "would-keep": "邮件会立即投递。",
    "would-defer": "邮件会被暂缓：{reply}",
    "would-fail": "邮件会失败：{reply}",
}

_WORDS: Final = MappingProxyType({"en": _EN, "zh": _ZH})
_PHASES_ZH: Final = MappingProxyType(
    {"resolve": "解析", "connect": "连接", "greet": "问候", "envelope": "信封", "content": "内容", "final": "确认"}
)
_KINDS_ZH: Final = MappingProxyType(
    {
        "mailbox": "本地邮箱。",
        "moved": "邮箱已迁走。",
        "alias": "别名；发件人不变。",
        "list": "邮件列表；列表所有者成为发件人。",
        "foreign": "该域不由本机负责：只有受信任的网络可以经本机中转。",
        "unknown": "该域由本机负责，但没有这个邮箱。",
    }
)
_TONES: Final[dict[str, _Tone]] = {"delivered": "good", "deferred": "wait", "failed": "bad", "ambiguous": "bad"}


def _took(seconds: float) -> str:
    """The time of one phase, in few characters."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "<1 ms"


class _Sentences:
    """The texts of one language, for one reader."""

    def __init__(self, lang: str, when: When) -> None:
        self.lang = lang if lang in _WORDS else "en"
        self.words = _WORDS[self.lang]
        self.when = when

    def __call__(self, key: str, **facts: object) -> str:
        return self.words[key].format_map({name: str(value) for name, value in facts.items()})

    def recipients(self, names: Sequence[str]) -> str:
        shown = self.words["and"].join(names[:_NAMED])
        return self("more", recipients=shown, number=len(names) - _NAMED) if len(names) > _NAMED else shown

    def reason(self, reason: str) -> str:
        return chinese_reason(reason) if self.lang == "zh" else reason

    def due(self, due: float, now: float) -> str:
        if due <= now:
            return self.when(due)
        return self("in", when=self.when(due), span=duration_in_words(due - now, self.lang))


def history_sentences(
    history: MessageHistory, lang: str, when: When, *, transcript: bool = False
) -> Iterator[Sentence]:
    """The history of a message; ``when`` writes times, ``transcript`` adds the lines of the dialogues."""
    say = _Sentences(lang, when)
    sender = f"<{history.sender}>" if not history.sender else history.sender
    yield Sentence(
        say("title", id=history.id, sender=sender, recipients=say.recipients(history.recipients), size=history.size),
        "title",
    )
    if history.message_id:
        yield Sentence(say("message-id", id=history.message_id), "quiet")
    if history.about:
        yield Sentence(say("about", id=history.about), "quiet")
    if history.corrupt:
        yield Sentence(say("corrupt"), "bad")
    how = say("accepted", source=history.source or "?")
    how += say("helo", name=history.helo) if history.helo else ""
    how += say("user", name=history.user) if history.user else ""
    how += say("tls", tls=history.tls) if history.tls else ""
    yield Sentence(how, "fact", history.received)
    number = 0
    for event in history.events:
        if isinstance(event, AttemptEntry):
            number += 1
            yield from _attempt(say, event, number, transcript)
        else:
            yield _event(say, event)
    yield from _standing(say, history)


def _attempt(say: _Sentences, attempt: AttemptEntry, number: int, transcript: bool) -> Iterator[Sentence]:
    where = attempt.destination
    if attempt.target and attempt.target != attempt.destination:
        where += f" → {attempt.target}"
    yield Sentence(say("attempt", number=number, where=where), "fact", attempt.began or attempt.at)
    if attempt.rule:
        yield Sentence(say("rule", rule=say.reason(attempt.rule)), "quiet", depth=1)
    for connection in attempt.connections:
        yield from _connection(say, connection, transcript)
    groups: dict[tuple[str, ...], list[ResultEntry]] = {}
    for result in attempt.ends:
        due = "" if result.due is None else f"{result.due:.0f}"
        groups.setdefault((result.result, result.state, result.reply, result.reason, result.why, due), []).append(
            result
        )
    for results in groups.values():
        yield from _results(say, results, attempt.at)


def _connection(say: _Sentences, connection: ConnectionEntry, transcript: bool) -> Iterator[Sentence]:
    peer = connection.peer or connection.mx
    if connection.mx and connection.mx not in peer:
        peer = f"{connection.mx} [{peer}]"
    parts = [peer] if peer else []
    if connection.reused:
        parts.append(say("reused", number=connection.reused))
    if connection.tls:
        parts.append(connection.tls)
    if connection.timings:
        names = _PHASES_ZH if say.lang == "zh" else {}
        phases = ", ".join(f"{names.get(name, name)} {_took(took)}" for name, took in connection.timings.items())
        parts.append(say("took", span=duration_in_words(sum(connection.timings.values()), say.lang), phases=phases))
    if connection.ended:
        parts.append(connection.ended)
    if parts:
        yield Sentence("; ".join(parts), "quiet", depth=1)
    if transcript:
        for line in connection.lines:
            yield Sentence(line, "line", depth=2)


def _results(say: _Sentences, results: Sequence[ResultEntry], now: float) -> Iterator[Sentence]:
    first = results[0]
    recipients = say.recipients([result.recipient for result in results])
    given_up = first.result == "failed" and first.reply.startswith("4")
    key = "expired" if given_up else first.result
    said = first.reply or first.reason
    if first.reply and first.reason and first.result != "delivered" and first.reply not in first.reason:
        said = f"{first.reply} ({first.reason})"
    yield Sentence(say(key, recipients=recipients, reply=said or "-"), _TONES[first.result], depth=1)
    if first.due is not None:
        yield Sentence(say("next", due=say.due(first.due, now), why=say.reason(first.why) or "-"), "quiet", depth=1)


def _event(say: _Sentences, event: EventEntry) -> Sentence:
    key = "corrupt-event" if event.kind == "corrupt" else event.kind
    if key not in say.words:
        return Sentence(f"{event.kind} {event.text}".strip(), "fact", event.at)
    recipients = say.recipients(event.recipients) if event.recipients else say("all")
    text = event.text or (say("configuration") if event.kind == "rerouted" else "-")
    tone: _Tone = "bad" if event.kind in ("dropped", "poison", "corrupt") else "fact"
    return Sentence(say(key, recipients=recipients, who=event.who or say("operator"), text=text), tone, event.at)


def _standing(say: _Sentences, history: MessageHistory) -> Iterator[Sentence]:
    yield Sentence(say("now-title"), "title")
    groups: dict[tuple[object, ...], list[RecipientNow]] = {}
    for each in history.standing:
        due = None if each.due is None else round(each.due)
        groups.setdefault((each.state, each.attempts, due, each.why, each.route), []).append(each)
    for (state, *_), recipients in groups.items():
        yield from _now(say, history, str(state), recipients)
    if not history.queued:
        yield Sentence(say("gone"), "quiet", depth=1)


def _now(
    say: _Sentences, history: MessageHistory, state: str, recipients: Sequence[RecipientNow]
) -> Iterator[Sentence]:
    first = recipients[0]
    names = say.recipients([each.address for each in recipients])
    if state == "waiting" and first.due is not None and first.due > history.now:
        due = say.due(first.due, history.now)
        text = say("now-waiting", recipients=names, number=first.attempts + 1, due=due)
        yield Sentence(text + (say("because", why=say.reason(first.why)) if first.why else ""), "wait", depth=1)
    elif state == "waiting":
        yield Sentence(say("now-active", recipients=names), "wait", depth=1)
    else:
        tone: _Tone = "good" if state == "delivered" else "bad"
        yield Sentence(say(f"now-{state}", recipients=names, id=history.id), tone, depth=1)
    if first.route and state in ("waiting", "held"):
        yield Sentence(say("now-route", recipients=names, route=first.route), "quiet", depth=1)


# Forecasts ------------------------------------------------------------------------------------------------------------


def address_sentences(found: AddressForecast, lang: str, when: When) -> Iterator[Sentence]:
    """What an address is, and where a message to it would go."""
    say = _Sentences(lang, when)
    yield Sentence(found.address, "title")
    yield Sentence(_KINDS_ZH.get(found.kind, found.explanation) if say.lang == "zh" else found.explanation)
    yield Sentence(say("reply", reply=found.reply), "quiet")
    if not found.ends:
        yield Sentence(say("nowhere"), "bad")
    for end in found.ends:
        yield from _end(say, end, found.now)


def _end(say: _Sentences, end: EndForecast, now: float) -> Iterator[Sentence]:
    if not end.way:
        yield Sentence(say("no-way", recipient=end.recipient), "bad")
    else:
        yield Sentence(say("way", recipient=end.recipient, way=end.way, target=end.target), "fact")
    if end.rule:
        yield Sentence(say("why", rule=say.reason(end.rule)), "quiet", depth=1)
    if end.lookup:
        yield Sentence(say("lookup", lookup=say.reason(end.lookup)), "quiet", depth=1)
    for each in end.exchanges:
        yield Sentence(say("exchange", name=each.name, addresses=", ".join(each.addresses)), "quiet", depth=2)
    if end.waiting or end.held:
        oldest = duration_in_words(max(0.0, now - (end.oldest or now)), say.lang)
        text = say("queued", destination=end.destination, waiting=end.waiting, held=end.held, span=oldest)
        yield Sentence(text, "wait", depth=1)
    if end.limit is not None:
        yield Sentence(say("limit", limit=end.limit), "quiet", depth=1)
    if end.until is not None:
        yield Sentence(say("suspended", until=say.due(end.until, now), why=say.reason(end.why)), "wait", depth=1)
    yield _verdict(say, end, now)


def _verdict(say: _Sentences, end: EndForecast, now: float) -> Sentence:
    if end.reply:
        if end.reply.startswith("5"):
            return Sentence(say("would-fail", reply=end.reply), "bad", depth=1)
        return Sentence(say("would-defer", reply=end.reply), "wait", depth=1)
    if end.until is not None:
        return Sentence(say("would-wait", until=say.due(end.until, now)), "wait", depth=1)
    if end.exchanges:
        return Sentence(say("would-try", name=end.exchanges[0].name), "good", depth=1)
    return Sentence(say("would-keep") if end.way else "-", "good", depth=1)
