"""Log in with an OAuth token instead of a password (RFC 7628, XOAUTH2), and send one message.

python examples/token_sender.py smtps://ann@mail.example.org bob@example.org
"""

import json
import os
import sys
import urllib.request

import posthouse
from posthouse.sending import OAuthToken


def token(host: str, user: str, fresh: bool) -> OAuthToken:
    """Ask the issuer; Posthouse keeps the token until 60 s before its end, and asks again if it is refused."""
    with urllib.request.urlopen(os.environ["TOKEN_URL"], timeout=10) as answer:
        found = json.load(answer)
    return OAuthToken(found["access_token"], found["expires_at"])


message = posthouse.Message(sender="ann@sohu.com", to=sys.argv[2:], subject="hello", text="hello\n")
result = posthouse.send(message, via=sys.argv[1], credentials=token, ca=os.environ.get("CA_FILE", ""))
print(result.raise_for_failures())
