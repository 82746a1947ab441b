"""Templates: three blocks of one file, values escaped in HTML alone, mistakes named."""

from __future__ import annotations

from pathlib import Path

import pytest

import posthouse
from posthouse import LocalError, Templates

ORDER = """
{% block subject %}
Your order {{ number }}
for {{ name }}
{% endblock %}
{% block text %}
Dear {{ name }},
{% for each in things %}
- {{ each }}
{% endfor %}
{% endblock %}
{% block html %}
<p>Dear {{ name }}</p>
{% endblock %}
"""


def test_subject_text_and_html_come_from_one_file(tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text(ORDER, encoding="utf-8")
    for source in (tmp_path, str(tmp_path), {"order.txt": ORDER}):
        message = Templates(source).message(
            "order.txt",
            "shop@x.example",
            "ann@y.example",
            values={"number": 7, "name": "Ann & <Bob>", "things": ["tea"]},
            auto_submitted="auto-generated",
        )
        assert message.subject == "Your order 7 for Ann & <Bob>"
        assert message.text == "Dear Ann & <Bob>,\n- tea\n"
        assert message.html == "<p>Dear Ann &amp; &lt;Bob&gt;</p>\n"
        assert posthouse.read(message.as_bytes()).header("auto-submitted") == "auto-generated"


def test_a_value_cannot_begin_a_header_field() -> None:
    made = Templates({"a": "{% block subject %}{{ x }}{% endblock %}"}).message(
        "a", "a@x.example", values={"x": "a\r\nBcc: b"}
    )
    assert made.subject == "a Bcc: b"


def test_templates_inherit_and_text_is_made_of_html() -> None:
    templates = Templates(
        {
            "base": "{% block subject %}{{ site }}: {{ title }}{% endblock %}"
            "{% block html %}<b>{% block inner %}{% endblock %}</b>{% endblock %}",
            "child": "{% extends 'base' %}{% set title = 'News' %}{% block inner %}{{ x|shout }}{% endblock %}",
        },
        filters={"shout": str.upper},
        values={"site": "X"},
    )
    message = templates.message("child", "a@x.example", values={"x": "a<b"})
    assert (message.subject, message.text, message.html) == ("X: News", None, "<b>A&lt;B</b>")
    assert posthouse.read(message.as_bytes()).text == "A<B\n"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{% block text %}{{ missing }}{% endblock %}", "needs a value that is not given: 'missing'"),
        ("{% block text %}\n{{ }}{% endblock %}", "the template a, line 2: "),
        ("{% extends 'b' %}", "there is no template b"),
        ("no blocks", "has no block named"),
    ],
)
def test_a_mistake_is_named(source: str, sentence: str) -> None:
    with pytest.raises(LocalError, match=sentence):
        Templates({"a": source}).render("a")
    with pytest.raises(LocalError, match="there is no template z"):
        Templates({"a": source}).render("z")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="does not exist"):
        Templates(tmp_path / "none")
