"""Names and meanings of the states of a dialogue, and example lines of each command, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from posthouse.codes.model import Text
from posthouse.protocol.states import LAW, Input, State

__all__ = ["EXAMPLES", "STATE_WORDS", "legal_in", "state_text"]

#: State → its name, and what it means.
STATE_WORDS: Final[Mapping[State, tuple[Text, Text]]] = MappingProxyType(
    {
        State.CONNECTED: (
            Text("connected", "已连接"),
            Text(
                "The channel is open, and the receiving SMTP has not greeted yet.",
                "链路已建立，接收SMTP 尚未问候。",
            ),
        ),
        State.REFUSED: (
            Text("refused", "被拒绝"),
            Text("The greeting refused the client; nothing but QUIT makes sense.", "问候即为拒绝，只能发送 QUIT。"),
        ),
        State.GREETED: (
            Text("greeted", "已问候"),
            Text("The receiving SMTP has greeted; now say EHLO or HELO.", "接收SMTP 已问候，请发送 EHLO 或 HELO。"),
        ),
        State.READY: (
            Text("ready", "就绪"),
            Text(
                "The session has begun and no message is open; MAIL begins one.",
                "会话已开始，没有未完成的邮件；用 MAIL 开始一封。",
            ),
        ),
        State.SENDER: (
            Text("sender", "已有发件人"),
            Text("MAIL was accepted; now name the recipients with RCPT.", "MAIL 已被接受，请用 RCPT 给出收件人。"),
        ),
        State.RECIPIENTS: (
            Text("recipients", "已有收件人"),
            Text(
                "A recipient was accepted; name more, or send the content with DATA.",
                "已有收件人被接受；可以继续添加，或用 DATA 发送内容。",
            ),
        ),
        State.CONTENT: (
            Text("content", "内容"),
            Text(
                "Each line belongs to the message; a dot alone ends it.", "每一行都属于邮件；单独一行的点号表示结束。"
            ),
        ),
        State.CHUNKS: (
            Text("chunks", "数据块"),
            Text(
                "A chunk was accepted; send the next, the last one with LAST.",
                "已收下一个数据块；继续发送，最后一块带 LAST。",
            ),
        ),
        State.AUTHENTICATING: (
            Text("authenticating", "验证中"),
            Text(
                "The next line answers the challenge, in base64; * gives up.",
                "下一行回答质询，用 base64 编码；* 表示放弃。",
            ),
        ),
        State.SWITCHING: (
            Text("switching", "切换加密"),
            Text(
                "STARTTLS was accepted, and the TLS handshake comes next.",
                "STARTTLS 已被接受，接下来是 TLS 握手。",
            ),
        ),
        State.CLOSED: (
            Text("closed", "已关闭"),
            Text("The session is over; begin a new one.", "会话已结束，请重新开始。"),
        ),
    }
)

#: Command → a line that means something in the practice world; for LMTP ``LHLO`` is said in place of EHLO.
EXAMPLES: Final[Mapping[Input, str]] = MappingProxyType(
    {
        Input.HELO: "HELO sohu.com",
        Input.EHLO: "EHLO sohu.com",
        Input.LHLO: "LHLO sohu.com",
        Input.MAIL: "MAIL FROM:<langrui@sohu.com>",
        Input.RCPT: "RCPT TO:<renping@sina.com>",
        Input.DATA: "DATA",
        Input.BDAT: "BDAT 16",
        Input.BDAT_LAST: "BDAT 7 LAST",
        Input.RSET: "RSET",
        Input.NOOP: "NOOP",
        Input.QUIT: "QUIT",
        Input.VRFY: "VRFY zhaolei",
        Input.EXPN: "EXPN friends",
        Input.HELP: "HELP",
        Input.AUTH: "AUTH LOGIN",
        Input.AUTH_LINE: "*",
        Input.CONTENT_END: ".",
        Input.STARTTLS: "STARTTLS",
    }
)


def state_text(state: State) -> Text:
    """The name of a state; in Chinese with the English name, which the diagram and the manual have too."""
    name = STATE_WORDS[state][0]
    return Text(name.en, f"{name.zh}（{name.en}）")


def legal_in(state: State, *, lmtp: bool = False) -> tuple[Input, ...]:
    """The inputs that a client may type in a state, in the order of the law's inputs."""
    other = {Input.HELO, Input.EHLO} if lmtp else {Input.LHLO}
    return tuple(each for each in EXAMPLES if (state, each) in LAW and each not in other)
