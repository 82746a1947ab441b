"""The operation ``check findings``: what may not be intended in the configuration that is in force, and what this
machine does not have for it: above all certificates that end within 21 days."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.service.config.model import Config
from posthouse.service.operations.base import Context, Operation

__all__ = ["CHECK_FINDINGS", "ConfigFindings", "lost_accounts"]


class ConfigFindings(Struct, frozen=True):
    """Sentences about the configuration in force, and about this machine; both are empty where all is well."""

    advice: list[str]
    machine: list[str]


async def _findings(context: Context) -> ConfigFindings:
    return await asyncio.to_thread(_of, context)


def _of(context: Context) -> ConfigFindings:
    from posthouse.service.config.advice import advice, surroundings
    from posthouse.service.config_file import load_table
    from posthouse.service.mailauth.key_store import directory_of, unusable_keys

    table: dict[str, Any] = {"data_dir": context.config.data_dir}
    if context.config_file:
        try:
            table = load_table(context.config_file)
        except SettingError as error:
            return ConfigFindings(advice(context.config), [str(error)])
    keys = unusable_keys(directory_of(context.config.data_dir, context.config.mailauth.keys))
    machine = [*surroundings(context.config, table), *lost_accounts(context.config), *keys]
    return ConfigFindings(advice(context.config), machine)


def lost_accounts(config: Config) -> list[str]:
    """The sentences about files of accounts and of operators that were made once and are missing or empty."""
    from posthouse.service.accounts import AccountFile
    from posthouse.service.accounts.operators import OperatorFile

    found = []
    if config.accounts.kind == "file" and (lost := AccountFile(config.data_dir).loss()):
        found.append(f"accounts: {lost}. No login is possible until then.")
    if lost := OperatorFile(config.data_dir).loss():
        found.append(f"console: {lost}. Nobody can log in to the console until then.")
    return found


CHECK_FINDINGS: Final = Operation(
    "check findings",
    "Show what may not be intended in the settings in force, and which certificates end soon.",
    _findings,
    ConfigFindings,
    live=True,
    reads=True,
)
