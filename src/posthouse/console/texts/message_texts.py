"""The texts of the message page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "message.no_subject": ("(no subject)", "（无主题）"),
        "message.back": ("Back to the list", "返回列表"),
        "message.newer": ("Newer message", "较新的邮件"),
        "message.older": ("Older message", "较早的邮件"),
        "message.reply": ("Reply", "回复"),
        "message.forward": ("Forward", "转发"),
        "message.download": ("Save as .eml", "存为 .eml"),
        "message.again": ("Send again", "重新发送"),
        "message.from": ("From", "发件人"),
        "message.to": ("To", "收件人"),
        "message.cc": ("Cc", "抄送"),
        "message.reply-to": ("Reply to", "回复至"),
        "message.received": ("Received", "收到"),
        "message.envelope": ("Envelope", "信封"),
        "message.login": ("login {name}", "登录名 {name}"),
        "message.journey": ("Session", "会话"),
        "message.tags": ("Tags", "标签"),
        "message.codes": ("Codes", "验证码"),
        "message.files": ("Attachments", "附件"),
        "message.show": ("Show", "查看"),
        "message.save": ("Save", "保存"),
        "message.tabs": ("Parts of this page", "页面各部分"),
        "message.tab.html": ("HTML", "HTML"),
        "message.tab.text": ("Text", "文本"),
        "message.tab.headers": ("Headers", "邮件头"),
        "message.tab.parts": ("Parts", "部分"),
        "message.tab.source": ("Source", "源码"),
        "message.tab.links": ("Links", "链接"),
        "message.tab.check": ("Check", "检查"),
        "message.width.phone": ("Phone", "手机"),
        "message.width.tablet": ("Tablet", "平板"),
        "message.width.full": ("Full width", "全宽"),
        "message.dark": ("Dark", "深色"),
        "message.remote": ("Remote pictures", "远程图片"),
        "message.own_tab": ("Alone", "单独打开"),
        "message.blocked": (
            "Remote pictures are blocked: loading them tells their server that the message was read.",
            "远程图片已拦截：加载它们会让对方服务器知道邮件已读。",
        ),
        "message.frame": ("The HTML of this message", "邮件的 HTML 内容"),
        "message.no_text": ("(no text)", "（无文本）"),
        "message.filter": ("Filter", "筛选"),
        "message.field": ("Field", "字段"),
        "message.value": ("Value", "值"),
        "message.raw": ("As it stands in the message", "原样"),
        "message.part": ("Part", "部分"),
        "message.type": ("Type", "类型"),
        "message.name": ("Name", "名称"),
        "message.size": ("Size", "大小"),
        "message.kind": ("Content", "内容"),
        "message.source.before": ("Before", "上一段"),
        "message.source.next": ("Next", "下一段"),
        "message.source.place": ("octets {start} to {end} of {total}", "第 {start} 至 {end} 字节，共 {total} 字节"),
        "message.no_links": ("This message has no links.", "邮件中没有链接。"),
        "message.no_findings": ("Nothing was found.", "没有发现问题。"),
        "message.level.error": ("error", "错误"),
        "message.level.warning": ("warning", "警告"),
        "message.level.note": ("note", "提示"),
        "message.defect": ("reading", "读取"),
        "message.line": ("line {number}", "第 {number} 行"),
        "message.cut": (
            "This message is larger than this page shows; its source has all of it.",
            "邮件太大，本页只显示一部分；源码中有全部内容。",
        ),
        "message.release": ("Release to a real address", "转到真实地址"),
        "message.release.to": ("Addresses", "地址"),
        "message.release.send": ("Release", "转出"),
        "message.done.again": ("Sent again", "已重新发送"),
        "message.done.refused": ("Refused; the sender got a report", "被拒绝，已向发件人发出报告"),
    }
)
