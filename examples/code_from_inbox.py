"""The one-time code of the newest message to an address, from the console of `posthouse run`: for a browser test.

python examples/code_from_inbox.py http://127.0.0.1:8025 renping@sina.com
"""

import json
import sys
import urllib.parse
import urllib.request
from typing import Any


def asked(console: str, path: str, **query: str | int) -> Any:
    """What the console answers as JSON.  Nothing that is asked for is marked as read."""
    with urllib.request.urlopen(f"{console}{path}?{urllib.parse.urlencode(query)}", timeout=90) as answer:
        return json.load(answer)


def newest_code(console: str, address: str) -> str:
    """Wait up to 60 s for a message to exactly this address, and give its code."""
    awaited = asked(console, "/api/inbox/wait", to=address, timeout=60)
    if not awaited["met"]:
        raise SystemExit(f"nothing came; what did come: {[mail['subject'] for mail in awaited['near']]}")
    codes = asked(console, f"/message/{awaited['messages'][-1]['number']}.json")["codes"]
    return codes[0] if codes else "the message has no code"


if __name__ == "__main__":
    print(newest_code(*sys.argv[1:3]))
