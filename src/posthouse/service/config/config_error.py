"""The error of a configuration that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from posthouse.core import SettingError

__all__ = ["ConfigError", "refuse_named_file"]


class ConfigError(SettingError):
    """A configuration with errors: ``problems`` has a ``SettingError`` for each, and ``str()`` a line for each.

    ``unchecked`` is a sentence about what could not be checked because of them, or "".
    """

    def __init__(self, problems: Sequence[SettingError], unchecked: str = "") -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.unchecked = unchecked


def refuse_named_file(error: SettingError) -> NoReturn:
    """Raise the error about a file that a configuration names: a ``ConfigError``; where this user may not read the
    file, the ``SettingError`` itself, whose cause names the file then."""
    cause = error.__cause__
    if not isinstance(cause, PermissionError):
        raise ConfigError([error]) from None
    if not cause.filename:  # OpenSSL does not say it
        cause.filename = error.where
    raise error
