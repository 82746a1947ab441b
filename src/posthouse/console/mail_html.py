"""HTML of messages made safe to show in a frame.

Three walls stand behind one another, and each would do alone: nh3 takes out everything but a list of elements and
attributes; the frame is sandboxed, without scripts and in an origin of its own; and the response says by its own
Content-Security-Policy that it may run nothing, and load nothing but pictures that stand within it.  Remote pictures
are loaded by the reader's browser, if the reader asks for them; this console fetches nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final

import nh3

from posthouse.console.html_bounds import bounded_html

__all__ = ["HTML_POLICY", "REMOTE_POLICY", "is_remote", "safe_document"]

_SANDBOX: Final = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; form-action 'none'; "
_REST: Final = "style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'"
#: The policy of a message's frame, and of one whose reader has asked for remote pictures.
HTML_POLICY: Final = f"{_SANDBOX}img-src data:; {_REST}"
REMOTE_POLICY: Final = f"{_SANDBOX}img-src data: http: https:; {_REST}"

_TAGS: Final = (nh3.ALLOWED_TAGS | {"style", "font", "center", "section", "header", "footer", "main", "u", "big"}) - {
    "map",
    "area",
}
_EVERYWHERE: Final = {
    *("style", "class", "id", "dir", "lang", "title", "align", "valign", "width", "height", "bgcolor", "background"),
    *("border", "cellpadding", "cellspacing", "color", "colspan", "rowspan", "role", "hidden"),
}
_ATTRIBUTES: Final = {
    "*": _EVERYWHERE,
    "a": {"href"},
    "img": {"src", "alt"},
    "font": {"face", "size"},
    "ol": {"start", "type"},
    "li": {"value"},
}
_SCHEMES: Final = {"http", "https", "mailto", "tel", "cid", "data"}
_PICTURE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp|avif|bmp);base64,[A-Za-z0-9+/=\s]{0,8000000}")
# Blanks are never given back: a message may have a megabyte of them behind "src=".
_REMOTE: Final = re.compile(r"""(?i)(?:(?:src|background)\s*+=|url\()\s*+(?:["']\s*+)?+(?:https?:)?//""")
_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"})
#: Octets of pictures within the message that one frame has.
_MOST_PICTURES: Final = 16 << 20
_HEAD: Final = (
    '<!doctype html><html><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">'
    '<base target="_blank"><style>html{{color-scheme:{scheme};font-family:system-ui,sans-serif}}'
    "body{{margin:12px;overflow-wrap:break-word}}img{{max-width:100%;height:auto}}</style></head><body>"
)


def is_remote(source: str) -> bool:
    """Whether HTML names something that a browser would fetch from elsewhere."""
    return _REMOTE.search(source) is not None


def safe_document(source: str, pictures: Mapping[str, tuple[str, Callable[[], bytes]]], *, dark: bool = False) -> str:
    """The document of a message's frame.

    Args:
        source: the HTML as its sender wrote it.
        pictures: Content-ID in small letters → type of the part, and what gives its octets.
        dark: shown in a dark scheme, in which the message's own dark style sheet counts.
    """
    left = _MOST_PICTURES
    known: dict[str, str] = {}

    def picture(cid: str) -> str | None:
        nonlocal left
        if cid not in known:
            kind, content = pictures.get(cid, ("", bytes))
            octets = content() if kind in _PICTURES and left > 0 else b""
            left -= len(octets)
            known[cid] = f"data:{kind};base64,{base64.b64encode(octets).decode()}" if octets and left >= 0 else ""
        return known[cid] or None

    def attribute(element: str, name: str, value: str) -> str | None:
        bare = value.strip()
        lowered = bare[:5].lower()
        if lowered.startswith("cid:"):
            return picture(bare[4:].strip("<>").lower()) if name in ("src", "background") else None
        if lowered == "data:":
            return value if (element, name) == ("img", "src") and _PICTURE.fullmatch(bare) else None
        return value

    body = nh3.clean(
        bounded_html(source),
        tags=set(_TAGS),
        clean_content_tags={"script", "template", "noscript", "title", "svg", "math", "iframe", "object", "textarea"},
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        url_schemes=set(_SCHEMES),
        link_rel="noopener noreferrer",
        strip_comments=True,
    )
    return f"{_HEAD.format(scheme='dark' if dark else 'light')}{body}</body></html>"
