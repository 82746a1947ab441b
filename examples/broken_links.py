"""Say which links of the newest message to an address are broken, by the API of the console: for tests.

python broken_links.py http://127.0.0.1:8025 ann@example.org
"""

import json
import sys
from typing import Any
from urllib.request import Request, urlopen


def ask(console: str, operation: str, **given: object) -> Any:
    """The answer of an operation."""
    request = Request(f"{console}/api/{operation}", json.dumps(given).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=120) as answer:
        return json.load(answer)


if __name__ == "__main__":
    console, address = sys.argv[1:]
    awaited = ask(console, "inbox/wait", to=address, timeout=30)
    if not awaited["met"]:
        sys.exit(f"no message has come for {address}")
    links = ask(console, "inbox/links", number=awaited["messages"][-1]["number"])["links"]
    broken = [f"{each['url']}: {each['text']}" for each in links if each["result"] == "broken"]
    print(*broken, sep="\n")
    sys.exit(1 if broken else 0)
