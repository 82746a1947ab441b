"""The texts that stand on every page, and those of errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "layout.skip": ("Skip to the content", "跳到正文"),
        "layout.menu": ("Menu", "菜单"),
        "layout.navigation": ("Pages", "页面"),
        "layout.group.mail": ("Mail", "邮件"),
        "layout.group.queue": ("Operation", "运行"),
        "layout.group.learn": ("Learning", "学习"),
        "layout.group.system": ("System", "系统"),
        "layout.catcher": ("catcher", "捕获"),
        "layout.catcher.help": (
            "All mail sent here is caught; nothing leaves this machine.",
            "发到这里的邮件全部截留，不会离开本机。",
        ),
        "layout.language": ("Language", "语言"),
        "layout.theme": ("Appearance", "外观"),
        "layout.theme.auto": ("Auto", "自动"),
        "layout.theme.light": ("Light", "浅色"),
        "layout.theme.dark": ("Dark", "深色"),
        "layout.json": ("This page as JSON", "本页的 JSON"),
        "layout.live": ("Live", "实时"),
        "layout.not_live": ("Not live: this page is renewed every {seconds} s", "未实时：每 {seconds} 秒更新一次"),
        "layout.stale": (
            "The daemon does not answer; what you see may be old",
            "守护进程没有应答，所见内容可能已过时",
        ),
        "layout.copy": ("Copy", "复制"),
        "layout.copied": ("Copied", "已复制"),
        "layout.close": ("Close", "关闭"),
        "layout.keys": ("Keyboard", "键盘"),
        "layout.keys.help": ("Show the keys", "显示按键"),
        "layout.keys.switch": ("Use single-letter keys", "使用单字母按键"),
        "layout.keys.everywhere": ("On every page", "所有页面"),
        "layout.keys.palette": ("Go to a page or search", "前往页面或搜索"),
        "layout.keys.search": ("To the search field", "跳到搜索框"),
        "layout.keys.mail": ("Inbox and message", "收件箱与邮件"),
        "layout.keys.walk": ("Next, previous message", "下一封、上一封"),
        "layout.keys.open": ("Open it", "打开"),
        "layout.keys.back": ("Back to the list", "返回列表"),
        "layout.keys.choose": ("Choose it", "选择"),
        "layout.keys.delete": ("Delete", "删除"),
        "layout.keys.unread": ("Mark as unread", "标为未读"),
        "layout.keys.reply": ("Reply", "回复"),
        "layout.keys.forward": ("Forward", "转发"),
        "layout.keys.newer": ("Newer, older message", "较新、较旧的邮件"),
        "layout.keys.tab": ("Choose a tab", "切换标签页"),
        "layout.palette.where": ("Page, words to search for, or queue id", "页面、搜索词或队列编号"),
        "layout.palette.none": ("Nothing is called so.", "没有匹配的项目。"),
        "layout.palette.history": ("History of", "邮件经过"),
        "layout.palette.inbox": ("Search the inbox for", "在收件箱中搜索"),
        "layout.palette.queue": ("Filter the queue by", "按条件筛选队列"),
        "layout.account": ("Logged in as {name}", "已登录：{name}"),
        "layout.logout": ("Log out", "退出"),
        "error.404": ("Not found", "没有找到"),
        "error.400": ("The request is wrong", "请求有误"),
        "error.401": ("Log in first", "请先登录"),
        "error.403": ("Not allowed", "不允许"),
        "error.405": ("Not possible here", "此处不支持"),
        "error.408": ("Too slow", "太慢"),
        "error.413": ("Too large", "太大"),
        "error.415": ("A form that is not understood", "无法理解的格式"),
        "error.421": ("An unknown host name", "未知的主机名"),
        "error.429": ("Too many requests", "请求太多"),
        "error.500": ("A fault in the console", "控制台故障"),
        "error.503": ("The daemon does not answer", "守护进程没有应答"),
        "error.507": ("The disk is full", "磁盘已满"),
        "error.back": ("To the first page", "回到首页"),
        "error.path": ("There is no page at {path}.", "{path} 处没有页面。"),
    }
)
