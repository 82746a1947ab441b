"""docs/architecture.md: prose by hand, and between its marks what is drawn from the source.

The layers and the packages' table come from the imports as they are, the dialogue's diagram and tables from
``protocol.states``.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from docs_pages.imports import LAYERS, SOURCE, Import, read_tree
from docs_pages.markdown import code_block, table
from posthouse.protocol.states import COMMANDS, LAW, Input, Move, State

__all__ = ["page"]


def page(existing: str) -> str:
    """The page with what lies between each pair of marks drawn anew.  Raises ValueError where a mark is missing."""
    imports = read_tree()
    drawings = {
        "layers": layers(imports),
        "packages": packages(imports),
        "dialogue": dialogue(),
        "law": law(),
        "commands": commands(),
    }
    for name, drawing in drawings.items():
        between = re.compile(rf"(<!-- drawn: {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        existing, found = between.subn(_framed(drawing), existing)
        if found != 1:
            raise ValueError(f"docs/architecture.md wants one pair of marks for {name!r}, and has {found}")
    return existing


def _framed(drawing: str) -> Callable[[re.Match[str]], str]:
    return lambda marks: f"{marks[1]}\n{drawing}\n\n{marks[2]}"


def dependencies(imports: Iterable[Import]) -> dict[str, set[str]]:
    """Room → the packages it imports."""
    found: dict[str, set[str]] = defaultdict(set)
    for each in imports:
        if each.target and each.target != each.package:
            found[each.package].add(each.target)
    return found


def present(package: str) -> bool:
    """Whether there is anything in the package yet."""
    return any((SOURCE / package).glob("*.py")) or (SOURCE / f"{package}.py").is_file()


def layers(imports: list[Import]) -> str:
    """The house as a drawing: a box per floor, an arrow per pair of packages that one import joins."""
    lines = ["flowchart TB"]
    for number, layer in reversed(list(enumerate(LAYERS))):
        here = [package for package in layer if present(package)]
        if here:
            lines.append(f'  subgraph layer{number}["layer {number}"]')
            lines += [f"    {_node(package)}[{package.strip('_')}]" for package in here]
            lines.append("  end")
    for package, targets in sorted(dependencies(imports).items()):
        # Every package imports core; those arrows would hide the rest.
        drawn = sorted(targets - {"core", "__init__"})
        lines += [f"  {_node(package)} --> {_node(target)}" for target in drawn]
    return code_block("mermaid", lines)


def _node(package: str) -> str:
    return f"package_{package.strip('_')}"


def packages(imports: list[Import]) -> str:
    """The same as a table, with each package's own first sentence."""
    leads = dependencies(imports)
    level = {package: str(number) for number, layer in enumerate(LAYERS) for package in layer}
    order = [*(package for layer in reversed(LAYERS) for package in layer if not package.startswith("__")), "testing"]
    rows = [
        (level.get(package, "beside"), f"`{package}`", _sentence(package), ", ".join(sorted(leads[package])) or "–")
        for package in order
        if present(package)
    ]
    return table(("layer", "package", "what it is", "imports"), rows)


def _sentence(package: str) -> str:
    file = SOURCE / package / "__init__.py"
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) if file.is_file() else None
    return " ".join((docstring or "").split("\n\n")[0].split()).rstrip(".")


# The dialogue ------------------------------------------------------------------------------------------------------


def lingering() -> list[Input]:
    """Inputs that leave the state as it is, wherever they are legal: said in words, not drawn."""
    return [given for given in Input if all(move == Move(state) for state, move in _moves(given)) and _moves(given)]


def _moves(given: Input) -> list[tuple[State, Move]]:
    return [(state, move) for (state, each), move in LAW.items() if each is given]


def dialogue() -> str:
    """The law as a state diagram."""
    unsaid = lingering()
    edges: dict[tuple[State, State], list[str]] = defaultdict(list)
    for (state, given), move in sorted(LAW.items(), key=_in_order):
        if given in unsaid:
            continue
        if move.done is not None:
            edges[state, move.done].append(str(given))
        if move.more is not None:
            edges[state, move.more].append(f"{given} (3yz)")
    lines = ["stateDiagram-v2", f"  [*] --> {State.CONNECTED.value}"]
    lines += [f"  {old.value} --> {new.value}: {', '.join(labels)}" for (old, new), labels in edges.items()]
    lines += [f"  {State.CONNECTED.value} --> {State.REFUSED.value}: (greeting) 554", f"  {State.CLOSED.value} --> [*]"]
    words = f"Not drawn: {', '.join(unsaid)} leave the state as it is, and 421, which may come at any time, closes."
    return f"{code_block('mermaid', lines)}\n\n{words}"


def _in_order(cell: tuple[tuple[State, Input], object]) -> tuple[int, int]:
    (state, given), _ = cell
    return list(State).index(state), list(Input).index(given)


def law() -> str:
    """Every cell of the law: state by state, what is legal and where a positive reply leads."""
    rows = []
    for state in State:
        leads: dict[str, list[str]] = defaultdict(list)
        for (_, given), move in sorted(((key, move) for key, move in LAW.items() if key[0] is state), key=_in_order):
            targets = [move.done.value] if move.done else []
            targets += [f"{move.more.value} (3yz)"] if move.more else []
            leads[" or ".join(targets)].append(str(given))
        if leads:
            rows.append((state.value, " · ".join(f"{', '.join(given)} → *{to}*" for to, given in leads.items())))
    return table(("state", "legal → state after a positive reply"), rows)


def commands() -> str:
    """The second table: one row per command."""
    yes = {True: "yes", False: "no"}
    rows = [
        (str(given), row.argument, yes[not row.ends_group], yes[row.before_tls], yes[row.before_auth])
        for given, row in COMMANDS.items()
    ]
    return table(("command", "argument", "more may be pipelined behind it", "before TLS", "before AUTH"), rows)
