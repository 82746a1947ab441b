"""Search in the catalogue of reply codes: the meaning of a code, who has to act, and the sender's next step.

The entries are in ``basic``, ``enhanced`` and ``policy``; this module makes two mappings of them.  ``explain_*`` knows
only the codes of the catalogue; ``guess_*`` reads the digits of any other code and marks the result
``registered=False``.  ``lookup`` takes any text, from ``5.1.1`` to a whole line of a log, and uses both.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

from posthouse.codes.basic import BASIC_CODES
from posthouse.codes.enhanced import ENHANCED_CODES
from posthouse.codes.known_refusals import known_refusal
from posthouse.codes.model import BasicCode, EnhancedCode, Registration, Text, Whose
from posthouse.codes.policy import POLICY_CODES
from posthouse.core.reply import Reply

__all__ = [
    "ALL_BASIC",
    "ALL_ENHANCED",
    "BasicCode",
    "EnhancedCode",
    "REGISTRY",
    "Text",
    "Whose",
    "explain_enhanced",
    "explain_reply",
    "guess_enhanced",
    "guess_reply",
    "lookup",
    "near",
    "sentence",
]

_LONGEST = 4096  # characters of a text that are read; a line of a reply has at most 512 octets
_SUGGESTIONS = 5

_GO_ON = Text("Nothing has to be repaired; go on.", "无需处理，继续即可。")
_TRY_AGAIN = Text(
    "Keep the message queued and try again later; nothing has to be changed.",
    "把邮件留在队列中，稍后重试；无需修改。",
)
_GIVE_UP = Text(
    "Do not send it again unchanged; read the text, and ask the receiver's postmaster if it does not help.",
    "不要原样重发；阅读应答文字，若无帮助则联系对方的 postmaster。",
)
_CONTINUE = Text(
    "Send what the receiving SMTP waits for, as its text says.",
    "按应答文字的提示，发送接收SMTP 正在等待的内容。",
)

# First digits, RFC 5321 §4.2.1: title, meaning, who acts, what next.
_FIRST: Mapping[int, tuple[Text, Text, Whose, Text]] = MappingProxyType(
    {
        2: (
            Text("success", "成功"),
            Text("the command was carried out", "命令已执行"),
            Whose.NOBODY,
            _GO_ON,
        ),
        3: (
            Text("more is awaited", "等待后续输入"),
            Text("the command was taken, and more input is awaited", "命令已接受，正等待后续输入"),
            Whose.NOBODY,
            _CONTINUE,
        ),
        4: (
            Text("temporary failure", "暂时失败"),
            Text(
                "the command failed for now and may succeed later as it is",
                "命令暂时失败，稍后原样重试可能成功",
            ),
            Whose.RECEIVING_SYSTEM,
            _TRY_AGAIN,
        ),
        5: (
            Text("permanent failure", "永久失败"),
            Text(
                "the command failed and will fail again unless something changes",
                "命令失败，若不作改变，重试仍会失败",
            ),
            Whose.SENDER,
            _GIVE_UP,
        ),
    }
)
# Second digits, RFC 5321 §4.2.1; 3 and 4 are unspecified.
_SECOND: Mapping[int, Text] = MappingProxyType(
    {
        0: Text("it is about the syntax of the command", "与命令语法有关"),
        1: Text("it is about information such as help", "与帮助等信息有关"),
        2: Text("it is about the connection", "与连接有关"),
        5: Text("it is about the mail system of the receiver", "与接收系统有关"),
    }
)
# Subjects of enhanced codes, RFC 3463 §2.
_SUBJECT: Mapping[str, Text] = MappingProxyType(
    {
        "0": Text("it is about nothing in particular", "未说明具体方面"),
        "1": Text("it is about an address", "与地址有关"),
        "2": Text("it is about the recipient's mailbox", "与收件人的邮箱有关"),
        "3": Text("it is about the receiving mail system", "与接收系统有关"),
        "4": Text("it is about the network or the route", "与网络或路由有关"),
        "5": Text("it is about the dialogue of the two systems", "与双方的协议会话有关"),
        "6": Text("it is about the message's content", "与邮件内容有关"),
        "7": Text("it is about security or policy", "与安全或策略有关"),
    }
)


def _in_class(row: Registration, digit: int) -> EnhancedCode:
    """The code that a row of the registry gives in class ``digit``."""
    if digit == 2:
        meaning, whose, step = row.success or row.meaning, Whose.NOBODY, _GO_ON
        if row.classes == (2,):
            step = row.step or _GO_ON
    elif digit == 4:
        meaning, whose, step = row.meaning, row.whose, row.again or _TRY_AGAIN
    else:
        meaning, whose, step = row.meaning, row.whose, row.step or _GIVE_UP
    basic = tuple(code for code in row.basic if code // 100 == digit)
    return EnhancedCode(f"{digit}.{row.number}", row.title, meaning, whose, step, row.source, basic, row.note)


ALL_BASIC: Mapping[int, BasicCode] = MappingProxyType({entry.code: entry for entry in BASIC_CODES})
"""The basic codes of the catalogue, in numeric order."""

REGISTRY: Mapping[str, Registration] = MappingProxyType({row.number: row for row in (*ENHANCED_CODES, *POLICY_CODES)})
"""The rows of the IANA registry by subject and detail (``"1.1"`` is X.1.1), in the registry's order."""

ALL_ENHANCED: Mapping[str, EnhancedCode] = MappingProxyType(
    {
        f"{digit}.{row.number}": _in_class(row, digit)
        for digit in (2, 4, 5)
        for row in REGISTRY.values()
        if digit in row.classes
    }
)
"""The registered enhanced codes (``"5.1.1"``) in each class in which they have a meaning, class by class."""


def explain_reply(code: int) -> BasicCode | None:
    """The catalogue's entry for a three-digit code, or None."""
    return ALL_BASIC.get(code)


def explain_enhanced(code: str) -> EnhancedCode | None:
    """The catalogue's entry for an enhanced code as written (``"5.1.1"``), or None."""
    return ALL_ENHANCED.get(code)


def guess_reply(code: int) -> BasicCode | None:
    """An entry made from the digits of an unknown code, marked ``registered=False``; None outside 200 to 599.

    A sending SMTP acts on the first digit of a code that it does not know (RFC 5321 §4.3.2).
    """
    first, second = code // 100, code // 10 % 10
    if first not in _FIRST:
        return None
    title, meaning, whose, step = _FIRST[first]
    about = _SECOND.get(second)
    english, chinese = f"{code} is not a code that any RFC defines", f"没有 RFC 定义 {code}"
    english += f"; its first digit means that {meaning.en}"
    chinese += f"；首位数字表示{meaning.zh}"
    if about is not None:
        english += f", its second that {about.en}"
        chinese += f"，第二位数字表示{about.zh}"
    return BasicCode(
        code,
        Text(f"Unregistered code: {title.en}", f"未注册的代码：{title.zh}"),
        Text(f"{english}.", f"{chinese}。"),
        whose,
        step,
        "RFC 5321 §4.2.1",
        breadth=2,
        registered=False,
    )


_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})\Z")


def guess_enhanced(code: str) -> EnhancedCode | None:
    """An entry made from the parts of an unknown enhanced code, marked ``registered=False``; None for other texts.

    A row of the registry that no RFC uses in this class is still the best explanation (``5.3.1``); else the entry is
    made from the class, and the subject if it is known (RFC 3463 §2).
    """
    match = _ENHANCED.match(code)
    if match is None:
        return None
    digit, subject, detail = int(match[1]), match[2], match[3]
    row = REGISTRY.get(f"{subject}.{detail}")
    if row is not None:
        usual = "/".join(f"{each}.{row.number}" for each in row.classes)
        note = Text(
            f"The RFC means this only as {usual}; the first digit decides whether to try again.",
            f"RFC 只以 {usual} 的形式使用它；是否重试以首位数字为准。",
        )
        return _in_class(row, digit)._replace(note=note, registered=False)
    title, meaning, whose, step = _FIRST[digit]
    about = _SUBJECT.get(subject)
    english, chinese = f"{code} is not registered", f"{code} 未在 IANA 注册"
    english += f"; its first part means that {meaning.en}"
    chinese += f"；第一部分表示{meaning.zh}"
    if about is not None:
        english += f", its second that {about.en}"
        chinese += f"，第二部分表示{about.zh}"
    return EnhancedCode(
        code,
        Text(f"Unregistered code: {title.en}", f"未注册的代码：{title.zh}"),
        Text(f"{english}.", f"{chinese}。"),
        whose,
        step,
        "RFC 3463 §2",
        registered=False,
    )


# A family of basic codes, as RFCs write it: 55x, 5yz.
_FAMILY = re.compile(r"([2-5])([0-9xyz])([0-9xyz])\Z", re.IGNORECASE)
# A family of enhanced codes: 5.1.x, x.1.1, 4.7, 4.7.*.
_PATTERN = re.compile(r"([245x*])\.([0-9]{1,3}|[xy*])(?:\.([0-9]{1,3}|[xyz*]))?\Z", re.IGNORECASE)
# A basic code is at the start of a line, after a colon, a semicolon or "said" ("said: 550", "smtp; 550"), or directly
# before an enhanced code.  Other numbers of a log line are not codes.
_BASIC_IN_TEXT = re.compile(
    r"(?:^|[:;]|\bsaid)[ \t]*([2-5][0-9]{2})(?=[ \t-]|$)|(?<![0-9A-Za-z.])([2-5][0-9]{2})(?=[ -][245]\.[0-9])",
    re.MULTILINE,
)
_ENHANCED_IN_TEXT = re.compile(r"(?<![0-9A-Za-z.-])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9A-Za-z]|\.[0-9])")
# An enhanced code directly after "550-", where the hyphen means that another line follows.
_AFTER_HYPHEN = re.compile(r"(?<![0-9A-Za-z.])[2-5][0-9]{2}-([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9A-Za-z]|\.[0-9])")


def lookup(text: str) -> list[BasicCode | EnhancedCode]:
    """The entries for all codes in ``text``, each once: basic codes, then enhanced codes, in the order of the text.

    The text is a code (``550``, ``5.1.1``), a family (``55x``, ``4.7.x``, ``x.1.1``, ``4.7``), a reply (``550 5.1.1
    User unknown``) or a line of a log.  Codes that are not in the catalogue are explained by their digits and marked
    ``registered=False``.  Without a code in the text the result is empty; ``near`` may then help.
    """
    wanted = text[:_LONGEST].strip()
    if (match := _FAMILY.match(wanted)) and not wanted.isdigit():
        return [entry for entry in ALL_BASIC.values() if _fits(str(entry.code), match.groups())]
    if (match := _PATTERN.match(wanted)) and not _ENHANCED.match(wanted):
        parts = (match[1], match[2], match[3] or "x")
        return [entry for entry in ALL_ENHANCED.values() if _fits(entry.code.split("."), parts)]
    basic = dict.fromkeys(int(match[1] or match[2]) for match in _BASIC_IN_TEXT.finditer(wanted))
    places = [(match.start(), match[0]) for match in _ENHANCED_IN_TEXT.finditer(wanted)]
    places += [(match.start(1), match[1]) for match in _AFTER_HYPHEN.finditer(wanted)]
    enhanced = dict.fromkeys(code for at, code in sorted(places) if code == wanted or _plausible(code, wanted[:at]))
    found: list[BasicCode | EnhancedCode | None] = [explain_reply(code) or guess_reply(code) for code in basic]
    found += [explain_enhanced(code) or guess_enhanced(code) for code in enhanced]
    return [entry for entry in found if entry is not None]


def _plausible(code: str, before: str) -> bool:
    """False for a program's version such as 4.99.1, which has no known subject and follows no reply code."""
    return code.split(".")[1] in _SUBJECT or re.search(r"[2-5][0-9]{2}[ -]\Z", before[-4:]) is not None


def _fits(parts: str | list[str], pattern: tuple[str, ...]) -> bool:
    return all(wanted in "xyzXYZ*" or part == wanted for part, wanted in zip(parts, pattern, strict=True))


def near(text: str) -> tuple[str, ...]:
    """At most five suggestions, the best first: codes similar to ``text``, or codes whose texts have its words.

    Words may be English or Chinese (``mailbox full``, ``邮箱已满``).
    """
    wanted = text[:_LONGEST].strip().lower()
    if not wanted:
        return ()
    if re.search(r"[0-9]", wanted):
        codes = [*map(str, ALL_BASIC), *(ALL_ENHANCED if re.search(r"[^0-9]", wanted) else ())]
        head = [code for code in codes if code[:-1] == wanted[:-1] and code != wanted]
        close = difflib.get_close_matches(wanted[:16], codes, n=_SUGGESTIONS + 1, cutoff=0.5)
        found = dict.fromkeys(code for code in (*head, *close) if code != wanted)
        return tuple(found)[:_SUGGESTIONS]
    terms = _terms(wanted)
    scored = []
    entries: list[BasicCode | EnhancedCode] = [*ALL_BASIC.values(), *ALL_ENHANCED.values()]
    for order, entry in enumerate(entries):
        title, body = " ".join(entry.title).lower(), " ".join(entry.meaning).lower()
        hits = sum(term in title or term in body for term in terms)
        if hits:
            scored.append((-hits, -sum(term in title for term in terms), order, str(entry.code)))
    return tuple(code for *_, code in sorted(scored)[:_SUGGESTIONS])


def _terms(words: str) -> set[str]:
    """The words of three letters or more, and each pair of adjacent Chinese characters."""
    terms = set(re.findall(r"[a-z]{3,}", words))
    for run in re.findall(r"[\u4e00-\u9fff]{2,}", words):
        terms.update(run[at : at + 2] for at in range(len(run) - 1))
    return terms


_NO_CODE = Text("This is no reply code that SMTP uses.", "这不是 SMTP 使用的应答码。")
_RESPONSIBLE = Text(
    "The message was accepted; from here on the receiving SMTP is responsible for it.",
    "邮件已被接受；从此刻起由接收SMTP 负责。",
)


def sentence(reply: Reply, lang: str = "en", *, content_over: bool = False) -> str:
    """One sentence that explains ``reply`` in ``lang`` (``en`` or ``zh``); that of a large provider's own refusal, if
    it is one that is known.

    The enhanced code is explained if it is more specific than the basic code: 5.1.1 for 550 5.1.1, but 503 for 503
    5.5.1.  An enhanced code is ignored if its class is not the first digit of the basic code (RFC 2034 §4).
    ``content_over``: the reply answers the end of the content, where 250 also passes responsibility (RFC 5321 §4.2.5).
    """
    if content_over and reply.code == 250:
        return _RESPONSIBLE.said(lang)
    known = known_refusal(reply)
    if known is not None:
        return known.advice.said(lang)
    basic = explain_reply(reply.code) or guess_reply(reply.code)
    if basic is None:
        return _NO_CODE.said(lang)
    meaning = basic.meaning
    match = _ENHANCED.match(reply.enhanced)
    if match is not None and int(match[1]) == reply.code // 100:
        row = REGISTRY.get(f"{match[2]}.{match[3]}")
        # X.y.0 names a field only, so it adds something just to codes that name nothing.
        needed = 2 if match[3] == "0" else 1
        if row is not None and match[2] != "0" and basic.breadth >= needed:
            meaning = _in_class(row, int(match[1])).meaning
    return _first_sentence(meaning.said(lang))


def _first_sentence(text: str) -> str:
    match = re.match(r".*?(?:\.(?=\s|\Z)|。)", text)
    return match[0] if match else text
