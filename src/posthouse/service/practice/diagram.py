"""State diagram of the dialogue as SVG, drawn from the law (``protocol.states``); the page lights up where one is.

The places of the boxes are chosen by hand, the arrows and their labels come from ``LAW``; a test compares both.  Inputs
that leave a state as it is are written into its box.  Colours are the page's: the drawing has classes only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import Final, NamedTuple

from posthouse.protocol.states import LAW, Input, State
from posthouse.service.practice.state_words import STATE_WORDS

__all__ = ["edges", "state_diagram", "staying"]

_BEGINNING: Final = (
    '<svg class="law" viewBox="0 0 900 560" role="img" aria-label="{label}" xmlns="http://www.w3.org/2000/svg">'
)
_ARROW_HEAD: Final = (
    '<defs><marker id="law-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 Z"/></marker></defs>'
)


#: Inputs that are no command, as a Chinese drawing labels them.
_INPUTS_ZH: Final[Mapping[str, str]] = MappingProxyType(
    {
        Input.GREETING.value: "（问候）",
        Input.CONTENT_END.value: "（内容结束）",
        Input.AUTH_LINE.value: "（登录数据）",
        Input.TLS_UP.value: "（TLS 已建立）",
    }
)


class _Box(NamedTuple):
    """The place of a state."""

    x: int
    y: int
    width: int = 140
    height: int = 70


_BOXES: Final[Mapping[State, _Box]] = MappingProxyType(
    {
        State.CONNECTED: _Box(30, 16),
        State.GREETED: _Box(300, 16),
        State.SWITCHING: _Box(30, 150),
        State.AUTHENTICATING: _Box(30, 300),
        State.REFUSED: _Box(30, 440),
        State.READY: _Box(300, 134, height=376),
        State.SENDER: _Box(610, 134),
        State.RECIPIENTS: _Box(610, 236),
        State.CONTENT: _Box(610, 340),
        State.CHUNKS: _Box(610, 440),
        State.CLOSED: _Box(822, 16, 68, 494),
    }
)
#: Arrow → its path, and where its label stands.
_PATHS: Final[Mapping[tuple[State, State], tuple[str, tuple[int, int]]]] = MappingProxyType(
    {
        (State.CONNECTED, State.GREETED): ("M170 44 H296", (235, 38)),
        (State.CONNECTED, State.REFUSED): ("M30 44 H12 V474 H26", (40, 118)),
        (State.REFUSED, State.CLOSED): ("M100 510 V544 H856 V514", (210, 538)),
        (State.GREETED, State.READY): ("M390 86 V130", (334, 114)),
        (State.GREETED, State.CLOSED): ("M440 44 H818", (650, 38)),
        (State.READY, State.SENDER): ("M440 150 H606", (525, 144)),
        (State.READY, State.CLOSED): ("M425 134 V104 H818", (650, 98)),
        (State.READY, State.SWITCHING): ("M300 190 H174", (236, 206)),
        (State.SWITCHING, State.GREETED): ("M100 150 V98 H320 V90", (196, 92)),
        (State.READY, State.AUTHENTICATING): ("M300 318 H174", (236, 312)),
        (State.AUTHENTICATING, State.READY): ("M170 352 H296", (236, 368)),
        (State.SENDER, State.READY): ("M610 180 H444", (525, 196)),
        (State.SENDER, State.RECIPIENTS): ("M680 204 V232", (706, 223)),
        (State.SENDER, State.CLOSED): ("M750 164 H818", (786, 158)),
        (State.RECIPIENTS, State.READY): ("M610 266 H444", (525, 282)),
        (State.RECIPIENTS, State.CONTENT): ("M655 306 V336", (628, 326)),
        (State.RECIPIENTS, State.CHUNKS): ("M750 288 H772 V460 H754", (792, 380)),
        (State.RECIPIENTS, State.CLOSED): ("M750 258 H818", (786, 252)),
        (State.CONTENT, State.READY): ("M610 374 H444", (525, 368)),
        (State.CHUNKS, State.READY): ("M610 474 H444", (525, 468)),
        (State.CHUNKS, State.CLOSED): ("M750 492 H818", (786, 506)),
    }
)


def staying() -> dict[State, list[Input]]:
    """State → the inputs whose positive reply leaves it."""
    found: dict[State, list[Input]] = defaultdict(list)
    for (state, given), move in LAW.items():
        if state in (move.done, move.more):
            found[state].append(given)
    return {state: sorted(inputs, key=list(Input).index) for state, inputs in found.items()}


def edges() -> dict[tuple[State, State], list[str]]:
    """The moves between different states: their ends → the inputs, as the drawing labels them."""
    found: dict[tuple[State, State], list[str]] = defaultdict(list)
    for (state, given), move in sorted(LAW.items(), key=lambda cell: list(Input).index(cell[0][1])):
        for to in (move.done, move.more):
            if to is not None and to is not state:
                found[state, to].append(given.value)
    # The only negative reply that leads to a state of its own; others leave the state, end the message, or close.
    found[State.CONNECTED, LAW[State.CONNECTED, Input.GREETING].failed].append("5yz")
    return dict(found)


def state_diagram(here: State | None = None, move: tuple[State, State] | None = None, lang: str = "en") -> str:
    """The drawing.

    Args:
        here: The state to light up.
        move: The ends of the arrow to light up.
        lang: ``en``, or ``zh`` for the states' names in Chinese below the English ones.
    """
    chinese = lang == "zh"
    label = "SMTP 会话的状态图" if chinese else "State diagram of an SMTP session"
    stays = staying()
    parts = [
        _BEGINNING.format(label=label),
        _ARROW_HEAD,
        *(
            _edge(ends, [_INPUTS_ZH.get(each, each) if chinese else each for each in inputs], lit=ends == move)
            for ends, inputs in edges().items()
        ),
        *(_state(state, stays.get(state, []), chinese, lit=state is here) for state in _BOXES),
        "</svg>",
    ]
    return "".join(parts)


def _edge(ends: tuple[State, State], inputs: list[str], *, lit: bool) -> str:
    path, (x, y) = _PATHS[ends]
    rows = _rows(inputs, 26 if len(inputs) > 2 else 40)
    text = "".join(
        f'<tspan x="{x}" dy="{12 if number else 0}">{escape(row)}</tspan>' for number, row in enumerate(rows)
    )
    return (
        f'<g class="edge{" lit" if lit else ""}" data-from="{ends[0].value}" data-to="{ends[1].value}">'
        f'<path d="{path}" marker-end="url(#law-head)"/><text x="{x}" y="{y}">{text}</text></g>'
    )


def _state(state: State, stays: list[Input], chinese: bool, *, lit: bool) -> str:
    box, (name, meaning) = _BOXES[state], STATE_WORDS[state]
    middle = box.x + box.width // 2
    top = box.y + 20
    lines = [(state.value, "name"), *([(name.zh, "zh")] if chinese else [])]
    lines += (
        [
            (row, "stay")
            for row in _rows([_INPUTS_ZH.get(each.value, each.value) if chinese else each.value for each in stays], 25)
        ]
        if box.width > 100
        else []
    )
    text = "".join(
        f'<text class="{kind}" x="{middle}" y="{top + 14 * number}">{escape(line)}</text>'
        for number, (line, kind) in enumerate(lines)
    )
    return (
        f'<g class="state{" here" if lit else ""}" data-state="{state.value}"><title>{escape(meaning[chinese])}</title>'
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>{text}</g>'
    )


def _rows(words: list[str], width: int) -> list[str]:
    """Words joined by commas, in rows of at most ``width`` characters if a word is not longer."""
    rows: list[str] = []
    for word in words:
        if rows and len(rows[-1]) + 2 + len(word) <= width:
            rows[-1] += f", {word}"
        else:
            rows.append(word)
    return rows
