"""The whole: configuration, accounts, reception, operations, and the wiring that joins them.

Its names are imported when they are first asked for: who only wants the configuration pays for no relay.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.service.accounts import Directory
    from posthouse.service.config import ConfigError, SettingDoc, advice, default_config, load, parse, settings
    from posthouse.service.control import OPERATIONS
    from posthouse.service.model import Config
    from posthouse.service.observe import Dialogue, Line, Log, Recorder
    from posthouse.service.operation import Context, Operation, Parameter
    from posthouse.service.stopped import context
    from posthouse.service.wiring import House, serve

__all__ = [
    "Config",
    "ConfigError",
    "Context",
    "Dialogue",
    "Directory",
    "House",
    "Line",
    "Log",
    "OPERATIONS",
    "Operation",
    "Parameter",
    "Recorder",
    "SettingDoc",
    "advice",
    "context",
    "default_config",
    "load",
    "parse",
    "serve",
    "settings",
]

__getattr__ = lazily(
    __name__,
    {
        "accounts": "Directory",
        "config": "ConfigError SettingDoc advice default_config load parse settings",
        "control": "OPERATIONS",
        "model": "Config",
        "observe": "Dialogue Line Log Recorder",
        "operation": "Context Operation Parameter",
        "stopped": "context",
        "wiring": "House serve",
    },
)
