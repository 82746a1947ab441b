"""The error of a configuration that is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.core import SettingError

__all__ = ["ConfigError"]


class ConfigError(SettingError):
    """A configuration with errors: ``problems`` has a ``SettingError`` for each, and ``str()`` a line for each.

    ``unchecked`` is a sentence about what could not be checked because of them, or "".
    """

    def __init__(self, problems: Sequence[SettingError], unchecked: str = "") -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.unchecked = unchecked
