"""The texts of the configuration page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["TEXTS"]

TEXTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "configuration.title": ("Configuration", "配置"),
        "configuration.lead": (
            "The settings that are in force now, and where each value comes from.",
            "现在生效的设置，以及每个值的来源。",
        ),
        "configuration.file": ("File", "文件"),
        "configuration.no_file": ("No file: all mail is caught.", "没有配置文件：截留全部邮件。"),
        "configuration.setting": ("Setting", "设置"),
        "configuration.value": ("Value", "值"),
        "configuration.origin": ("Origin", "来源"),
        "configuration.origin.file": ("file", "文件"),
        "configuration.origin.default": ("default", "默认"),
        "configuration.origin.given": ("given", "启动时给定"),
        "configuration.origin.environment": ("environment", "环境变量"),
        "configuration.set": ("set", "已设置"),
        "configuration.not_set": ("not set", "未设置"),
        "configuration.filter": ("Show settings with", "筛选设置"),
        "configuration.changed_only": ("Only those that differ from the default", "只看与默认值不同的"),
        "configuration.show": ("Show", "显示"),
        "configuration.none": ("No setting has this text.", "没有符合的设置。"),
    }
)
