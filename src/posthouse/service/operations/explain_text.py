"""Histories and forecasts as sentences, in English and Chinese.

A sentence has a tone, by which a face may colour it, and the time of the event that it describes, if there is one.
Recipients with equal results share a sentence, so that the history of a message with 500 recipients has 12 lines.  The
texts of peers are shown as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from posthouse.core.units import duration_in_words, size_in_words
from posthouse.service.mailauth.texts.verdict_text import verdict_sentence
from posthouse.service.operations.explain_words import EXPLAIN_TEXTS, PHASES_ZH
from posthouse.service.operations.reasons_zh import chinese_own_reply, chinese_reason, is_own_reply
from posthouse.service.operations.remarks import remark_sentence
from posthouse.service.operations.results import (
    AddressFacts,
    AddressForecast,
    AttemptEntry,
    ConnectionEntry,
    EndForecast,
    EventEntry,
    ExpansionEntry,
    MessageHistory,
    NextAttempt,
    RecipientNow,
    ResultEntry,
)

__all__ = [
    "Sentence",
    "When",
    "address_kind_text",
    "address_sentences",
    "history_sentences",
    "next_attempt_text",
]

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


#: The command that a host refused, at the end of a reason.
_ANSWERED: Final = re.compile(r" \(in reply to ([^()]*)\)\Z")
#: MAIL with a sender that a server has written: the form of SRS, or of BATV.
_MAIL: Final = re.compile(r"S: MAIL FROM:<((?:SRS[01][=+-]|prvs=)[^>]*)>", re.IGNORECASE)
_TONES: Final[dict[str, _Tone]] = {"delivered": "good", "deferred": "wait", "failed": "bad", "ambiguous": "bad"}


def _took(seconds: float, lang: str) -> str:
    """The time of one phase, in few characters."""
    second, millisecond = ("秒", "毫秒") if lang == "zh" else ("s", "ms")
    if seconds >= 1:
        return f"{seconds:.1f} {second}"
    return f"{seconds * 1000:.0f} {millisecond}" if seconds >= 0.001 else f"<1 {millisecond}"


class _Sentences:
    """The texts of one language, for one reader."""

    def __init__(self, lang: str, when: When) -> None:
        self.lang = "zh" if lang == "zh" else "en"
        self.column = 1 if lang == "zh" else 0
        self.when = when

    def __call__(self, key: str, **facts: object) -> str:
        return EXPLAIN_TEXTS[key][self.column].format_map({name: str(value) for name, value in facts.items()})

    def recipients(self, names: Sequence[str]) -> str:
        shown = self("and").join(names[:_NAMED])
        return self("more", recipients=shown, number=len(names) - _NAMED) if len(names) > _NAMED else shown

    def addresses(self, number: int) -> str:
        return self("address" if number == 1 else "addresses", number=number)

    def reason(self, reason: str) -> str:
        return chinese_reason(reason) if self.lang == "zh" else reason

    def span(self, seconds: float) -> str:
        return duration_in_words(max(0.0, seconds), self.lang)

    def due(self, due: float, now: float) -> str:
        return self.when(due) if due <= now else self("in", when=self.when(due), span=self.span(due - now))


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
    if history.parent:
        yield Sentence(say("parent", parent=history.parent), "fact", depth=1)
    if history.named_sender:
        yield Sentence(say("named-sender", sender=history.named_sender), "fact", depth=1)
    for expansion in history.expansions:
        yield Sentence(_expansion(say, expansion), "fact", depth=1)
    for verdict in history.verdicts:
        bad = verdict.result in ("fail", "softfail", "permerror")
        yield Sentence(verdict_sentence(verdict, lang), "wait" if bad else "fact", depth=1)
    for remark in history.remarks:
        yield Sentence(say("remark", text=remark_sentence(remark, lang)), "wait", depth=1)
    for event in history.events:
        if isinstance(event, AttemptEntry):
            yield from _attempt(say, event, transcript)
        else:
            yield _event(say, event)
    yield from _standing(say, history)


def _expansion(say: _Sentences, expansion: ExpansionEntry) -> str:
    """What an address that the client named has led to."""
    text = say(f"expanded-{expansion.kind}", address=expansion.address, number=say.addresses(expansion.number))
    if expansion.recipients:
        whole = len(expansion.recipients) == expansion.number
        text += say("led-all" if whole else "led", recipients=say.recipients(expansion.recipients))
    for copy in expansion.copies:
        text += say("copy", id=copy.id, sender=copy.sender or "<>")
    return text


def _attempt(say: _Sentences, attempt: AttemptEntry, transcript: bool) -> Iterator[Sentence]:
    where = attempt.destination
    number = say("and").join(map(str, attempt.numbers))
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
    if connection.security:
        parts.append(say.reason(connection.security))
    if connection.timings:
        names = PHASES_ZH if say.lang == "zh" else {}
        phases = say("and").join(
            f"{names.get(name, name)} {_took(took, say.lang)}" for name, took in connection.timings.items()
        )
        parts.append(say("took", span=say.span(sum(connection.timings.values())), phases=phases))
    if rewritten := _rewritten(connection.lines):
        is_srs = rewritten.upper().startswith("SRS")
        parts.append(say("sent-srs" if is_srs else "sent-signed", sender=rewritten))
    if connection.converted:
        parts.append(say.reason(connection.converted))
    if connection.ended:
        parts.append(say.reason(connection.ended))
    if parts:
        yield Sentence(("；" if say.lang == "zh" else "; ").join(parts), "quiet", depth=1)
    if transcript:
        for line in connection.lines:
            yield Sentence(line, "line", depth=2)


def _rewritten(lines: Sequence[str]) -> str:
    """The sender in MAIL, if it is one that a server writes in place of another (SRS, BATV); else ""."""
    found = next((match for line in lines if (match := _MAIL.match(line)) is not None), None)
    return "" if found is None else found[1]


def _is_local(peer: str) -> bool:
    """Whether the other side of an attempt is a mailbox or a path, rather than a host."""
    return "@" in peer or peer.startswith("/")


def _results(say: _Sentences, results: Sequence[ResultEntry], now: float) -> Iterator[Sentence]:
    first = results[0]
    recipients = say.recipients([result.recipient for result in results])
    given_up = first.result == "failed" and first.reply.startswith("4")
    key = "expired" if given_up else first.result
    is_ours = not first.peer or (_is_local(first.peer) and is_own_reply(first.reply))
    reply = chinese_own_reply(first.reply) if say.lang == "zh" and is_ours else first.reply
    said = reply or say.reason(first.reason)
    if first.reason and first.reason in first.reply:  # this side decided: its reply is the reason
        said = first.reply.replace(first.reason, say.reason(first.reason))
    elif first.reply and first.reason and first.result != "delivered" and first.reply not in first.reason:
        reason = say.reason(first.reason)
        said = f"{reply}（{reason}）" if say.lang == "zh" else f"{reply} ({reason})"
    answered = _ANSWERED.search(first.reason) if first.reply else None
    if answered is not None and say("in-reply-to", command=say.reason(answered[1])) not in said:
        said += say("in-reply-to", command=say.reason(answered[1]))
    yield Sentence(say(key, recipients=recipients, reply=said or "-"), _TONES[first.result], depth=1)
    if first.due is not None:
        due, span = say.when(first.due), say.span(first.due - now)
        yield Sentence(say("next", due=due, span=span, why=say.reason(first.why) or "-"), "quiet", depth=1)


def _event(say: _Sentences, event: EventEntry) -> Sentence:
    key = {"corrupt": "corrupt-event", "undone": f"undone-{event.text}"}.get(event.kind, event.kind)
    if key not in EXPLAIN_TEXTS:
        return Sentence(f"{event.kind} {event.text}".strip(), "fact", event.at)
    recipients = say.recipients(event.recipients) if event.recipients else say("all")
    text = say.reason(event.text) or (say("configuration") if event.kind == "rerouted" else "-")
    tone: _Tone = "bad" if event.kind in ("dropped", "poison", "corrupt") else "fact"
    return Sentence(say(key, recipients=recipients, who=event.who or say("operator"), text=text), tone, event.at)


def _standing(say: _Sentences, history: MessageHistory) -> Iterator[Sentence]:
    yield Sentence(say("now-title"), "title")
    groups: dict[tuple[object, ...], list[RecipientNow]] = {}
    for each in history.standing:
        following = each.next
        at = None if following is None or following.at is None else round(following.at)
        how = None if following is None else (following.state, at, following.site, following.before, following.why)
        groups.setdefault((each.state, each.attempts, how, each.why, each.route), []).append(each)
    for (state, *_), recipients in groups.items():
        yield from _now(say, history, str(state), recipients)
    if not history.queued:
        yield Sentence(say("gone"), "quiet", depth=1)
    elif history.expires is not None:
        yield Sentence(say("expires", due=say.due(history.expires, history.now)), "quiet", depth=1)


def _now(
    say: _Sentences, history: MessageHistory, state: str, recipients: Sequence[RecipientNow]
) -> Iterator[Sentence]:
    first = recipients[0]
    names = say.recipients([each.address for each in recipients])
    if state == "waiting" and first.next is not None:
        text = _next(say, first.next, history.now, names, first.attempts + 1, history.id)
        if first.next.state == "scheduled" and first.why:
            text += say("because", why=say.reason(first.why))
        yield Sentence(text, "wait", depth=1)
    else:
        tone: _Tone = "good" if state == "delivered" else "bad"
        yield Sentence(say(f"now-{state}", recipients=names, id=history.id), tone, depth=1)
    if first.route and state in ("waiting", "held"):
        yield Sentence(say("now-route", recipients=names, route=first.route), "quiet", depth=1)


def _next(say: _Sentences, following: NextAttempt, now: float, recipients: str, number: object, queue_id: str) -> str:
    at = now if following.at is None else following.at
    until = "-until" if following.state == "paused" and following.at is not None else ""
    return say(
        f"now-{following.state}{until}",
        recipients=recipients,
        number=number,
        id=queue_id,
        due=say.due(at, now),
        at=say.when(at),
        site=following.site,
        why=say.reason(following.why),
        remedy=say("retry-now", id=queue_id),
        before=following.before,
    )


def next_attempt_text(
    following: NextAttempt, now: float, lang: str, when: When, *, recipients: str, number: int, queue_id: str
) -> str:
    """The next attempt for some recipients as `explain` says it."""
    return _next(_Sentences(lang, when), following, now, recipients, number, queue_id)


# Forecasts ------------------------------------------------------------------------------------------------------------


def address_sentences(found: AddressForecast, lang: str, when: When) -> Iterator[Sentence]:
    """What an address is, and where a message to it would go."""
    say = _Sentences(lang, when)
    yield Sentence(found.address, "title")
    yield Sentence(_kind(say, found.facts))
    yield Sentence(say("reply", reply=found.reply), "quiet")
    if not found.ends:
        yield Sentence(say("nowhere"), "bad")
    for end in found.ends:
        yield from _end(say, end, found.now)


def address_kind_text(facts: AddressFacts, lang: str = "en") -> str:
    """What an address is, in a sentence or two."""
    return _kind(_Sentences(lang, str), facts)


def _kind(say: _Sentences, facts: AddressFacts) -> str:
    key = facts.kind
    if facts.kind == "mailbox" and facts.paused:
        key = "paused"
    elif facts.kind == "moved":
        key = f"moved-{facts.action}"
    elif facts.kind == "unknown" and facts.why:
        key = "unknown-marked"
    why = say.reason(facts.why)
    text = say(key, deliver=facts.deliver, to=facts.to, number=say.addresses(facts.number), owner=facts.owner, why=why)
    gap = "" if say.lang == "zh" else " "
    if facts.report:
        text += gap + say("report-refused", reply=facts.report, why=say.reason(facts.report_why))
    if facts.quota:
        used, quota = size_in_words(facts.used or 0), size_in_words(facts.quota)
        text += gap + say("full" if facts.full else "quota", used=used, quota=quota)
    return text


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
    if end.exchanges and end.tls:
        yield Sentence(say(f"tls-{end.tls}"), "quiet", depth=1)
    if end.waiting or end.held:
        oldest = say.span(now - (end.oldest or now))
        text = say("queued", destination=end.destination, waiting=end.waiting, held=end.held, span=oldest)
        yield Sentence(text, "wait", depth=1)
    following = end.next
    if following is not None and following.limit is not None:
        yield Sentence(say("limit", limit=following.limit), "quiet", depth=1)
    if following is not None and following.state == "suspended" and following.at is not None:
        until = say.due(following.at, now)
        yield Sentence(say("suspended", until=until, why=say.reason(following.why)), "wait", depth=1)
    yield _verdict(say, end, now)


def _verdict(say: _Sentences, end: EndForecast, now: float) -> Sentence:
    if end.reply:
        if end.reply.startswith("5"):
            return Sentence(say("would-fail", reply=end.reply), "bad", depth=1)
        return Sentence(say("would-defer", reply=end.reply), "wait", depth=1)
    following = end.next
    if following is not None and following.state in ("suspended", "rate") and following.at is not None:
        return Sentence(say("would-wait", until=say.due(following.at, now)), "wait", depth=1)
    if following is not None and following.state == "line":
        return Sentence(say("would-line", before=following.before, site=following.site), "wait", depth=1)
    if end.exchanges:
        return Sentence(say("would-try", name=end.exchanges[0].name), "good", depth=1)
    return Sentence(say("would-keep") if end.way else "-", "good", depth=1)
