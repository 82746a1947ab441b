"""The texts of the compose page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "compose.title": ("Write a message", "写邮件"),
        "compose.lead": (
            "It is handed to this daemon, which treats it like one of a program on this machine.",
            "邮件交给本守护进程，与本机程序发出的邮件同样处理。",
        ),
        "compose.ways": ("Ways to write", "书写方式"),
        "compose.formed": ("Form", "表单"),
        "compose.raw": ("Raw source", "源码"),
        "compose.from": ("From", "发件人"),
        "compose.to": ("To", "收件人"),
        "compose.cc": ("Cc", "抄送"),
        "compose.subject": ("Subject", "主题"),
        "compose.text": ("Text", "正文"),
        "compose.html": ("HTML", "HTML"),
        "compose.files": ("Files", "附件"),
        "compose.carry": ("With the files of the original:", "附上原邮件的附件："),
        "compose.original": ("The forwarded message", "转发的邮件"),
        "compose.forwarded": (
            "It follows your text with its header, its HTML as it was written, and its pictures.",
            "以下邮件附在正文之后，包括邮件头、原来的 HTML 和图片。",
        ),
        "compose.plain": ("Forward it as plain text", "改为按纯文本转发"),
        "compose.source": ("The message as it is sent", "要发送的邮件原文"),
        "compose.send": ("Send", "发送"),
        "compose.sent": ("Queued as {id}", "已放入队列：{id}"),
        "compose.wrote": ("On {date}, {name} wrote:", "{name} 于 {date} 写道："),
        "compose.wrote_once": ("{name} wrote:", "{name} 写道："),
        "compose.sender": ("the sender", "发件人"),
        "compose.forwarded_message": ("Forwarded message", "转发的邮件"),
        "compose.date": ("Date", "日期"),
        "compose.refused": ("Refused; the sender got a report", "被拒绝，已向发件人发出报告"),
    }
)
