"""The texts of the settings of the inboxes in Chinese (``config.chinese_texts``)."""

from __future__ import annotations

from typing import Final

__all__ = ["INBOX_TEXTS", "INBOX_TYPES"]

#: Setting, as ``SettingDoc.path`` has it → its text.
INBOX_TEXTS: Final[dict[str, str]] = {
    "inbox": "本机邮箱：其中保存什么，保存多久。",
    "inbox.keep_for": "邮件在邮箱中保存多久，更早的会被删除；0 表示一直保存。",
    "inbox.keep_messages": "所有邮箱最多保存多少封邮件，超过时删除最早的；0 表示不限。",
    "inbox.keep_size": "所有邮箱最多占用多少空间，超过时删除最早的邮件；0 表示不限。",
    "inbox.undo_for": "用户删除的邮件在多长时间内可以恢复，此后彻底删除；0 表示立即删除。",
    "inbox.release_via": "把邮件转到真实地址时所用的服务器，写法同 `posthouse send --server`"
    "（“smtp://mail.example.org:587”）；不写时，邮件不能转出。",
    "inbox.release_to": '可以转出到哪些地址：`["me@example.org", "*@example.net"]`。',
    "inbox.link_networks": '检查链接时，除公网地址外还允许访问哪些网络：要访问本机上的程序，写 `["127.0.0.0/8"]`。',
    "inbox_rule[]": "规则：符合搜索条件的邮件加上标签，或者同时列入另一个邮箱。",
    "inbox_rule[].search": "哪些邮件，用搜索语言书写：`from:*@shop.example subject:order`。",
    "inbox_rule[].tag": "所加的标签。",
    "inbox_rule[].inbox": "同时列入的邮箱，按名称建立。",
}

#: How a value is written → the same in Chinese.
INBOX_TYPES: Final[dict[str, str]] = {"search": "搜索条件", "name": "名称", "server": "服务器"}
