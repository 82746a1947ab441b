"""Words of the commands ``check message``, ``check domain`` and ``dkim``, said in English or Chinese."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.service.mailauth.texts.auth_advice_zh import chinese_auth_advice

__all__ = ["AUTH_WORDS_ZH", "auth_words"]

#: Headings, levels, states and sentences of the commands → the same in Chinese; ``{}`` stands for the same values.
AUTH_WORDS_ZH: Final = {
    "error": "错误",
    "warning": "警告",
    "note": "提示",
    "CHECK": "检查",
    "RESULT": "结果",
    "DOMAIN": "域",
    "BECAUSE": "原因",
    "SELECTOR": "选择符",
    "KEY": "密钥",
    "STATE": "状态",
    "UNTIL": "直到",
    "MADE": "生成于",
    "PUBLISHED": "已发布",
    "next": "待用",
    "signing": "签名中",
    "retired": "已退役",
    "removable": "可删除",
    "yes": "是",
    "no": "否",
    "different": "不同",
    "unknown": "未知",
    "There are no DKIM keys; make the first with: posthouse dkim keygen DOMAIN": "没有 DKIM 密钥；生成第一个请用 "
    "posthouse dkim keygen 域名",
    "the key {} of {} was made; publish this record:": "已生成 {1} 的密钥 {0}，请发布这条记录：",
    "the key {} of {} signs now; publish this record:": "{1} 的密钥 {0} 现在开始签名，请发布这条记录：",
    "the key {} of {} signs from {} on; publish this record:": "{1} 的密钥 {0} 从 {2} 起签名，请发布这条记录：",
    "a key was removed; remove its record {} as well": "已删除一个密钥，请把它的记录 {} 也去掉",
}


def auth_words(lang: str) -> Callable[..., str]:
    """What says a text in ``lang`` (``"en"`` or ``"zh"``); values, where they are given, replace its ``{}``."""

    def said(text: str, *values: object) -> str:
        if lang == "zh":
            text = AUTH_WORDS_ZH.get(text) or chinese_auth_advice(text)
        return text.format(*values) if values else text

    return said
