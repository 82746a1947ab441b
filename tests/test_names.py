"""Names: one class name and one file name for one thing, and no word that a standard term has replaced."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from docs_pages.imports import SOURCE

RENAME = "to be renamed"

#: Class names that several modules define, each with the reason.  A leading underscore makes no difference.
SAME_CLASS: dict[str, str] = {
    "Resolver": "one contract, declared where it is used: mailauth may not import net",
    "Mail": "the command of RFC 5321, and what extensions of Flask and Starlette for mail are called there",
    **dict.fromkeys(
        ("Envelope", "Mailbox", "Message", "Session", "Sink"),
        "aiosmtpd's name too: programs written for it import it from posthouse.app.aiosmtpd",
    ),
}

#: File names that stand in several folders, each with the reason.
SAME_FILE: dict[str, str] = {
    "demo.py": "a command and what it runs: cli has one module per group of commands",
    "explain.py": "a command and its operations: cli has one module per group of commands",
    "inbox.py": "a command, its operation and its table: cli has one module per group of commands",
    "model.py": "the value classes of one package: rows of the catalogue, a delivery, the settings",
    "policy.py": "two terms of the field: X.7 of the enhanced codes (RFC 3463), and what a server asks",
    "queue.py": "a command and its operations: cli has one module per group of commands",
    "reload.py": "a command and its operation: cli has one module per group of commands",
    "results.py": "what one package gives back: the shapes of answers of operations, and the result of one message",
    "session.py": "the client's and the server's end of one SMTP session (RFC 5321 section 3.1)",
    "smtp.py": "delivery by SMTP, and aiosmtpd's module of that name, for programs written for it",
    "sink.py": "a command and what it runs: cli has one module per group of commands",
    "transaction.py": "the client's and the server's side of one mail transaction (RFC 5321 section 3.3)",
}

#: Home-made word → the term that replaces it.  A word is a part of an identifier or of a file or folder name; words
#: that have a second, proper meaning (room, share, turn, rank, letter) are left out.
RETIRED: dict[str, str] = {
    "alike": "the noun of what is compared; the values stand in spool/model",
    "annals": "history",
    "bouncer": "DSN writer",
    "bury": "rescue (the leases of a stalled process)",
    "deed": "action request",
    "deposit": "spool intake",
    "dying": "poison message, crash counter",
    "fate": "recipient status (RFC 3464)",
    "forgive": "reset",
    "house": "daemon, node, package",
    "jumping": "manual clock",
    "lane": "ready queue",
    "leave_alone": "suspend",
    "left_alone": "suspended",
    "neighbour": "peer, peer liveness",
    "ourselves": "local identity",
    "pace": "rate limit",
    "reception": "listener policy",
    "seat": "connection slot",
    "stories": "histories",
    "story": "history, explanation",
    "stranger": "unproven destination",
    "teller": "history writer",
    "telling": "history store, explanation text",
    "told": "message summary",
    "trail": "attempt trace",
    "weather": "chaos",
    "witness": "auditor, ledger",
}

#: Retired words that the source still has, each to be replaced.
KNOWN: frozenset[str] = frozenset()


# Class names -------------------------------------------------------------------------------------------------------

Places = Mapping[str, list[str]]


def class_places(source: Path) -> Places:
    """Class name without leading underscores → where it is defined, as ``file:line``."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(f"{file.relative_to(source).as_posix()}:{node.lineno}")
    return found


def file_places(source: Path) -> Places:
    """File name → the folders that have it; ``__init__`` and ``__main__`` are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(source.rglob("*.py")):
        if file.name not in ("__init__.py", "__main__.py"):
            found[file.name].append(file.relative_to(source).as_posix())
    return found


def repeated(places: Places) -> dict[str, list[str]]:
    """The names with places in more than one module."""
    return {
        name: where for name, where in sorted(places.items()) if len({place.partition(":")[0] for place in where}) > 1
    }


def listed(places: Places) -> str:
    return "\n".join(f"{name}: {', '.join(where)}" for name, where in places.items())


@pytest.fixture(scope="module")
def same_classes() -> Places:
    return repeated(class_places(SOURCE))


@pytest.fixture(scope="module")
def same_files() -> Places:
    return repeated(file_places(SOURCE))


def test_a_class_name_is_defined_once(same_classes: Places) -> None:
    new = {name: where for name, where in same_classes.items() if name not in SAME_CLASS}
    assert not new, "class names that several modules define; rename, or give a reason in SAME_CLASS:\n" + listed(new)


def test_every_reason_for_a_class_name_is_needed(same_classes: Places) -> None:
    assert set(SAME_CLASS) <= set(same_classes), f"remove {sorted(set(SAME_CLASS) - set(same_classes))} from SAME_CLASS"


def test_a_file_name_stands_once(same_files: Places) -> None:
    new = {name: where for name, where in same_files.items() if name not in SAME_FILE}
    assert not new, "file names in several folders; rename, or give a reason in SAME_FILE:\n" + listed(new)


def test_every_reason_for_a_file_name_is_needed(same_files: Places) -> None:
    assert set(SAME_FILE) <= set(same_files), f"remove {sorted(set(SAME_FILE) - set(same_files))} from SAME_FILE"


def test_every_reason_is_given() -> None:
    assert all(reason.strip() for reason in [*SAME_CLASS.values(), *SAME_FILE.values(), *RETIRED.values()])


def test_repeated_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "spool" / "sqlite").mkdir(parents=True)
    (tmp_path / "net").mkdir()
    (tmp_path / "__init__.py").touch()
    (tmp_path / "net" / "__init__.py").touch()
    (tmp_path / "net" / "state.py").write_text("\nclass State: ...\nclass Once: ...\nclass Once: ...")
    (tmp_path / "spool" / "sqlite" / "state.py").write_text("def f():\n    class _State: ...")
    assert listed(repeated(class_places(tmp_path))) == "State: net/state.py:2, spool/sqlite/state.py:2"
    assert listed(repeated(file_places(tmp_path))) == "state.py: net/state.py, spool/sqlite/state.py"


# Retired words -----------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def identifiers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a module defines, with its line: classes, functions, parameters, variables, attributes."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)):
                yield name, node.lineno
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno


def retired_in(identifier: str, retired: Iterable[str] = tuple(RETIRED)) -> set[str]:
    """The retired words in one identifier: whole words, in either style of capitals, singular or plural."""
    words = f"_{'_'.join(_WORD.findall(identifier)).lower()}_"
    return {word for word in retired if f"_{word}_" in words or f"_{word}s_" in words}


def retired_words(source: Path) -> dict[str, list[str]]:
    """Retired word → where it is, as ``file:line identifier``, or the path of a file."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in sorted(source.rglob("*.py")):
        name = file.relative_to(source)
        for part in name.with_suffix("").parts:
            for word in retired_in(part):
                found[word].append(name.as_posix())
        for identifier, line in identifiers(ast.parse(file.read_text(encoding="utf-8"))):
            for word in retired_in(identifier):
                found[word].append(f"{name.as_posix()}:{line} {identifier}")
    return found


@pytest.fixture(scope="module")
def present() -> dict[str, list[str]]:
    return retired_words(SOURCE)


def test_no_retired_word_comes_back(present: dict[str, list[str]]) -> None:
    back = [
        f"{word} ({RETIRED[word]}): {', '.join(places)}"
        for word, places in sorted(present.items())
        if word not in KNOWN
    ]
    assert not back, "use the term in parentheses:\n" + "\n".join(back)


def test_known_retired_words_still_exist(present: dict[str, list[str]]) -> None:
    assert set(RETIRED) >= KNOWN
    assert set(present) >= KNOWN, f"these words are gone; remove them from KNOWN: {sorted(KNOWN - set(present))}"


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("lane", {"lane"}),
        ("Lanes", {"lane"}),
        ("_free_seats", {"seat"}),
        ("_LEFT_ALONE", {"left_alone"}),
        ("leftAlone", {"left_alone"}),
        ("HTTPTeller", {"teller"}),
        ("QueueStory", {"story"}),
        ("lane2", {"lane"}),
        ("planet", set()),
        ("alone", set()),
        ("seating", set()),
        ("space", set()),
        ("Spaces", set()),
    ],
)
def test_a_retired_word_is_found_in_an_identifier(identifier: str, words: set[str]) -> None:
    assert retired_in(identifier) == words


def test_retired_words_are_found_in_every_kind_of_name(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "lanes.py").write_text(
        "import os as seat\n"
        "class Annals:\n    deed: int\n"
        "def forgive(pace): ...\n"
        "async def bury(*trail, **teller):\n    self.told = 1\n"
        "try: ...\nexcept OSError as fate: ...\n"
        "match 5:\n    case [weather, *witness]: ...\n"
        "print(stranger.dying)\n"  # uses of a name, not definitions
    )
    assert retired_words(tmp_path) == {
        "house": ["house/lanes.py"],
        "lane": ["house/lanes.py"],
        "seat": ["house/lanes.py:1 seat"],
        "annals": ["house/lanes.py:2 Annals"],
        "deed": ["house/lanes.py:3 deed"],
        "forgive": ["house/lanes.py:4 forgive"],
        "pace": ["house/lanes.py:4 pace"],
        "bury": ["house/lanes.py:5 bury"],
        "trail": ["house/lanes.py:5 trail"],
        "teller": ["house/lanes.py:5 teller"],
        "told": ["house/lanes.py:6 told"],
        "fate": ["house/lanes.py:8 fate"],
        "weather": ["house/lanes.py:10 weather"],
        "witness": ["house/lanes.py:10 witness"],
    }
