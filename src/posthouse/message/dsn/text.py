"""The first part of a report, for human readers: each recipient, what happened, why, and what to do.

The text is in English.  A Chinese version follows if the message asks for it: a Content-Language or Accept-Language
field decides if there is one (RFC 3282), else a Chinese character set, or a Subject with Chinese characters and neither
kana nor hangul.

The text tells the sender the reply that decided and the catalogue's explanation of it.  Reasons for the operator
(paths, rules, faults) are left out.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from email.errors import MessageError
from email.header import decode_header, make_header
from operator import attrgetter

from posthouse.codes import Text
from posthouse.codes.code_lookup import explain_enhanced, explain_reply, guess_reply, sentence
from posthouse.core import Address
from posthouse.message.dsn.model import RecipientStatus
from posthouse.message.headers import first_values

__all__ = ["report_text", "subject", "wants_chinese"]

#: Language → the text of a statement in that language.
_IN: dict[str, Callable[[Text], str]] = {"en": attrgetter("en"), "zh": attrgetter("zh")}
_WIDTH = 76
_REPLY = 1_000  # characters of a reply that are quoted
_VALUE = 2_000  # octets of a header field that are looked at
_CHARSET = re.compile(rb"(?:charset\s*=\s*\"?|=\?)(?:gb2312|gbk|gb18030|hz-gb-2312|cp936|big5|euc-tw)\b", re.IGNORECASE)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_HAN, _NOT_CHINESE = re.compile("[\u4e00-\u9fff]"), re.compile("[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")

_SUBJECTS = {
    "failed": Text("Not delivered to {}", "未能送达 {}"),
    "delayed": Text("Not yet delivered to {}", "暂未送达 {}"),
    "delivered": Text("Delivered to {}", "已送达 {}"),
    "relayed": Text("Passed on to {}", "已转交 {}"),
    "expanded": Text("Passed on for {}", "已展开转发 {}"),
}
_NOTICE = Text("Report that could not be sent: {}", "无法送出的报告：{}")
_SEVERAL = Text("{} recipients", "{} 位收件人")
_HEADS = {
    "failed": Text(
        "Your message could not be delivered to the following, and it will not be tried again:",
        "你的邮件未能送达以下收件人，系统不会再尝试：",
    ),
    "delayed": Text(
        "Your message has not yet been delivered to the following. It is kept and tried again until {until}; "
        "you need not send it again:",
        "你的邮件尚未送达以下收件人。系统会保留邮件并继续尝试，直到 {until}；你无需重发：",
    ),
    "delivered": Text("Your message was delivered to:", "你的邮件已送达："),
    "relayed": Text(
        "Your message was passed on to a host that does not report deliveries. You will hear no more of it, unless "
        "something goes wrong there:",
        "你的邮件已转交给不提供投递报告的主机。除非那里出错，你不会再收到关于它的消息：",
    ),
    "expanded": Text(
        "Your message was passed on to all for whom this address stands:",
        "你的邮件已转发给该地址所代表的所有收件人：",
    ),
}
_SAID = Text("{who} said: {reply}", "{who} 的应答：{reply}")
_LAST = Text("The last attempt ended with this. {who} said: {reply}", "最后一次尝试的结果。{who} 的应答：{reply}")
_IN_REPLY_TO = Text(" (in reply to {})", "（对 {} 的应答）")
_COMMANDS = {
    "the end of the message": Text("the end of the message", "邮件内容结束"),
    "the connection": Text("the connection", "连接"),
}
_OURS = Text("This mail system says: {reply}", "本邮件系统的说明：{reply}")
_OURS_AT_LAST = Text(
    "The last attempt ended with this. This mail system says: {reply}", "最后一次尝试的结果。本邮件系统的说明：{reply}"
)
_SILENCE = Text(
    "The connection ended, or nothing came, before the message was taken.",
    "在邮件被接收之前连接中断，或对方没有应答。",
)
_MEANING = Text("What it means: {}", "含义：{}")
_TO_DO = Text("What to do: {}", "怎么办：{}")
_EXPIRED = Text(
    "It was tried again and again until the time for it was over.",
    "系统多次尝试，直到超过了允许的时间。",
)
_GREETING = Text("This is the mail system at {}.", "这是 {} 的邮件系统。")
_ADDRESSEE = Text(
    "The report below can be told to nobody else, because the message came from {}. It comes to you as postmaster, "
    "once; nothing more will be sent about it.",
    "因为邮件来自 {}，以下报告无法告知其他人，故发给你（postmaster），仅此一次，不会再有后续消息。",
)
_NOBODY = Text("nobody who can be answered (<>)", "无法回复的地址（<>）")
_HANDLE = Text(
    "The message came here on {arrived}; its queue id is {queue_id}. Should you need help, write to {postmaster} and "
    "quote that id.",
    "邮件于 {arrived} 到达本系统，队列编号为 {queue_id}。如需帮助，请发邮件给 {postmaster} 并注明该编号。",
)
_WHOLE = Text("The message is returned below.", "邮件原文附后。")
_HEADERS = Text("Only the message's header fields are returned below.", "仅附上邮件头。")
_ORIGINAL = Text(" (which you wrote to as {})", "（你写的地址是 {}）")


def wants_chinese(headers: bytes) -> bool:
    """True if this header section asks for Chinese."""
    values = first_values(headers, _ASKED)
    languages = [values[name][:_VALUE].lower() for name in _LANGUAGES if name in values]
    if languages:
        return any(re.search(rb"(?:^|[\s,])zh\b", value) for value in languages)
    texts = [values[name][:_VALUE] for name in _TEXTS if name in values]
    if any(_CHARSET.search(value) for value in texts):
        return True
    text = _decoded(values.get(b"subject", b"")[:_VALUE])
    return _HAN.search(text) is not None and _NOT_CHINESE.search(text) is None


_LANGUAGES = (b"content-language", b"accept-language")
_TEXTS = (b"content-type", b"subject", b"from")
_ASKED = frozenset((*_LANGUAGES, *_TEXTS))


def _decoded(value: bytes) -> str:
    text = value.decode("utf-8", "replace")
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, ValueError, MessageError):
        return text


def subject(statuses: Sequence[RecipientStatus], *, notice: bool = False, chinese: bool = False) -> str:
    """The report's Subject; it names the worst action, in the order of ``_SUBJECTS``."""
    worst = next(action for action in _SUBJECTS if any(status.action == action for status in statuses))
    several = [status for status in statuses if status.action == worst]
    said = []
    for lang in ("zh", "en") if chinese else ("en",):
        text = _IN[lang]
        whom = text(_SEVERAL).format(len(several)) if len(several) > 1 else str(several[0].recipient.address)
        title = text(_SUBJECTS[worst]).format(whom)
        said.append(text(_NOTICE).format(title) if notice else title)
    return " / ".join(said)


def report_text(
    statuses: Sequence[RecipientStatus],
    *,
    hostname: str,
    postmaster: Address,
    queue_id: str,
    sender: Address | None,
    arrived: str,
    until: str,
    whole: bool,
    notice: bool,
    chinese: bool,
) -> str:
    """The text with lines ended by ``\\n``; ``arrived`` and ``until`` are dates as text; ``whole`` if the whole message
    is returned."""
    said = []
    for lang in ("en", "zh") if chinese else ("en",):
        text = _IN[lang]
        blocks = [text(_GREETING).format(hostname)]
        if notice:
            blocks.append(text(_ADDRESSEE).format(f"<{sender}>" if sender is not None else text(_NOBODY)))
        for action, head in _HEADS.items():
            concerned = [status for status in statuses if status.action == action]
            if concerned:
                blocks.append(text(head).format(until=until))
                blocks += [_recipient_block(status, lang) for status in concerned]
        blocks.append(text(_HANDLE).format(arrived=arrived, queue_id=queue_id, postmaster=postmaster))
        blocks.append(text(_WHOLE if whole else _HEADERS))
        said.append("\n\n".join(block if block.startswith("  ") else _wrapped(block) for block in blocks))
    return ("\n\n" + "-" * 40 + "\n\n").join(said) + "\n"


def _recipient_block(status: RecipientStatus, lang: str) -> str:
    """The block of one recipient, indented: address, reply, its meaning, what to do."""
    text = _IN[lang]
    orcpt = status.recipient.orcpt
    address = str(status.recipient.address)
    name = f"<{address}>"
    if orcpt is not None and orcpt.address != address:
        name += text(_ORIGINAL).format(f"<{orcpt.address}>")
    lines = [_CONTROL.sub("?", name)]
    if status.expired:
        lines.append(text(_EXPIRED))
    if status.action in ("failed", "delayed"):
        lines += _cause(status, lang)
    if status.action == "failed":
        lines.append(text(_TO_DO).format(_step(status, lang)))
    return "\n".join([f"  {lines[0]}", *(_wrapped(line, "    ") for line in lines[1:])])


def _cause(status: RecipientStatus, lang: str) -> list[str]:
    text = _IN[lang]
    if status.reply is None:
        return [text(_SILENCE)]
    reply = _CONTROL.sub(" ", str(status.reply))[:_REPLY]
    if status.remote:
        said = text(_LAST if status.expired else _SAID).format(who=status.remote, reply=reply)
        if status.command:
            said += text(_IN_REPLY_TO).format(text(_COMMANDS.get(status.command, Text(status.command, status.command))))
    else:
        said = text(_OURS_AT_LAST if status.expired else _OURS).format(reply=reply)
    return [said, text(_MEANING).format(sentence(status.reply, lang))]


def _step(status: RecipientStatus, lang: str) -> str:
    text = _IN[lang]
    enhanced_code = status.status
    enhanced = explain_enhanced(enhanced_code)
    if enhanced is not None and not enhanced_code.endswith(".0.0"):
        return text(enhanced.next_step)
    code = status.reply.code if status.reply is not None else 554
    basic = explain_reply(code) or guess_reply(code) or explain_reply(554)
    assert basic is not None  # 554 is in the catalogue
    return text(basic.next_step)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
