"""How pages run operations: in the process of the daemon, or by asking it.

``ContextRunner`` runs them on a ``Context`` of this process: tests and the demo, where console and daemon share an
event loop.  ``DaemonRunner`` is that of a console in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Protocol

from posthouse.console.problems import NotFound, RequestRefused
from posthouse.core import SettingError
from posthouse.service.config.model import Config
from posthouse.service.control.client import ask
from posthouse.service.daemon.offline import KeptReader
from posthouse.service.monitor.spool_changes import SpoolChanges
from posthouse.service.operations.base import Context, Operation
from posthouse.service.operations.registry import OPERATIONS

__all__ = ["ContextRunner", "DaemonRunner", "OperationRunner", "checked", "operation_named"]


class OperationRunner(Protocol):
    """What pages need of the daemon."""

    @property
    def config(self) -> Config:
        """The configuration that is in force."""
        ...

    def token(self) -> Hashable:
        """A value that differs from an earlier one if the spool has changed between."""
        ...

    async def run(
        self, operation: str, given: Mapping[str, Any], who: str, views: tuple[str, ...] | None = None
    ) -> Any:
        """The answer of an operation for ``who``, who sees these views of the inboxes, or all.

        Raises ``SettingError`` if the request is wrong, ``StorageError`` if the spool fails, ``NotFound`` if there is
        no such operation, ``RequestRefused`` if it is not for one who sees some inboxes only, and other kinds of
        ``PosthouseError`` if the daemon cannot answer.
        """
        ...


def operation_named(name: str) -> Operation:
    """The operation of this name.  Raises ``NotFound``."""
    found = OPERATIONS.get(name)
    if found is None:
        raise NotFound(f'there is no operation "{name}"; see the list at /api')
    return found


class ContextRunner:
    """Operations in this process; ``context`` makes the context for the one who asks, and ``data_dir`` has the spool,
    that of the configuration unless given."""

    def __init__(self, context: Callable[[str], Context], data_dir: str = "") -> None:
        self._context = context
        self._changes = SpoolChanges(data_dir or context("").config.data_dir)

    @property
    def config(self) -> Config:
        return self._context("").config

    def token(self) -> Hashable:
        return self._changes.token()

    async def run(
        self, operation: str, given: Mapping[str, Any], who: str, views: tuple[str, ...] | None = None
    ) -> Any:
        found = operation_named(operation)
        checked(found, given, views)
        return await found.run(self._context(who)._replace(views=views) if found.needs_context else None, **given)


def checked(operation: Operation, given: Mapping[str, Any], views: tuple[str, ...] | None = None) -> None:
    """Raise ``SettingError`` if a parameter is unknown, missing or of a wrong type, and ``RequestRefused`` if the
    operation shows more than ``views`` to one who sees only them."""
    if views is not None and not operation.narrowed:
        raise RequestRefused("this login sees its inboxes and nothing else")
    known = {each.name: each for each in operation.parameters}
    for name, value in given.items():
        if name not in known:
            remedy = f"it has {', '.join(known) or 'none'}"
            raise SettingError(f'"{operation.name}" has no parameter "{name}"', remedy=remedy)
        if type(value) is not known[name].kind:
            raise SettingError(f'the parameter "{name}" is not a {known[name].kind.__name__}', where=operation.name)
    for name, each in known.items():
        if each.default is None and name not in given:
            raise SettingError(f'the parameter "{name}" is missing', where=operation.name, remedy=each.help)


class DaemonRunner:
    """Operations of a console in a process of its own.

    Those that only read the spool, or ask other hosts, run in this process, so mail never waits for them; every other
    is asked of the daemon by its control socket, in the name of the one who asks.
    """

    def __init__(self, reader: KeptReader) -> None:
        self._reader = reader
        self._changes = SpoolChanges(reader.config.data_dir)

    @property
    def config(self) -> Config:
        return self._reader.config

    def token(self) -> Hashable:
        return self._changes.token()

    def reading(self, who: str) -> Context:
        """The context of this process, which only reads."""
        return self._reader.context(who)

    async def run(
        self, operation: str, given: Mapping[str, Any], who: str, views: tuple[str, ...] | None = None
    ) -> Any:
        found = operation_named(operation)
        checked(found, given, views)
        if not found.needs_context:
            return await found.run(None, **given)
        if (found.reads or found.outward) and not found.live:
            return await found.run(self._reader.context(who)._replace(views=views), **given)
        return await ask(self.config.data_dir, found, given, who=who, views=views)
