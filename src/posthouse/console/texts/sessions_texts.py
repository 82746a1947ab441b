"""The texts of the pages of sessions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "sessions.title": ("Sessions", "会话"),
        "sessions.lead": (
            "Dialogues with clients and other hosts, live and afterwards. Contents and passwords are not recorded.",
            "与客户端及其他主机的会话，可实时查看，也可事后查看。邮件内容与密码从不记录。",
        ),
        "sessions.show": ("Sessions shown", "显示的会话"),
        "sessions.of": ("The session by which a message came from {source}.", "来源为 {source} 的邮件由以下会话送来。"),
        "sessions.of.none": (
            "Its dialogue is not kept: it ended long ago, or was not recorded.",
            "没有保留该会话的记录：会话早已结束，或当时未作记录。",
        ),
        "sessions.show.every": ("All sessions", "全部会话"),
        "sessions.show.all": ("All", "全部"),
        "sessions.show.live": ("Open now", "进行中"),
        "sessions.show.failures": ("With problems", "有问题"),
        "sessions.show.in": ("From clients", "来自客户端"),
        "sessions.show.out": ("To other hosts", "发往其他主机"),
        "sessions.now": (
            "{open} sessions with clients are open, {sending} attempts at other hosts are under way.",
            "与客户端的会话 {open} 个，正在进行的投递尝试 {sending} 次。",
        ),
        "sessions.session": ("Session", "会话"),
        "sessions.direction": ("Direction", "方向"),
        "sessions.direction.in": ("in", "接收"),
        "sessions.direction.out": ("out", "发送"),
        "sessions.direction.long.in": ("a client sends to this daemon", "客户端发到本机"),
        "sessions.direction.long.out": ("this daemon sends to another host", "本机发往其他主机"),
        "sessions.place": ("Listener or destination", "监听器或目的域"),
        "sessions.peer": ("Other end", "对方"),
        "sessions.began": ("Began", "开始时间"),
        "sessions.lasted": ("Lasted", "持续时间"),
        "sessions.messages": ("Messages", "邮件数"),
        "sessions.problem": ("Problem", "问题"),
        "sessions.live": ("open", "进行中"),
        "sessions.none": (
            "No session is known. Send a message, and its dialogue appears here.",
            "还没有会话。发送一封邮件，会话就会显示在这里。",
        ),
        "sessions.one": ("Session {id}", "会话 {id}"),
        "sessions.clear": ("none: in clear", "无，明文传输"),
        "sessions.message": ("Message", "邮件"),
        "sessions.partial": (
            "Only a part of this session was recorded: nobody looked when it began, or it was long.",
            "本会话只记录了一部分：开始时无人查看，或会话太长。",
        ),
        "sessions.no_lines": (
            "Nothing is recorded yet; what is said from now on appears here.",
            "尚无记录；此后的命令和应答会显示在这里。",
        ),
        "sessions.who.S": ("Sending SMTP:", "发送SMTP："),
        "sessions.who.R": ("Receiving SMTP:", "接收SMTP："),
    }
)
