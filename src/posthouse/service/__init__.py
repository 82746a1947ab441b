"""The daemon and its parts: configuration, directory, policy, operations, control socket.

Each name is imported when it is first used: a program that only reads a configuration loads no relay.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.service.config.model import Config
    from posthouse.service.config_file import (
        ConfigError,
        SettingDoc,
        advice,
        default_config,
        load,
        parse,
        settings,
    )
    from posthouse.service.daemon.daemon import Daemon, serve
    from posthouse.service.daemon.event_log import Dialogue, EventLog, TranscriptLine, TranscriptRecorder
    from posthouse.service.daemon.offline import context
    from posthouse.service.directory.directory import Directory
    from posthouse.service.operations.base import Context, Operation, Parameter
    from posthouse.service.operations.registry import OPERATIONS

__all__ = [
    "Config",
    "ConfigError",
    "Context",
    "Daemon",
    "Dialogue",
    "Directory",
    "EventLog",
    "OPERATIONS",
    "Operation",
    "Parameter",
    "SettingDoc",
    "TranscriptLine",
    "TranscriptRecorder",
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
        "config_file": "ConfigError SettingDoc advice default_config load parse settings",
        "config.model": "Config",
        "daemon.daemon": "Daemon serve",
        "daemon.event_log": "Dialogue EventLog TranscriptLine TranscriptRecorder",
        "daemon.offline": "context",
        "directory.directory": "Directory",
        "operations.base": "Context Operation Parameter",
        "operations.registry": "OPERATIONS",
    },
)
