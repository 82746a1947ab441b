"""Check that HTML and the parts that it shows name each other (``cid:`` URLs, RFC 2392)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from posthouse.core import LocalError

__all__ = ["check_inline", "shown_ids"]

# In an attribute or in url(…) of a style; "cid:" within words of the text is none.
_CID = re.compile(r"(?i)[\"'(=]\s{0,10}cid:([^\"'\s)<>]{1,1000})")


def shown_ids(html: str) -> list[str]:
    """The content ids that HTML shows, each once, in their order."""
    found = dict.fromkeys(match[1] for match in _CID.finditer(html))
    if not found:
        return []
    from html import unescape
    from urllib.parse import unquote

    return list(dict.fromkeys(unquote(unescape(each)) for each in found))


def check_inline(html: str | None, ids: Sequence[str]) -> None:
    """Raise ``LocalError`` if the HTML shows a part that is not there, or a part is there and the HTML does not show
    it: readers would show a hole, or the picture among the attachments."""
    if html is None:
        if ids:
            raise LocalError(
                f"the inline part {ids[0]!r} needs HTML that shows it; give html, or put it in attachments"
            )
        return
    shown = shown_ids(html)
    missing = next((each for each in shown if each not in ids), None)
    if missing is not None:
        raise LocalError(
            f"the HTML shows cid:{missing}, and no inline part has that name; give inline={{{missing!r}: Path(…)}}"
        )
    unused = next((each for each in ids if each not in shown), None)
    if unused is not None:
        raise LocalError(
            f'the HTML does not show the inline part {unused!r}; write src="cid:{unused}", or put it in attachments'
        )
