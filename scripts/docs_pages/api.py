"""docs/api.md: every name of ``posthouse`` with its signature and docstring, read from the source without running it.

``api_text.md`` has the text and the examples, and the places of the names.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from docs_pages.imports import SOURCE
from docs_pages.markdown import GENERATED

__all__ = ["named", "page"]

_TEXT = Path(__file__).with_name("api_text.md")
_NAMES = re.compile(r"<!-- names(?: of (posthouse\.[\w.]+))?: ([\w ]+) -->")
_SECTION = re.compile(r"(Args|Raises|Returns|Yields):")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def page(_existing: str) -> str:
    """The page."""
    text = _TEXT.read_text(encoding="utf-8")
    text = _NAMES.sub(
        lambda found: "\n\n".join(_entry(name, found[1] or "posthouse") for name in found[2].split()), text
    )
    return f"{GENERATED}\n\n{text}"


def _entries(found: re.Match[str]) -> str:
    return "\n\n".join(_entry(name, found[1] or "posthouse") for name in found[2].split())


def named() -> list[str]:
    """The names of ``posthouse`` itself that have an entry on the page."""
    found = _NAMES.findall(_TEXT.read_text(encoding="utf-8"))
    return [name for package, names in found for name in names.split() if not package]


@cache
def _module(name: str) -> ast.Module:
    path = SOURCE.parent / Path(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def _definition(found: object) -> Definition:
    for node in _module(getattr(found, "__module__", "")).body:
        if isinstance(node, Definition) and node.name == getattr(found, "__name__", ""):
            return node
    raise LookupError(f"{found!r} is not defined where it says")


def _entry(name: str, package: str) -> str:
    """One name: its signature, its docstring, and what a class has."""
    found = getattr(import_module(package), name)
    node = _definition(found)
    lines = [f"#### `{package}.{name}`", "", "```text", *_signature(node, name), "```", ""]
    lines += _markdown(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef) and (members := list(_members(found))):
        lines += ["", *members]
    return "\n".join(lines)


def _signature(node: Definition, name: str) -> list[str]:
    """The call of a function or class; the members of an enumeration."""
    if not isinstance(node, ast.ClassDef):
        start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
        return _call(start + name, node.args, _returns(node))
    bases = ", ".join(ast.unparse(each) for each in node.bases)
    made = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if made is not None:
        return _call(name, made.args, "")
    fields = [ast.unparse(each) for each in node.body if isinstance(each, ast.AnnAssign)]
    values = [ast.unparse(each) for each in node.body if isinstance(each, ast.Assign) and "Enum" in bases]
    is_value = "NamedTuple" in bases or any("dataclass" in ast.unparse(each) for each in node.decorator_list)
    if is_value and fields:
        return [f"{name}(", *(f"    {each}," for each in fields), ")"]
    return [f"class {name}({bases})" if bases else f"class {name}", *(f"    {each}" for each in values)]


def _call(name: str, arguments: ast.arguments, returned: str) -> list[str]:
    """A signature: in one line, or with a line for each argument."""
    line = f"{name}({_arguments(arguments)}){returned}"
    if len(line) <= 100:
        return [line]
    alone = [*_each(arguments)]
    return [f"{name}(", *(f"    {each}," for each in alone), f"){returned}"]


def _each(arguments: ast.arguments) -> Iterator[str]:
    """The arguments one by one, without ``self``."""
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + list(arguments.defaults)
    for each, default in zip(plain, defaults, strict=True):
        if each.arg != "self":
            yield _with_default(each, default)
    if arguments.vararg is not None:
        yield f"*{ast.unparse(arguments.vararg)}"
    elif arguments.kwonlyargs:
        yield "*"
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _with_default(each, default)
    if arguments.kwarg is not None:
        yield f"**{ast.unparse(arguments.kwarg)}"


def _with_default(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) if default is None else f"{ast.unparse(argument)} = {ast.unparse(default)}"


def _arguments(arguments: ast.arguments) -> str:
    text = ast.unparse(arguments)
    return re.sub(r"^self(, )?", "", text)


def _returns(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""


def _members(found: object) -> Iterator[str]:
    """The public methods and properties of a class, those of its base classes in this library too."""
    seen: set[str] = set()
    for kind in inspect.getmro(found) if isinstance(found, type) else ():
        if not kind.__module__.startswith("posthouse."):
            continue
        for node in _definition(kind).body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.name in seen:
                continue
            if node.name.startswith("_") or not (text := ast.get_docstring(node)):
                continue
            seen.add(node.name)
            first = " ".join(text.split("\n\n")[0].split())
            marks = {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}
            is_value = bool(marks & {"property", "cached_property"})
            shown = node.name if is_value else f"{node.name}({_arguments(node.args)})"
            start = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
            yield f"- `{start}{shown}`: {_spans(first)}"


def _spans(text: str) -> str:
    return text.replace("``", "`")


def _markdown(docstring: str) -> Iterator[str]:
    """A docstring: its sections of arguments and exceptions become lists."""
    in_list = False
    for line in docstring.splitlines():
        if _SECTION.fullmatch(line):
            in_list = True
            yield f"**{line.rstrip(':')}**"
            yield ""
        elif in_list and (item := re.fullmatch(r"    (\*{0,2}[\w, .]+): (.*)", line)):
            yield f"- `{item[1]}`: {_spans(item[2])}"
        elif in_list and line.startswith("    "):
            yield f"  {_spans(line.strip())}"
        else:
            in_list = in_list and not line
            yield line if line.startswith("    ") else _spans(line)
