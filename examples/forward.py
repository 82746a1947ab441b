"""A forwarder that harms no authentication: ARC says what was true when the message came in, SRS leads bounces home."""

from posthouse.core import Address
from posthouse.mailauth import DkimKey, Srs, answer, check_dmarc, seal_arc, verify_arc
from posthouse.mailauth.arc import vouching_set

key = DkimKey.generate("forward.test", "2026a")
srs = Srs("forward.test", ["a secret that only this host knows"])
zone = {
    key.record_name: {"TXT": [key.record()]},  # a daemon asks the DNS: await ask(…, posthouse.net.DnsResolver())
    "_dmarc.sohu.com": {"TXT": ["v=DMARC1; p=reject"]},
}
message = b"""Authentication-Results: mx.forward.test; spf=pass smtp.mailfrom=sohu.com; dmarc=pass header.from=sohu.com
From: langrui@sohu.com
To: renping@forward.test
Subject: Tea

At five?
"""
now = 1_795_900_000.0
sealed = answer(seal_arc(message, key, "mx.forward.test", now=now), zone) + message
sender = srs.forward(Address("langrui", "sohu.com"), now)
assert sender is not None  # it stays None for a bounce
print(f"MAIL FROM:<{sender}>")

# The next host: SPF passes for forward.test, which is not sohu.com, so DMARC fails. The chain tells why.
print("dmarc", answer(check_dmarc(sealed, spf=("pass", "forward.test")), zone).disposition)
chain = answer(verify_arc(sealed, now=now), zone)
print("arc", chain.result, "believed" if vouching_set(chain, ["forward.test"], "sohu.com") else "not believed")
print("a bounce goes to", srs.reverse(sender, now).address)
