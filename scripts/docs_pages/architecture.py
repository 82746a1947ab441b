"""docs/architecture.md: prose written by hand, with drawings and tables from the source between marks.

The drawing of the layers and the table of packages come from the imports, the diagram and the tables of the dialogue
from ``protocol.states``.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from docs_pages.imports import LAYERS, SOURCE, Import, read_tree
from docs_pages.markdown import code_block, table
from posthouse.protocol.states import COMMANDS, LAW, Input, Move, State

__all__ = ["page"]


def page(existing: str) -> str:
    """The page with the text between each pair of marks replaced.

    Raises:
        ValueError: A pair of marks is missing, or stands on the page more than once.
    """
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
            raise ValueError(f"docs/architecture.md must have one pair of marks for {name!r}, and has {found}")
    return existing


def _framed(drawing: str) -> Callable[[re.Match[str]], str]:
    return lambda marks: f"{marks[1]}\n{drawing}\n\n{marks[2]}"


# The packages ------------------------------------------------------------------------------------------------------


def dependencies(imports: Iterable[Import]) -> dict[str, set[str]]:
    """Package → the other packages that it imports, nested folders included."""
    found: dict[str, set[str]] = defaultdict(set)
    for each in imports:
        if each.target and each.target != each.package:
            found[each.package].add(each.target)
    return found


def nested_dependencies(imports: Iterable[Import], source: Path = SOURCE) -> dict[str, set[str]]:
    """Nested package (``spool/sqlite``) → what its own modules import.

    Other packages are given by their top-level name, packages within the same one by their path.  What a nested
    package imports from its own modules, and what deeper packages import, is left out.
    """
    folders = {folder.relative_to(source).as_posix() for folder in source.rglob("*") if folder.is_dir()}
    found: dict[str, set[str]] = defaultdict(set)
    for each in imports:
        here = each.file.parent.relative_to(source).as_posix()
        if "/" not in here or not each.target:
            continue
        target = _folder_of(each.name, folders) if each.target == each.package else each.target
        if target != here:
            found[here].add(target)
    return found


def _folder_of(name: str, folders: Collection[str]) -> str:
    """The deepest folder that a full name (``posthouse.spool.sqlite.writer.Writer``) passes through."""
    parts = name.split(".")[1:]
    return next(path for end in range(len(parts), 0, -1) if (path := "/".join(parts[:end])) in folders)


def nested_packages(package: str, source: Path = SOURCE) -> list[str]:
    """The paths of the packages inside ``package``, at every depth, sorted."""
    return sorted(init.parent.relative_to(source).as_posix() for init in (source / package).glob("*/**/__init__.py"))


def present(package: str, source: Path = SOURCE) -> bool:
    """True if the package exists: LAYERS also has the planned ones."""
    return (source / package / "__init__.py").is_file() or (source / f"{package}.py").is_file()


def layers(imports: list[Import], source: Path = SOURCE) -> str:
    """The layers as a drawing: a box per layer, an arrow from each package to each package that it imports."""
    lines = ["flowchart TB"]
    for number, layer in reversed(list(enumerate(LAYERS))):
        here = [package for package in layer if present(package, source)]
        if here:
            lines.append(f'  subgraph layer{number}["layer {number}"]')
            lines += [f"    {_node(package)}[{_label(package, source)}]" for package in here]
            lines.append("  end")
    for package, targets in sorted(dependencies(imports).items()):
        # Every package imports core; those arrows would hide the rest.
        drawn = sorted(targets - {"core", "__init__"})
        lines += [f"  {_node(package)} --> {_node(target)}" for target in drawn]
    return code_block("mermaid", lines)


def _node(package: str) -> str:
    return f"package_{package.strip('_')}"


def _label(package: str, source: Path) -> str:
    """The name of a package, and under it the names of the packages directly inside it."""
    inside = [path.split("/")[1] for path in nested_packages(package, source) if path.count("/") == 1]
    if package.startswith("__"):
        return f'"posthouse/{package}.py"'
    return f'"{package}<br><small>{" · ".join(inside)}</small>"' if inside else package.strip("_")


def packages(imports: list[Import], source: Path = SOURCE) -> str:
    """The packages as a table, nested ones below their parent, each with the first sentence of its docstring."""
    imported = dependencies(imports) | nested_dependencies(imports, source)
    level = {package: str(number) for number, layer in enumerate(LAYERS) for package in layer}
    order = [*(package for layer in reversed(LAYERS) for package in layer if not package.startswith("__")), "testing"]
    rows = [
        (
            level.get(package, "beside"),
            f"`{path}`",
            _sentence(source / path),
            ", ".join(sorted(imported.get(path, ()))) or "–",
        )
        for package in order
        if present(package, source)
        for path in (package, *nested_packages(package, source))
    ]
    return table(("layer", "package", "what it is", "imports"), rows)


def _sentence(folder: Path) -> str:
    """The first paragraph of a package's docstring, without the full stop; the package may be one file."""
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    return " ".join((docstring or "").split("\n\n")[0].split()).rstrip(".")


# The dialogue ------------------------------------------------------------------------------------------------------


def lingering() -> list[Input]:
    """Inputs that leave the state as it is in every state where they are legal; they are listed and not drawn."""
    return [given for given in Input if _moves(given) and all(move.done is state for state, move in _moves(given))]


def _moves(given: Input) -> list[tuple[State, Move]]:
    return [(state, move) for (state, each), move in LAW.items() if each is given]


def dialogue() -> str:
    """The transitions of ``LAW`` as a state diagram."""
    undrawn = lingering()
    edges: dict[tuple[State, State], list[str]] = defaultdict(list)
    for (state, given), move in sorted(LAW.items(), key=_in_order):
        if given in undrawn:
            continue
        if move.done is not None:
            edges[state, move.done].append(str(given))
        if move.more is not None:
            edges[state, move.more].append(f"{given} (3yz)")
    lines = ["stateDiagram-v2", f"  [*] --> {State.CONNECTED.value}"]
    lines += [f"  {old.value} --> {new.value}: {', '.join(labels)}" for (old, new), labels in edges.items()]
    lines += [f"  {State.CONNECTED.value} --> {State.REFUSED.value}: (greeting) 554", f"  {State.CLOSED.value} --> [*]"]
    words = f"Not drawn: {', '.join(undrawn)} leave the state as it is, and 421, which may come at any time, closes."
    return f"{code_block('mermaid', lines)}\n\n{words}"


def _in_order(cell: tuple[tuple[State, Input], object]) -> tuple[int, int]:
    (state, given), _ = cell
    return list(State).index(state), list(Input).index(given)


def law() -> str:
    """Every cell of ``LAW``: for each state the legal inputs, and the state after a positive reply."""
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
    """``COMMANDS`` as a table, one row per command."""
    yes = {True: "yes", False: "no"}
    rows = [
        (str(given), row.argument, yes[not row.ends_group], yes[row.before_tls], yes[row.before_auth])
        for given, row in COMMANDS.items()
    ]
    return table(("command", "argument", "more may be pipelined behind it", "before TLS", "before AUTH"), rows)
