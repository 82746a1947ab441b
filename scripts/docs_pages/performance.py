"""docs/performance.md and docs/performance.svg: the latest saved measurement as a page and a drawing.

They are made from ``benchmarks/results/latest.json`` and ``signatures.json`` only.  So they change when a measurement
is saved (``scripts/bench all --save``, ``scripts/bench dkim --save``), and are the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.figures import Result, Row, number, result_from
from suite.plot import svg

from docs_pages.markdown import GENERATED, code_block, table

__all__ = ["LATEST", "drawing", "page", "written"]

LATEST = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "latest.json"
_SIGNATURES = LATEST.with_name("signatures.json")

OPENING = """\
# Performance

How fast the product is as users run it, beside other programs for the same work: `posthouse run` with a configuration
file, with every check, trace field, history and log line, and each 250 after the message is on stable storage.

Absolute figures depend on the machine. Compare the ratios: both sides of a line ran on one machine, in turn, under the
same load.

![Each result as a part of its aim](performance.svg)"""

READING = """\
A ratio is our figure divided by theirs. Where more is better (messages, octets) the aim is a minimum, where less is
better (time, memory) a maximum. An aim without another program is for our figure itself. Programs that "drop" store
nothing."""

METHOD = """\
Both sides of a scenario are started on loopback ports, each with its own directory on the same file system, and keep
running. They are loaded in turn, for several rounds; the result of a side is the median of its rounds. The amount of
load is found by trial, so that each side works for the same time. The load generator runs on the same processors, and
takes a larger part of them from the faster side."""

SESSIONS = """\
One sync serves all sessions that wait at that moment. A single session must not wait for others, and with many sessions
the groups must grow. The time is that of one session among the others, from MAIL to the 250."""

COMPILED = """\
Our side was a [compiled](compiled.md) build when this was measured, unless a note under *Method* says pure Python; a
table below compares the two."""

SIGNATURES = """\
Verified and signed with DKIM, relaxed/relaxed, in pure Python, in messages a second of processor time (`scripts/bench
dkim`). The last two columns are the public-key operation alone, on a hash: by OpenSSL, which Posthouse uses, and by
libsodium, which dkimpy uses for Ed25519."""

BOUND = """\
The aim is 10 times dkimpy. With RSA keys, messages of 4 KiB are verified just below it in pure Python (8.4 to 10.4
times in 29 rounds of this measurement alone, 9.7 in the middle), and above it by a compiled build (11.1 to 11.5 times
in 5 rounds). With Ed25519 keys it is **not met**, and out of reach of both libraries for verification: that alone
takes OpenSSL 96 µs and libsodium 45 µs in the best of many loops, and 1/10 of dkimpy's time for a whole message is 40
µs. Signing alone takes OpenSSL 30 µs, of the 35 µs that there would be. For all else (reading the header section and
the signature, hashing header and body) Posthouse needs 25 to 40 µs."""

CONSOLE = """\
`scripts/bench console`, pure Python, 100,000 messages of 1 KiB in 500 mailboxes, on two processors that other work used
at times. The first table is beside [maildev](https://www.npmjs.com/package/maildev) 3.0.0 in one run: the same messages
by SMTP over four connections, then 30 requests of each kind over HTTP (medians).

| | maildev | posthouse |
|---|---|---|
| messages taken | 100,000 in 64.1 s, not synced | 100,000 in 66.1 s, each synced before its 250 |
| list of 50 | 1.7 ms | 2.4 ms |
| search by subject | 24.4 ms (the whole subject) | 6.8 ms (a part of it) |
| search in the text | – | 6.7 ms |
| one message | 0.4 ms | 2.9 ms |

Searches of one sign and of two, in milliseconds: a letter that many messages have 4, one that none has 120, two letters
that none has 168, one ideograph 63, two ideographs 5.

Intake with ten pages that listen and ask for the list at each change: 2,937 messages/s, and 3,059 without (0.96 ×; the
aim is 0.9 ×).

The first paint in Debian's Chromium without a graphics card, in milliseconds (medians of 15). The floor is a page of
200 static octets of the same server: what the browser itself takes.

| | in a new tab, empty cache | in a tab that was open | again in the same tab |
|---|---|---|---|
| the floor | 44 | 40 | 44 |
| inbox | 120 | 104 | 92 |
| inbox, searched | 108 | 100 | 96 |
| message | 92 | 96 | 84 |
| overview | 88 | 84 | 76 |
| queue | 80 | 76 | 68 |
| sessions | 72 | 68 | 64 |

The answer is there after 15 ms (inbox; the floor: 5 ms). The rest of the inbox is its style and layout (23 ms) and its
drawing without a graphics card (21 ms) of 50 rows; with 12 rows it takes 12 ms less."""

BUSY = """\
**The machine was busy with other work when this was measured.** Both sides were slower for it, not equally. Do not rely
on these figures; measure again."""

_QUIET = 0.5  # the load of a machine that does little else
_ELSEWHERE = ("sessions", "workers", "compiled")  # scenarios with tables of their own


def page(_existing: str) -> str:
    """The page."""
    signatures = json.loads(_SIGNATURES.read_text(encoding="utf-8"))
    return written(json.loads(LATEST.read_text(encoding="utf-8")), signatures)


def drawing(_existing: str) -> str:
    """The drawing."""
    return svg([result_from(each) for each in json.loads(LATEST.read_text(encoding="utf-8"))["results"]])


def written(stored: Mapping[str, Any], signatures: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """The page for a saved measurement, and for one of signatures."""
    results = [result_from(each) for each in stored["results"]]
    by_name = {each.scenario: each for each in results}
    busy = float(stored["machine"]["load"]) > _QUIET
    compiled = ", compiled" in stored["versions"].get("posthouse", "")
    parts = [GENERATED, OPENING, COMPILED if compiled else "", BUSY if busy else ""]
    parts += ["## What was measured", *_compared(results), READING]
    if "sessions" in by_name:
        parts += ["## Group commit", SESSIONS, _sessions(by_name["sessions"])]
    if "workers" in by_name:
        parts += ["## One worker and two", _pairs(by_name["workers"], ("one worker", "One worker"), "Two workers")]
    if "compiled" in by_name:
        parts += ["## Compiled", _pairs(by_name["compiled"], ("pure Python", "Pure Python"), "Compiled")]
    if signatures:
        parts += ["## Signatures", SIGNATURES, _signatures(signatures), BOUND]
    parts += ["## The console", CONSOLE]
    parts += ["## Method", METHOD, _notes(results), "## Where", _where(stored, results)]
    parts += ["## Again", _again(results, compiled), "## Settings", *_settings(stored["settings"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _compared(results: Iterable[Result]) -> list[str]:
    """The list of scenarios, and a table with one line for each pair of figures."""
    head = ("Scenario", "Ours", "Theirs", "Ratio", "Aim", "Met")
    lines: list[tuple[str, ...]] = []
    about = []
    for result in results:
        about.append(f"- `{result.scenario}`: {result.about}.")
        if result.scenario not in _ELSEWHERE:
            for row in result.rows:
                lines += _lines(result.scenario, row)
    return [table(head, lines), "\n".join(about)]


def _lines(scenario: str, row: Row) -> list[tuple[str, ...]]:
    what = f"`{scenario}`" + (f": {row.what}" if row.what else "")
    bound = "≤" if row.lower else "≥"
    ours = row.median(row.ours)
    said = f"{number(ours)} {row.unit}" if ours is not None else "not measured"
    verdicts = {each.aim.against: each for each in row.verdicts()}
    found: list[tuple[str, ...]] = []
    if "" in verdicts:
        verdict = verdicts[""]
        found.append((what, said, "", "", f"{bound} {verdict.aim.limit:g} {row.unit}", _met(verdict.met)))
    for side in dict.fromkeys([*row.figures, *(name for name in verdicts if name)]):
        median = row.median(side)
        if side == row.ours:
            continue
        theirs = f"{side}: {number(median)} {row.unit}" if median is not None else f"{side}: not measured"
        ratio = row.ratio(side)
        aimed = verdicts.get(side)
        aim, met = (f"{bound} {aimed.aim.limit:g} ×", _met(aimed.met)) if aimed is not None else ("", "")
        met = met if ratio is not None else ""
        found.append((what, said, theirs, f"{number(ratio)} ×" if ratio is not None else "", aim, met))
    return found


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def _sessions(result: Result) -> str:
    """Table with one line for each number of sessions, with both sides."""
    sides = list(dict.fromkeys(side for row in result.rows for side in row.figures))
    head = ("", *(f"{side}, {what}" for side in sides for what in ("messages/s", "p50", "p99")), "Throughput")
    lines: dict[str, list[str]] = {}
    ratios: dict[str, str] = {}
    for row in result.rows:
        many, _, share = row.what.partition(", ")
        cells = lines.setdefault(many, [""] * (3 * len(sides)))
        for place, side in enumerate(sides):
            median = row.median(side)
            if median is not None:
                column = 3 * place + ("", "p50", "p99").index(share)
                cells[column] = f"{number(median)} ms" if share else number(median)
                ratio = row.ratio(side)
                if not share and ratio is not None:
                    ratios[many] = f"{number(ratio)} ×"
    return table(head, [(many, *cells, ratios.get(many, "")) for many, cells in lines.items()])


def _pairs(result: Result, other: tuple[str, str], ours: str) -> str:
    """Table with the other side, ours, and the ratio; ``other`` is a side's name and its heading."""
    side, heading = other
    rows = []
    for row in result.rows:
        before, now, ratio = row.median(side), row.median(row.ours), row.ratio(side)
        if before is not None and now is not None and ratio is not None:
            rows.append((row.what, f"{number(before)} {row.unit}", f"{number(now)} {row.unit}", f"{number(ratio)} ×"))
    return table(("", heading, ours, "Ratio"), rows)


def _signatures(figures: Mapping[str, Mapping[str, float]]) -> str:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:,.0f}"

    rows = [
        (
            name,
            shown(found["posthouse"]),
            shown(found["dkimpy"]),
            f"{found['posthouse'] / found['dkimpy']:.1f} ×",
            shown(found.get("opendkim")),
            shown(found.get("openssl")),
            shown(found.get("libsodium")),
        )
        for name, found in figures.items()
    ]
    return table(("Work", "posthouse", "dkimpy", "Ratio", "OpenDKIM", "OpenSSL alone", "libsodium alone"), rows)


def _notes(results: Iterable[Result]) -> str:
    """List of what was left out, was done differently, or failed."""
    lines = []
    for result in results:
        lines += [f"- `{result.scenario}`: {side} was left out: {why}." for side, why in result.absent.items()]
        lines += [f"- `{result.scenario}`: {note}." for note in result.notes]
        lines += [f"- `{result.scenario}` failed: {result.fault}."] if result.fault else []
    return "\n".join(lines)


def _where(stored: Mapping[str, Any], results: Sequence[Result]) -> str:
    here = stored["machine"]
    days = sorted({each.date for each in results})
    facts = [
        ("Processor", f"{here['processor']}, {here['processors']} processors"),
        ("System", here["system"]),
        ("A sync of 4 KiB", f"{here['sync']} on {here['file system'] or 'its file system'}"),
        ("Load before the start (0: a quiet machine)", here["load"]),
        *stored["versions"].items(),
        ("Measured on", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else "no day"),
    ]
    return table(("", ""), facts)


def _again(results: Sequence[Result], compiled: bool) -> str:
    """The commands that repeat the measurement, with the seconds and rounds of most scenarios."""
    given = [f"--seconds {each.seconds:g} --rounds {each.rounds}" for each in results]
    usual = max(dict.fromkeys(given), key=given.count, default="")
    lines = [f"$ scripts/bench {'--compiled ' if compiled else ''}all {usual} --save", "$ scripts/docs"]
    return (
        "The first command measures and saves the result in `benchmarks/results/latest.json`; the second writes this"
        " page and its drawing from it. Postfix, smtp-source and smtp-sink are in the package `postfix`; a missing"
        " program is left out and named.\n\n" + code_block("console", lines)
    )


def _settings(settings: Mapping[str, Sequence[str]]) -> list[str]:
    found = []
    for side, lines in settings.items():
        # Indented, not fenced: ports and directories are placeholders, so it is not for copying.
        found += [f"{side}:", "\n".join(f"    {line}".rstrip() for line in lines)]
    return found
