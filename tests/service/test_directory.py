"""What an address of ours stands for, and what an expansion stores."""

from __future__ import annotations

import subprocess
import sys

import pytest

from posthouse.core import Address, Envelope, Notify, OriginalRecipient, Recipient, Ret
from posthouse.relay import Route
from posthouse.service import ConfigError, context
from posthouse.service.config_file import default_config, parse
from posthouse.service.directory.directory import Directory, Expanded, Foreign, Local, Moved, Unknown
from posthouse.service.directory.expansion import expand_envelope

HOUSE = """
hostname = "mail.example.org"

[[domain]]
name = "example.org"
mailboxes = ["bob", "ann", "info"]
aliases = { sales = ["bob", "sales@example.net"], info = ["info", "ann"], boss = ["Ann"], all = ["sales", "info"] }
moved = { eve = "eve@example.net", mail = "boss" }
paused = ["ann"]

[domain.lists.team]
members = ["bob", "zoe@example.net", "sales"]
owner = "ann"

[domain.lists.talk]
members = ["zoe@example.net"]

[[domain]]
name = "例子.test"
mailboxes = "any"
aliases = { postmaster = ["root@example.org"] }
paused = ["张三"]
[[domain]]
name = "hold.test"
deliver = "discard"
[[domain]]
name = "gone.test"
moved = { tom = "tom@example.net" }
moved_action = "tell"
"""


def house(text: str = HOUSE) -> Directory:
    return Directory(parse(text.replace("root@example.org", "bob@example.org")))


def address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)


def ends(text: str) -> list[str]:
    found = house().resolve(address(text))
    assert isinstance(found, Expanded | Moved)
    return [str(each.address) for each in found.targets]


def test_mailboxes_in_any_case() -> None:
    found = house().resolve(Address("BoB", "example.org"))
    assert isinstance(found, Local)
    assert found.mailbox == "bob@example.org"
    assert not found.paused


def test_quoted_local_parts_are_the_names_in_the_quotes() -> None:
    here = house("""
[[domain]]
name = "example.org"
mailboxes = ['"Li Ming"', '"bob"', "ann"]
aliases = { '"the team"' = ['"li ming"', "ann"] }
""")
    for local in ("li ming", "Li Ming", "bob", "the team"):
        assert not isinstance(here.resolve(Address(local, "example.org")), Unknown), local
    assert isinstance(here.resolve(Address('"li ming"', "example.org")), Unknown)
    found = here.resolve(Address("the team", "example.org"))
    assert isinstance(found, Expanded)
    assert [each.address.local for each in found.targets] == ["li ming", "ann"]


def test_nobody_and_foreign() -> None:
    assert isinstance(house().resolve(Address("nobody", "example.org")), Unknown)
    assert isinstance(house().resolve(Address("bob", "example.net")), Foreign)
    assert isinstance(house().resolve(Address("bob", "sub.example.org")), Foreign)
    assert isinstance(house().resolve(Address("bob", "[127.0.0.1]")), Foreign)


def test_domains_in_either_spelling() -> None:
    for domain in ("例子.test", "xn--fsqu00a.test"):
        found = house().resolve(Address("李四", domain))
        assert isinstance(found, Local)
        assert found.mailbox == "李四@xn--fsqu00a.test"
    paused = house().resolve(Address("张三", "例子.test"))
    assert isinstance(paused, Local)
    assert paused.paused


def test_postmaster_always_exists() -> None:
    directory = house()
    for domain in ("example.org", "hold.test", "gone.test", "mail.example.org"):
        found = directory.resolve(Address("PostMaster", domain))
        assert isinstance(found, Local)
        assert found.mailbox == f"postmaster@{domain}"
    assert isinstance(directory.resolve(Address("postmaster", "例子.test")), Expanded)
    assert directory.resolve(Address("Postmaster")).address == Address("postmaster", "example.org")


def test_the_hosts_own_name_has_a_postmaster_and_nobody_else() -> None:
    directory = Directory(parse('hostname = "mx.example.org"'))
    assert isinstance(directory.resolve(Address("Postmaster")), Local)
    assert isinstance(directory.resolve(Address("postmaster", "mx.example.org")), Local)
    assert isinstance(directory.resolve(Address("bob", "mx.example.org")), Unknown)
    assert isinstance(directory.resolve(Address("bob", "example.org")), Foreign)


def test_any_and_discard_take_everybody() -> None:
    assert isinstance(house().resolve(Address("whoever", "hold.test")), Local)
    directory = Directory(default_config())
    found = directory.resolve(Address("Who", "anywhere.test"))
    assert isinstance(found, Local)
    assert found.mailbox == "who@anywhere.test"


def test_aliases_are_flat_and_without_duplicates() -> None:
    assert ends("sales@example.org") == ["bob@example.org", "sales@example.net"]
    assert ends("boss@example.org") == ["Ann@example.org"]
    assert ends("all@example.org") == ["bob@example.org", "sales@example.net", "info@example.org", "ann@example.org"]


def test_an_alias_that_names_itself_means_the_mailbox() -> None:
    assert ends("info@example.org") == ["info@example.org", "ann@example.org"]


def test_moved_mailboxes() -> None:
    eve = house().resolve(Address("Eve", "example.org"))
    assert isinstance(eve, Moved)
    assert (str(eve.to), eve.action) == ("eve@example.net", "forward")
    assert ends("mail@example.org") == ["Ann@example.org"]
    tom = house().resolve(Address("tom", "gone.test"))
    assert isinstance(tom, Moved)
    assert tom.action == "tell"


def test_lists_have_an_owner() -> None:
    team = house().resolve(Address("team", "example.org"))
    assert isinstance(team, Expanded)
    assert str(team.owner) == "ann@example.org"
    assert [str(each.address) for each in team.targets] == [
        "bob@example.org",
        "zoe@example.net",
        "sales@example.net",
    ]
    talk = house().resolve(Address("talk", "example.org"))
    assert isinstance(talk, Expanded)
    assert str(talk.owner) == "postmaster@example.org"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ('aliases = { a = ["b"], b = ["a"] }', "leads only to itself"),
        ('aliases = { a = ["a"] }', "leads only to itself"),
        ('aliases = { a = ["nobody"] }', "that has no such name"),
        ('moved = { a = "nobody" }', "that has no such name"),
        ('moved = { m = "m@y.test" }\nmoved_action = "tell"\naliases = { a = ["m"] }', "name m@y.test instead"),
    ],
)
def test_names_that_lead_nowhere_are_mistakes(names: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(f'[[domain]]\nname = "x.test"\n{names}')


def test_loops_end() -> None:
    text = '[[domain]]\nname = "x.test"\nmailboxes = ["c"]\naliases = { a = ["b", "c"], b = ["a"], d = ["b"] }'
    directory = Directory(parse(text))
    for name in ("a", "b", "d"):
        found = directory.resolve(Address(name, "x.test"))
        assert isinstance(found, Expanded)
        assert [str(each.address) for each in found.targets] == ["c@x.test"]


def chain(length: int) -> str:
    """A domain whose alias ``n0`` leads to the mailbox ``e`` through so many aliases."""
    names = [f'n{nth} = ["n{nth + 1}"]' for nth in range(length - 1)] + [f'n{length - 1} = ["e"]']
    return '[[domain]]\nname = "x.test"\nmailboxes = ["e"]\n[domain.aliases]\n' + "\n".join(names)


def test_aliases_deeper_than_the_limit_are_one_mistake_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(chain(21))
    (problem,) = caught.value.problems
    assert "n0@x.test leads through more than 20 aliases" in str(problem)
    assert "name the addresses at their end" in str(problem)


def test_aliases_as_deep_as_the_limit_lead_to_their_end() -> None:
    found = Directory(parse(chain(20))).resolve(Address("n0", "x.test"))
    assert isinstance(found, Expanded)
    assert [str(each.address) for each in found.targets] == ["e@x.test"]


def test_aliases_that_cross_are_walked_once() -> None:
    """20 levels of 3 aliases, each naming all of the next level: 3^20 ways, and 60 names."""
    names = [
        f"a{level}x{nth} = [{', '.join(chr(34) + f'a{level + 1}x{to}' + chr(34) for to in range(3))}]"
        for level in range(19)
        for nth in range(3)
    ]
    names += [f'a19x{nth} = ["e{nth}"]' for nth in range(3)]
    text = '[[domain]]\nname = "x.test"\nmailboxes = ["e0", "e1", "e2"]\n[domain.aliases]\n' + "\n".join(names)
    program = (
        "import sys; from posthouse.core import Address; from posthouse.service.config_file import parse; "
        "from posthouse.service.directory.directory import Directory; "
        "found = Directory(parse(sys.stdin.read())).resolve(Address('a0x0', 'x.test')); "
        "print(*(each.address for each in found.targets))"
    )
    ended = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("e0@x.test e1@x.test e2@x.test\n", "")


@pytest.mark.parametrize("given", ["Ren\u00e9", "Rene\u0301", "REN\u00c9", "RENE\u0301"])
@pytest.mark.parametrize("mailboxes", ['"any"', '["ren\u00e9"]', '["rene\u0301"]'])
def test_composed_and_decomposed_accents_are_one_mailbox(given: str, mailboxes: str) -> None:
    directory = house(f'[[domain]]\nname = "x.test"\nmailboxes = {mailboxes}')
    found = directory.resolve(Address(given, "x.test"))
    assert isinstance(found, Local)
    assert found.mailbox == "ren\u00e9@x.test"
    assert directory.identity(Address(given, "x.test")) == "ren\u00e9@x.test"


def test_the_catcher_keeps_one_inbox_for_all_spellings() -> None:
    directory = Directory(default_config())
    domains = ("\u4f8b.test", "xn--fsq.test")
    spellings = [Address(local, domain) for local in ("\u00c9", "e\u0301") for domain in domains]
    assert {directory.resolve(each).address for each in spellings} == {Address("\u00e9", "xn--fsq.test")}


def envelope(*recipients: str | Recipient, sender: str | None = "me@example.com") -> Envelope:
    everyone = tuple(each if isinstance(each, Recipient) else Recipient(address(each)) for each in recipients)
    return Envelope(None if sender is None else address(sender), everyone, ret=Ret.HDRS, envid="id-1")


def test_a_plain_envelope_is_stored_as_it_came() -> None:
    given = envelope("Bob@example.org", "x@example.net")
    (stored,) = expand_envelope(house(), given)
    assert stored is given


def test_the_domainless_postmaster_gets_a_domain() -> None:
    (stored,) = expand_envelope(house(), envelope(Recipient(Address("Postmaster"))))
    assert stored.recipients[0].address == Address("postmaster", "example.org")


def test_duplicates_are_one_in_our_domains_only() -> None:
    given = envelope("Bob@example.org", "bob@example.org", "Zoe@example.net", "zoe@example.net")
    (stored,) = expand_envelope(house(), given)
    assert [str(each.address) for each in stored.recipients] == [
        "Bob@example.org",
        "Zoe@example.net",
        "zoe@example.net",
    ]


def test_one_address_inherits_all_that_was_asked() -> None:
    asked = Notify.SUCCESS | Notify.FAILURE
    (stored,) = expand_envelope(house(), envelope(Recipient(address("boss@example.org"), asked)))
    assert stored.recipients == (
        Recipient(
            *(Address("Ann", "example.org"), asked, OriginalRecipient("rfc822", "boss@example.org")),
            originals=(address("boss@example.org"),),
        ),
    )
    assert (stored.ret, stored.envid) == (Ret.HDRS, "id-1")


def test_several_addresses_inherit_all_but_success() -> None:
    """RFC 3461 §5.2.7.3 (c); an original recipient that was given stays."""
    original = OriginalRecipient("rfc822", "first@example.com")
    asked = Recipient(address("sales@example.org"), Notify.SUCCESS | Notify.DELAY, original)
    (stored,) = expand_envelope(house(), envelope(asked))
    assert [(str(each.address), each.notify, each.orcpt) for each in stored.recipients] == [
        ("bob@example.org", Notify.DELAY, original),
        ("sales@example.net", Notify.DELAY, original),
    ]
    (stored,) = expand_envelope(house(), envelope(Recipient(address("sales@example.org"), Notify.SUCCESS)))
    assert {each.notify for each in stored.recipients} == {Notify.NEVER}


def test_a_list_is_sent_by_its_owner_and_inherits_nothing() -> None:
    """RFC 3461 §5.2.7.1, RFC 5321 §3.9.2."""
    asked = Recipient(address("team@example.org"), Notify.SUCCESS, OriginalRecipient("rfc822", "x@example.com"))
    direct, listed = expand_envelope(house(), envelope("info@example.org", asked))
    assert str(direct.sender) == "me@example.com"
    assert str(listed.sender) == "ann@example.org"
    assert (listed.ret, listed.envid) == (None, None)
    assert {(each.notify, each.orcpt) for each in listed.recipients} == {(None, None)}


def test_a_report_to_a_list_keeps_its_null_sender() -> None:
    (stored,) = expand_envelope(house(), envelope("talk@example.org", sender=None))
    assert stored.sender is None
    assert [str(each.address) for each in stored.recipients] == ["zoe@example.net"]


def test_an_expansion_beyond_ascii_needs_smtputf8() -> None:
    text = '[[domain]]\nname = "x.test"\naliases = { zhang = ["张三@example.net"] }'
    (stored,) = expand_envelope(Directory(parse(text)), envelope("zhang@x.test"))
    assert stored.smtputf8


# Sub-addresses --------------------------------------------------------------------------------------------------------

TAGGED = """
hostname = "mail.example.org"
[[domain]]
name = "example.org"
subaddress = "+"
mailboxes = ["bob", "ann", "ann+work"]
paused = ["ann"]
aliases = { info = ["bob+info"], sales = ["info+sales", "team+x", "nobody+x@example.net"] }
lists.team = { members = ["bob+team", "bob"], owner = "ann+owner" }
moved = { eve = "eve@example.net" }
[[domain]]
name = "plain.test"
mailboxes = ["bob"]
[[domain]]
name = "any.test"
subaddress = "-"
mailboxes = "any"
"""


@pytest.mark.parametrize(
    ("given", "mailbox"),
    [
        ("bob+news@example.org", "bob@example.org"),
        ("BoB+News+More@example.org", "bob@example.org"),
        ("bob+@example.org", "bob@example.org"),
        ("postmaster+x@example.org", "postmaster@example.org"),
        ("ann+work@example.org", "ann+work@example.org"),
        ("any-body@any.test", "any@any.test"),
        ("a+b@any.test", "a+b@any.test"),
    ],
)
def test_a_tag_counts_for_nothing(given: str, mailbox: str) -> None:
    found = house(TAGGED).resolve(address(given))
    assert isinstance(found, Local)
    assert found.mailbox == mailbox


def test_tags_of_whatever_is_not_a_mailbox() -> None:
    directory = house(TAGGED)
    paused = directory.resolve(address("ann+x@example.org"))
    assert isinstance(paused, Local)
    assert paused.paused
    assert isinstance(directory.resolve(address("eve+x@example.org")), Moved)
    for unknown in ("+bob@example.org", "zoe+bob@example.org", "bob+x@plain.test"):
        assert isinstance(directory.resolve(address(unknown)), Unknown)


def test_the_tag_stays_in_the_address() -> None:
    directory = house(TAGGED)
    given = Envelope(address("me@far.test"), (Recipient(address("Bob+News@example.org")),))
    assert expand_envelope(directory, given) == [given]


def test_aliases_and_lists_within_each_other_by_tagged_names() -> None:
    directory = house(TAGGED)
    assert directory.problems == []
    found = directory.resolve(address("sales+now@example.org"))
    assert isinstance(found, Expanded)
    assert [(str(each.address), each.owner and str(each.owner)) for each in found.targets] == [
        ("bob+info@example.org", None),
        ("bob+team@example.org", "ann+owner@example.org"),
        ("bob@example.org", "ann+owner@example.org"),
        ("nobody+x@example.net", None),
    ]


@pytest.mark.parametrize("sign", ["++", "a", "@", ".", " "])
def test_signs_that_cannot_begin_a_tag(sign: str) -> None:
    with pytest.raises(ConfigError, match="cannot separate a name from its tag"):
        parse(f'[[domain]]\nname = "example.org"\nsubaddress = "{sign}"')


def test_the_deliverer_is_found_without_the_tag() -> None:
    config = parse(
        TAGGED.replace('subaddress = "+"', 'subaddress = "+"\ndeliver = "maildir:/mail/{domain}/{local}"')
        + '[[domain]]\nname = "own.test"\ndeliver = "python:my.own:handlers.take"\nmailboxes = "any"'
    )
    router = context(config).routing().router
    for given, target in (
        ("Bob+News@example.org", "/mail/example.org/bob"),
        ("ann+work@example.org", "/mail/example.org/ann+work"),
        ("any-body@any.test", "any@any.test"),
        ("bob+x@plain.test", "bob+x@plain.test"),
        ("x@own.test", "my.own:handlers.take"),
    ):
        route = router.route(Recipient(address(given)))
        assert isinstance(route, Route)
        assert route.target == target
    assert 'deliver = "python:my.own:handlers.take"' in route.reason


@pytest.mark.parametrize("value", ["python:", "python:handlers", "python:a.b:", "python:a b:c", "python:1a:b"])
def test_handlers_that_are_not_named_rightly(value: str) -> None:
    with pytest.raises(ConfigError, match="does not name a module and an object"):
        parse(f'[[domain]]\nname = "example.org"\ndeliver = "{value}"')
