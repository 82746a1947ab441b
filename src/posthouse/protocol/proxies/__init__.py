"""Protocols by which a proxy or a filter says for which client it speaks: PROXY, XCLIENT, XFORWARD."""

from posthouse.protocol.proxies.forwarding import XCLIENT, XFORWARD, Forwarding
from posthouse.protocol.proxies.header import ProxyHeader, ProxyHeaderError, ProxyHeaderReader

__all__ = ["Forwarding", "ProxyHeader", "ProxyHeaderError", "ProxyHeaderReader", "XCLIENT", "XFORWARD"]
