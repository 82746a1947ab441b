"""SRS: there and back again, through chains of forwarders, with every way to be refused; and Mail::SRS as the peer."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Address, SettingError
from posthouse.mailauth.srs import Srs, SrsStatus, is_srs

NOW = 1_764_500_000.0
DAY = 86_400
ANN = Address("ann", "example.org")
FIRST = Srs("first.test", ["first secret"])
SECOND = Srs("second.test", ["second secret"])
THIRD = Srs("third.test", ["third secret"])


def forwarded(srs: Srs, sender: Address, now: float = NOW) -> Address:
    found = srs.forward(sender, now)
    assert found is not None
    return found


def home(srs: Srs, address: Address, now: float = NOW) -> Address:
    found = srs.reverse(address, now)
    assert found.status is SrsStatus.HOME, found
    assert found.address is not None
    return found.address


def test_a_bounce_to_a_forwarded_sender_goes_home() -> None:
    rewritten = forwarded(FIRST, ANN)
    tag, given_hash, stamp, domain, local = rewritten.local.split("=")
    assert (tag, domain, local, rewritten.domain) == ("SRS0", "example.org", "ann", "first.test")
    assert (len(given_hash), len(stamp)) == (6, 2)
    assert home(FIRST, rewritten) == ANN


def test_later_forwarders_lead_to_the_first_one() -> None:
    once = forwarded(FIRST, ANN)
    twice = forwarded(SECOND, once)
    thrice = forwarded(THIRD, twice)
    assert twice.local.startswith("SRS1=")
    assert thrice.local.startswith("SRS1=")
    assert "second.test" not in str(thrice)  # a bounce passes two hosts, however many forwarded the message
    assert home(THIRD, thrice) == once
    assert home(SECOND, twice) == once
    assert home(FIRST, home(THIRD, thrice)) == ANN


def test_null_and_own_reverse_paths_stay() -> None:
    assert FIRST.forward(None, NOW) is None
    own = Address("bob", "First.Test")
    assert FIRST.forward(own, NOW) == own
    mine = forwarded(FIRST, ANN)
    assert FIRST.forward(mine, NOW) == mine
    assert FIRST.forward(Address("postmaster"), NOW) == Address("postmaster")


def test_an_address_that_would_be_too_long_to_send_stays() -> None:
    long = Address("a" * 64, "b" * 180 + ".example")
    assert FIRST.forward(long, NOW) == long
    fits = Address("a" * 64, "example.org")
    assert home(FIRST, forwarded(FIRST, fits)) == fits


def test_plain_addresses_are_no_srs_addresses() -> None:
    assert FIRST.reverse(ANN, NOW).status is SrsStatus.PLAIN
    assert FIRST.reverse(Address("SRS0", "first.test"), NOW).status is SrsStatus.PLAIN
    assert FIRST.reverse(forwarded(SECOND, ANN), NOW).status is SrsStatus.PLAIN  # another host's
    assert is_srs(forwarded(FIRST, ANN))
    assert is_srs(Address("srs1+x", "a.test"))
    assert not is_srs(ANN)


@pytest.mark.parametrize(
    ("local", "status"),
    [
        ("SRS0=AAAAAA=AA=victim.test=ann", SrsStatus.FORGED),
        ("SRS0==AA=victim.test=ann", SrsStatus.MALFORMED),
        ("SRS0=AAA=AA=victim.test=ann", SrsStatus.FORGED),  # shorter than what we write
        ("SRS0=äöüÄÖÜ=AA=victim.test=ann", SrsStatus.FORGED),
        ("SRS0=AAAAAA=victim.test=ann", SrsStatus.MALFORMED),
        ("SRS0=AAAAAA=AA=victim.test=", SrsStatus.MALFORMED),
        ("SRS0=x", SrsStatus.MALFORMED),
        ("SRS1=AAAAAA=victim.test==x", SrsStatus.FORGED),
        ("SRS1=AAAAAA=victim.test=x", SrsStatus.MALFORMED),
        ("SRS1=AAAAAA", SrsStatus.MALFORMED),
    ],
)
def test_an_address_that_we_did_not_make_leads_nowhere(local: str, status: SrsStatus) -> None:
    found = FIRST.reverse(Address(local, "first.test"), NOW)
    assert found.status is status
    assert found.address is None
    assert found.reason


def test_every_part_of_the_address_is_under_the_hash() -> None:
    made = forwarded(FIRST, ANN)
    for changed in (
        made.local.replace("=ann", "=bob"),
        made.local.replace("example.org", "example.net"),
        made.local[:13] + ("A" if made.local[13] != "A" else "B") + made.local[14:],
    ):
        assert changed != made.local
        assert FIRST.reverse(Address(changed, "first.test"), NOW).status is SrsStatus.FORGED


def test_case_may_change_on_the_way() -> None:
    made = forwarded(FIRST, ANN)
    for local in (made.local.lower(), made.local.upper()):
        assert home(FIRST, Address(local, "FIRST.test")).domain == "example.org"


@pytest.mark.parametrize(
    ("days", "status"),
    [
        (0, SrsStatus.HOME),
        (21, SrsStatus.HOME),
        (22, SrsStatus.EXPIRED),
        (500, SrsStatus.EXPIRED),
        (1_022, SrsStatus.EXPIRED),
        (-1, SrsStatus.HOME),  # made by a host whose clock is ahead
        (-2, SrsStatus.EXPIRED),
    ],
)
def test_an_address_lives_21_days(days: int, status: SrsStatus) -> None:
    for start in (NOW, 0.0, 1_023 * DAY):  # the time stamp begins anew every 1,024 days
        begin = start + 5_000 * DAY
        assert FIRST.reverse(forwarded(FIRST, ANN, begin), begin + days * DAY).status is status


def test_a_secret_is_replaced_while_addresses_of_the_old_one_live() -> None:
    old = forwarded(FIRST, ANN)
    both = Srs("first.test", ["a new secret", "first secret"])
    assert home(both, old) == ANN
    assert home(Srs("first.test", ["a new secret"]), forwarded(both, ANN)) == ANN
    assert Srs("first.test", ["a new secret"]).reverse(old, NOW).status is SrsStatus.FORGED


def test_a_shorter_hash_counts_where_it_is_allowed() -> None:
    short = Srs("first.test", ["first secret"], hash_length=4)
    made = forwarded(short, ANN)
    assert FIRST.reverse(made, NOW).status is SrsStatus.FORGED
    lenient = Srs("first.test", ["first secret"], least_hash_length=4)
    assert home(lenient, made) == ANN


@pytest.mark.parametrize(
    "wrong",
    [
        {"secrets": []},
        {"secrets": ["short"]},
        {"secrets": ["long enough", ""]},
        {"secrets": ["long enough"], "days": 0},
        {"secrets": ["long enough"], "days": 512},
        {"secrets": ["long enough"], "hash_length": 3},
        {"secrets": ["long enough"], "hash_length": 28},
        {"secrets": ["long enough"], "least_hash_length": 7},
    ],
)
def test_settings_that_would_be_unsafe_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        Srs("first.test", **wrong)  # type: ignore[arg-type]


def test_the_secret_is_not_shown() -> None:
    assert "first secret" not in repr(FIRST)


LOCALS = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters="\x7f"), min_size=1, max_size=40
)
DOMAINS = st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z]{2,8}){1,3}", fullmatch=True)


@given(st.builds(Address, LOCALS, DOMAINS), st.floats(0, 2**33))
def test_every_address_comes_back_through_three_hosts(sender: Address, now: float) -> None:
    once = forwarded(FIRST, sender, now)
    twice = forwarded(SECOND, once, now)
    if twice == once:  # too long to be rewritten again
        return
    assert home(SECOND, twice, now) == once
    if not is_srs(sender):
        assert home(FIRST, once, now) == sender


@given(st.text(max_size=60))
def test_no_address_makes_the_reader_fail(local: str) -> None:
    FIRST.reverse(Address(local, "first.test"), NOW)
    FIRST.reverse(Address(f"SRS0={local}", "first.test"), NOW)
    FIRST.forward(Address(f"SRS1={local}", "a.test"), NOW)


def mail_srs(secret: str, script: str, *words: str) -> str:
    """What Mail::SRS (Perl) makes of an address."""
    program = (
        "use Mail::SRS; my $s = new Mail::SRS(Secret => [$ARGV[0]], MaxAge => 21, AlwaysRewrite => 1);"
        f"{script}; print $r;"
    )
    done = subprocess.run(
        ["perl", "-e", program, secret, *words], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


@pytest.mark.system("libmail-srs-perl", "/usr/share/perl5/Mail/SRS.pm")
def test_mail_srs_reads_ours_and_we_read_its() -> None:
    from time import time

    secret, now = "a secret that two programs share", time()
    ours = Srs("first.test", [secret], least_hash_length=4)
    # Around midnight the two programs may see different days, which both allow.
    assert mail_srs(secret, "my $r = $s->reverse($ARGV[1])", str(forwarded(ours, ANN, now))) == "ann@example.org"
    made = mail_srs(secret, "my $r = $s->forward($ARGV[1], $ARGV[2])", "ann@example.org", "first.test")
    assert home(ours, address(made), now) == ANN
    # It forwards what we forwarded, and the reverse.
    elsewhere = "a secret of the second host"
    twice = mail_srs(elsewhere, "my $r = $s->forward($ARGV[1], $ARGV[2])", made, "second.test")
    assert home(Srs("second.test", [elsewhere], least_hash_length=4), address(twice), now) == address(made)
    again = str(forwarded(Srs("third.test", [elsewhere]), address(twice), now))
    assert mail_srs(elsewhere, "my $r = $s->reverse($ARGV[1])", again) == made
