"""A handler as it was registered: the function, and what each of its parameters is given.

Parameters are looked at once, when the handler is registered, so that a mistake is an error of the program's start and
not of the first message.  A parameter is given, in this order: the part of the address that a parameter of the pattern
has taken, if the names are equal; what its annotation names (``SOURCES``); without an annotation, what its name says
(``message``, ``envelope``, ``content``, ``stream``, ``session``, ``recipient``).  One with a default may be anything
else.
"""

from __future__ import annotations

import enum
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from posthouse.app.address_patterns import AddressPattern, Converter, converter_of
from posthouse.app.message_stream import MessageStream
from posthouse.app.session_info import SessionInfo
from posthouse.core import Address, Content, Envelope, LocalError, Recipient
from posthouse.delivery.python import DeliveredMessage
from posthouse.message.reading import ReadMessage

__all__ = ["Given", "RegisteredHandler", "is_coroutine_function", "name_of"]


class Given(enum.Enum):
    """What a parameter may be given."""

    MESSAGE = "message"
    OCTETS = "octets"
    CONTENT = "content"
    STREAM = "stream"
    ENVELOPE = "envelope"
    SESSION = "session"
    ADDRESS = "address"
    RECIPIENT = "recipient"


#: Annotation → what is given.
_SOURCES: Final[Mapping[object, Given]] = {
    ReadMessage: Given.MESSAGE,
    bytes: Given.OCTETS,
    Content: Given.CONTENT,
    DeliveredMessage: Given.CONTENT,
    MessageStream: Given.STREAM,
    Envelope: Given.ENVELOPE,
    SessionInfo: Given.SESSION,
    Address: Given.ADDRESS,
    Recipient: Given.RECIPIENT,
}
#: Annotations by their last word, for those that exist for type checkers only.
_BY_WORD: Final = {kind.__name__: kind for kind in (*_SOURCES, str, int, float) if isinstance(kind, type)}
_BY_NAME: Final = {each.value: each for each in Given if each is not Given.OCTETS}
_NEED_CONTENT: Final = frozenset({Given.MESSAGE, Given.OCTETS, Given.CONTENT, Given.STREAM})
_OF_RECIPIENT: Final = frozenset({Given.ADDRESS, Given.RECIPIENT})
_UNKNOWN: Final = object()


class _Argument(NamedTuple):
    """What one parameter is given: a source, or a part of the address and its converter."""

    name: str
    source: Given | None = None
    convert: Converter | None = None


class RegisteredHandler:
    """A function that was registered, with its pattern (None: it takes whole messages).

    ``at_end``: it is called when the content is there; else when the client names the recipient.
    ``streams``: it reads the content while it arrives.
    Raises ``LocalError`` for a function that cannot be called.
    """

    def __init__(self, function: Callable[..., object], pattern: AddressPattern | None = None) -> None:
        self.name = name_of(function)
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise LocalError(f"the handler {self.name} has a yield, so calling it runs none of its code; take it out")
        if isinstance(function, type) or not callable(function):
            raise LocalError(f"{self.name} cannot be a handler; give a function or a coroutine function")
        self.function = function
        self.pattern = pattern
        self.is_async = is_coroutine_function(function)
        self._arguments = _arguments(self, pattern)
        self.sources = frozenset(each.source for each in self._arguments if each.source is not None)
        self.at_end = pattern is None or bool(self.sources & _NEED_CONTENT)
        self.streams = Given.STREAM in self.sources
        if self.streams and len(self.sources & _NEED_CONTENT) > 1:
            raise LocalError(
                f"the handler {self.name} asks for a stream and for the whole content; ask for one of them"
            )

    def match(self, address: Address) -> dict[str, object] | None:
        """The arguments out of an address, None if it does not match or a part of it has not the right type."""
        if self.pattern is None:
            return {}
        texts = self.pattern.match(address)
        if texts is None:
            return None
        found: dict[str, object] = {}
        for argument in self._arguments:
            if argument.convert is not None:
                try:
                    found[argument.name] = argument.convert(texts[argument.name])
                except ValueError:
                    return None
        return found

    def call(self, matched: Mapping[str, object], given: Mapping[Given, object]) -> object:
        """Call the function; ``given`` has the value of each of ``sources``."""
        found = dict(matched)
        for argument in self._arguments:
            if argument.source is not None:
                found[argument.name] = given[argument.source]
        return self.function(**found)


def is_coroutine_function(function: object) -> bool:
    """Whether calling an object gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def name_of(function: object) -> str:
    """A function's name, for logs and errors."""
    return getattr(function, "__qualname__", "") or type(function).__qualname__


def _arguments(handler: RegisteredHandler, pattern: AddressPattern | None) -> tuple[_Argument, ...]:
    names = pattern.names if pattern is not None else ()
    found: list[_Argument] = []
    try:
        parameters = inspect.signature(handler.function).parameters
    except (TypeError, ValueError) as error:
        raise LocalError(f"the parameters of the handler {handler.name} cannot be read: {error}") from error
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise LocalError(
                f"the handler {handler.name} has the positional parameter {parameter.name}; take the / out"
            )
        argument = _argument(handler, parameter, names, pattern is not None)
        if argument is not None:
            found.append(argument)
    missing = set(names) - {each.name for each in found}
    if missing and not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        assert pattern is not None
        raise LocalError(
            f'the pattern "{pattern.text}" has the parameter {", ".join(sorted(missing))}, and the handler '
            f"{handler.name} has none of this name; add it, or write * in the pattern"
        )
    found += [_Argument(name, None, str) for name in names if name in missing]
    return tuple(found)


def _argument(
    handler: RegisteredHandler, parameter: inspect.Parameter, names: tuple[str, ...], has_pattern: bool
) -> _Argument | None:
    name = parameter.name
    kind = _annotation(handler.function, parameter.annotation)
    if name in names:
        convert = converter_of(kind)
        if convert is None:
            raise LocalError(
                f"the parameter {name} of the handler {handler.name} has a type that no part of an address can have; "
                "use str, int, float, UUID, an Enum or a Literal"
            )
        return _Argument(name, None, convert)
    source = _BY_NAME.get(name) if kind is None else _source(kind)
    if source in _OF_RECIPIENT and not has_pattern:
        raise LocalError(
            f"the handler {handler.name} takes whole messages, which have several recipients; "
            f"give {name} the type Envelope, or register the handler with @app.recipient"
        )
    if source is not None:
        return _Argument(name, source)
    if parameter.default is not parameter.empty:
        return None
    raise LocalError(
        f"the parameter {name} of the handler {handler.name} is not known; annotate it with ReadMessage, Envelope, "
        "bytes, Content, MessageStream, SessionInfo, Address or Recipient, or name it like a parameter of the pattern"
    )


def _source(kind: object) -> Given | None:
    try:
        return _SOURCES.get(kind)
    except TypeError:  # not hashable
        return None


def _annotation(function: Callable[..., object], annotation: Any) -> Any:
    """An annotation's value, None without one.

    One that is a text is evaluated where the function was defined.  A name that exists for type checkers only is known
    by its last word.
    """
    if annotation is inspect.Parameter.empty:
        return None
    if not isinstance(annotation, str):
        return annotation
    plain = inspect.unwrap(function)
    plain = plain if inspect.isroutine(plain) else type(plain).__call__
    module = sys.modules.get(getattr(plain, "__module__", ""))
    scope = {**(vars(module) if module is not None else {}), **getattr(plain, "__globals__", {})}
    closure = getattr(plain, "__closure__", None) or ()
    names = getattr(getattr(plain, "__code__", None), "co_freevars", ())
    local = {name: cell.cell_contents for name, cell in zip(names, closure, strict=False)}
    try:
        return eval(annotation, scope, local)
    except Exception:  # whatever evaluating somebody's annotation raises
        return _BY_WORD.get(annotation.strip().rpartition(".")[2], _UNKNOWN)
