"""Plots as SVG, drawn on the server: courses over time, bars, and events on a time line.

A plot has no colour of its own: each shape has a class, and the style sheet its tokens.  Texts are escaped as Jinja
does.  What a plot shows also stands beside it as numbers, so that nobody has to see it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from posthouse.console.rendering import duration

__all__ = ["Curve", "bar", "course", "spark", "time_line"]

_WIDTH, _HEIGHT, _LEFT, _BELOW = 720.0, 200.0, 44.0, 22.0
#: Places of the time line, in seconds from now.
_MARKS = (0.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0, 432_000.0)
_SLOTS = 56


class Curve(NamedTuple):
    """One curve of a plot: ``name`` is the end of its class, ``label`` what a person reads."""

    name: str
    label: str
    values: Sequence[float]


def course(times: Sequence[float], curves: Sequence[Curve], label: str) -> Markup:
    """Curves over time, with a scale at the left and clock times below; "" with fewer than two moments."""
    if len(times) < 2:
        return Markup("")
    top = _round_up(max((max(curve.values, default=0.0) for curve in curves), default=0.0))
    began, span = times[0], max(times[-1] - times[0], 1.0)
    parts = []
    for step in range(5):
        y = _HEIGHT * (1 - step / 4)
        parts.append(Markup('<line class="grid-line" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            _LEFT, _WIDTH, _n(y), _n(y)))  # fmt: skip
        parts.append(Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(
            _n(_LEFT - 6), _n(y + 4), _short(top * step / 4)))  # fmt: skip
    for at in _clock_marks(times[0], times[-1]):
        x = _LEFT + (at - began) / span * (_WIDTH - _LEFT)
        text = time.strftime("%H:%M", time.localtime(at))
        parts.append(Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            _n(x), _n(_HEIGHT + 16), text))  # fmt: skip
    for curve in curves:
        points = " ".join(
            f"{_n(_LEFT + (at - began) / span * (_WIDTH - _LEFT))},{_n(_HEIGHT * (1 - value / top))}"
            for at, value in zip(times, curve.values, strict=False)
        )
        parts.append(Markup('<polyline class="curve curve-{}" points="{}"><title>{}</title></polyline>').format(
            curve.name, points, curve.label))  # fmt: skip
    box = f"0 -6 {_WIDTH + 6:.0f} {_HEIGHT + _BELOW + 6:.0f}"
    return Markup('<svg class="plot" viewBox="{}" role="img" aria-label="{}">{}</svg>').format(
        box, label, Markup("").join(parts)
    )


def spark(values: Sequence[float], name: str) -> Markup:
    """A small curve without a scale, for the side of a number; "" with fewer than two values."""
    if len(values) < 2:
        return Markup("")
    top = max(max(values), 1e-9)
    points = " ".join(
        f"{_n(100 * at / (len(values) - 1))},{_n(24 - 22 * value / top)}" for at, value in enumerate(values)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 100 26" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<polyline class="curve curve-{}" points="{}"/></svg>'
    ).format(name, points)


def bar(share: float, name: str = "") -> Markup:
    """A bar whose length is a share, from 0.0 to 1.0."""
    width = _n(100 * min(1.0, max(0.0, share if math.isfinite(share) else 0.0)))
    return Markup(
        '<svg class="share" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="share-all" width="100" height="6"/>'
        '<rect class="share-part {}" width="{}" height="6"/></svg>'
    ).format(name, width)


def time_line(seconds: Sequence[float], label: str, language: str = "en") -> Markup:
    """How many events lie how far ahead: seconds from now, on a scale that grows with the distance."""
    counts = [0] * _SLOTS
    for each in seconds:
        counts[min(_SLOTS - 1, int(_place(each) * _SLOTS))] += 1
    top = max(counts, default=0) or 1
    step = _WIDTH / _SLOTS
    parts = []
    for at, number in enumerate(counts):
        if number:
            height = 6 + 50 * number / top
            parts.append(Markup(
                '<rect class="event" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                _n(at * step + 1), _n(60 - height), _n(step - 2), _n(height), number))  # fmt: skip
    parts.append(Markup('<line class="axis" x1="0" x2="{}" y1="60" y2="60"/>').format(_n(_WIDTH)))
    for distance in _MARKS:
        x = _place(distance) * _WIDTH
        text = duration(distance, language) if distance else "0"
        anchor = "start" if not distance else "end" if distance == _MARKS[-1] else "middle"
        parts.append(Markup('<text class="tick" x="{}" y="76" text-anchor="{}">{}</text>').format(_n(x), anchor, text))
    return Markup('<svg class="plot events" viewBox="0 0 {} 82" role="img" aria-label="{}">{}</svg>').format(
        _n(_WIDTH), label, Markup("").join(parts)
    )


def _place(seconds: float) -> float:
    """The place of a distance in time on the time line, from 0.0 to 1.0: each two marks are equally far apart."""
    seconds = max(0.0, seconds)
    for number in range(1, len(_MARKS)):
        before, after = _MARKS[number - 1], _MARKS[number]
        if seconds <= after:
            return (number - 1 + (seconds - before) / (after - before)) / (len(_MARKS) - 1)
    return 1.0


def _clock_marks(first: float, last: float) -> list[float]:
    """Round moments between two moments: at most 8 of them."""
    for step in (300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200):
        if (last - first) / step <= 8:
            break
    begin = math.ceil(first / step) * step
    return [begin + number * step for number in range(10) if begin + number * step <= last]


def _round_up(value: float) -> float:
    """The next number that makes a good scale: 1, 2 or 5 with zeros."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= value)


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _n(value: float) -> str:
    """A coordinate in few characters."""
    return f"{value:.1f}".removesuffix(".0")
