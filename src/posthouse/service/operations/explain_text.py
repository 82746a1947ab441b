"""Stories and forecasts as sentences, in English and Chinese: what a person reads in half a minute.

A sentence has a tone, by which a face may colour it, and the moment that it tells of, if there is one.  Recipients that
share an end share a sentence.  What peers said, and reasons that other rooms gave, stand as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from posthouse.core.units import duration_in_words
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

#: A moment for people, in the reader's own time.
When = Callable[[float], str]
_Tone = Literal["title", "fact", "good", "bad", "wait", "quiet", "line"]

_NAMED = 3  # recipients of one sentence by name


class Sentence(NamedTuple):
    """One line: its text, its tone, the moment it tells of, and how deep it lies in the story (0 to 2)."""

    text: str
    tone: _Tone = "fact"
    at: float | None = None
    depth: int = 0


_EN: Final = {
    "title": "{id}  from {sender} to {people}, {size} octets",
    "message-id": "Message-ID {id}",
    "about": "It reports on {id}.",
    "corrupt": "Its content is missing or damaged; it is kept for you to look at.",
    "accepted": "accepted from {source}",
    "helo": ", which calls itself {name}",
    "user": ", authenticated as {name}",
    "tls": ", by {tls}",
    "attempt": "attempt {number}, for {where}",
    "rule": "route: {rule}",
    "reused": "on a session that had taken {number} before",
    "took": "{span} in all ({phases})",
    "delivered": "{people}: delivered, {reply}",
    "deferred": "{people}: put off, {reply}",
    "failed": "{people}: failed, {reply}",
    "ambiguous": "{people}: it is not known whether it was delivered: {reply}",
    "expired": "{people}: given up, {reply}",
    "next": "next attempt {due}: {why}",
    "held": "{people} held by {who}",
    "released": "{people} released by {who}",
    "retried": "{who} asked for an attempt at once for {people}",
    "dropped": "{people} dropped by {who}",
    "rerouted": "{people} sent another way by {who}: {text}",
    "warned": "the sender was told that it is late for {people}",
    "reported": "a report was sent to the sender: {text}",
    "suspected": "the worker that had it died; it is tried again",
    "quarantined": "held when it came in: {text}",
    "poison": "set aside for {people}: three workers died while they had it",
    "corrupt-note": "its content was found to be missing or damaged: {text}",
    "configuration": "as the configuration says",
    "operator": "an operator",
    "all": "all recipients",
    "more": "{people} and {number} more",
    "and": ", ",
    "now-title": "Now",
    "now-waiting": "{people} {waits} for attempt {number}, {due}",
    "now-active": "{people}: due now; being tried, standing in line, or waiting for a host that is left alone",
    "now-held": "{people}: held until an operator decides (posthouse queue release id:{id})",
    "now-delivered": "{people}: delivered",
    "now-failed": "{people}: failed for good",
    "now-route": "{people}: goes by {route}, as an operator decided",
    "gone": "It has left the queue; only this story is kept.",
    "because": ": {why}",
    "in": "{when} (in {span})",
    "waits-1": "waits",
    "waits-n": "wait",
    "reply": "RCPT from a stranger is answered {reply}.",
    "nowhere": "Mail for it is not taken, so it goes nowhere.",
    "way": "{recipient}: goes by {way} to {target}",
    "no-way": "{recipient}: goes nowhere now",
    "why": "because {rule}",
    "lookup": "next hop: {lookup}",
    "exchange": "{name}: {addresses}",
    "queued": "in the queue for {destination}: {waiting} waiting, {held} held, the oldest for {span}",
    "alone": "left alone until {until}: {why}",
    "limit": "attempts at one time now: at most {limit}",
    "would-try": "A letter would be tried at once at {name}.",
    "would-wait": "A letter would wait until {until} before it is tried.",
    "would-keep": "A letter would be delivered at once.",
    "would-defer": "A letter would be put off: {reply}",
    "would-fail": "A letter would fail: {reply}",
}

_ZH: Final = {
    "title": "{id}  发件人 {sender}，收件人 {people}，{size} 字节",
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
    "delivered": "{people}：已投递，{reply}",
    "deferred": "{people}：暂缓，{reply}",
    "failed": "{people}：失败，{reply}",
    "ambiguous": "{people}：不能确定是否已投递：{reply}",
    "expired": "{people}：放弃，{reply}",
    "next": "下次尝试 {due}：{why}",
    "held": "{who} 扣留了 {people}",
    "released": "{who} 放行了 {people}",
    "retried": "{who} 要求立即重试 {people}",
    "dropped": "{who} 丢弃了 {people}",
    "rerouted": "{who} 为 {people} 改设路由：{text}",
    "warned": "已告知发件人 {people} 的投递延迟",
    "reported": "已向发件人发送报告：{text}",
    "suspected": "处理它的进程已崩溃；将重新尝试",
    "quarantined": "接收时即被扣留：{text}",
    "poison": "{people} 被扣留：三个进程先后在处理它时崩溃",
    "corrupt-note": "发现内容缺失或损坏：{text}",
    "configuration": "由配置决定",
    "operator": "管理员",
    "all": "所有收件人",
    "more": "{people} 等（另有 {number} 人）",
    "and": "、",
    "now-title": "现在",
    "now-waiting": "{people} 等待第 {number} 次尝试，{due}",
    "now-active": "{people}：已到期；正在尝试、排队，或已暂停连接其目的主机",
    "now-held": "{people}：被扣留，等待管理员决定（posthouse queue release id:{id}）",
    "now-delivered": "{people}：已投递",
    "now-failed": "{people}：失败",
    "now-route": "{people}：按管理员的决定走 {route}",
    "gone": "它已离开队列，只保留了经过记录。",
    "because": "：{why}",
    "in": "{when}（{span}后）",
    "waits-1": "",
    "waits-n": "",
    "reply": "不受信任的客户端发送 RCPT，得到应答 {reply}。",
    "nowhere": "本机不接收发往它的邮件，因此不会投递到任何地方。",
    "way": "{recipient}：经 {way} 发往 {target}",
    "no-way": "{recipient}：现在没有可用的路由",
    "why": "因为 {rule}",
    "lookup": "下一跳：{lookup}",
    "exchange": "{name}：{addresses}",
    "queued": "队列中发往 {destination} 的收件人：{waiting} 位等待，{held} 位扣留，最早的已等 {span}",
    "alone": "暂停连接，直到 {until}：{why}",
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
    """How long a phase took, in few signs."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "<1 ms"


class _Sentences:
    """The words of one language, for one reader."""

    def __init__(self, lang: str, when: When) -> None:
        self.lang = lang if lang in _WORDS else "en"
        self.words = _WORDS[self.lang]
        self.when = when

    def __call__(self, key: str, **facts: object) -> str:
        return self.words[key].format_map({name: str(value) for name, value in facts.items()})

    def people(self, names: Sequence[str]) -> str:
        shown = self.words["and"].join(names[:_NAMED])
        return self("more", people=shown, number=len(names) - _NAMED) if len(names) > _NAMED else shown

    def due(self, due: float, now: float) -> str:
        return (
            self("in", when=self.when(due), span=duration_in_words(due - now, self.lang))
            if due > now
            else self.when(due)
        )


def history_sentences(story: MessageHistory, lang: str, when: When, *, transcript: bool = False) -> Iterator[Sentence]:
    """A message's story; ``when`` writes moments, ``transcript`` adds the lines of the dialogues."""
    say = _Sentences(lang, when)
    sender = f"<{story.sender}>" if not story.sender else story.sender
    yield Sentence(
        say("title", id=story.id, sender=sender, people=say.people(story.recipients), size=story.size), "title"
    )
    if story.message_id:
        yield Sentence(say("message-id", id=story.message_id), "quiet")
    if story.about:
        yield Sentence(say("about", id=story.about), "quiet")
    if story.corrupt:
        yield Sentence(say("corrupt"), "bad")
    how = say("accepted", source=story.source or "?")
    how += say("helo", name=story.helo) if story.helo else ""
    how += say("user", name=story.user) if story.user else ""
    how += say("tls", tls=story.tls) if story.tls else ""
    yield Sentence(how, "fact", story.received)
    number = 0
    for event in story.events:
        if isinstance(event, AttemptEntry):
            number += 1
            yield from _attempt(say, event, number, transcript)
        else:
            yield _event(say, event)
    yield from _standing(say, story)


def _attempt(say: _Sentences, attempt: AttemptEntry, number: int, transcript: bool) -> Iterator[Sentence]:
    where = attempt.destination
    if attempt.target and attempt.target != attempt.destination:
        where += f" → {attempt.target}"
    yield Sentence(say("attempt", number=number, where=where), "fact", attempt.began or attempt.at)
    if attempt.rule:
        yield Sentence(say("rule", rule=attempt.rule), "quiet", depth=1)
    for contact in attempt.contacts:
        yield from _connection(say, contact, transcript)
    groups: dict[tuple[str, ...], list[ResultEntry]] = {}
    for end in attempt.ends:
        due = "" if end.due is None else f"{end.due:.0f}"
        groups.setdefault((end.result, end.state, end.reply, end.reason, end.why, due), []).append(end)
    for ends in groups.values():
        yield from _results(say, ends, attempt.at)


def _connection(say: _Sentences, contact: ConnectionEntry, transcript: bool) -> Iterator[Sentence]:
    peer = contact.peer or contact.mx
    if contact.mx and contact.mx not in peer:
        peer = f"{contact.mx} [{peer}]"
    parts = [peer] if peer else []
    if contact.reused:
        parts.append(say("reused", number=contact.reused))
    if contact.tls:
        parts.append(contact.tls)
    if contact.timings:
        names = _PHASES_ZH if say.lang == "zh" else {}
        phases = ", ".join(f"{names.get(name, name)} {_took(took)}" for name, took in contact.timings.items())
        parts.append(say("took", span=duration_in_words(sum(contact.timings.values()), say.lang), phases=phases))
    if contact.ended:
        parts.append(contact.ended)
    if parts:
        yield Sentence("; ".join(parts), "quiet", depth=1)
    if transcript:
        for line in contact.lines:
            yield Sentence(line, "line", depth=2)


def _results(say: _Sentences, ends: Sequence[ResultEntry], now: float) -> Iterator[Sentence]:
    first = ends[0]
    people = say.people([end.recipient for end in ends])
    given_up = first.result == "failed" and first.reply.startswith("4")
    key = "expired" if given_up else first.result
    said = first.reply or first.reason
    if first.reply and first.reason and first.result != "delivered" and first.reply not in first.reason:
        said = f"{first.reply} ({first.reason})"
    yield Sentence(say(key, people=people, reply=said or "-"), _TONES[first.result], depth=1)
    if first.due is not None:
        yield Sentence(say("next", due=say.due(first.due, now), why=first.why or "-"), "quiet", depth=1)


def _event(say: _Sentences, note: EventEntry) -> Sentence:
    key = "corrupt-note" if note.kind == "corrupt" else note.kind
    if key not in say.words:
        return Sentence(f"{note.kind} {note.text}".strip(), "fact", note.at)
    people = say.people(note.recipients) if note.recipients else say("all")
    text = note.text or (say("configuration") if note.kind == "rerouted" else "-")
    tone: _Tone = "bad" if note.kind in ("dropped", "poison", "corrupt") else "fact"
    return Sentence(say(key, people=people, who=note.who or say("operator"), text=text), tone, note.at)


def _standing(say: _Sentences, story: MessageHistory) -> Iterator[Sentence]:
    yield Sentence(say("now-title"), "title")
    groups: dict[tuple[object, ...], list[RecipientNow]] = {}
    for each in story.standing:
        due = None if each.due is None else round(each.due)
        groups.setdefault((each.state, each.attempts, due, each.why, each.route), []).append(each)
    for (state, *_), people in groups.items():
        yield from _now(say, story, str(state), people)
    if not story.queued:
        yield Sentence(say("gone"), "quiet", depth=1)


def _now(say: _Sentences, story: MessageHistory, state: str, people: Sequence[RecipientNow]) -> Iterator[Sentence]:
    first = people[0]
    names = say.people([each.address for each in people])
    if state == "waiting" and first.due is not None and first.due > story.now:
        waits = say("waits-n" if len(people) > 1 else "waits-1")
        due = say.due(first.due, story.now)
        text = say("now-waiting", people=names, waits=waits, number=first.attempts + 1, due=due)
        yield Sentence(text + (say("because", why=first.why) if first.why else ""), "wait", depth=1)
    elif state == "waiting":
        yield Sentence(say("now-active", people=names), "wait", depth=1)
    else:
        tone: _Tone = "good" if state == "delivered" else "bad"
        yield Sentence(say(f"now-{state}", people=names, id=story.id), tone, depth=1)
    if first.route and state in ("waiting", "held"):
        yield Sentence(say("now-route", people=names, route=first.route), "quiet", depth=1)


# Forecasts ------------------------------------------------------------------------------------------------------------


def address_sentences(found: AddressForecast, lang: str, when: When) -> Iterator[Sentence]:
    """What an address is, and what would become of a letter to it."""
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
        yield Sentence(say("why", rule=end.rule), "quiet", depth=1)
    if end.lookup:
        yield Sentence(say("lookup", lookup=end.lookup), "quiet", depth=1)
    for each in end.exchanges:
        yield Sentence(say("exchange", name=each.name, addresses=", ".join(each.addresses)), "quiet", depth=2)
    if end.waiting or end.held:
        oldest = duration_in_words(max(0.0, now - (end.oldest or now)), say.lang)
        text = say("queued", destination=end.destination, waiting=end.waiting, held=end.held, span=oldest)
        yield Sentence(text, "wait", depth=1)
    if end.limit is not None:
        yield Sentence(say("limit", limit=end.limit), "quiet", depth=1)
    if end.until is not None:
        yield Sentence(say("alone", until=say.due(end.until, now), why=end.why), "wait", depth=1)
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
