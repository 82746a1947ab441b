"""Say for which destinations mail has waited too long: the console's JSON, for cron or a monitoring system.

python watch_queue.py http://127.0.0.1:8025 14400
"""

import json
import sys
from urllib.request import urlopen


def late(console: str, seconds: float) -> list[str]:
    """A line for each destination whose oldest message has waited longer."""
    with urlopen(f"{console}/queue.json", timeout=30) as answer:
        summary = json.load(answer)["summary"]
    waits = [(row, summary["now"] - row["oldest"]) for row in summary["rows"]]
    return [
        f"{row['destination']}: {row['waiting']} waiting, the oldest for {wait / 3600:.1f} h"
        for row, wait in waits
        if wait > seconds
    ]


if __name__ == "__main__":
    found = late(sys.argv[1], float(sys.argv[2]))
    print(*found, sep="\n")
    sys.exit(1 if found else 0)
