"""Django's mail by Posthouse: sent when the transaction is committed, and dropped when it is rolled back.

python django_mail.py smtps://name:password@mail.example.org
"""

import sys

import django
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction

settings.configure(
    EMAIL_BACKEND="posthouse.django.EmailBackend",
    POSTHOUSE_URL=sys.argv[1],
    POSTHOUSE_ON_COMMIT=True,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

with transaction.atomic():
    message = EmailMessage("Your order", "Thank you!", "shop@example.org", ["ann@example.net"])
    message.send()
print("delivered" if message.posthouse_result.ok else "not delivered")
