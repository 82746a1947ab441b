"""Verdicts of message authentication as data, and as sentences in English and Chinese."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from posthouse.core import MethodVerdict
from posthouse.service.mailauth.texts.auth_reasons_zh import chinese_auth_reason

__all__ = ["VerdictEntry", "verdict_entries", "verdict_sentence"]

_RESULTS_ZH: Final = {
    "pass": "通过",
    "fail": "不通过",
    "softfail": "很可能不通过",
    "neutral": "不作判断",
    "none": "无从验证",
    "policy": "不合本机的要求",
    "temperror": "暂时无法验证",
    "permerror": "记录或签名有误",
}
_POLICIES_ZH: Final = {"none": "照常投递", "quarantine": "隔离", "reject": "拒绝"}


class VerdictEntry(Struct, frozen=True, kw_only=True):
    """The verdict of one method of message authentication: see ``core.MethodVerdict``."""

    method: str
    result: str
    domain: str
    reason: str
    policy: str


def verdict_entries(verdicts: Iterable[MethodVerdict]) -> list[VerdictEntry]:
    """The verdicts as data."""
    return [VerdictEntry(**each._asdict()) for each in verdicts]


def verdict_sentence(verdict: VerdictEntry, lang: str) -> str:
    """A verdict as a sentence in ``lang``: ``"en"`` or ``"zh"``."""
    name = verdict.method.upper()
    if lang == "zh":
        text = f"{name} 结果为 {verdict.result}（{_RESULTS_ZH.get(verdict.result, verdict.result)}）"
        text += f"，域 {verdict.domain}" if verdict.domain else ""
        text += f"，策略为{_POLICIES_ZH.get(verdict.policy, verdict.policy)}" if verdict.policy else ""
        return f"{text}：{chinese_auth_reason(verdict.reason)}" if verdict.reason else text
    text = f"{name}: {verdict.result}"
    text += f" for {verdict.domain}" if verdict.domain else ""
    text += f", the policy is {verdict.policy}" if verdict.policy else ""
    return f"{text}: {verdict.reason}" if verdict.reason else text
