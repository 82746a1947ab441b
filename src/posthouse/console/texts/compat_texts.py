"""The texts of the page that maps calls of other catchers to ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "compat.title": ("Other catchers' API", "兼容的接口"),
        "compat.lead": (
            "Test suites written for Mailpit or MailHog run against this address unchanged. Ids are queue ids.",
            "为 Mailpit 或 MailHog 编写的测试可以原样使用本地址。编号即队列编号。",
        ),
        "compat.call": ("Call", "调用"),
        "compat.here": ("Here", "此处"),
        "compat.different": ("Different", "差异"),
        "compat.same": ("the same", "相同"),
        "compat.not_served": ("not served", "不提供"),
    }
)
