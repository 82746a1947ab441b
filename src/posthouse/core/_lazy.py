"""Doors that open when somebody asks: a room's names, imported at their first use and not with the room.

A command of one letter must not pay for the relay because both go through the door of ``service``.  So a door may
leave some names, or all, to ``lazily``; to readers, type checkers and the test of floors they are imported under
``TYPE_CHECKING``, and here by the module that has them (PEP 562).  A name that is found stays: the second use costs
nothing, and code that runs often holds its names itself.

A name that is also a module's (``message.compose``) cannot be left to this: importing the module would put it there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazily"]


def lazily(room: str, where: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of ``room`` (its ``__name__``); ``where`` has module → names, divided by spaces.

    Raises ``AttributeError`` for another name, as a module without it does.
    """
    modules = {name: f"{room}.{module}" for module, names in where.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        found = getattr(import_module(modules[name]), name)
        setattr(sys.modules[room], name, found)
        return found

    return find
