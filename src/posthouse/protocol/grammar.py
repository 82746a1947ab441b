"""The grammar of addresses and parameter values (RFC 5321 §4.1.2–4.1.3, RFC 6531 §3.3, RFC 3461 §4, RFC 6533 §3).

The functions take text and return values, or raise ``GrammarError``.  A plain ASCII path, as nearly all paths are, is
parsed by one compiled expression; all else (quotes, literals, source routes, UTF-8, ``xn--``) is parsed production by
production of the ABNF.  Those expressions are compiled (and cached by ``re``) at their first use, because a short
command needs none of them.  Repetition in the expressions is possessive, so parsing takes linear time.

Control characters are refused everywhere, C1 and the Unicode line separators included, because the values appear in
replies, trace fields and logs, where a line end would be an injection.  Lengths are octets of UTF-8.  The text of a
``GrammarError`` does not quote the input, so it may be sent to a peer unchanged.

Over budget: the productions refer to one another, and a reader checks them against one section of the RFC.
"""

from __future__ import annotations

import re
import string
from functools import cache, lru_cache
from typing import Final

from posthouse.core import Address
from posthouse.protocol.limits import Limits

__all__ = [
    "GrammarError",
    "domain_to_ascii",
    "domain_to_unicode",
    "has_controls",
    "lookup_domain",
    "parse_domain",
    "parse_greeting_domain",
    "parse_literal",
    "parse_mailbox",
    "parse_parameter",
    "parse_path",
    "parse_query",
    "plain_path",
    "with_ascii_domain",
    "without_route",
    "xtext_decode",
    "xtext_encode",
]

_DEFAULT: Final = Limits()

# UTF8-non-ascii (RFC 6532 §3.1) is all but DEL, C1 controls, the two line separators and surrogates.  Classes that have
# it are written by what they leave out: a range to U+10FFFF takes milliseconds to compile.
_NEVER: Final = r"\x7f-\x9f\u2028\u2029\ud800-\udfff"
_CONTROL: Final = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
# Atom = 1*atext (RFC 5322 §3.2.3).
_ATEXT: Final = "A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-"
# sub-domain = Let-dig [Ldh-str], at most 63 octets (RFC 1035 §2.3.4).
_LABEL: Final = "(?!-)[A-Za-z0-9-]{1,63}+(?<!-)"
_LDH_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*+")
_PLAIN_PATH: Final = re.compile(rf"<([{_ATEXT}]++(?:\.[{_ATEXT}]++)*+)@({_LABEL}(?:\.{_LABEL})*+)>")
# Dot-string = Atom *("." Atom)
_ATOM_UTF8: Final = rf'[^\x00-\x20"(),.:;<>@\[\\\]{_NEVER}]++'
_DOT_STRING: Final = rf"{_ATOM_UTF8}(?:\.{_ATOM_UTF8})*+"
# Quoted-string = DQUOTE *(qtextSMTP / quoted-pairSMTP) DQUOTE
_QUOTED_STRING: Final = rf'"((?:[^\x00-\x1f"\\{_NEVER}]|\\[ -~])*+)"'
_QUOTED_PAIR: Final = r"\\(.)"
_ASCII_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

# Snum = 1*3DIGIT, 0 through 255; leading zeros are grammatical and mean nothing (it is decimal).
_SNUM: Final = "(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]{1,2})"
_IPV4_TEXT: Final = rf"{_SNUM}(?:\.{_SNUM}){{3}}"
_IPV4: Final = _IPV4_TEXT
_HEX: Final = "[0-9A-Fa-f]{1,4}"
_IPV6: Final = rf"{_HEX}(?::{_HEX}){{7}}"
_IPV6_COMP: Final = rf"(?:{_HEX}(?::{_HEX}){{0,5}})?::(?:{_HEX}(?::{_HEX}){{0,5}})?"
_IPV6V4: Final = rf"{_HEX}(?::{_HEX}){{5}}:{_IPV4_TEXT}"
_IPV6V4_COMP: Final = rf"(?:{_HEX}(?::{_HEX}){{0,3}})?::(?:{_HEX}(?::{_HEX}){{0,3}}:)?{_IPV4_TEXT}"
# General-address-literal = Standardized-tag ":" 1*dcontent
_GENERAL_LITERAL: Final = r"((?!-)[A-Za-z0-9-]++(?<!-)):([!-Z^-~]+)"

# esmtp-param = esmtp-keyword ["=" esmtp-value], the value widened by RFC 6531 §3.3.
_PARAMETER: Final = rf"([A-Za-z0-9][A-Za-z0-9-]*+)(?:=([^\x00-\x20={_NEVER}]++))?"
# xtext = *( xchar / hexchar )
_XTEXT: Final = r"(?:[!-*,-<>-~]|\+[0-9A-Fa-f]{2})*+"
_XTEXT_SPECIAL: Final = rb"[^!-*,-<>-~]"
_HEXCHAR: Final = rb"\+([0-9A-Fa-f]{2})"


class GrammarError(ValueError):
    """A text does not follow the grammar.  ``str()`` is one sentence: the cause, and what to write instead.

    ``enhanced`` is the RFC 3463 status that fits: ``5.1.3`` bad address syntax (the reader of MAIL makes it
    ``5.1.7``, bad *sender* syntax), ``5.6.7`` non-ASCII where it is not permitted, ``5.5.4`` any other bad argument.
    """

    def __init__(self, message: str, enhanced: str = "5.1.3") -> None:
        super().__init__(message)
        self.enhanced = enhanced


def has_controls(text: str) -> bool:
    """True if ``text`` holds a character that no line may hold: C0, DEL, C1, U+2028, U+2029, a lone surrogate."""
    # isprintable() is the quick answer for nearly everything; it also dislikes harmless characters.
    return not text.isprintable() and re.search(_CONTROL, text) is not None


# Paths and mailboxes ------------------------------------------------------------------------------------------------


def plain_path(text: str, limits: Limits = _DEFAULT) -> Address | None:
    """A path of the usual form ``<dot-string@letters.digits>``; None for any other, valid or not."""
    plain = _PLAIN_PATH.fullmatch(text)
    if plain is None or len(text) > limits.path:
        return None
    local, domain = plain.groups()
    domain = domain.lower()
    if "xn--" in domain or len(local) > limits.local_part or len(domain) > limits.domain:
        return None
    return Address(local, domain)


def parse_path(text: str, limits: Limits = _DEFAULT) -> Address | None:
    """``Reverse-path`` or ``Forward-path`` (RFC 5321 §4.1.2): ``<user@domain>``.

    ``<>`` gives None.  A source route (``<@a,@b:user@c>``) is checked and ignored (App. C).  ``<Postmaster>``, in
    any case, gives an address without a domain.  Raises ``GrammarError``.
    """
    address = plain_path(text, limits)
    if address is not None:
        return address
    if text == "<>":
        return None
    if len(text) < 2 or text[0] != "<" or text[-1] != ">":
        raise GrammarError("the address needs angle brackets; write <user@domain>")
    if _octets(text) > limits.path:
        raise GrammarError(f"the path is longer than {limits.path} octets; use a shorter address")
    inner = text[1:-1]
    if inner.startswith("@"):
        inner = without_route(inner, limits)
    elif inner.lower() == "postmaster":
        return Address(inner)
    if inner.startswith(" ") or inner.endswith(" "):
        raise GrammarError("a space stands inside the angle brackets; write <user@domain>")
    return _mailbox(inner, limits)


def parse_mailbox(text: str, limits: Limits = _DEFAULT) -> Address:
    """``Mailbox`` (RFC 5321 §4.1.2, RFC 6531 §3.3): ``user@domain`` without brackets, or ``Postmaster`` alone.

    The local part is unquoted and keeps its case.  Raises ``GrammarError``.
    """
    if _octets(text) > limits.path - 2:
        raise GrammarError(f"the address is longer than {limits.path - 2} octets; use a shorter one")
    if text.lower() == "postmaster":
        return Address(text)
    return _mailbox(text, limits)


def _mailbox(text: str, limits: Limits) -> Address:
    if text.startswith('"'):
        quoted = re.match(_QUOTED_STRING, text)
        if quoted is None:
            raise GrammarError("the quoted local part does not end, or holds a control character; close its quotes")
        raw, local = quoted[0], re.sub(_QUOTED_PAIR, r"\1", quoted[1])
        at, domain = text[quoted.end() : quoted.end() + 1], text[quoted.end() + 1 :]
    else:
        raw, at, domain = text.partition("@")
        local = raw
    if at != "@":
        raise GrammarError("the address has no domain; write user@domain")
    if local is raw and re.fullmatch(_DOT_STRING, raw) is None:
        raise GrammarError(
            "the local part before @ is empty, has a misplaced dot, or holds a character that must be quoted;"
            ' write user@domain or "some user"@domain'
        )
    if _octets(raw) > limits.local_part:
        raise GrammarError(f"the local part is longer than {limits.local_part} octets; use a shorter one")
    if domain.startswith("["):
        return Address(local, parse_literal(domain, limits))
    return Address(local, parse_domain(domain, limits))


def without_route(inner: str, limits: Limits) -> str:
    """``A-d-l ":"`` (App. C): checked, since it must be a route to be ignorable, and dropped."""
    route, colon, mailbox = inner.partition(":")
    if not colon:
        raise GrammarError("the source route has no end; leave it out and write <user@domain>")
    for hop in route.split(","):
        if not hop.startswith("@"):
            raise GrammarError("the source route is malformed; leave it out and write <user@domain>")
        parse_domain(hop[1:], limits)
    return mailbox


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


# Domains ------------------------------------------------------------------------------------------------------------


def parse_domain(text: str, limits: Limits = _DEFAULT) -> str:
    """``Domain`` (RFC 5321 §4.1.2, RFC 6531 §3.3): a name, no literal; returned in lower case.  Raises GrammarError.

    One label is enough; a trailing dot, an underscore or an empty label is not in the grammar.

    *U-labels* are held to IDNA2008 (RFC 5891) without mapping.  Only ASCII letters are lowered, for DNS compares those
    without case anyway.  ``BÜCHER``, full-width letters and the ideographic full stop are refused rather than mapped:
    RFC 6531 wants U-labels on the wire; mapping belongs to user interfaces (RFC 5895), and mappings differ (final
    sigma, dotted I), so that a receiver that maps may deliver to a wrong domain.

    *A-labels* (``xn--``) must be canonical Punycode of something non-ASCII, but not of something that IDNA2008
    allows: names registered under older rules exist in DNS, send mail, and are plain letters, digits and hyphens here.
    """
    if text.isascii():
        domain = text.lower()
        if _LDH_DOMAIN.fullmatch(domain) is None:
            raise GrammarError(_domain_fault(domain))
        if "xn--" in domain:
            for label in domain.split("."):
                if label.startswith("xn--") and not _is_a_label(label):
                    raise GrammarError("a label of the domain begins with xn-- but is no A-label; check its spelling")
        length = len(domain)
    else:
        domain = text.translate(_ASCII_LOWER)
        length = max(_octets(domain), len(_to_ascii(domain)))
    if length > limits.domain:
        raise GrammarError(f"the domain is longer than {limits.domain} octets; use a shorter one")
    return domain


def parse_literal(text: str, limits: Limits = _DEFAULT) -> str:
    """``address-literal`` with its brackets (RFC 5321 §4.1.3): ``[192.0.2.1]``, ``[IPv6:2001:db8::1]``, ``[tag:…]``.

    Returned in one spelling: decimal numbers without leading zeros, hexadecimal digits in lower case, the tag
    ``IPv6`` so and other tags in lower case.  An unregistered tag is grammatical; whether anything can be sent there
    is the router's question.  One departure: ``[2001:db8::1]`` could be read as the tag ``2001``, but is refused as
    an IPv6 address without its tag.  Raises ``GrammarError``.
    """
    if len(text) > limits.domain:
        raise GrammarError(f"the address literal is longer than {limits.domain} octets; use a shorter one")
    inner = text[1:-1]
    if len(text) > 2 and text[0] == "[" and text[-1] == "]":
        if re.fullmatch(_IPV4, inner):
            return f"[{_plain_ipv4(inner)}]"
        general = re.fullmatch(_GENERAL_LITERAL, inner)
        if general is not None:
            tag, content = general[1].lower(), general[2]
            if _is_ipv6(inner):
                raise GrammarError("the IPv6 address literal lacks its tag; write [IPv6:2001:db8::1]")
            if tag != "ipv6":
                return f"[{tag}:{content}]"
            if _is_ipv6(content):
                head, colon, tail = content.lower().rpartition(":")
                return f"[IPv6:{head}{colon}{_plain_ipv4(tail) if '.' in tail else tail}]"
    raise GrammarError("the address literal is malformed; write [192.0.2.1] or [IPv6:2001:db8::1]")


def _plain_ipv4(text: str) -> str:
    """The address without leading zeros, which some readers take for octal."""
    return ".".join(str(int(number)) for number in text.split("."))


def _is_ipv6(text: str) -> bool:
    """``IPv6-addr``.  "::" stands for two groups or more, hence the counts (RFC 5321 §4.1.3)."""
    if re.fullmatch(_IPV6, text) or re.fullmatch(_IPV6V4, text):
        return True
    groups = sum(1 for group in text.split(":") if group and "." not in group)
    if re.fullmatch(_IPV6_COMP, text):
        return groups <= 6
    return re.fullmatch(_IPV6V4_COMP, text) is not None and groups <= 4


def domain_to_ascii(domain: str) -> str:
    """The name in the DNS: U-labels as A-labels, all lower case; a literal is unchanged.  Raises GrammarError."""
    if domain.startswith("["):
        parse_literal(domain)
        return domain
    checked = parse_domain(domain)
    return checked if checked.isascii() else _to_ascii(checked)


def lookup_domain(domain: str) -> str:
    """The name by which a domain is looked up: A-labels where there are some, always lower case; never raises.

    A name that has no A-labels stays as it is, so that mail for it is attempted and explained.
    """
    if domain.isascii():
        return domain.lower()
    try:
        return domain_to_ascii(domain)
    except GrammarError:
        return domain.lower()


def with_ascii_domain(address: Address) -> Address:
    """The same mailbox with its domain in A-labels, as it goes out without SMTPUTF8 (RFC 6531 §3.2).

    Raises ``GrammarError``, also for an address that A-labels make too long.
    """
    if address.domain.isascii():
        return address
    made = Address(address.local, domain_to_ascii(address.domain))
    if _octets(str(made)) > _DEFAULT.path - 2:
        raise GrammarError(
            f"the address with its domain in A-labels is longer than {_DEFAULT.path - 2} octets; use a shorter one"
        )
    return made


def domain_to_unicode(domain: str) -> str:
    """The name a person reads: A-labels as U-labels where IDNA2008 allows them, else left; a literal as it is.

    Raises ``GrammarError`` if it is no domain.
    """
    if domain.startswith("["):
        parse_literal(domain)
        return domain
    checked = parse_domain(domain)
    if "xn--" not in checked:
        return checked
    return ".".join(_u_label(label) if label.startswith("xn--") else label for label in checked.split("."))


def parse_greeting_domain(text: str) -> str:
    """The argument of HELO, EHLO or LHLO, as the client wrote it.  Raises ``GrammarError``.

    RFC 5321 §4.1.1.1 asks for a domain or an address literal.  Real clients send machine names with underscores,
    bare addresses, or names from a local code page; RFC 5321 §4.1.4 forbids refusing mail because the name does not
    fit the client, so any visible text of 1 to 255 octets without spaces is accepted.  The name is
    never trusted: policy may judge it, and trace fields quote it.
    """
    if not text:
        raise GrammarError("the name of the client is missing; write EHLO and its domain", "5.5.4")
    if _octets(text) > 255:
        raise GrammarError("the name of the client is longer than 255 octets; use its domain", "5.5.4")
    if " " in text or has_controls(text):
        raise GrammarError("the name of the client holds a space or a control character; use its domain", "5.5.4")
    return text


def _domain_fault(domain: str) -> str:
    """The rule that an ASCII name breaks, for the text of a reply."""
    if domain.endswith(".") and _LDH_DOMAIN.fullmatch(domain[:-1]):
        return "the domain ends with a dot; leave the dot out"
    if not domain:
        return "the domain is empty; write user@domain"
    if "_" in domain:
        return "the domain holds an underscore, which no mail domain may; use letters, digits and hyphens"
    return "the domain is malformed; its labels are 1 to 63 letters, digits or inner hyphens, with single dots between"


def _is_a_label(label: str) -> bool:
    """True for lower-case ``xn--`` and canonical Punycode with something non-ASCII in it (RFC 5890 §2.3.2.1)."""
    code = label[4:]
    try:
        decoded = code.encode("ascii").decode("punycode")
        return not decoded.isascii() and not has_controls(decoded) and decoded.encode("punycode") == code.encode()
    except ValueError:
        return False


def _to_ascii(domain: str) -> str:
    return ".".join(_a_label(label) for label in domain.split("."))


@lru_cache(maxsize=1024)
def _a_label(label: str) -> str:
    """A lower-case label as the DNS has it."""
    if label.isascii():
        return parse_domain(label)
    try:
        import idna  # its tables are large, and hardly any domain needs them

        return idna.alabel(label).decode("ascii")
    except ValueError:  # idna.IDNAError is one; its text quotes the label, so it stays inside.
        raise GrammarError(
            "a label of the domain is not valid by IDNA2008; write it in lower case and composed form, or as xn--"
        ) from None


@lru_cache(maxsize=1024)
def _u_label(label: str) -> str:
    try:
        import idna

        return idna.ulabel(label)
    except ValueError:
        return label


# Parameters and their encodings -------------------------------------------------------------------------------------


@cache
def _parameter() -> re.Pattern[str]:
    return re.compile(_PARAMETER)  # each receiver's concern, and no sender's


def parse_parameter(text: str) -> tuple[str, str | None]:
    """``esmtp-param`` (RFC 5321 §4.1.2, RFC 6531 §3.3): the keyword in upper case, and the value or None."""
    match = _parameter().fullmatch(text)
    if match is None:
        raise GrammarError("a parameter is malformed; write KEYWORD or KEYWORD=value", "5.5.4")
    return match[1].upper(), match[2]


def parse_query(text: str) -> tuple[str, bool]:
    """The argument of VRFY or EXPN, ``String [ SP "SMTPUTF8" ]`` (RFC 6531 §3.7.4.2): the string, and whether the
    parameter was given."""
    head, _, word = text.rpartition(" ")
    head = head.rstrip(" ")
    return (head, True) if head and word.isascii() and word.upper() == "SMTPUTF8" else (text, False)


def xtext_encode(text: str) -> str:
    """``xtext`` of the text's UTF-8 octets (RFC 3461 §4): ``a+b`` becomes ``a+2Bb``."""
    return re.sub(_XTEXT_SPECIAL, lambda match: b"+%02X" % match[0][0], text.encode()).decode("ascii")


def xtext_decode(text: str) -> str:
    """The text that ``xtext`` stands for.  Lower-case hexadecimal digits are understood.

    Raises ``GrammarError`` for a stray ``+``, a character that must be encoded, octets that are not UTF-8, or
    anything control-like but a tab: nothing in this protocol needs it, and a decoded line end is an attack.
    """
    if re.fullmatch(_XTEXT, text) is None:
        raise GrammarError("a value is not xtext; write + and two hexadecimal digits for + = and spaces", "5.5.4")
    octets = re.sub(_HEXCHAR, lambda match: bytes.fromhex(match[1].decode()), text.encode("ascii"))
    try:
        decoded = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise GrammarError("a value does not decode to UTF-8; encode its UTF-8 octets", "5.5.4") from None
    if has_controls(decoded.replace("\t", " ")):
        raise GrammarError("a value decodes to a control character; leave it out", "5.5.4")
    return decoded
