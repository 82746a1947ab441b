"""ARC beside other programs: chains that dkimpy and Mail::DKIM make are valid here, and ours are valid there."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import dkim
import pytest

from posthouse.mailauth import answer
from posthouse.mailauth.arc import seal_arc, verify_arc
from posthouse.mailauth.dkim.keys import DkimKey

RESULTS = b"Authentication-Results: mx.test; spf=pass smtp.mailfrom=ann.test; dmarc=pass header.from=ann.test\r\n"
BODIES = {
    "plain": b"At five?\r\n",
    "empty": b"",
    "awkward": b"a  b \t\r\n\r\n \r\nc\r\n\r\n\r\n",
    "8-bit": "Tee um fünf?\r\n".encode(),
}


@cache
def key(domain: str) -> DkimKey:
    return DkimKey.generate(domain, "sel", "rsa", 1024)


def zone(*domains: str) -> dict[str, object]:
    return {key(domain).record_name: {"TXT": [key(domain).record()]} for domain in domains}


ZONE = zone("one.test", "two.test", "three.test")


def message(body: bytes, subject: bytes = b"Tea") -> bytes:
    return RESULTS + b"From: Ann <ann@ann.test>\r\nTo: bob@bob.test\r\nSubject:  %s\r\n\r\n" % subject + body


def sealed_here(text: bytes, domain: str) -> bytes:
    return answer(seal_arc(text, key(domain), "mx.test"), ZONE) + text


def record(name: bytes | str, timeout: int = 5) -> bytes:
    text = name.decode() if isinstance(name, bytes) else name
    found = ZONE[text.removesuffix(".")]
    assert isinstance(found, dict)
    return str(found["TXT"][0]).encode()


def sealed_by_dkimpy(text: bytes, domain: str) -> bytes:
    stated = b"Authentication-Results: mx.test; arc=pass\r\n"  # from where dkimpy takes the state of the chain
    if b"ARC-Seal" in text and b"\n" + stated not in b"\n" + text:
        text = stated + text
    names = [b"from", b"to", b"subject"]
    made = dkim.arc_sign(text, b"sel", domain.encode(), key(domain).pem(), b"mx.test", include_headers=names)
    assert made
    return b"".join(made) + text


#: Keys come from a file instead of the DNS: name, space, record.
NO_DNS = """
package Answer; sub new { my ($class, $text) = @_; return bless { text => $text }, $class }
sub type { 'TXT' } sub char_str_list { ($_[0]->{text}) } sub txtdata { ($_[0]->{text}) }
package main;
use Mail::DKIM::DNS;
my %record; open(my $in, '<', $ARGV[0]) or die;
while (<$in>) { chomp; my ($n, $t) = split(/ /, $_, 2); $record{$n} = $t }
no warnings 'redefine';
*Mail::DKIM::DNS::query_async = sub {
  my ($name, $type, %more) = @_; my @found = exists $record{$name} ? (Answer->new($record{$name})) : ();
  my $back = $more{Callbacks}{Success}; return sub { $back ? $back->(@found) : @found };
};
*Mail::DKIM::DNS::query = sub { my ($name) = @_; return exists $record{$name} ? (Answer->new($record{$name})) : () };
"""

VERIFY = """
use Mail::DKIM::ARC::Verifier; my $v = Mail::DKIM::ARC::Verifier->new(AllowSHA1 => 0); binmode STDIN;
while (<STDIN>) { s/\\015?\\012$//; $v->PRINT("$_\\015\\012") } $v->CLOSE; print $v->result_detail;
"""

SIGN = """
use Mail::DKIM::ARC::Signer; use Mail::DKIM::PrivateKey; binmode STDIN;
my $key = Mail::DKIM::PrivateKey->load(File => $ARGV[2]);
my $s = Mail::DKIM::ARC::Signer->new(Algorithm => 'rsa-sha256', Chain => $ARGV[3], Domain => $ARGV[1],
  SrvId => 'mx.test', Selector => 'sel', Key => $key, Headers => '');
while (<STDIN>) { s/\\015?\\012$//; $s->PRINT("$_\\015\\012") } $s->CLOSE;
die $s->{details} // 'no seal' unless $s->as_string; print join("\\015\\012", $s->as_strings), "\\015\\012";
"""


def perl(script: str, text: bytes, tmp_path: Path, *words: str) -> bytes:
    records = tmp_path / "records"
    lines = []
    for name, found in ZONE.items():
        assert isinstance(found, dict)
        lines.append(f"{name} {found['TXT'][0]}\n")
    records.write_text("".join(lines))
    done = subprocess.run(
        ["perl", "-e", NO_DNS + script, str(records), *words], input=text, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def sealed_by_mail_dkim(text: bytes, domain: str, tmp_path: Path, chain: str) -> bytes:
    pem = tmp_path / f"{domain}.pem"
    pem.write_bytes(key(domain).pem())
    return perl(SIGN, text, tmp_path, domain, str(pem), chain) + text


@pytest.mark.parametrize("body", BODIES)
def test_dkimpy_verifies_our_chains(body: str) -> None:
    once = sealed_here(message(BODIES[body]), "one.test")
    twice = sealed_here(once, "two.test")
    for text in (once, twice):
        result, _, reason = dkim.arc_verify(text, dnsfunc=record)
        assert result == b"pass", reason
    assert dkim.arc_verify(twice.replace(b"Tea", b"Tee"), dnsfunc=record)[0] == b"fail"


@pytest.mark.parametrize("body", BODIES)
def test_we_verify_and_continue_the_chains_of_dkimpy(body: str) -> None:
    once = sealed_by_dkimpy(message(BODIES[body]), "one.test")
    assert answer(verify_arc(once), ZONE).result == "pass"
    twice = sealed_by_dkimpy(once, "two.test")
    assert answer(verify_arc(twice), ZONE).result == "pass"
    mixed = sealed_here(twice, "three.test")
    assert answer(verify_arc(mixed), ZONE).result == "pass"
    assert dkim.arc_verify(mixed, dnsfunc=record)[0] == b"pass"
    assert answer(verify_arc(sealed_by_dkimpy(mixed, "one.test")), ZONE).result == "pass"


MAIL_DKIM = pytest.mark.system("libmail-dkim-perl", "/usr/share/perl5/Mail/DKIM/ARC/Signer.pm")


@MAIL_DKIM
@pytest.mark.parametrize("body", BODIES)
def test_mail_dkim_verifies_our_chains(body: str, tmp_path: Path) -> None:
    once = sealed_here(message(BODIES[body]), "one.test")
    twice = sealed_here(once.replace(b"Tea", b"More tea"), "two.test")
    assert perl(VERIFY, once, tmp_path).startswith(b"pass")
    assert perl(VERIFY, sealed_here(once, "two.test"), tmp_path).startswith(b"pass")
    assert perl(VERIFY, twice, tmp_path).startswith(b"fail")  # the chain was broken before the second host


@MAIL_DKIM
@pytest.mark.parametrize("body", BODIES)
def test_we_verify_and_continue_the_chains_of_mail_dkim(body: str, tmp_path: Path) -> None:
    once = sealed_by_mail_dkim(message(BODIES[body]), "one.test", tmp_path, "none")
    found = answer(verify_arc(once), ZONE)
    assert found.result == "pass", found
    mixed = sealed_here(once, "two.test")
    assert perl(VERIFY, mixed, tmp_path).startswith(b"pass")
    assert dkim.arc_verify(mixed, dnsfunc=record)[0] == b"pass"
