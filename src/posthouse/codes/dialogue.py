"""A dialogue with explanations: each line with its side (S or R), and its meaning in English or Chinese.

``annotate`` joins the lines of one reply (RFC 5321 §4.2.1) and explains it once, at its last line, in the words of the
catalogue; commands are explained by their verb.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from posthouse.codes.code_lookup import sentence
from posthouse.core.reply import Reply

__all__ = ["Live", "Said", "annotate"]

_REPLY = re.compile(r"([2-5][0-9]{2})(?:([- ])(?:([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |\Z))?(.*))?", re.DOTALL)

_VERBS = {
    "HELO": ("The sending SMTP names itself.", "发送SMTP 报出自己的主机名。"),
    "HELLO": (
        "The sending SMTP names itself; the RFC's spelling is HELO.",
        "发送SMTP 报出自己的主机名；RFC 中写作 HELO。",
    ),
    "REST": ("Abandon the message that was begun; the RFC's spelling is RSET.", "放弃当前邮件；RFC 中写作 RSET。"),
    "EHLO": (
        "The sending SMTP names itself and asks which extensions there are.",
        "发送SMTP 报出主机名，并询问对方支持哪些扩展。",
    ),
    "LHLO": (
        "EHLO of LMTP: after the content there is one reply for each recipient.",
        "LMTP 中的 EHLO：之后每位收件人各有一个应答。",
    ),
    "MAIL": (
        "A new message begins; failures are reported to this address.",
        "开始一封新邮件：投递报告发往此地址。",
    ),
    "RCPT": ("One recipient; each has a command of its own.", "一位收件人；每位收件人一条命令。"),
    "DATA": ("The content comes next.", "即将发送邮件内容。"),
    "BDAT": (
        "Content follows, counted in octets, so no dot has to end it.",
        "随后是按字节计数的内容，不需要用点号结束。",
    ),
    "RSET": ("Abandon the message that was begun.", "放弃当前邮件。"),
    "NOOP": ("No operation: is the other side there?", "不做任何事，只确认对方仍在线。"),
    "VRFY": ("Does this mailbox exist?", "询问邮箱是否存在。"),
    "EXPN": ("Who is on this list?", "询问邮件列表的成员。"),
    "HELP": ("Which commands are there?", "询问可用的命令。"),
    "HELP TOPIC": ("How is this command used?", "询问这条命令的用法。"),
    "QUIT": ("Ends the session.", "结束会话。"),
    "STARTTLS": (
        "TLS begins after the reply; then the sending SMTP says EHLO again, inside TLS.",
        "应答之后开始 TLS 加密；随后在加密连接中重新发送 EHLO。",
    ),
    "AUTH": ("The sending SMTP logs in; the password is not shown here.", "发送SMTP 登录；此处不显示密码。"),
    "*": ("The login is given up.", "放弃登录。"),
    ".": ("A dot on a line of its own: the content ends here.", "单独一行的点号：内容到此结束。"),
}
_EXTENSIONS = {
    "PIPELINING": (
        "Commands may be sent without waiting for each reply (RFC 2920).",
        "可以连续发送命令，不必逐条等待应答（RFC 2920）。",
    ),
    "SIZE": ("The largest message accepted here, in octets (RFC 1870).", "此处接受的最大邮件字节数（RFC 1870）。"),
    "8BITMIME": ("The body may have octets above 127 (RFC 6152).", "邮件体可以含有大于 127 的字节（RFC 6152）。"),
    "SMTPUTF8": (
        "Addresses and header fields may be in any script (RFC 6531).",
        "地址和邮件头字段可以使用任何文字（RFC 6531）。",
    ),
    "CHUNKING": ("BDAT is supported (RFC 3030).", "支持 BDAT 命令（RFC 3030）。"),
    "BINARYMIME": (
        "The body may be any octets, sent with BDAT (RFC 3030).",
        "邮件体可以是任意字节，用 BDAT 发送（RFC 3030）。",
    ),
    "ENHANCEDSTATUSCODES": (
        "Replies carry codes like 5.1.1 (RFC 2034).",
        "应答带有 5.1.1 这样的增强状态码（RFC 2034）。",
    ),
    "DSN": ("Delivery reports may be requested (RFC 3461).", "可以要求投递报告（RFC 3461）。"),
    "LIMITS": (
        "Limits of this receiver, such as recipients of one message (RFC 9422).",
        "接收SMTP 的限制，如每封邮件的收件人数（RFC 9422）。",
    ),
    "STARTTLS": ("The channel can be encrypted (RFC 3207).", "可以加密连接（RFC 3207）。"),
    "AUTH": ("The sending SMTP can authenticate (RFC 4954).", "发送SMTP 可以验证身份（RFC 4954）。"),
    "REQUIRETLS": (
        "Encryption can be required on the whole route of a message (RFC 8689).",
        "可以要求邮件全程加密（RFC 8689）。",
    ),
    "HELP": ("HELP is supported.", "支持 HELP 命令。"),
}
_NAMED = (
    "The receiving SMTP names itself; each further line is an extension that it offers.",
    "报出自己的名称；其后每行是一个支持的扩展。",
)
_OVER = "the end of the content"
_CREDENTIALS = "(credentials)"
_ANSWER = (
    "An answer of the login: a name, a password or a proof of it; it is not shown here.",
    "登录过程中的回答：用户名、密码或其证明；此处不显示。",
)
_CONTENT = ("The message itself: header fields, an empty line, the body.", "邮件本身：邮件头、一个空行、邮件体。")


class Said(NamedTuple):
    """One line: ``who`` is "S" (the sending SMTP) or "R" (the receiving one); ``explanation`` is "" where the line's
    meaning stands at a later one."""

    who: str
    text: str
    explanation: str = ""


class Live:
    """Explains a dialogue line by line as it happens.

    Commands may be sent in groups (RFC 2920), so each reply is matched with the oldest command that waits for one.
    """

    def __init__(self, lang: str) -> None:
        self._lang = lang
        self._lines: list[str] = []  # of the reply that is being said
        self._owed = deque([""])  # what waits for a reply: verbs, and _OVER for the content's end; first the greeting
        self._last = ""  # what was answered last, for LMTP's further replies to one content

    @property
    def resting(self) -> bool:
        """Whether the dialogue has come to a point of rest: a message was answered for, or the session is over."""
        return not self._owed and self._last in (_OVER, "QUIT")

    def __call__(self, who: str, text: str) -> Said:
        """The next line."""
        if who == "S":
            return Said(who, text, self._command(text))
        self._lines.append(text)
        match = _REPLY.match(text)
        last = match is None or match[2] != "-"
        to = self._owed[0] if self._owed else self._last
        explanation = ""
        if to in ("EHLO", "LHLO") and match is not None and match[1] == "250":
            explanation = self._offered(match[4] or "", first=len(self._lines) == 1)
        elif last:
            explanation = self._reply(self._lines, over=to == _OVER)
        if last:
            self._lines = []
            self._last = self._owed.popleft() if self._owed else to
            if text.startswith("421"):  # whatever was asked, it is over
                self._owed.clear()
                self._last = "QUIT"
        return Said(who, text, explanation)

    def _offered(self, text: str, *, first: bool) -> str:
        """A line of EHLO's reply."""
        known = _NAMED if first else _EXTENSIONS.get(text.partition(" ")[0].upper())
        return known[self._lang == "zh"] if known else ""

    def _command(self, text: str) -> str:
        if text == _CREDENTIALS:
            self._owed.append("AUTH")
            return _ANSWER[self._lang == "zh"]
        if text.startswith("("):
            if self._owed and self._owed[-1] == "BDAT":
                self._owed[-1] = _OVER
            elif not self._owed:
                self._owed.append(_OVER)
            return _CONTENT[self._lang == "zh"]
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        if verb == "BDAT" and not argument.upper().endswith("LAST"):
            self._owed.append("BDAT, more")
        elif verb != ".":
            self._owed.append(verb)
        known = _VERBS.get("HELP TOPIC" if verb == "HELP" and argument.strip() else verb)
        return known[self._lang == "zh"] if known else ""

    def _reply(self, lines: list[str], *, over: bool) -> str:
        match = _REPLY.match(lines[0])
        if match is None:
            return ""
        reply = Reply(int(match[1]), match[3] or "", match[4] or "")
        return sentence(reply, self._lang, content_over=over)


def annotate(lines: Iterable[tuple[str, str]], lang: str = "en") -> list[Said]:
    """Each line of a dialogue with its explanation in ``lang``."""
    explain = Live(lang)
    return [explain(who, text) for who, text in lines]
