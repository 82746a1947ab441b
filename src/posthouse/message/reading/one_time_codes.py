"""One-time codes in text: numbers and short words that a person is asked to type, apart from all other numbers.

A candidate is a word of four to eight digits or capital letters.  The label that stands nearest to it decides what it
is: an order, an invoice, a telephone, a sum and the like take their number away; a word such as *code*, *PIN* or 验证码
makes it one.  Three ways of writing are known, the surest first: the label joined to the number ("your code is 4711",
"4711 is your code"), the number alone on a line beneath the label, and both in one sentence.  Where a surer way finds
a code, the third is not followed.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from posthouse.message.reading.code_words import AROUND, JOINED, LABEL, MASKED, UNIT, VERB, YEAR

__all__ = ["codes_in"]

#: Chinese, Japanese and Korean signs, which stand beside numbers without a blank.
_EAST: Final = r"\u3005-\u30ff\u3400-\u9fff\uac00-\ud7af"
_CANDIDATE: Final = re.compile(
    rf"(?<![.,/@#$€£¥￥+-])(?<![^\W{_EAST}])(?:[A-Z]{{1,3}}-)?"
    r"(?:(?P<spaced>\d(?: \d){3,7})|(?P<halves>\d{3,4}[ \u00a0-]\d{3,4})|(?P<digits>\d{4,8})"
    r"|(?P<letters>[A-Z0-9]{3,4}-[A-Z0-9]{3,4}|(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{5,8}))"
    rf"(?![@/-]|[.,]\d)(?![^\W{_EAST}])"
)
_BLANK_LINE: Final = re.compile(r"[^\S\n]*\n\s*")
_END: Final = re.compile(r"[.!?…][\s\"'”)]|[。！？；;]|\n")
_BREAK: Final = re.compile(r"[\d,，;；、.!?。！？\n]")
_CLAUSE: Final = 120  # characters between a code and the word that announces it, in one sentence
_HELD: Final = 30  # characters between a label and the number that it takes away
_WEAK: Final = 60
#: The ways of writing, the surest first.
_LABELLED, _ON_A_LINE, _IN_SENTENCE = range(3)
#: What stands between the words of a compound: "login code", "login-code", "account recovery code".
_JOINT: Final = re.compile(r"(?i)[ -]?(?:(?:recovery|reset|activation|registration|unlock|deletion|transfer)[ -])?")
_NO_LABEL: Final = re.compile(r"\d|[:：]\s*$")
_BLANK: Final = re.compile(r"[\s<>\"']")
_BELOW: Final = 400  # the distance of a label that stands below its code
_ABOVE: Final = 300  # characters from a line of its own back to the label above it
_LONGEST_LINE: Final = 200
_MOST_CANDIDATES: Final = 500
_LONGEST_ADDRESS: Final = 2_048


class _Label(NamedTuple):
    start: int
    end: int
    kind: str


def codes_in(text: str) -> list[str]:
    """One-time codes in a text, without the blanks and hyphens that group digits; the likeliest first.

    Of a text with more than 500 numbers, the first 500 are looked at.
    """
    candidates = list(islice(_CANDIDATE.finditer(text), _MOST_CANDIDATES))
    labels: list[_Label] = []
    masked: list[tuple[int, int]] = []
    for start, end in _windows(candidates):
        labels += [_Label(*match.span(), match.lastgroup or "") for match in LABEL.finditer(text, start, end)]
        masked += [match.span() for match in MASKED.finditer(text, start, end)]
    if all(label.kind == "neg" for label in labels):
        return []
    return _Reading(text, labels, masked).codes(candidates)


def _windows(candidates: Sequence[re.Match[str]]) -> list[tuple[int, int]]:
    """The stretches around candidates in which a label counts, none overlapping another."""
    found: list[tuple[int, int]] = []
    for match in candidates:
        start, end = max(0, match.start() - _ABOVE), match.end() + _ABOVE
        if found and found[-1][1] >= start:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _plain(written: str) -> str:
    """Digits of every script as ASCII, without what groups them."""
    digits = "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in written)
    return re.sub(r"[ \u00a0-]", "", digits) if re.fullmatch(r"[\d \u00a0-]+", digits) else digits


class _Reading:
    """One text, its labels, and the candidates in it."""

    def __init__(self, text: str, labels: list[_Label], masked: list[tuple[int, int]]) -> None:
        self._text = text
        self._labels = labels
        self._starts = [label.start for label in labels]
        self._masked = masked
        self._masked_ends = [end for _, end in masked]
        self._before = 0  # end of the candidate before

    def codes(self, candidates: Sequence[re.Match[str]]) -> list[str]:
        """The codes, the surest way of writing first, and then the nearest to its label."""
        found: list[tuple[int, int, int, str]] = []
        for match in candidates:
            ranked = None if self._is_masked(*match.span()) else self._rank(match)
            self._before = match.end()
            if ranked is not None:
                code = next(each for each in match.groups() if each)
                found.append((*ranked, match.start(), _plain(code)))
        found.sort()
        in_sentences = bool(found) and found[0][0] == _IN_SENTENCE
        return list(dict.fromkeys(code for way, _, _, code in found if way < _IN_SENTENCE or in_sentences))

    def _is_masked(self, start: int, end: int) -> bool:
        at = bisect_right(self._masked_ends, start)
        if at < len(self._masked) and self._masked[at][0] < end:
            return True
        web = self._text.rfind("://", max(0, start - _LONGEST_ADDRESS), start)
        return web >= 0 and _BLANK.search(self._text, web, start) is None

    def _rank(self, match: re.Match[str]) -> tuple[int, int] | None:
        """The way in which a candidate is a code, and how far its label is; None if it is none."""
        text, (start, end) = self._text, match.span()
        before = self._nearest_before(start)
        gap = text[before.end : start] if before is not None else ""
        if before is not None and before.kind == "neg" and _takes(gap, self._line_of(before.start)):
            return None
        joined = before is not None and len(gap) <= 40 and JOINED.fullmatch(gap) is not None
        if UNIT.match(text, end) and not (joined and before is not None and before.kind == "strong"):
            return None
        if joined and before is not None and (before.kind == "strong" or (before.kind == "weak" and _is_long(match))):
            return _LABELLED, len(gap)
        if YEAR.fullmatch(match[0]):
            return None
        behind = self._head_behind(end)
        if behind is not None:
            label, distance = behind
            if label.kind == "neg":
                return None
            if label.kind == "strong":
                return _LABELLED, distance
        if (above := self._above(match)) is not None:
            return _ON_A_LINE, above
        return self._in_sentence(match)

    def _nearest_before(self, start: int) -> _Label | None:
        at = bisect_left(self._starts, start) - 1
        if at < 0 or self._labels[at].end > start:
            return None
        return self._labels[at]

    def _head_behind(self, end: int) -> tuple[_Label, int] | None:
        """The last word of the compound behind a number: *code* in "is your account login code"."""
        joint = AROUND.match(self._text, end, end + 60)
        at = bisect_left(self._starts, end)
        if joint is None or at >= len(self._labels):
            return None
        first = self._labels[at]
        between = self._text[end : first.start]
        if len(between) > 60 or AROUND.fullmatch(between) is None or not between.strip(" )]”」』】\"'"):
            return None
        if "\n" in between or re.match(r"\s*[,.:：]", between):
            return None
        head = at
        while head + 1 < len(self._labels) and _JOINT.fullmatch(
            self._text, self._labels[head].end, self._starts[head + 1]
        ):
            head += 1
        return self._labels[head], len(between)

    def _line_of(self, at: int) -> str:
        """The line of a text up to 200 characters on each side."""
        text = self._text
        start = text.rfind("\n", max(0, at - _LONGEST_LINE), at) + 1 or max(0, at - _LONGEST_LINE)
        end = text.find("\n", at, at + _LONGEST_LINE)
        return text[start : end if end >= 0 else at + _LONGEST_LINE]

    def _above(self, match: re.Match[str]) -> int | None:
        """The distance to the label above a candidate that has its line to itself; below it for a short line."""
        text, (start, end) = self._text, match.span()
        line = self._line_of(start)
        if line.strip(" \t\r*_|[]()-–—:>\"'“”「」【】") != match[0]:
            return None
        lines = text[max(0, start - _ABOVE, self._before) : start].split("\n")[:-1]
        near = [each for each in lines if each.strip()][-3:]
        for distance, each in enumerate(reversed(near)):
            kinds = {label.lastgroup for label in LABEL.finditer(each)}
            if "strong" in kinds or ("weak" in kinds and _is_long(match)):
                return 100 * distance
        blank = _BLANK_LINE.match(text, end)
        following = text[blank.end() : blank.end() + 60].partition("\n")[0] if blank is not None else ""
        if _NO_LABEL.search(following) is None and any(
            each.lastgroup == "strong" for each in LABEL.finditer(following)
        ):
            return _BELOW
        return None

    def _in_sentence(self, match: re.Match[str]) -> tuple[int, int] | None:
        """The distance to a label in the sentence of a candidate."""
        text, (start, end) = self._text, match.span()
        if match["letters"] and match["letters"].replace("-", "").isalpha():
            return None
        low = max((each.end() for each in _END.finditer(text, max(0, start - _CLAUSE), start)), default=start - _CLAUSE)
        after = _END.search(text, end, end + _CLAUSE)
        high = after.start() if after is not None else min(len(text), end + _CLAUSE)
        asked = VERB.search(text, max(0, low), start) is not None
        best: int | None = None
        for label in self._labels[bisect_left(self._starts, low) : bisect_left(self._starts, high)]:
            distance = start - label.end if label.end <= start else 2 * (label.start - end)
            if label.kind == "weak":
                if not (asked or _is_long(match)) or distance > 2 * _WEAK or (not asked and label.end <= start):
                    continue
            elif label.kind == "neg" or (match["letters"] and not asked):
                continue
            if distance <= _CLAUSE and (best is None or distance < best):
                best = distance
        return None if best is None else (_IN_SENTENCE, best)


def _is_long(match: re.Match[str]) -> bool:
    """Whether a candidate has the six digits or more that nearly all one-time codes have, or is a word of a code."""
    return match["digits"] is None or len(match["digits"]) >= 6


def _takes(gap: str, line: str) -> bool:
    """Whether a label takes the number behind it away: nothing but a few words without a verb stands between."""
    if len(gap) > _HELD or VERB.search(gap):
        return False
    if "\n" in gap:
        return not gap.strip(" \t\r\n:：#.*|") and not any(each.lastgroup == "strong" for each in LABEL.finditer(line))
    return _BREAK.search(re.sub(r"^\s?\.", "", gap)) is None
