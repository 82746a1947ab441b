"""Sign a message with DKIM, and verify it with the record that would be in the DNS.

python examples/sign_dkim.py message.eml example.org selector key.pem > signed.eml

The key is made at the first use; its record and the verdict are shown on standard error.
"""

import sys
from pathlib import Path

from posthouse.mailauth import DkimKey, answer, sign_dkim, verify_dkim


def main(message: str, domain: str, selector: str, pem: str) -> None:
    file = Path(pem)
    if not file.exists():
        file.touch(0o600)
        file.write_bytes(DkimKey.generate(domain, selector).pem())
    key = DkimKey.from_pem(domain, selector, file.read_bytes())
    octets = Path(message).read_bytes()
    signed = sign_dkim(octets, key) + octets
    found = answer(verify_dkim(signed), {key.record_name: {"TXT": [key.record()]}})
    print(f"{key.record_name} TXT {key.record()}\n{found.result}: {found.reason}", file=sys.stderr)
    sys.stdout.buffer.write(signed)


main(*sys.argv[1:])
