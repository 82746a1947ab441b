"""Markdown as HTML (CommonMark, and tables and strikethrough), by markdown-it-py."""

from __future__ import annotations

from posthouse.core import SettingError
from posthouse.message.composing.head_lines import checked_text

__all__ = ["html_of_markdown"]


def html_of_markdown(source: str) -> str:
    """HTML of a text in Markdown; HTML within it is text, and links run no scripts.

    Raises ``SettingError`` if markdown-it-py is not installed, ``LocalError`` for what is no text.
    """
    checked_text(source, "markdown")
    try:
        from markdown_it import MarkdownIt
    except ImportError as error:
        raise SettingError(
            "Markdown needs the package markdown-it-py", remedy="install it: pip install 'posthouse[markdown]'"
        ) from error
    reader = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    made = reader.render(source)
    assert isinstance(made, str)
    return made
