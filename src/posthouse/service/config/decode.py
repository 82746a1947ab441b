"""The decoder: a TOML table into a struct of ``config.model``, with all errors found in one pass.

Decoding does not stop at the first error.  Each error becomes one ``SettingError``: the place (``posthouse.toml:
listener[1].bind``), the cause and the remedy; the remedy for an unknown key is the nearest known one.  An invalid value
is replaced by the setting's default, so that later checks can run; the result is used only if there were no errors.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from posthouse.core import SettingError
from posthouse.service.config.types import InvalidValue, SettingType, quoted, shown

__all__ = ["Declared", "declared", "decode"]


class Declared(NamedTuple):
    """The declaration of one field of a settings struct; ``inner`` is the struct of a nested table, or None."""

    name: str
    setting_type: SettingType
    text: str
    default: Any
    required: bool
    inner: type[Struct] | None = None
    shape: Literal["value", "table", "tables", "named"] = "value"


def declared(kind: type[Struct]) -> Iterator[Declared]:
    """The settings of one struct, in the order of their declaration."""
    hints = get_type_hints(kind, include_extras=True)
    for each in msgspec.structs.fields(kind):
        hint = hints[each.name]
        marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
        plain = hint.__origin__ if marks else hint
        inner, shape = _inner(plain)
        setting_type = next((mark for mark in marks if isinstance(mark, SettingType)), None) or _plain_type(plain)
        text = next((mark.description for mark in marks if isinstance(mark, Meta)), None) or ""
        default: Any = None
        if each.default is not NODEFAULT:
            default = each.default
        elif each.default_factory is not NODEFAULT:
            default = each.default_factory
        yield Declared(each.name, setting_type, text, default, each.required, inner, shape)


def _inner(plain: Any) -> tuple[type[Struct] | None, Literal["value", "table", "tables", "named"]]:
    if isinstance(plain, type) and issubclass(plain, Struct):
        return plain, "table"
    arguments = get_args(plain)
    last = arguments[1] if get_origin(plain) is dict else arguments[0] if arguments else None
    if isinstance(last, type) and issubclass(last, Struct):
        return last, "named" if get_origin(plain) is dict else "tables"
    return None, "value"


@cache
def _plain_type(plain: Any) -> SettingType:
    """The setting type of a type that TOML has itself."""
    if get_origin(plain) is Literal:
        words = get_args(plain)
        return SettingType(" or ".join(f'"{word}"' for word in words), lambda raw: _one_of(raw, words), quoted)
    if plain is bool:
        return SettingType("true or false", _read_bool, lambda value: "true" if value else "false")
    return SettingType("text", _read_line, quoted)


def _one_of(raw: object, words: tuple[str, ...]) -> str:
    remedy = "write " + " or ".join(quoted(word) for word in words)
    if not isinstance(raw, str) or raw not in words:
        near = difflib.get_close_matches(raw, words, 1) if isinstance(raw, str) else []
        raise InvalidValue(
            f"{shown(raw)} is not one of the choices", f"did you mean {quoted(near[0])}?" if near else remedy
        )
    return raw


def _read_bool(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise InvalidValue(f"{shown(raw)} is neither true nor false", "write true or false, without quotes")
    return raw


def _read_line(raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidValue(f"{shown(raw)} is not text", "write it in quotes")
    if not raw.isprintable() or len(raw) > 400:
        raise InvalidValue("the text is too long or has a control character in it", "write one short line")
    return raw


def decode(kind: type[Struct], raw: object, where: str, problems: list[SettingError], file: str) -> Any:
    """Read the table ``raw`` into a ``kind``; errors are added to ``problems``.

    ``where`` is the table's place within ``file`` ("" for the whole file).  Returns None if no default can replace the
    table.
    """

    def problem(place: str, cause: str, remedy: str) -> None:
        problems.append(SettingError(cause, where=f"{file}: {place}" if place else file, remedy=remedy))

    if not isinstance(raw, dict):
        problem(where, f"{shown(raw)} is not a table", "write its settings with a name and a value each")
        return None
    known = {each.name: each for each in declared(kind)}
    dot = f"{where}." if where else ""
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            remedy = f'did you mean "{near[0]}"?' if near else "known are " + ", ".join(known)
            problem(dot + key, "there is no such setting", remedy)
    values: dict[str, Any] = {}
    for name, each in known.items():
        if name not in raw:
            if each.required:
                problem(dot + name, "the setting is missing", f"write {name} = … ({each.setting_type.name})")
                return None
            continue
        try:
            value = _value(each, raw[name], dot + name, problems, file)
        except InvalidValue as wrong:
            for fault in wrong.each():
                problem(dot + name + fault.place, fault.cause, fault.remedy)
            if each.required:
                return None
            continue
        if value is not None:
            values[name] = value
    return kind(**values)


def _value(each: Declared, raw: object, where: str, problems: list[SettingError], file: str) -> Any:
    if each.inner is None:
        return each.setting_type.read(raw)
    if each.shape == "table":
        return decode(each.inner, raw, where, problems, file)
    if each.shape == "named":
        tables = each.setting_type.read(raw)
        read = {key: decode(each.inner, item, f"{where}.{key}", problems, file) for key, item in tables.items()}
        return {key: value for key, value in read.items() if value is not None}
    if not isinstance(raw, list):
        raise InvalidValue(f"[{each.name}] stands there once, as a table", f"write [[{each.name}]], with two brackets")
    items = [decode(each.inner, item, f"{where}[{index}]", problems, file) for index, item in enumerate(raw)]
    return tuple(item for item in items if item is not None)
