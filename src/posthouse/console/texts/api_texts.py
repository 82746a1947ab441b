"""The texts of the page about the API."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "api.title": ("API", "API"),
        "api.lead": (
            "Every operation by HTTP: GET where it only reads, POST with a JSON object for all. Answers are English.",
            "每项操作都可以通过 HTTP 调用：只读的用 GET，全部都可以用带 JSON 对象的 POST。应答为英文。",
        ),
        "api.openapi": ("Description for programs (OpenAPI 3.1)", "供程序使用的描述（OpenAPI 3.1）"),
        "api.operation": ("Operation", "操作"),
        "api.parameters": ("Parameters", "参数"),
        "api.required": ("required", "必填"),
        "api.none": ("no parameters", "没有参数"),
    }
)
