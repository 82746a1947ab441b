"""The whole: configuration, accounts, reception, operations, and the wiring that joins them."""

from posthouse.service.accounts import Directory
from posthouse.service.config import ConfigError, SettingDoc, advice, default_config, load, parse, settings
from posthouse.service.control import OPERATIONS
from posthouse.service.model import Config
from posthouse.service.observe import Dialogue, Line, Log, Recorder
from posthouse.service.operation import Context, Operation, Parameter
from posthouse.service.wiring import House, context, serve

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
