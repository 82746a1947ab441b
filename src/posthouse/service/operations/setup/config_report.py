"""The operation ``check settings``: the settings in force, and where each value comes from."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.setup.origins import SettingValue, values_in_force

__all__ = ["CHECK_SETTINGS", "ConfigInForce"]


class ConfigInForce(Struct, frozen=True, kw_only=True):
    """The settings in force; ``file`` is "" where no file was read, and ``problem`` says why its values are not
    compared, or is ""."""

    file: str
    problem: str
    settings: list[SettingValue]


async def _show(context: Context, search: str = "", changed: bool = False) -> ConfigInForce:
    from posthouse.service.config_file import load_table

    written, problem = {}, ""
    if context.config_file:
        try:
            written = await asyncio.to_thread(load_table, context.config_file)
        except SettingError as error:
            problem = str(error)
    wanted = search.strip().lower()
    found = [
        each
        for each in values_in_force(context.config, written)
        if not (changed and each.origin == "default")
        and (not wanted or wanted in f"{each.name} {each.value} {each.help}".lower())
    ]
    return ConfigInForce(file=context.config_file, problem=problem, settings=found)


CHECK_SETTINGS: Final = Operation(
    "check settings",
    "Show the settings in force, and where each value comes from.",
    _show,
    ConfigInForce,
    (
        Parameter("search", "Only settings with this text in name, value or help.", str, ""),
        Parameter("changed", "Only settings that differ from their default.", bool, False),
    ),
    live=True,
    reads=True,
)
