"""Reader of Authentication-Results fields (RFC 8601 §2.2), and the test for forged ones (§5).

The grammar is read strictly: a field with one statement that cannot be read says nothing at all, because programs that
guess differently would see different results in it.  One thing is read that the grammar does not have: a property's
value without quotes may hold any visible character but quotes, parentheses and ``;``, because IPv6 addresses and
base64 are widely written so, and no statement can begin inside such a value.

Each regular expression consumes what it matches for good (possessive), so time is linear in the field's length.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from posthouse.mailauth.results.authentication_results import AuthenticationResults, MethodResult, ResultProperty
from posthouse.message.headers import fields

__all__ = ["UnreadableResults", "is_forged", "read_results", "trusted_results", "without_forged"]

#: Octets of a field that are read, statements of a field, properties of a statement, comments inside each other.
_LONGEST: Final = 65_536
_MOST_RESULTS: Final = 100
_MOST_PROPERTIES: Final = 50
_DEEPEST: Final = 20

_FOLD: Final = re.compile(r"\r\n(?=[ \t])")
_BLANKS: Final = re.compile(r"[ \t]*+")
_COMMENT_PIECE: Final = re.compile(r"[^()\\]++|\\.|[()]", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
# token of RFC 2045 §5.1, with UTF-8 (RFC 8601 §2.2); Keyword of RFC 5321 §4.1.2.
_TOKEN: Final = re.compile(r'[^\x00-\x20\x7f()<>@,;:\\"/\[\]?=]++')
_KEYWORD: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?+(?![A-Za-z0-9_-])")
_DIGITS: Final = re.compile(r"[0-9]{1,9}+(?![0-9])")
_UNQUOTED: Final = re.compile(r'[^\x00-\x20\x7f();"]++')
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NAME: Final = b"authentication-results"


class UnreadableResults(ValueError):
    """An Authentication-Results field does not have the form of RFC 8601; the message is a sentence that says where."""


def read_results(value: bytes | str) -> AuthenticationResults:
    """Read the value of an Authentication-Results field: what stands behind the colon, folded or not.

    Raises ``UnreadableResults``.  A field of another version than 1 gives its authserv-id and no results (§2.6).
    """
    return _ResultsReader(_unfolded(value)).field()


def trusted_results(headers: bytes, authserv_ids: Collection[str]) -> list[AuthenticationResults]:
    """What trusted hosts wrote into a header section, topmost first, with what a consumer may use of it (§4.1).

    Only for a message that came from a host which removes forged fields: anybody can write a trusted name.  Fields of
    other names, and those that cannot be read, are left out.
    """
    wanted = {_key(each) for each in authserv_ids}
    found = []
    for field in fields(headers):
        if field.name.lower() != _NAME:
            continue
        try:
            read = read_results(field.value)
        except UnreadableResults:
            continue
        if _key(read.authserv_id) in wanted and read.version == 1:
            found.append(read.usable())
    return found


def is_forged(value: bytes | str, authserv_ids: Collection[str]) -> bool:
    """True if a message from outside must lose the Authentication-Results field with this value (RFC 8601 §5).

    So it is if the field claims one of our names, has a version that is not known, or a name that cannot be read:
    another program might read ours in it.  Only the beginning of the field matters.
    """
    try:
        reader = _ResultsReader(_unfolded(value))
        authserv_id, version = reader.opening()
    except UnreadableResults:
        return True
    return version != 1 or _key(authserv_id) in {_key(each) for each in authserv_ids}


def without_forged(headers: bytes, authserv_ids: Collection[str]) -> bytes:
    """A header section without its forged Authentication-Results fields; all other octets are unchanged."""
    if _NAME not in headers.lower():
        return headers
    return b"".join(
        field.raw
        for field in fields(headers)
        if field.name.lower() != _NAME or not is_forged(field.value, authserv_ids)
    )


def _key(authserv_id: str) -> str:
    """What two spellings of one name share; names of the DNS are the rule, so case and a final dot do not count."""
    return authserv_id.casefold().removesuffix(".")


def _unfolded(value: bytes | str) -> str:
    if len(value) > _LONGEST:
        raise UnreadableResults(f"the field is longer than {_LONGEST:,} octets")
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    text = _FOLD.sub("", text.removesuffix("\r\n"))
    if _CONTROL.search(text):
        raise UnreadableResults("the field has a control character, or a line end that is no fold")
    return text


class _ResultsReader:
    """Reader of one value; ``_at`` is where it stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._comment = ""  # the last comment that was passed

    def field(self) -> AuthenticationResults:
        authserv_id, version = self.opening()
        if version != 1:
            return AuthenticationResults(authserv_id, (), version)
        if not self._rest():
            raise UnreadableResults("nothing stands behind the authserv-id; a field without results ends with ; none")
        results: list[MethodResult] = []
        while self._rest():
            self._want(";", "a semicolon")
            if not results and self._is_none():
                return AuthenticationResults(authserv_id)
            if results and not self._rest():
                break  # a semicolon behind the last statement, which many programs write
            if len(results) == _MOST_RESULTS:
                raise UnreadableResults(f"the field has more than {_MOST_RESULTS} results")
            results.append(self._statement())
        return AuthenticationResults(authserv_id, tuple(results))

    def opening(self) -> tuple[str, int]:
        """The authserv-id and the version of the field."""
        self._skip()
        authserv_id = self._value("an authserv-id")
        spaced = self._skip()
        match = _DIGITS.match(self._text, self._at)
        version = 1
        if match is not None and spaced:
            self._at = match.end()
            self._skip()
            version = int(match[0])
        if self._at < len(self._text) and self._text[self._at] != ";":
            raise UnreadableResults("text stands between the authserv-id and the first semicolon")
        return authserv_id, version

    def _is_none(self) -> bool:
        """True for ``none`` alone to the end of the field."""
        start = self._at
        self._skip()
        match = _KEYWORD.match(self._text, self._at)
        if match is not None and match[0].lower() == "none":
            self._at = match.end()
            self._skip()
            if self._at == len(self._text):
                return True
        self._at = start
        return False

    def _statement(self) -> MethodResult:
        """``method/version=result reason="…" ptype.property=value …``"""
        self._skip()
        method = self._keyword("a method")
        version = 1
        self._skip()
        if self._took("/"):
            self._skip()
            match = _DIGITS.match(self._text, self._at)
            if match is None:
                raise UnreadableResults(f"the version of {method} is no number")
            version, self._at = int(match[0]), match.end()
        self._want("=", f"= behind {method}")
        self._skip()
        result = self._keyword(f"the result of {method}")
        self._comment = ""
        spaced = self._skip()
        comment, reason = self._comment, ""
        properties: list[ResultProperty] = []
        while self._at < len(self._text) and self._text[self._at] != ";":
            if not spaced:
                raise UnreadableResults(f"no space stands before a property of {method}")
            word = self._keyword(f"a property of {method}")
            self._skip()
            if self._took("="):
                if word != "reason" or reason or properties:
                    raise UnreadableResults(f"{word}= stands where a property of {method} belongs")
                self._skip()
                reason = self._value(f"the reason of {method}")
            else:
                if len(properties) == _MOST_PROPERTIES:
                    raise UnreadableResults(f"{method} has more than {_MOST_PROPERTIES} properties")
                properties.append(self._property(word))
            spaced = self._skip()
        return MethodResult(method, result, tuple(properties), reason, comment, version)

    def _property(self, ptype: str) -> ResultProperty:
        self._want(".", f". behind {ptype}")
        self._skip()
        name = self._keyword(f"the property behind {ptype}.")
        self._want("=", f"= behind {ptype}.{name}")
        self._skip()
        quoted = _QUOTED.match(self._text, self._at)
        if quoted is None:
            match = _UNQUOTED.match(self._text, self._at)
            if match is None:
                raise UnreadableResults(f"{ptype}.{name} has no value")
            self._at = match.end()
            return ResultProperty(ptype, name, match[0])
        self._at = quoted.end()
        value = _ESCAPED.sub(r"\1", quoted[1])
        if self._text.startswith("@", self._at):  # "a quoted local part"@domain
            match = _UNQUOTED.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            value = quoted[0] + match[0]
        return ResultProperty(ptype, name, value)

    def _rest(self) -> bool:
        """True if something stands behind the white space and comments here."""
        self._skip()
        return self._at < len(self._text)

    def _skip(self) -> bool:
        """Pass white space and comments (CFWS); True if there were any."""
        start = self._at
        while True:
            match = _BLANKS.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if not self._text.startswith("(", self._at):
                return self._at > start
            self._pass_comment()

    def _pass_comment(self) -> None:
        start, depth = self._at, 0
        while True:
            match = _COMMENT_PIECE.match(self._text, self._at)
            if match is None:
                raise UnreadableResults("a comment does not end")
            self._at = match.end()
            depth += {"(": 1, ")": -1}.get(match[0], 0)
            if depth > _DEEPEST:
                raise UnreadableResults(f"comments are nested deeper than {_DEEPEST}")
            if not depth:
                self._comment = _ESCAPED.sub(r"\1", self._text[start + 1 : self._at - 1])
                return

    def _took(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        return True

    def _want(self, sign: str, what: str) -> None:
        self._skip()
        if not self._took(sign):
            raise UnreadableResults(f"the field does not have {what} at character {self._at + 1}")

    def _keyword(self, what: str) -> str:
        match = _KEYWORD.match(self._text, self._at)
        if match is None:
            raise UnreadableResults(f"the field does not have {what} at character {self._at + 1}")
        self._at = match.end()
        return match[0].lower()

    def _value(self, what: str) -> str:
        """A token or a quoted string (RFC 2045 §5.1)."""
        quoted = _QUOTED.match(self._text, self._at)
        match = quoted or _TOKEN.match(self._text, self._at)
        if match is None:
            raise UnreadableResults(f"the field does not have {what} at character {self._at + 1}")
        self._at = match.end()
        return match[0] if quoted is None else _ESCAPED.sub(r"\1", quoted[1])
