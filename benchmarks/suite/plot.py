"""Bar chart of the aims as SVG: the length of each bar is the figure divided by its aim.

The line at 1 is the aim; a bar that reaches it has met its aim.  If less is better, the length is the aim divided by
the figure, so a longer bar is always better.  The chart has its own background, light or dark as the reader's system,
so it can be read on any page; words beside each bar say whether the aim is met, not the colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from suite.figures import Result, number

__all__ = ["Bar", "bars", "svg"]

_WIDTH = 860
_LEFT = 330  # where the bars begin
_RIGHT = 610  # where the longest may end
_MOST = 2.0  # times the aim; longer bars are cut, and marked
_LINE = 26
_TOP = 64

_STYLE = """\
  .ground { fill: #ffffff; stroke: #d0d7de }
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .small { font-size: 12px; fill: #59636e }
  .title { font-size: 15px; font-weight: 600 }
  .met { fill: #1a7f64 }
  .missed { fill: #bc5b00 }
  .aim { stroke: #1f2328; stroke-width: 1.5; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d }
    text { fill: #f0f6fc }
    .small { fill: #9198a1 }
    .met { fill: #3fb38f }
    .missed { fill: #e08a3c }
    .aim { stroke: #f0f6fc }
  }
"""


class Bar(NamedTuple):
    """One bar; ``part`` is figure ÷ aim, or aim ÷ figure if less is better, so 1 or more meets the aim."""

    label: str
    said: str
    part: float
    met: bool


def bars(results: Sequence[Result]) -> list[Bar]:
    """A bar for each aim that has figures."""
    found = []
    for result in results:
        for row in result.rows:
            for aim, reached, met in row.verdicts():
                if reached is None:
                    continue
                part = (aim.limit / reached if reached else _MOST) if row.lower else reached / aim.limit
                unit = "×" if aim.against else row.unit
                bound = "≤" if row.lower else "≥"
                what = f"{result.scenario}{': ' if row.what else ''}{row.what}"
                label = f"{what} / {aim.against}" if aim.against else what
                said = f"{number(reached)} {unit} (aim {bound} {aim.limit:g}) {'met' if met else 'not met'}"
                found.append(Bar(label, said, part, met))
    return found


def svg(results: Sequence[Result]) -> str:
    """The chart as SVG."""
    drawn = bars(results)
    height = _TOP + _LINE * len(drawn) + 20
    scale = (_RIGHT - _LEFT) / _MOST
    aim = _LEFT + scale
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">',
        '<title id="title">What was reached, as a part of each aim</title>',
        f'<desc id="about">{escape("; ".join(f"{bar.label}: {bar.said}" for bar in drawn))}</desc>',
        f"<style>\n{_STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="6"/>',
        '<text class="title" x="16" y="26">What was reached, as a part of each aim</text>',
        f'<text class="small" x="{aim:g}" y="48" text-anchor="middle">the aim</text>',
        f'<line class="aim" x1="{aim:g}" y1="54" x2="{aim:g}" y2="{height - 14}"/>',
    ]
    for place, bar in enumerate(drawn):
        y = _TOP + _LINE * place
        length = max(1.0, min(bar.part, _MOST) * scale)
        kind = "met" if bar.met else "missed"
        lines.append(f'<text x="{_LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>')
        lines.append(f'<rect class="{kind}" x="{_LEFT}" y="{y + 3}" width="{length:.1f}" height="16" rx="2"/>')
        if bar.part > _MOST:
            lines.append(f'<text x="{_RIGHT + 4}" y="{y + 16}">»</text>')
        lines.append(f'<text class="small" x="{_RIGHT + 18}" y="{y + 15}">{escape(bar.said)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
