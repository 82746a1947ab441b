"""The texts of the inbox page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

_CONDITIONS: Final = (
    "body: header: html: inbox: domain: login: tag: is:unread has:attachment size>1M age<2h before:2026-04-01 id: "
    "message-id:"
)
_SYNTAX: Final = (
    'Words find any part of a word; "quotation marks" keep words together; a minus sign excludes. Conditions: '
    f"from: to: (an address is meant exactly, ~ for a part) subject: {_CONDITIONS}"
)
_SYNTAX_ZH: Final = (
    "单词匹配任意部分；引号使几个词连在一起；减号表示排除。条件：from: to:（完整地址须完全一致，~ 表示部分）"
    f"subject: {_CONDITIONS}"
)

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "inbox.title": ("Inbox", "收件箱"),
        "inbox.views": ("Inboxes, tags and logins", "邮箱、标签和登录名"),
        "inbox.all": ("All messages", "全部邮件"),
        "inbox.all_views": ("Show all", "显示全部"),
        "inbox.more_views": ("There are more:", "其余见："),
        "inbox.kind.inbox": ("Mailboxes", "邮箱"),
        "inbox.kind.domain": ("Domains", "域"),
        "inbox.kind.tag": ("Tags", "标签"),
        "inbox.kind.login": ("Logins", "登录名"),
        "inbox.kind.box": ("Inboxes by rule", "按规则"),
        "inbox.count": ("{messages} messages, {unread} unread", "{messages} 封邮件，{unread} 封未读"),
        "inbox.waiting": ("{number} more are being indexed", "另有 {number} 封正在编入索引"),
        "inbox.search": ("Search", "搜索"),
        "inbox.find": ("Find", "查找"),
        "inbox.clear_search": ("Clear", "清除"),
        "inbox.syntax": ("What can be searched for", "搜索写法"),
        "inbox.syntax.text": (_SYNTAX, _SYNTAX_ZH),
        "inbox.to": ("to", "收件人"),
        "inbox.unread": ("Unread:", "未读："),
        "inbox.files": ("{number} attached", "{number} 个附件"),
        "inbox.choose": ("Choose “{subject}”", "选择“{subject}”"),
        "inbox.choose_all": ("All on this page", "本页全部"),
        "inbox.read": ("Mark read", "标为已读"),
        "inbox.mark_unread": ("Mark unread", "标为未读"),
        "inbox.tag_name": ("Tag", "标签"),
        "inbox.tag": ("Give tag", "加标签"),
        "inbox.delete": ("Delete", "删除"),
        "inbox.read_all": ("Mark all read", "全部标为已读"),
        "inbox.delete_all": ("Delete all", "全部删除"),
        "inbox.delete_found": ("Delete all that were found", "删除全部搜索结果"),
        "inbox.newest": ("Newest", "最新"),
        "inbox.older": ("Older", "更早"),
        "inbox.export": ("Save as mbox", "存为 mbox"),
        "inbox.nothing_found": ("Nothing was found.", "没有找到。"),
        "inbox.show_all": ("Show what has arrived", "查看收到的邮件"),
        "inbox.empty": ("No message yet. Send one:", "还没有邮件。发一封试试："),
        "inbox.empty.compose": ("Or write one here", "或者在这里写一封"),
        "inbox.fresh": ("{number} new", "{number} 封新邮件"),
        "inbox.undo": ("Undo", "撤销"),
        "inbox.undo.text": ("{number} deleted.", "已删除 {number} 封邮件。"),
        "inbox.done.read": ("{number} marked as read", "{number} 封标为已读"),
        "inbox.done.unread": ("{number} marked as unread", "{number} 封标为未读"),
        "inbox.done.tag": ("{number} with changed tags", "已更改 {number} 封邮件的标签"),
        "inbox.done.delete": ("{number} deleted", "已删除 {number} 封"),
        "inbox.done.undo": ("{number} restored", "已恢复 {number} 封"),
    }
)
