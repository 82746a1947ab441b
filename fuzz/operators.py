"""Targets for what operators write: the configuration, filters, and requests on the control socket."""

from __future__ import annotations

import asyncio
import json

from posthouse.core import SettingError
from posthouse.service.config_file import ConfigError, parse
from posthouse.service.control.server import ControlSocket
from posthouse.service.operations.filter_language import FilterError, parse_filter

__all__ = ["config", "control", "filters"]


def config(data: bytes) -> None:
    """Configuration files: a configuration, or every mistake as a sentence."""
    try:
        parse(data.decode("utf-8", "replace"))
    except ConfigError as error:
        assert str(error)
    except SettingError as error:
        assert str(error)


def filters(data: bytes) -> None:
    """The filter language: conditions, or a sentence with the place of the mistake."""
    text = data.decode("utf-8", "replace")
    try:
        parse_filter(text)
    except FilterError as error:
        assert str(error)


class _NoSpool(Exception):
    """The request was understood."""


def _no_context(who: str) -> object:
    raise _NoSpool


def control(data: bytes) -> None:
    """Requests on the control socket: an answer of one line of JSON for each."""
    socket = ControlSocket("/nonexistent", _no_context, lambda event, /, **fields: None)  # type: ignore[arg-type]
    for line in data.split(b"\n")[:10]:
        answered = socket._answered(line + b"\n", "fuzz", len(data) % 2 == 0)
        try:
            answer = asyncio.run(answered)
        except _NoSpool:
            continue
        assert answer.endswith(b"\n")
        assert answer.count(b"\n") == 1
        assert set(json.loads(answer)) <= {"ok", "error", "kind"}
