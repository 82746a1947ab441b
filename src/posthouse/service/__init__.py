"""The whole: configuration, accounts, reception, operations, and the wiring that joins them.

Its names are imported when they are first asked for: who only wants the configuration pays for no relay.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.service.config.config_file import (
        ConfigError,
        SettingDoc,
        advice,
        default_config,
        load,
        parse,
        settings,
    )
    from posthouse.service.config.model import Config
    from posthouse.service.daemon.daemon import House, serve
    from posthouse.service.daemon.event_log import Dialogue, Line, Log, Recorder
    from posthouse.service.daemon.offline import context
    from posthouse.service.directory.directory import Directory
    from posthouse.service.operations.base import Context, Operation, Parameter
    from posthouse.service.operations.registry import OPERATIONS

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
        "config.config_file": "ConfigError SettingDoc advice default_config load parse settings",
        "config.model": "Config",
        "daemon.daemon": "House serve",
        "daemon.event_log": "Dialogue Line Log Recorder",
        "daemon.offline": "context",
        "directory.directory": "Directory",
        "operations.base": "Context Operation Parameter",
        "operations.registry": "OPERATIONS",
    },
)
