"""May this host send mail for this sender?  Asks the DNS, or a file of records that are not published yet.

python examples/check_spf.py 192.0.2.1 ann@example.org [zone.json]
"""

import asyncio
import sys
from pathlib import Path

from posthouse.mailauth import ask, check_spf, read_zone
from posthouse.net import DnsResolver


async def main(ip: str, sender: str, zone: str = "") -> None:
    resolver = read_zone(Path(zone).read_bytes()) if zone else DnsResolver()
    found = await ask(check_spf(ip, sender, helo="mx.example.org"), resolver)
    print(f"{found.result}: {found.reason}")
    for step in found.path:
        print(f"  {step.domain}: {step.term}")
    for lookup in found.lookups:
        print(f"  {lookup}")


asyncio.run(main(*sys.argv[1:]))
