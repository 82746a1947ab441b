"""The texts of the page on which SMTP is typed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "speak.title": ("Speak SMTP", "动手学 SMTP"),
        "speak.lead": (
            "Type what a sending SMTP says. A receiving SMTP in memory answers; nothing leaves this page.",
            "输入发送SMTP 要说的话，由内存中的接收SMTP 应答；任何内容都不会离开本页。",
        ),
        "speak.dialogue": ("Dialogue", "会话"),
        "speak.line": ("Your line", "要发送的一行"),
        "speak.send": ("Send", "发送"),
        "speak.new": ("Begin anew", "重新开始"),
        "speak.over": (
            "The session is over. Your next line begins a new one.",
            "会话已结束。再发送一行即开始新的会话。",
        ),
        "speak.lost": (
            "That session has ended, because it was not used for half an hour or the console was restarted.",
            "该会话已结束：超过半小时未使用，或控制台已重启。",
        ),
        "speak.nothing": (
            "Nothing has been said yet. Begin with EHLO and a host name, or replay the classic dialogue.",
            "还没有会话。先发送 EHLO 和主机名，或逐步重放经典会话。",
        ),
        "speak.sender": ("Sending SMTP", "发送SMTP"),
        "speak.receiver": ("Receiving SMTP", "接收SMTP"),
        "speak.note": ("Channel", "通讯链路"),
        "speak.state": ("Where you are", "当前状态"),
        "speak.may": ("What may come now", "现在可以发送"),
        "speak.diagram": ("The law of the dialogue", "会话的规则"),
        "speak.diagram.note": (
            "The reply moves the state, not the command: a refusal leaves it. 421 closes in every state.",
            "改变状态的是应答而不是命令：被拒绝时状态不变。421 在任何状态下都会关闭连接。",
        ),
        "speak.doors": ("Whom to speak to", "与谁会话"),
        "speak.door": ("Server", "服务器"),
        "speak.connect": ("Connect", "连接"),
        "speak.classic": ("The classic dialogue", "经典会话"),
        "speak.classic.lead": (
            "langrui@sohu.com writes to renping@sina.com. Send one line after the other, and watch the replies.",
            "langrui@sohu.com 写信给 renping@sina.com。逐行发送，观察应答。",
        ),
        "speak.classic.begin": ("Replay it", "开始重放"),
        "speak.classic.next": ("Next line", "下一行"),
        "speak.classic.done": ("The message has been delivered.", "这封信已送达。"),
        "speak.empty_line": ("(an empty line)", "（空行）"),
        "speak.codes": ("Every code and command", "全部应答码和命令"),
        "speak.codes.title": ("How to see each code and command", "如何见到每个应答码和命令"),
        "speak.codes.lead": (
            "What to type to be answered with each code. “See it” types it for you.",
            "输入什么，就会得到哪个应答码。点“演示”由本页代为输入。",
        ),
        "speak.codes.codes": ("Reply codes", "应答码"),
        "speak.codes.commands": ("Commands", "命令"),
        "speak.codes.code": ("Code", "应答码"),
        "speak.codes.command": ("Command", "命令"),
        "speak.codes.meaning": ("Meaning", "含义"),
        "speak.codes.type": ("Type", "输入"),
        "speak.codes.why": ("Why", "原因"),
        "speak.codes.see": ("See it", "演示"),
        "speak.codes.connect": ("(connect)", "（连接即可）"),
        "speak.codes.pretended": ("pretended", "模拟"),
        "speak.codes.pretended.help": (
            "Posthouse does not give this code there; the recipient's address asks for it.",
            "Posthouse 自身不会在此给出该应答码；由收件人地址要求模拟。",
        ),
    }
)
