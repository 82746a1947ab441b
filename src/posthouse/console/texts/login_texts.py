"""The texts of the login page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "login.title": ("Log in", "登录"),
        "login.lead": (
            "This console is for operators of the mail server.",
            "本控制台供邮件服务器的管理员使用。",
        ),
        "login.user": ("Account", "账户"),
        "login.password": ("Password", "密码"),
        "login.submit": ("Log in", "登录"),
        "login.ended": ("You are logged out.", "已退出登录。"),
        "login.not_needed": ("This console asks for no login.", "本控制台不需要登录。"),
    }
)
