"""The operation ``reload``: a running daemon reads its configuration again."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from posthouse.service.operations.base import Context, Operation
from posthouse.service.operations.no_daemon import no_daemon

__all__ = ["RELOAD", "ReloadReport"]


class ReloadReport(Struct):
    """A configuration that was read again: its file, the settings that changed, and those that wait for a restart."""

    file: str
    changed: list[str]
    waiting: list[str]


async def _reload(context: Context) -> ReloadReport:
    if context.reload is None:
        remedy = "start one; if data_dir has changed in the file, name the old one with --data-dir"
        raise no_daemon(context.config.data_dir, remedy)
    report: ReloadReport = await context.reload(context.who)
    return report


RELOAD: Final = Operation(
    "reload",
    "Read the configuration again; a file with errors changes nothing.",
    _reload,
    ReloadReport,
    live=True,
)
