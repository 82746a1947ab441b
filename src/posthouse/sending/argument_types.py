"""Types of the arguments of sending, looked at where a call begins.

Without a type checker a wrong one would be an exception from inside of a session, or would be taken for something that
it is not: ``True`` for 1 s, a text for a list of its letters, a number for an open file.  The texts name the argument
and the type, and not the value, which may be a password.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from posthouse.core import LocalError

__all__ = ["check_options", "check_path", "check_transcript", "wrong_type"]

_LENGTH_OF_TIME: Final = 'seconds, or a text such as "30s" or "2m"'
_TEXTS: Final = ("tls", "name", "source", "local_name", "proxy", "key")
_DURATIONS: Final = ("connect_timeout", "reply_timeout", "final_timeout")


def wrong_type(name: str, wanted: str, value: object) -> LocalError:
    """The exception for an argument of a wrong type."""
    return LocalError(f"{name}= must be {wanted}, not {type(value).__name__}")


def check_options(options: Mapping[str, Any]) -> None:
    """Check the types of ``SendOptions``; None stands for an option that is not given.  Raises ``LocalError``."""
    for name, value in options.items():
        if value is None:
            continue
        if name in _TEXTS:
            if not isinstance(value, str):
                raise wrong_type(name, "a text", value)
        elif name in _DURATIONS:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise wrong_type(name, _LENGTH_OF_TIME, value)
        elif name == "ca":
            check_path(name, value)
        elif name == "allow_plain_text":
            if not isinstance(value, bool):
                raise wrong_type(name, "True or False", value)
        elif name == "mechanisms" and (isinstance(value, str | bytes) or not isinstance(value, Iterable)):
            raise wrong_type(name, 'a list of names, such as ["PLAIN"]', value)


def check_path(name: str, value: object) -> None:
    """Check that an argument is the path of a file.  Raises ``LocalError``."""
    if not isinstance(value, str | os.PathLike):
        raise wrong_type(name, "the path of a file", value)


def check_transcript(transcript: object) -> None:
    """Check that it is True, False or a function.  Raises ``LocalError``."""
    if not isinstance(transcript, bool) and not callable(transcript):
        raise wrong_type("transcript", "True, or a function that is called with each line", transcript)
