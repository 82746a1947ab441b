"""A fault switched on by the console's API: start ``posthouse run``, then ``python examples/fault_switch.py``."""

import json
import sys
import urllib.request
from typing import Any

import posthouse

CONSOLE, SERVER = [*sys.argv[1:], "http://127.0.0.1:8025", "smtp://127.0.0.1:1025"][:2]


def ask(path: str, **fields: object) -> Any:
    body = json.dumps(fields).encode()
    request = urllib.request.Request(f"{CONSOLE}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


ask("/faults/on", name="greylisting", stage="rcpt", reply="451 4.7.1 Try again later", to="ann@*", times=2)
message = posthouse.Message("app@example.org", "ann@example.com", subject="Hello", text="Does it try again?")
for attempt in (1, 2, 3):
    [outcome] = posthouse.send(message, via=SERVER, timeout=30)
    print(f"attempt {attempt}: {outcome.result}: {outcome.reply or outcome.reason}")
print(f"faults that are on: {len(ask('/faults/off', all=True)['faults'])}")
