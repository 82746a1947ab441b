"""The decoder: a TOML table into a struct of ``config.model``, with all errors found in one pass.

Decoding does not stop at the first error.  Each error becomes one ``SettingError``: the place (``posthouse.toml:
listener[1].bind``), the cause and the remedy; the remedy for an unknown key is the nearest known one.  An invalid value
is replaced by the setting's default, so that later checks can run; the result is used only if there were no errors.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from posthouse.core import SettingError
from posthouse.service.config.types import InvalidValue, SettingType, quoted, shown

__all__ = ["Declared", "declared", "decode", "named"]


class Declared(NamedTuple):
    """The declaration of one field of a settings struct; ``inner`` is the struct of a nested table, or None.

    ``extra`` has ``precedent`` and ``reply`` for a limit (``limit_settings``).
    """

    name: str
    setting_type: SettingType
    text: str
    default: Any
    required: bool
    inner: type[Struct] | None = None
    shape: Literal["value", "table", "tables", "named"] = "value"
    extra: Mapping[str, str] = MappingProxyType({})


def declared(kind: type[Struct]) -> Iterator[Declared]:
    """The settings of one struct in the order of their declaration, those of the struct itself before its base's."""
    hints = get_type_hints(kind, include_extras=True)
    for each in sorted(msgspec.structs.fields(kind), key=lambda field: field.name not in kind.__annotations__):
        hint = hints[each.name]
        marks = hint.__metadata__ if get_origin(hint) is Annotated else ()
        plain = hint.__origin__ if marks else hint
        inner, shape = _inner(plain)
        setting_type = next((mark for mark in marks if isinstance(mark, SettingType)), None) or _plain_type(plain)
        meta = next((mark for mark in marks if isinstance(mark, Meta)), None)
        text = meta.description or "" if meta is not None else ""
        extra = meta.extra or {} if meta is not None else {}
        default: Any = None
        if each.default is not NODEFAULT:
            default = each.default
        elif each.default_factory is not NODEFAULT:
            default = each.default_factory
        yield Declared(each.name, setting_type, text, default, each.required, inner, shape, extra)


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


def named(cause: str, table: str, name: object) -> str:
    """``cause`` with the name of its table behind it, because ``domain[1]`` alone has to be counted out."""
    if not isinstance(name, str) or not name or name in cause:
        return cause
    return f"{cause} (in [[{table}]] {quoted(name)})"


def decode(
    kind: type[Struct],
    raw: object,
    where: str,
    problems: list[SettingError],
    file: str,
    label: tuple[str, object] = ("", None),
) -> Any:
    """Read the table ``raw`` into a ``kind``; errors are added to ``problems``.

    ``where`` is the table's place within ``file`` ("" for the whole file); ``label`` are the kind and the name of the
    ``[[table]]`` that it belongs to.  Returns None if no default can replace the table.
    """

    def problem(place: str, cause: str, remedy: str) -> None:
        cause = named(cause, *label)
        problems.append(SettingError(cause, where=f"{file}: {place}" if place else file, remedy=remedy))

    if not isinstance(raw, dict):
        problem(where, f"{shown(raw)} is not a table", "write its settings with a name and a value each")
        return None
    known = {each.name: each for each in declared(kind)}
    dot = f"{where}." if where else ""
    for key in raw:
        if key not in known:
            problem(dot + key, "there is no such setting", _remedy_for(key, kind, known))
    values: dict[str, Any] = {}
    before = len(problems)
    for name, each in known.items():
        if name not in raw:
            if each.required:
                problem(dot + name, "the setting is missing", f"write {name} = … ({each.setting_type.name})")
                return None
            continue
        try:
            value = _value(each, raw[name], dot + name, problems, file, label)
        except InvalidValue as wrong:
            for fault in wrong.each():
                problem(dot + name + fault.place, fault.cause, fault.remedy)
            if each.required:
                return None
            continue
        if value is not None:
            values[name] = value
    try:
        return kind(**values)
    except SettingError as error:  # a default that this machine does not have: a home directory
        if len(problems) == before:
            problem(where, error.message, error.remedy)
        return None


def _remedy_for(key: str, kind: type[Struct], known: dict[str, Declared]) -> str:
    """The setting that was probably meant by a key that is not known here."""
    near = difflib.get_close_matches(key, known, 1, 0.8)
    if not near:
        for each in known.values():
            if each.inner is not None and key in {inner.name for inner in declared(each.inner)}:
                header = f"[[{each.name}]]" if each.shape == "tables" else f"[{each.name}]"
                lists = f"; a table of it is [{each.name}.{key}.NAME], below that" if key == "lists" else ""
                return f'"{key}" belongs into {header}: write it below that line{lists}'
        near = difflib.get_close_matches(key, known, 1, 0.5)
    return f'did you mean "{near[0]}"?' if near else "known are " + ", ".join(known)


def _value(
    each: Declared, raw: object, where: str, problems: list[SettingError], file: str, label: tuple[str, object]
) -> Any:
    if each.inner is None:
        return each.setting_type.read(raw)
    inner = each.inner
    if each.shape == "table":
        return decode(inner, raw, where, problems, file, label)
    if each.shape == "named":
        tables = each.setting_type.read(raw)
        read = {key: decode(inner, item, f"{where}.{key}", problems, file, label) for key, item in tables.items()}
        return {key: value for key, value in read.items() if value is not None}
    if not isinstance(raw, list):
        raise InvalidValue(f"[{each.name}] stands there once, as a table", f"write [[{each.name}]], with two brackets")
    items = [
        decode(inner, item, f"{where}[{index}]", problems, file, (each.name, _name_of(item)))
        for index, item in enumerate(raw)
    ]
    return tuple(item for item in items if item is not None)


def _name_of(table: object) -> object:
    """By what a person knows one of several tables: its name, or the domains that a route is for."""
    return (table.get("name") or table.get("to")) if isinstance(table, dict) else None
