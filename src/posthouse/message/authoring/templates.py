"""Templates of messages by Jinja2: subject, text and HTML from one file.

A template has blocks::

    {% block subject %}Your order {{ number }}{% endblock %}
    {% block text %}Dear {{ name }}, …{% endblock %}
    {% block html %}<p>Dear {{ name }}, …</p>{% endblock %}

Values are escaped in the HTML and nowhere else, so a name with ``&`` is right in all three.  A block may be missing;
without ``text`` a text is made of the HTML.  Templates may inherit (``{% extends %}``) and include others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.core import LocalError, SettingError
from posthouse.message.composing.given_mailboxes import Addressee, Addressees
from posthouse.message.message import Message

if TYPE_CHECKING:
    from typing import Unpack

    from jinja2 import BaseLoader, Environment

    from posthouse.message.composing.message_changes import MessageOptions

__all__ = ["RenderedTemplate", "Templates"]

_BLOCKS: Final = ("subject", "text", "html")


class RenderedTemplate(NamedTuple):
    """What a template gives: the subject on one line, and the bodies, None without their block."""

    subject: str
    text: str | None
    html: str | None


class Templates:
    """Templates in a folder, in a mapping of names to sources, or behind a loader of Jinja2.

    Args:
        source: Where they are.
        filters: Further filters by name; ``values`` what every template knows.

    A variable that is not given is an error.  Needs the extra ``posthouse[templates]``.

    Raises:
        SettingError: Jinja2 is not installed.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Mapping[str, str] | BaseLoader,
        *,
        filters: Mapping[str, Callable[..., object]] | None = None,
        values: Mapping[str, object] | None = None,
    ) -> None:
        try:
            import jinja2
        except ImportError as error:
            raise SettingError(
                "templates need the package Jinja2", remedy="install it: pip install 'posthouse[templates]'"
            ) from error
        loader: BaseLoader
        if isinstance(source, (str, os.PathLike)):
            if not os.path.isdir(source):
                raise LocalError(f"the folder of templates {os.fspath(source)} does not exist; make it or name another")
            loader = jinja2.FileSystemLoader(source)
        else:
            loader = jinja2.DictLoader(source) if isinstance(source, Mapping) else source
        self._plain = _environment(loader, filters, values, escaped=False)
        self._escaped = _environment(loader, filters, values, escaped=True)

    def render(self, name: str, values: Mapping[str, object] | None = None) -> RenderedTemplate:
        """Subject, text and HTML of a template.

        Raises:
            LocalError: There is no such template, its syntax is wrong, it has none of the blocks, or a value is
                missing; the sentence names the template and the line.
        """
        given = dict(values or {})
        plain = _blocks(self._plain, name, given, ("subject", "text"))
        found = plain | _blocks(self._escaped, name, given, ("html",))
        if not found:
            raise LocalError(f"the template {name} has no block named subject, text or html; add {{% block text %}}")
        return RenderedTemplate(" ".join(found.get("subject", "").split()), found.get("text"), found.get("html"))

    def message(
        self,
        name: str,
        sender: Addressee,
        to: Addressees = (),
        *,
        values: Mapping[str, object] | None = None,
        **options: Unpack[MessageOptions],
    ) -> Message:
        """A message of a template; ``options`` are further arguments of ``Message``.

        Raises ``LocalError`` as ``render`` and ``Message`` do.
        """
        made = self.render(name, values)
        given: MessageOptions = {"subject": made.subject}
        given.update(options)
        return Message(sender, to, text=made.text, html=made.html, **given)


def _environment(
    loader: BaseLoader,
    filters: Mapping[str, Callable[..., object]] | None,
    values: Mapping[str, object] | None,
    *,
    escaped: bool,
) -> Environment:
    import jinja2

    made = jinja2.Environment(
        loader=loader, autoescape=escaped, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(filters or {})
    made.globals.update(values or {})
    return made


def _blocks(
    environment: Environment, name: str, values: Mapping[str, object], wanted: tuple[str, ...]
) -> dict[str, str]:
    """The wanted blocks that a template and its parents have, rendered."""
    import jinja2

    try:
        template = environment.get_template(name)
        context = template.new_context(dict(values))
        "".join(template.root_render_func(context))  # enters the blocks of the parents, and what {% set %} sets
        return {block: "".join(context.blocks[block][0](context)) for block in wanted if block in context.blocks}
    except jinja2.TemplateNotFound as error:
        raise LocalError(f"there is no template {error}; name one that the folder has") from error
    except jinja2.TemplateSyntaxError as error:
        raise LocalError(f"the template {error.name or name}, line {error.lineno}: {error.message}") from error
    except jinja2.UndefinedError as error:
        raise LocalError(f"the template {name} needs a value that is not given: {error.message}") from error
