"""Results as values: rows of figures by side, with medians, ratios and aims.

A row compares one kind of figure; ``ours`` is the side to which the aims apply.  Each side has a figure for each round
and is compared by the median.  A ratio is always ours to theirs; ``lower`` says whether a lower one is better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Aim", "OURS", "Result", "Row", "Verdict", "number", "percentile", "result_from", "text_table"]

OURS = "posthouse"


class Aim(NamedTuple):
    """The ``limit`` for the ratio to the side ``against``, or for our figure if ``against`` is ""."""

    against: str
    limit: float


class Verdict(NamedTuple):
    """An aim, the ratio or figure reached (None: a side was not measured), and whether it meets the aim."""

    aim: Aim
    reached: float | None
    met: bool


class Row(NamedTuple):
    """A figure for each round and side.  ``lower``: less is better, and aims are upper limits."""

    what: str
    unit: str
    figures: Mapping[str, Sequence[float]]
    aims: Sequence[Aim] = ()
    lower: bool = False
    ours: str = OURS

    def median(self, side: str) -> float | None:
        """The side's median; None if it has no figure."""
        figures = self.figures.get(side)
        return statistics.median(figures) if figures else None

    def ratio(self, side: str) -> float | None:
        """The ratio of ours to theirs, or None."""
        ours, theirs = self.median(self.ours), self.median(side)
        return None if side == self.ours or ours is None or not theirs else ours / theirs

    def verdicts(self) -> list[Verdict]:
        """Each aim with the ratio or figure reached."""
        found = []
        for aim in self.aims:
            reached = self.ratio(aim.against) if aim.against else self.median(self.ours)
            met = reached is not None and (reached <= aim.limit if self.lower else reached >= aim.limit)
            found.append(Verdict(aim, reached, met))
        return found

    def json(self) -> dict[str, Any]:
        """The row for a file: the figures to six digits, with medians and ratios for readers."""
        figures = {side: [_short(each) for each in values] for side, values in self.figures.items()}
        rounded = self._replace(figures=figures)
        ratios = {side: ratio for side in figures if (ratio := rounded.ratio(side)) is not None}
        return {
            "what": self.what,
            "unit": self.unit,
            "lower": self.lower,
            "ours": self.ours,
            "figures": figures,
            "medians": {side: rounded.median(side) for side in figures},
            "ratios": {side: _short(ratio) for side, ratio in ratios.items()},
            "aims": [aim._asdict() for aim in self.aims],
        }


class Result(NamedTuple):
    """The result of one scenario.

    Args:
        absent: Reason by side that was left out.
        notes: Departures from the scenario's description.
        fault: What ended the scenario early, or "".
    """

    scenario: str
    about: str
    rows: Sequence[Row] = ()
    absent: Mapping[str, str] = {}
    notes: Sequence[str] = ()
    fault: str = ""
    date: str = ""
    seconds: float = 0.0
    rounds: int = 0

    def json(self) -> dict[str, Any]:
        """The result for a file."""
        return {
            **self._asdict(),
            "rows": [row.json() for row in self.rows],
            "absent": dict(self.absent),
            "notes": list(self.notes),
        }


def result_from(stored: Mapping[str, Any]) -> Result:
    """A result from the output of ``Result.json``."""
    rows = [
        Row(
            each["what"],
            each["unit"],
            each["figures"],
            tuple(Aim(aim["against"], aim["limit"]) for aim in each["aims"]),
            each["lower"],
            each["ours"],
        )
        for each in stored["rows"]
    ]
    return Result(**{**stored, "rows": rows})


def _short(figure: float) -> float:
    return float(f"{figure:.6g}")


def percentile(values: Iterable[float], share: float) -> float:
    """The least of ``values`` that at least ``share`` (0 to 1) of them do not exceed; ValueError if there are none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a percentile needs at least one value")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def number(figure: float) -> str:
    """A figure with three significant digits and separators of thousands."""
    if figure == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(figure))))
    return f"{figure:,.{min(digits, 3)}f}"


def _aim(row: Row, verdict: Verdict) -> str:
    """``aim at least 7 ×: met``"""
    bound = "at most" if row.lower else "at least"
    limit = f"{verdict.aim.limit:g} {'×' if verdict.aim.against else row.unit}"
    return f"aim {bound} {limit}: {'met' if verdict.met else 'NOT met'}"


def text_table(result: Result) -> str:
    """A result as lines for a terminal."""
    lines = [f"{result.scenario}: {result.about}"]
    for row in result.rows:
        if row.what:
            lines.append(f"  {row.what}")
        verdicts = {each.aim.against: each for each in row.verdicts()}
        for side, figures in row.figures.items():
            median = row.median(side)
            if median is None:
                continue
            line = f"    {side:<22} {number(median):>10} {row.unit:<13}"
            line += f" ({number(min(figures))} to {number(max(figures))})" if len(figures) > 1 else ""
            ratio = row.ratio(side)
            said = [f"ours is {number(ratio)} ×"] if ratio is not None else []
            verdict = verdicts.get("" if side == row.ours else side)
            said += [_aim(row, verdict)] if verdict is not None else []
            lines.append(f"{line}   {', '.join(said)}".rstrip())
    lines += [f"    {side:<22} left out: {why}" for side, why in result.absent.items()]
    lines += [f"    note: {note}" for note in result.notes]
    lines += [f"    FAILED: {result.fault}"] if result.fault else []
    return "\n".join(lines)
