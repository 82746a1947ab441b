"""The service: configuration, directory, policy, operations, control socket and daemon.

Names are imported when they are first asked for, so that a command that only reads the configuration does not import
the relay.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.service.config.advice import advice
    from posthouse.service.config.config_error import ConfigError
    from posthouse.service.config.docs import SettingDoc, settings
    from posthouse.service.config.model import Config
    from posthouse.service.config_file import default_config, load, parse
    from posthouse.service.daemon.daemon import Daemon
    from posthouse.service.daemon.event_log import EventLog
    from posthouse.service.daemon.offline import context
    from posthouse.service.daemon.serve import serve
    from posthouse.service.daemon.transcripts import Dialogue, TranscriptLine, TranscriptRecorder
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
        "config.config_error": "ConfigError",
        "config.docs": "SettingDoc settings",
        "config.model": "Config",
        "config.advice": "advice",
        "config_file": "default_config load parse",
        "daemon.daemon": "Daemon",
        "daemon.event_log": "EventLog",
        "daemon.offline": "context",
        "daemon.serve": "serve",
        "daemon.transcripts": "Dialogue TranscriptLine TranscriptRecorder",
        "directory.directory": "Directory",
        "operations.base": "Context Operation Parameter",
        "operations.registry": "OPERATIONS",
    },
)
