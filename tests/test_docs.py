"""Checks of the manual: generated pages are fresh, links resolve, examples run, and what it names exists.

Files, names of ``posthouse`` and events of the log that the pages name are looked up in the source, so a rename must
also be made in the manual.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from docs_pages import __main__ as docs_pages
from docs_pages.cli import commands
from docs_pages.configuration import page as configuration_page
from posthouse.service.config.decode import declared
from posthouse.service.config.docs import settings
from posthouse.service.config.limit_settings import LimitSettings
from posthouse.service.config_file import parse

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "posthouse"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return [text for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_generated_pages_are_fresh() -> None:
    behind = sorted(docs_pages.stale())
    assert not behind, f"stale: {', '.join(behind)}; scripts/docs writes them anew"


def test_a_stale_page_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {name: docs_pages.PAGES[name] for name in ("configuration.md", "reply-codes.md")}  # the quickest two
    for page in pages:
        (tmp_path / page).write_text((ROOT / "docs" / page).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(docs_pages, "PAGES", pages)
    (tmp_path / "reply-codes.md").write_text("# Reply codes\n\nAll of them.\n")
    monkeypatch.setattr(docs_pages, "DOCS", tmp_path)
    assert docs_pages.main(["--check"]) == 1
    assert "docs/reply-codes.md is stale" in capsys.readouterr().err
    assert docs_pages.main([]) == 0
    assert docs_pages.main(["--check"]) == 0


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    every = list(commands())
    assert every
    for path, command in every:
        assert f"## `{path}`" in text, f"{path} is not in docs/cli.md"
        assert command.help or command.short_help, f"{path} does not say what it does"
        for parameter in command.params:
            if parameter.param_type_name == "option" and not getattr(parameter, "hidden", False):
                assert parameter.opts[-1] in text, f"{path} {parameter.opts[-1]} is not in docs/cli.md"
                assert getattr(parameter, "help", None), f"{path} {parameter.opts[-1]} does not say what it does"


def test_every_setting_is_documented() -> None:
    text = configuration_page("")
    for each in settings():
        assert f"`{each.path.rpartition('.')[2].removesuffix('[]')}`" in text or each.type in ("table", "tables"), each
        assert each.text, f"{each.path} does not say what it does"


def test_every_limit_on_clients_is_on_the_page_of_limits() -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    limits = {each.name: each for each in declared(LimitSettings)}
    assert [name for name in limits if f"`{name}`" not in text] == []
    numbers = {name for name, each in limits.items() if name.startswith(("max_", "min_")) and not each.extra}
    assert numbers == {"min_data_rate_after"}, "a limit has its precedent and its reply"


_LOGGED = re.compile(r"(?:log\(|LogRate\([^\"\n]*)\s*\"([a-z ]+)\"")


def test_every_event_of_the_log_is_documented() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = {event for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for event in code_spans(row)}
    files = [file for file in SOURCE.rglob("*.py") if "testing" not in file.parts]
    logged = {event for file in files for event in _LOGGED.findall(file.read_text("utf-8"))}
    assert {"accepted", "refused", "worker died"} <= logged
    assert not logged - documented, f"not in docs/operations.md: {', '.join(sorted(logged - documented))}"


def link_targets(page: Path) -> Iterator[str]:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in link_targets(page):
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        assert place.exists(), f"{name(page)}: {target} leads nowhere"
        if anchor:
            assert anchor in anchors(place), f"{name(page)}: {file or name(page)} has no heading for #{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=name)
def test_configurations_in_the_manual_are_right(page: Path) -> None:
    for text in blocks(page, "toml"):
        parse(text, name(page))


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.toml")), ids=name)
def test_example_configurations_are_right(file: Path) -> None:
    parse(file.read_text(encoding="utf-8"), file.name)


#: Pages whose examples run, each by itself.
RUNNING = [ROOT / "docs" / page for page in ("library.md", "lint.md", "mailauth.md", "receiving.md")]
RUNNING += [ROOT / "README.md", ROOT / "README.zh-CN.md"]


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, number) for page in RUNNING for number in range(len(blocks(page, "python")))],
    ids=lambda value: value.name if isinstance(value, Path) else None,
)
def test_examples_of_the_manual_work(page: Path, number: int) -> None:
    text = blocks(page, "python")[number]
    exec(compile(text, f"{name(page)}, example {number + 1}", "exec"), {"__name__": "example"})


def test_the_example_of_the_simulation_page_works() -> None:
    (text,) = blocks(ROOT / "docs" / "simulation.md", "python")
    names: dict[str, Callable[[], None]] = {}
    exec(compile(text, "docs/simulation.md", "exec"), names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test()


# Code that the manual names -----------------------------------------------------------------------------------------

#: Words of earlier manuals, and the field's terms that replace them (the glossary in docs/architecture.md).
RETIRED = {
    r"left alone": "suspended",
    r"strangers?": "unproven destination, or untrusted client",
    r"stor(?:y|ies)": "history",
    r"put off": "deferred",
    r"lanes?": "ready queue",
    r"seats?": "connection slot",
    r"dying|buried|bury": "crashed, rescued",
    r"witness|weather": "ledger, chaos",
    r"annals": "history",
}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_manual_uses_the_terms_of_the_glossary(page: Path) -> None:
    if page.name != "CHANGELOG.md":  # its table has old names
        text = page.read_text(encoding="utf-8")
        found = {word: term for word, term in RETIRED.items() if re.search(rf"\b(?:{word})\b", text, re.IGNORECASE)}
        assert not found, f"{name(page)}: {found}"


#: The changelog also names what is gone.
NAMING_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]


def code_spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", text))


@pytest.mark.parametrize("page", NAMING_PAGES, ids=name)
def test_files_that_the_manual_names_exist(page: Path) -> None:
    """Paths may be relative to the project, to the source, or to the page."""
    for span in code_spans(page.read_text(encoding="utf-8")):
        if re.fullmatch(r"[\w./-]+\.py|(src|tests|scripts|benchmarks|examples)/[\w./-]+", span):
            folders = (ROOT, SOURCE, page.parent)
            assert any((folder / span).exists() for folder in folders), f"{name(page)}: there is no {span}"


@pytest.mark.parametrize("page", NAMING_PAGES, ids=name)
def test_names_of_posthouse_that_the_manual_has_exist(page: Path) -> None:
    for dotted in dotted_names(page.read_text(encoding="utf-8")):
        assert resolves(dotted), f"{name(page)}: there is no {dotted}"


def test_new_names_in_the_changelog_exist() -> None:
    """The last column of its tables has what is new; other places also name what is gone."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    cells = [line.strip(" |").split("|")[-1] for line in text.splitlines() if line.startswith("|")]
    assert any("posthouse.core" in cell for cell in cells)
    for dotted in dotted_names("\n".join(cells)):
        assert resolves(dotted), f"CHANGELOG.md: there is no {dotted}"


def dotted_names(text: str) -> list[str]:
    """Names such as ``posthouse.core.Reply`` in code spans; file names are no such names."""
    found = re.findall(r"(?<![\w./-])posthouse(?:\.\w+)+", "\n".join(code_spans(text)))
    return [dotted for dotted in found if not dotted.endswith(".toml")]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_imports_of_examples_in_the_manual_exist(page: Path) -> None:
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("posthouse"):
                for each in node.names:
                    assert resolves(f"{node.module}.{each.name}"), f"{name(page)}: no {each.name} in {node.module}"


def resolves(dotted: str) -> bool:
    """True if ``dotted`` is a module, or an attribute reached from one."""
    parts = dotted.split(".")
    end = next(n for n in range(len(parts), 0, -1) if is_module(".".join(parts[:n])))
    found: object = import_module(".".join(parts[:end]))
    for part in parts[end:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def is_module(dotted: str) -> bool:
    try:
        return find_spec(dotted) is not None
    except ModuleNotFoundError:
        return False


def located() -> list[tuple[str, list[str]]]:
    """The rows of docs/architecture.md that say where something is: a file of the source, and names in it."""
    rows = []
    for line in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines():
        cells = line.strip("|").split(" | ")
        if len(cells) > 2 and (file := re.fullmatch(r"`([\w/]+\.py)`", cells[-2].strip())):
            rows.append((file[1], re.findall(r"`([\w.]+)`", cells[-1])))
    return rows


def test_what_the_architecture_page_locates_is_defined_there() -> None:
    rows = located()
    assert len(rows) > 70
    for file, names in rows:
        assert names, f"docs/architecture.md names nothing in {file}"
        missing = set(names) - definitions(SOURCE / file)
        assert not missing, f"docs/architecture.md: {file} does not define {', '.join(sorted(missing))}"


@cache
def definitions(file: Path) -> frozenset[str]:
    """Classes, functions and module-level names of a file, and ``Class.name`` of what its classes define."""
    found: set[str] = set()

    def walk(body: list[ast.stmt], owner: str) -> None:
        for node in body:
            match node:
                case ast.ClassDef(name=defined, body=inner):
                    found.add(owner + defined)
                    walk(inner, f"{owner}{defined}.")
                case ast.FunctionDef(name=defined) | ast.AsyncFunctionDef(name=defined):
                    found.add(owner + defined)
                case ast.Assign(targets=targets):
                    found.update(owner + each.id for each in targets if isinstance(each, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=defined)):
                    found.add(owner + defined)

    walk(ast.parse(file.read_text(encoding="utf-8")).body, "")
    return frozenset(found)


def test_both_readmes_show_the_same() -> None:
    english, chinese = (shown(ROOT / file) for file in ("README.md", "README.zh-CN.md"))
    assert english == chinese


def shown(page: Path) -> list[tuple[str, list[str]]]:
    """The blocks of a page without what is translated: comments, texts, the choice of language."""
    translated = re.compile(r'#.*|".*?"| --lang zh')
    return [(kind, translated.sub("", text).split()) for kind, text in FENCE.findall(page.read_text(encoding="utf-8"))]
