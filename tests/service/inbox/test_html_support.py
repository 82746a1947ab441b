"""What a message's HTML uses, and what is said of mail programs by data in the shape of caniemail's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.service.operation_harness import OperationHarness, run

from posthouse.core import Address, Bytes, Envelope, Recipient, SettingError
from posthouse.service.inbox.html_features import features_in
from posthouse.service.inbox.html_support import load_support, notes_on
from posthouse.spool.interface import StoredMessage


def feature(slug: str, title: str, category: str = "css", **stats: Mapping[str, str]) -> dict[str, Any]:
    """A feature; without ``stats``, Alpha supports it and Beta does not."""
    shown: dict[str, Any] = stats or {"alpha": {"1": "y"}, "beta": {"2": "n"}}
    return {
        "slug": slug,
        "title": title,
        "category": category,
        "url": f"https://www.caniemail.com/features/{slug}/",
        "stats": {family: {"web": dict(versions)} for family, versions in shown.items()},
        "notes_by_num": {"1": "Not in tables."},
    }


def data_file(directory: Path, *features: dict[str, Any]) -> str:
    path = directory / "caniemail.json"
    names = {"family": {"alpha": "Alpha", "beta": "Beta"}, "platform": {"web": "Webmail"}}
    content = {"api_version": "1.0.4", "last_update_date": "2026-05-13", "nicenames": names, "data": list(features)}
    path.write_text(json.dumps(content))
    return str(path)


#: Slug and title of a feature; HTML that uses it; HTML that does not.
CSS = """\
css-text-shadow | text-shadow | <p style='text-shadow: 1px 1px red'> | <p style='color:red'>text-shadow
css-display-flex | display:flex | <style>p{display : FLEX !important}</style> | <p style='display:block'>
css-gap | gap, column-gap, row-gap | <p style='row-gap:1px'> | <p style='grid:1px'>
css-margin-inline-block | margin-inline & margin-block | <p style=margin-block:1px> | <p style=margin:1px>
css-height | height property | <p style='height:1px'> | <img height=1>
css-at-media-hover | @media (any-hover) | <style>@media (any-hover:x){}</style> | <style>p:hover{}</style>
css-at-media-device-pixel-ratio | @media (x) | <style>@media (-webkit-min-device-pixel-ratio:2){}</style> | <style>
css-at-import | @import | <style>@import 'x.css';</style> | <style>@font-face{src:url(@import)}</style>
css-pseudo-class-hover | :hover | <style>a:hover{}</style> | <style>a{--x:hover}</style>
css-pseudo-class-not | :not | <style>a:not(.b){}</style> | <style>a{}</style>
css-pseudo-element-after | ::after | <style>a::after{}</style> | <style>a:active{}</style>
css-selector-child | Child combinator | <style>a > b{}</style> | <style>a b{}</style>
css-selector-descendant | Descendant combinator | <style>a b{}</style> | <style>a > b, c{}</style>
css-selector-chaining | Chaining selectors | <style>.a.b{}</style> | <style>.a .b{}</style>
css-nesting | CSS Nesting | <style>a{b{}}</style> | <style>@media print{a{}}</style>
css-unit-rem | rem unit | <p style='width:1.5rem'> | <p style='width:1em'>
css-unit-percent | % unit | <p style='width:50%'> | <p style='width:50px'>
css-unit-calc | CSS calc() function | <p style='width:calc(1px + 1px)'> | <p style='width:1px'>calc(1)
css-modern-color | lch(), oklch(), lab(), oklab() | <p style='color:oklab(1 1 1)'> | <p style='color:hsl(1 1 1)'>
css-variables | CSS Variables (Custom Properties) | <p style='color:var(--x)'> | <p style='color:red'>
css-border-radius-logical | x | <p style='border-start-end-radius:1px'> | <p style='border-radius:1px'>
css-important | !important keyword | <p style='top:0!important'> | <p style='top:0'>!important
css-comments | CSS comments | <style>/* x */</style> | <p>/* x */"""
HTML = """\
html-video | <video> element | <VIDEO src=x> | <p>&lt;video>
html-align | align attribute | <p align=left> | <p style='text-align:left'>
html-hidden | hidden attribute | <p hidden> | <p title='hidden'>
html-input-checkbox | <input type="checkbox"> element | <input type=checkbox> | <input>
html-h1-h6 | <h1> to <h6> elements | <h4> | <hr>
html-anchor-links | Local anchors | <a href='#x'> | <a href='https://x.test/#x'>
html-mailto-links | mailto: links | <a href='mailto:a@b'> | <a href='https://x.test/'>
html-doctype | HTML5 doctype | <!DOCTYPE html><p> | <!DOCTYPE html PUBLIC 'x'><p>"""
IMAGES = """\
image-webp | webP image format | <img src='https://x.test/a.WEBP?x#y'> | <img src='https://x.test/webp'>
image-base64 | Base 64 image format | <img src='data:image/png;base64,AA'> | <img src='a.png'>
image-svg | SVG image format | <img src='data:image/svg+xml;base64,AA'> | <svg>"""
FEATURES = [
    (*line.split(" | "), category)
    for category, table in (("css", CSS), ("html", HTML), ("image", IMAGES))
    for line in table.splitlines()
]


@pytest.mark.parametrize(
    ("slug", "title", "with_it", "without", "category"), FEATURES, ids=[each[0] for each in FEATURES]
)
def test_a_feature_is_found_where_it_is_used_and_nowhere_else(
    tmp_path: Path, slug: str, title: str, with_it: str, without: str, category: str
) -> None:
    data = load_support(data_file(tmp_path, feature(slug, title, category)))
    assert [note.feature.slug for note in notes_on(features_in(with_it), data)] == [slug]
    assert notes_on(features_in(without), data) == []


def test_notes_are_of_the_newest_version_and_the_gravest_come_first(tmp_path: Path) -> None:
    data = load_support(
        data_file(
            tmp_path,
            feature("html-p", "<p> element", "html", alpha={"1": "n", "2": "y"}, beta={"1": "y"}),
            feature("html-b", "<b> element", "html", alpha={"1": "y", "2": "a #1"}, beta={"1": "u"}),
            feature("html-i", "<i> element", "html"),
            feature("amp", "AMP for Email", "others"),
        )
    )
    notes = notes_on(features_in("<p><b><i><b>"), data)
    assert [(note.feature.slug, note.times) for note in notes] == [("html-i", 1), ("html-b", 2)]
    assert [tuple(each) for each in notes[1].feature.programs] == [
        ("Alpha", "Webmail", "2", "partly", "Not in tables."),
        ("Beta", "Webmail", "1", "unknown", ""),
    ]
    assert [each.keys == () for each in data.features] == [False, False, False, True]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"data": []}', '{"nicenames": {}, "data": [1]}', "[" * 100_000])
def test_a_file_that_is_something_else_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(content)
    for each in (path, tmp_path / "none.json"):
        with pytest.raises(SettingError, match=r"caniemail|cannot be read"):
            load_support(str(each))


BOMBS = [
    *("<style>", "<style>a{", "<style>/* ", "<a style='", "<!--", "<style>a:", "<style>@media (", '<p style="a('),
    *("<style>.a ", "<img src='.", "<style>\"'", "<style>a[b", "<style>a{b:1", "<style>+", "<style>--a:"),
]


@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_html_is_scanned_in_bounds(bomb: str) -> None:
    """A pattern whose work grows with the square of the length would take minutes here, and the run has a limit."""
    features_in(bomb * ((1 << 19) // len(bomb)))
    opening, rest = bomb[: bomb.find(">") + 1], bomb[bomb.find(">") + 1 :]
    features_in(opening + (rest or bomb) * ((1 << 19) // len(rest or bomb)))


def test_the_operation(tmp_path: Path) -> None:
    async def go() -> None:
        path = data_file(tmp_path, feature("html-video", "<video> element", "html"))
        text = 'hostname = "mx.here.test"\n[[domain]]\nname = "here.test"\nmailboxes = "any"\n'
        plain = await OperationHarness(text=text)
        desk = await OperationHarness(text=f'{text}[inbox]\nhtml_support = "{path}"\n')
        octets = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p><video src=x></video>\r\n"
        for each in (plain, desk):
            incoming = each.queue.receive()
            incoming.abort()
            envelope = Envelope(None, (Recipient(Address("bob", "here.test")),))
            stored = StoredMessage(incoming.id, envelope, each.clock.time(), len(octets))
            await each.queue.keep("bob@here.test", stored, Bytes(octets))
        with pytest.raises(SettingError, match="no data about mail programs"):
            await plain.do("inbox html-check", number=1)
        report = await desk.do("inbox html-check", number=1)
        assert (report.looked_for, report.features, report.elements, report.data_of) == (1, 1, 2, "2026-05-13")
        (note,) = report.notes
        assert (note.title, note.times) == ("<video> element", 1)
        assert [(each.program, each.support) for each in note.programs] == [("Alpha", "yes"), ("Beta", "no")]

    run(go)
