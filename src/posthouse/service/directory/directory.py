"""Directory: the meaning of each address in our domains.

All of it is computed when the configuration is read: each alias and list is flat, free of loops and of duplicates, so
that resolving a recipient takes one or two dictionary look-ups.

An address resolves to one of five kinds: ``Local`` (a mailbox), ``Expanded`` (an alias or a list), ``Moved``,
``Unknown`` (a domain of ours without such a name) or ``Foreign`` (not a domain of ours).  In our domains neither the
case of local parts nor the composition of their accents matters (``core.local_key``); a foreign local part is never
changed.  ``postmaster`` exists in each of our domains (RFC 5321 §4.5.1): unless a mailbox, an alias or a list has that
name, its mail goes where the domain's other mail goes.

In a domain with sub-addresses, ``bob+news`` resolves like ``bob``, unless ``bob+news`` itself is configured.  The tag
stays in the address that the deliverer gets.

An alias that names itself means the mailbox of that name, if there is one ("a copy for me as well").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from posthouse.core import Address, local_key
from posthouse.protocol.grammar import GrammarError, lookup_domain, parse_mailbox
from posthouse.service.config.mail_types import DeliverySetting, without_tag
from posthouse.service.config.model import Config, DomainSettings

__all__ = [
    "Directory",
    "Expanded",
    "Foreign",
    "Home",
    "Local",
    "Moved",
    "Resolution",
    "Target",
    "Unknown",
]

#: How many aliases may lead to each other, one after another, and how many addresses one may lead to.
_DEEPEST = 20
_MOST = 10_000


class Local(NamedTuple):
    """A mailbox of ours: its address in our spelling, its domain's settings, and whether it takes mail now."""

    address: Address
    domain: DomainSettings
    paused: bool = False

    @property
    def mailbox(self) -> str:
        """The name of the mailbox: ``local@domain``, all lower case."""
        return str(self.address)

    @property
    def deliver(self) -> DeliverySetting:
        """The delivery that its domain configures."""
        return self.domain.deliver


class Target(NamedTuple):
    """One end of an expansion: an address, and the owner of the list it was reached through, if any."""

    address: Address
    owner: Address | None = None


class Expanded(NamedTuple):
    """An alias, a list (with an ``owner``) or a sender of ours with its signature (``signed``, BATV); ``targets`` are
    flat, without duplicates."""

    address: Address
    targets: tuple[Target, ...]
    owner: Address | None = None
    signed: bool = False

    @property
    def kind(self) -> str:
        """The word for it: ``alias``, ``list`` or ``signed``."""
        return "list" if self.owner is not None else "signed" if self.signed else "alias"


class Moved(NamedTuple):
    """A mailbox that is elsewhere now, or the sender of forwarded mail (``srs``); ``action`` is "forward" or "tell".
    ``targets`` are the ends of forwarding."""

    address: Address
    to: Address
    action: str
    targets: tuple[Target, ...] = ()
    srs: bool = False

    @property
    def kind(self) -> str:
        """The word for it: ``moved`` or ``srs``."""
        return "srs" if self.srs else "moved"


class Unknown(NamedTuple):
    """A domain of ours, without such a name; ``why`` it counts for nothing, if it looks like an address of ours."""

    address: Address
    why: str = ""


class Foreign(NamedTuple):
    """A domain that is not ours."""

    address: Address


class Home(NamedTuple):
    """What an address with a mark (SRS, BATV) stands for; ``address`` is None if it counts for nothing, and why."""

    address: Address | None
    why: str = ""


Resolution = Local | Expanded | Moved | Unknown | Foreign


class _Raw(NamedTuple):
    """An alias, list or moved mailbox as it is written, before flattening; ``place`` is where it is written."""

    address: Address
    to: tuple[Address, ...]
    place: str
    owner: Address | None = None
    moved: str = ""


class Directory:
    """The directory of a configuration.  ``problems`` are names that lead nowhere: place, cause and remedy of each.

    ``home`` gives the address that an address in our domains stands for, at another server (SRS) or without its
    signature (BATV); None if it stands for itself.  It is asked each time, because marks expire.
    """

    __slots__ = ("_cached", "_domains", "_everything", "_home", "_names", "_postmaster", "_raw", "problems", "resolve")

    def __init__(self, config: Config, home: Callable[[Address], Home | None] | None = None) -> None:
        self._home = home
        self._domains: dict[str, DomainSettings] = {each.name: each for each in config.domain if each.name != "*"}
        self._everything: DomainSettings | None = next((each for each in config.domain if each.name == "*"), None)
        self._postmaster = config.postmaster
        self._names: dict[str, Resolution] = {}
        self._raw: dict[str, _Raw] = {}
        self.problems: list[tuple[str, str, str]] = []
        for index, domain in enumerate(config.domain):
            if domain.name != "*":
                self._enter(domain, f"domain[{index}]")
        if self._everything is None and config.hostname not in self._domains:
            # The host's own name takes mail for its postmaster even where no domain was written for it.
            host = DomainSettings(name=config.hostname, mailboxes=())
            self._domains[host.name] = host
            self._enter(host, "hostname")
        self._flatten()
        #: ``resolve(address) -> Resolution``.  The answers never change; up to 8,192 of them are cached.
        self._cached: Callable[[Address], Resolution] = lru_cache(maxsize=8192)(self._resolve)
        self.resolve = self._cached if home is None else self._resolve_marked

    # -- building --------------------------------------------------------------------------------------------------

    def _enter(self, domain: DomainSettings, place: str) -> None:
        """Enter a domain's mailboxes, and collect for flattening what leads elsewhere."""
        for local in domain.mailboxes or ():
            if local != "any":
                self._mailbox(domain, local)
        if not any("postmaster" in names for names in (domain.aliases, domain.lists, domain.moved)):
            self._mailbox(domain, "postmaster")
        for local in domain.paused:
            if self._takes_any(domain):
                self._mailbox(domain, local)
            elif Address(local, domain.name).key not in self._names:
                remedy = "write it in mailboxes too, or remove it here"
                self.problems.append((f"{place}.paused", f'"{local}" is no mailbox of {domain.name}', remedy))

        def aside(local: str, to: tuple[str, ...], where: str, owner: Address | None = None, moved: str = "") -> None:
            address = Address(local, domain.name)
            targets = tuple(self._address(each, domain) for each in to)
            self._raw[address.key] = _Raw(address, targets, f"{place}.{where}.{local}", owner, moved)

        for local, to in domain.moved.items():
            aside(local, (to,), "moved", moved=domain.moved_action)
        for local, targets in domain.aliases.items():
            aside(local, targets, "aliases")
        for local, each in domain.lists.items():
            aside(local, each.members, "lists", self._address(each.owner, domain))

    def _mailbox(self, domain: DomainSettings, local: str) -> None:
        address = Address(local, domain.name)
        self._names.setdefault(address.key, Local(address, domain, local in domain.paused))

    def _address(self, text: str, domain: DomainSettings) -> Address:
        """An address as written in the configuration, where a bare local part is one of this domain."""
        return parse_mailbox(text if "@" in text else f"{text}@{domain.name}")

    def _flatten(self) -> None:
        """Replace each alias, list and moved mailbox by the addresses at the end of its expansion."""
        flat = {key: self._ends(key) for key in self._raw}
        for key, raw in self._raw.items():
            if raw.moved:
                self._names[key] = Moved(raw.address, raw.to[0], raw.moved, flat[key])
            else:
                self._names[key] = Expanded(raw.address, flat[key], raw.owner)
        for key, raw in self._raw.items():
            self._judge(raw, flat[key])
        for key, raw in self._raw.items() if len(self._raw) > _DEEPEST else ():
            if self._depth(key) > _DEEPEST:
                cause = f"{raw.address} leads through more than {_DEEPEST} aliases, one after another"
                self.problems.append((raw.place, cause, "name the addresses at their end"))
                break  # those in the middle of the same chain are no further mistakes

    def _judge(self, raw: _Raw, targets: tuple[Target, ...]) -> None:
        if not targets:
            self.problems.append((raw.place, f"{raw.address} leads only to itself", "name another address"))
        if len(targets) >= _MOST:
            cause = f"{raw.address} leads to more than {_MOST} addresses"
            self.problems.append((raw.place, cause, "leave so large a list to a list manager"))
        for target in targets:
            found = self._resolve(target.address)
            if isinstance(found, Unknown):
                cause = f"{target.address} is in a domain of ours that has no such name"
                self.problems.append((raw.place, cause, "correct the name, or write it in mailboxes"))
            elif isinstance(found, Moved) and found.action == "tell" and raw.address != found.address:
                cause = f'{target.address} has moved, and with moved_action = "tell" its mail is refused'
                self.problems.append((raw.place, cause, f"name {found.to} instead"))

    def _ends(self, key: str) -> tuple[Target, ...]:
        found: dict[str, Target] = {}
        for target in self._walk(key):
            found.setdefault(self.identity(target.address), target)
            if len(found) >= _MOST:
                break
        return tuple(found.values())

    def _walk(self, root: str) -> Iterator[Target]:
        """The ends reached from ``root``, depth first.  Each key is entered once, so that loops end and the walk takes
        time in proportion to what is written; without recursion, so that any depth can be reported."""
        entered = {root}
        raw = self._raw[root]
        stack = [(root, raw.owner, iter(raw.to))]
        while stack:
            key, owner, rest = stack[-1]
            address = next(rest, None)
            if address is None:
                stack.pop()
                continue
            address = self._ours(address)
            name = self._alias_key(address)
            if name == key:
                if isinstance(mailbox := self._names.get(name), Local):
                    yield Target(mailbox.address, owner)
            elif not self._leads_on(name):
                yield Target(address, owner)
            elif name not in entered:
                entered.add(name)
                raw = self._raw[name]
                stack.append((name, owner if raw.owner is None else raw.owner, iter(raw.to)))

    def _leads_on(self, key: str) -> bool:
        """True if mail for ``key`` is sent on to other addresses."""
        raw = self._raw.get(key)
        return raw is not None and raw.moved != "tell"

    def _depth(self, root: str) -> int:
        """How many aliases, lists and moved mailboxes follow one another from ``root`` on, by the shortest ways; at
        most one more than is allowed."""
        depth, level, entered = 1, [root], {root}
        while depth <= _DEEPEST:
            names = {self._alias_key(self._ours(address)) for key in level for address in self._raw[key].to}
            level = [name for name in names if self._leads_on(name) and name not in entered]
            if not level:
                break
            entered.update(level)
            depth += 1
        return depth

    def _alias_key(self, address: Address) -> str:
        """The key of what an address stands for, its tag left out if only so it is an alias, a list or moved."""
        key = address.key
        domain = self._domains.get(address.domain)
        if domain is None or not domain.subaddress or key in self._raw or key in self._names:
            return key
        base = Address(without_tag(address.local, domain.subaddress), address.domain).key
        return base if base in self._raw else key

    # -- asking ----------------------------------------------------------------------------------------------------

    def _ours(self, address: Address) -> Address:
        """The address with its domain in A-labels if the domain is ours, else unchanged."""
        domain = address.domain
        if not domain:
            return self._postmaster if address.is_postmaster else address
        if domain.isascii():
            return address
        domain = lookup_domain(domain)
        return Address(address.local, domain) if self.is_ours(domain) else address

    def identity(self, address: Address) -> str:
        """A key that is equal for all spellings of one mailbox; case matters only in foreign domains."""
        address = self._ours(address)
        return address.key if self.is_ours(address.domain) else f"{address.local}@{address.domain}"

    def is_foreign(self, domain: str) -> bool:
        """True if ``domain``, as an address has it, is certainly not ours; all its addresses are then ``Foreign``."""
        return bool(domain) and domain.isascii() and not (domain in self._domains or self._everything is not None)

    def is_ours(self, domain: str) -> bool:
        """True if ``domain`` (A-labels, lower case) is ours."""
        return domain in self._domains or self._everything is not None

    @staticmethod
    def _takes_any(domain: DomainSettings) -> bool:
        if domain.mailboxes is None:
            return domain.deliver.kind == "discard"
        return domain.mailboxes == ("any",)

    def _resolve(self, address: Address) -> Resolution:
        address = self._ours(address)
        domain = self._domains.get(address.domain)
        if domain is None:
            if self._everything is None:
                return Foreign(address)
            domain = self._everything
            local = without_tag(local_key(address.local), domain.subaddress)
            return Local(Address(local, address.domain), domain, local in domain.paused)
        found = self._names.get(address.key)
        if found is not None:
            return found
        home = None if self._home is None else self._home(address)
        if home is not None and home.address is not None:
            return self._at_home(address, home.address)
        base = address
        if domain.subaddress and (local := without_tag(address.local, domain.subaddress)) != address.local:
            base = Address(local, address.domain)
            found = self._names.get(base.key)
            if found is not None:
                return found
        if self._takes_any(domain):
            return Local(Address(local_key(base.local), base.domain), domain)
        return Unknown(address, home.why if home is not None else "")

    def _resolve_marked(self, address: Address) -> Resolution:
        """The meaning of an address that may have a mark; each mark has an equals sign."""
        return self._resolve(address) if "=" in address.local else self._cached(address)

    def _at_home(self, address: Address, to: Address) -> Resolution:
        """The meaning of an address that stands for ``to``: at another server (SRS), or here (BATV)."""
        if to.domain != address.domain:
            return Moved(address, to, "forward", (Target(to),), srs=True)
        found = self._resolve(to)
        if isinstance(found, Local):
            return Expanded(address, (Target(to),), signed=True)
        return found._replace(address=address) if isinstance(found, Expanded) else found

    def named(self, text: str) -> list[Resolution]:
        """All meanings of the argument of VRFY or EXPN: an address, or a local part in any domain of ours.

        Empty if the text is neither; several if it is ambiguous.
        """
        text = text.strip()
        if text.startswith("<") and text.endswith(">"):
            text = text[1:-1]
        if "@" in text:
            try:
                found = self.resolve(parse_mailbox(text))
            except GrammarError:
                return []
            return [found]
        if text.casefold() == "postmaster":
            return [self.resolve(self._postmaster)]
        matches = (self._names.get(f"{local_key(text)}@{domain}") for domain in self._domains)
        return [each for each in matches if each is not None and not isinstance(each, Unknown)]
