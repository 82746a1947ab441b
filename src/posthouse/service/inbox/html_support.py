"""What mail programs make of HTML and CSS, by the data of caniemail.com, and the notes on one message.

The data is tests of people with real mail programs; it is a file that the configuration names (``html_support`` of
``[inbox]``): that of the npm package ``caniemail`` or of the site, which change as programs do.  No package on PyPI has
it, and a copy in ours would grow old.  Which uses a feature stands for is read from its title ("@media (hover)", "rem
unit", "<video> element", "text-shadow"), and for some from the table here; others are not looked for.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from posthouse.core import SettingError

__all__ = ["Feature", "FeatureNote", "Program", "SupportData", "load_support", "notes_on"]

_LARGEST: Final = 16 << 20  # octets of a file
_SUPPORT: Final = {"y": "yes", "a": "partly", "n": "no"}
_WORD: Final = re.compile(r"-?[a-z][a-z0-9-]*")
_SEMANTICS: Final = "article aside details figcaption figure footer header main mark nav section summary time"
_FONTS: Final = "system-ui ui-serif ui-sans-serif ui-rounded ui-monospace"
_SPECIAL: Final[Mapping[str, Sequence[str]]] = {
    "css-at-media-device-pixel-ratio": ["media:device-pixel-ratio"],
    "css-border-inline-block-individual": ["prop~border-(inline|block)-(start|end)(-(width|style|color))?"],
    "css-border-inline-block-longhand": ["prop~border-(inline|block)-(width|style|color)"],
    "css-border-radius-logical": ["prop~border-(start|end)-(start|end)-radius"],
    "css-column-layout-properties": ["prop~columns|column-(width|fill|span|rule.*)"],
    "css-comments": ["css:comment"],
    "css-grid-template": ["prop~grid-template-.*"],
    "css-important": ["word:!important"],
    "css-inert-attribute": ["attr:inert"],
    "css-intrinsic-size": ["word:fit-content", "word:min-content", "word:max-content"],
    "css-nesting": ["css:nesting"],
    "css-pseudo-class-lang": [":lang"],
    "css-selector-adjacent-sibling": ["sel:adjacent"],
    "css-selector-general-sibling": ["sel:sibling"],
    "css-sytem-ui": [f"word:{each}" for each in _FONTS.split()],
    "css-unit-calc": ["fn:calc"],
    "css-unit-initial": ["word:initial"],
    "css-variables": ["css:variable", "fn:var"],
    "html-address": ["<address>"],
    "html-anchor-links": ["link:local"],
    "html-base": ["<base>"],
    "html-button-reset": ["button:reset"],
    "html-button-submit": ["button:submit"],
    "html-comments": ["html:comment"],
    "html-doctype": ["html:doctype"],
    "html-h1-h6": [f"<h{each}>" for each in range(1, 7)],
    "html-image-maps": ["<map>"],
    "html-lists": ["<ul>", "<ol>", "<dl>"],
    "html-mailto-links": ["link:mailto"],
    "html-meta-color-scheme": ["meta:color-scheme"],
    "html-semantics": [f"<{each}>" for each in _SEMANTICS.split()],
    "html-srcset": ["attr:srcset", "attr:sizes"],
    "html-svg": ["<svg>"],
}


class Program(NamedTuple):
    """A mail program on a platform, in the version that was tested last, and its support: yes, partly, no, unknown.

    ``note`` says what is missing, "" if nothing is said.
    """

    name: str
    platform: str
    version: str
    support: str
    note: str


class Feature(NamedTuple):
    """A feature of the data: the keys of ``html_features`` that stand for it (without any, it is not looked for), and
    what each program does with it."""

    slug: str
    title: str
    category: str
    url: str
    keys: tuple[str, ...]
    programs: tuple[Program, ...]


class SupportData(NamedTuple):
    """The features, and when the data was last changed."""

    features: tuple[Feature, ...]
    changed: str


class FeatureNote(NamedTuple):
    """A feature that a message uses so many times, and that some program does not support whole."""

    feature: Feature
    times: int

    def programs(self, support: str) -> list[Program]:
        """The programs with this support."""
        return [each for each in self.feature.programs if each.support == support]


def load_support(path: str) -> SupportData:
    """The data of a file.  Raises ``SettingError`` if it cannot be read, or is something else."""
    try:
        status = os.stat(path)
        if status.st_size > _LARGEST:
            raise SettingError(f"{path} is larger than {_LARGEST >> 20} MiB", remedy="name the data file of caniemail")
        return _loaded(path, status.st_mtime_ns)
    except OSError as error:
        raise SettingError(
            f"html_support cannot be read ({error.strerror})", where=path, remedy="name the data file of caniemail"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SettingError(
            "html_support is no data of caniemail",
            where=path,
            remedy="name data/caniemail.json of the npm package caniemail",
        ) from error


@lru_cache(maxsize=1)
def _loaded(path: str, changed: int) -> SupportData:
    with open(path, encoding="utf-8") as file:
        read: dict[str, Any] = json.load(file)
    names = read["nicenames"]
    features = tuple(_feature(each, names) for each in read["data"])
    if not features:
        raise ValueError("no features")
    return SupportData(features, str(read.get("last_update_date", ""))[:40])


def _feature(each: Mapping[str, Any], names: Mapping[str, Any]) -> Feature:
    notes = each.get("notes_by_num") or {}
    programs = []
    for family, platforms in each["stats"].items():
        for platform, versions in platforms.items():
            if versions:
                version, text = list(versions.items())[-1]
                numbers = re.findall(r"#(\d+)", str(text))
                said = " ".join(str(notes.get(number, "")) for number in numbers).strip()
                support = _SUPPORT.get(str(text)[:1], "unknown")
                name = str(names["family"].get(family, family))
                shown = str(names["platform"].get(platform, platform))
                programs.append(Program(name[:60], shown[:60], str(version)[:30], support, said[:500]))
    slug, title, category = str(each["slug"]), str(each["title"]).strip(), str(each["category"])
    url = str(each.get("url", ""))
    url = url if url.startswith("https://www.caniemail.com/") else ""
    return Feature(slug, title[:100], category, url[:300], _keys(slug, title, category), tuple(programs))


def _keys(slug: str, title: str, category: str) -> tuple[str, ...]:
    if slug in _SPECIAL:
        return tuple(_SPECIAL[slug])
    if category == "css":
        return tuple(_css_keys(slug, title))
    if category == "html":
        return tuple(_html_keys(title))
    return (f"image:{slug.removeprefix('image-')}",) if category == "image" else ()


def _css_keys(slug: str, title: str) -> list[str]:
    if slug.startswith("css-selector-"):
        return [f"sel:{slug.removeprefix('css-selector-')}"]
    if title.startswith("@media ("):
        return [f"media:{each}" for each in re.findall(r"\(([a-z-]+)\)", title)]
    if title.startswith("@"):
        return [f"at:{title}"]
    if title.startswith(":"):
        return [title.removesuffix("()")]
    if match := re.fullmatch(r"(\S+) unit", title):
        return [f"unit:{match[1]}"]
    if match := re.fullmatch(r"([a-z-]+): ?([a-z-]+)", title):
        return [f"decl:{match[1]}:{match[2]}"]
    words = re.split(r", | & ", re.sub(r" (CSS property|property|shorthand)$", "", title))
    if all(each.endswith("()") for each in words):
        return [f"fn:{each[:-2]}" for each in words]
    return [f"prop:{each}" for each in words] if all(_WORD.fullmatch(each) for each in words) else []


def _html_keys(title: str) -> list[str]:
    if match := re.fullmatch(r'<input type="([a-z]+)"> element', title):
        return [f"input:{match[1]}"]
    if match := re.fullmatch(r"<([a-z0-9]+)> element", title):
        return [f"<{match[1]}>"]
    if match := re.fullmatch(r"([a-z-]+) attribute", title):
        return [f"attr:{match[1]}"]
    return []


def notes_on(used: Counter[str], data: SupportData) -> list[FeatureNote]:
    """The notes on a message with these uses: first what the most programs leave out."""
    found = []
    for feature in data.features:
        times = sum(_times(used, key) for key in feature.keys)
        if times and any(each.support in ("no", "partly") for each in feature.programs):
            found.append(FeatureNote(feature, times))
    return sorted(found, key=lambda note: (-len(note.programs("no")), -len(note.programs("partly")), note.feature.slug))


def _times(used: Counter[str], key: str) -> int:
    if not key.startswith("prop~"):
        return used[key]
    pattern = re.compile(f"prop:(?:{key.removeprefix('prop~')})")
    return sum(times for each, times in used.items() if pattern.fullmatch(each))
