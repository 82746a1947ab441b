"""Static files: read once, compressed once, and served with an ETag at an address that has their hash.

All style sheets are one bundle, ``base.css`` first and the others in the order of their names, so a page module adds a
file and nothing else.  The bundle stands in each page: a sheet that a new tab has to ask for delays its first paint by
1/4.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
from typing import Final, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Assets", "etag_matches"]

_HERE: Final = os.path.join(os.path.dirname(__file__), "static")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_COMMENT: Final = re.compile(r"\s*/\*.*?\*/", re.DOTALL)
_FOREVER: Final = "public, max-age=31536000, immutable"


class _Asset(NamedTuple):
    content: bytes
    packed: bytes
    kind: str
    tag: str


class Assets:
    """The files of ``console/static``.

    Attributes:
        style: the element with all style sheets, for the head of a page.
        style_source: the source of that element for a Content-Security-Policy.
    """

    def __init__(self) -> None:
        names = sorted(each for each in os.listdir(_HERE) if os.path.splitext(each)[1] in _TYPES)
        files = {name: _read(os.path.join(_HERE, name)) for name in names}
        sheets = sorted((name for name in names if name.endswith(".css")), key=lambda name: (name != "base.css", name))
        base = _asset("base.js", files["base.js"]).tag
        for name in names:  # a script imported by another address would be loaded and run once more
            if name.endswith(".js"):
                files[name] = files[name].replace(b'"./base.js"', f'"./base.js?v={base}"'.encode())
        style = _COMMENT.sub("", "\n".join(files[name].decode() for name in sheets))
        self.style = Markup(f"<style>{style}</style>")
        self.style_source = f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
        self._assets = {name: _asset(name, content) for name, content in files.items()}

    def path(self, name: str) -> str:
        """The path of a file, which changes when its content does.  Raises ``KeyError`` if there is none."""
        return f"/static/{name}?v={self._assets[name].tag}"

    def inline(self, name: str) -> Markup:
        """The text of a file, to stand in a page.  Raises ``KeyError`` if there is none."""
        return Markup(self._assets[name].content.decode())

    async def serve(self, request: Request) -> Response:
        """The response for ``/static/{name}``."""
        found = self._assets.get(request.path_params["name"])
        if found is None:
            return Response("there is no such file\n", 404, media_type="text/plain")
        headers = {
            "etag": f'"{found.tag}"',
            "cache-control": _FOREVER if request.query_params.get("v") == found.tag else "no-cache",
            "vary": "accept-encoding",
        }
        if etag_matches(request, found.tag):
            return Response(status_code=304, headers=headers)
        content = found.content
        if found.packed and "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["content-encoding"] = found.packed, "gzip"
        return Response(content, headers={**headers, "content-type": found.kind})


def etag_matches(request: Request, tag: str) -> bool:
    """Whether If-None-Match (RFC 9110 §13.1.2) names this tag; a weak tag matches as well."""
    given = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or f'"{tag}"' in given


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _asset(name: str, content: bytes) -> _Asset:
    kind = _TYPES[os.path.splitext(name)[1]]
    packed = b"" if name.endswith((".png", ".woff2")) else gzip.compress(content, 9, mtime=0)
    return _Asset(content, packed, kind, hashlib.sha256(content).hexdigest()[:16])
