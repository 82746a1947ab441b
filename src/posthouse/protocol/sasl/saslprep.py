"""Preparation of user names and passwords (SASLprep, RFC 4013), so that one name has one spelling.

Both ends prepare: the client before it computes a proof, the server before it looks a name up and when a password is
set.  Preparation maps other spaces to U+0020, drops characters that are not seen, and normalises (NFKC).
"""

from __future__ import annotations

import stringprep
import unicodedata

__all__ = ["NotPrepared", "prepare"]

_FORBIDDEN = (
    (stringprep.in_table_c12, "a space that is not U+0020"),
    (stringprep.in_table_c21_c22, "a control character"),
    (stringprep.in_table_c3, "a private-use character"),
    (stringprep.in_table_c4, "a code point that is no character"),
    (stringprep.in_table_c5, "a surrogate"),
    (stringprep.in_table_c6, "a character that has no plain-text form"),
    (stringprep.in_table_c7, "an ideographic description character"),
    (stringprep.in_table_c8, "a character that changes the display"),
    (stringprep.in_table_c9, "a tag character"),
)


class NotPrepared(ValueError):
    """The text cannot be a name or password; the message says why, and quotes nothing of the text."""


def prepare(text: str, *, new: bool = False) -> str:
    """The prepared form of a name or password.

    ``new``: the text is being stored, so code points that Unicode 3.2 did not have are refused (RFC 3454 §7); when it
    is only compared they pass.  Raises NotPrepared.
    """
    if text.isascii():
        if text.isprintable():
            return text
        raise NotPrepared("it holds a control character")
    mapped = "".join(
        " " if stringprep.in_table_c12(each) else each for each in text if not stringprep.in_table_b1(each)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    for each in prepared:
        for forbidden, what in _FORBIDDEN:
            if forbidden(each):
                raise NotPrepared(f"it holds {what}")
        if new and stringprep.in_table_a1(each):
            raise NotPrepared("it holds a character that is newer than Unicode 3.2, which SASLprep cannot prepare")
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    """RFC 3454 §6: right-to-left text holds no left-to-right character, and begins and ends right-to-left."""
    if not any(map(stringprep.in_table_d1, text)):
        return
    if any(map(stringprep.in_table_d2, text)):
        raise NotPrepared("it mixes right-to-left and left-to-right characters")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise NotPrepared("it begins or ends with a character that has no direction, beside right-to-left characters")
