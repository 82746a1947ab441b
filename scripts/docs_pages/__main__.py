"""``python -m docs_pages [--check]``: write the generated pages of docs/, or list those that are stale."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

__all__ = ["DOCS", "PAGES", "main", "stale"]

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: Page → module, and its function that takes the existing text and returns the new one.
PAGES = {
    "api.md": ("docs_pages.api", "page"),
    "architecture.md": ("docs_pages.architecture", "page"),
    "cli.md": ("docs_pages.cli", "page"),
    "configuration.md": ("docs_pages.configuration", "page"),
    "limits.md": ("docs_pages.limits", "page"),
    "performance.md": ("docs_pages.performance", "page"),
    "performance.svg": ("docs_pages.performance", "drawing"),
    "reply-codes.md": ("docs_pages.reply_codes", "page"),
    "retries.md": ("docs_pages.retries", "page"),
}


def main(arguments: list[str]) -> int:
    """Write or check the pages; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: scripts/docs [--check]", file=sys.stderr)
        return 64
    behind = stale()
    for name, text in behind.items():
        if arguments:
            print(f"docs/{name} is stale; run scripts/docs. The first difference:", file=sys.stderr)
            old = (DOCS / name).read_text(encoding="utf-8") if (DOCS / name).exists() else ""
            lines = difflib.unified_diff(old.splitlines(), text.splitlines(), f"docs/{name}", "code", n=1, lineterm="")
            print("\n".join(list(lines)[:12]), file=sys.stderr)
        else:
            (DOCS / name).write_text(text, encoding="utf-8")
            print(f"docs/{name} has been rewritten")
    return 1 if behind and arguments else 0


def stale() -> dict[str, str]:
    """The pages that differ from the source, with the text they should have."""
    found = {}
    for name, (module, function) in PAGES.items():
        file = DOCS / name
        existing = file.read_text(encoding="utf-8") if file.exists() else ""
        page: Callable[[str], str] = getattr(import_module(module), function)
        text = page(existing)
        if text != existing:
            found[name] = text
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
