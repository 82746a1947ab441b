"""A newsletter from one template: a message for each reader, with one-click unsubscribing.

python examples/newsletter.py ann@example.net bob@example.org
"""

import sys

from posthouse import ListFields, Templates

TEMPLATE = """
{% block subject %}News for {{ name }}{% endblock %}
{% block html %}<p>Dear {{ name }},</p><p>here is what happened.</p>{% endblock %}
"""

templates = Templates({"news": TEMPLATE})
for reader in sys.argv[1:]:
    message = templates.message(
        "news",
        "News <news@sohu.com>",
        reader,
        values={"name": reader.partition("@")[0].title()},
        mailing_list=ListFields("news.sohu.com", name="News", help="mailto:help@sohu.com"),
        unsubscribe=[f"https://sohu.com/leave?reader={reader}", "mailto:leave@sohu.com"],
        auto_submitted="auto-generated",
    )
    print(message.as_bytes().decode())
