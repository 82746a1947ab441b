"""The outside world: time, channels, names.  It carries bytes and does not read them."""

from posthouse.net.clock import Clock, SystemClock, Timer
from posthouse.net.connect import connect_any, interleave
from posthouse.net.resolver import CachingResolver, DnsResolver, Resolver
from posthouse.net.sockets import SocketNetwork
from posthouse.net.stream import Endpoint, Handler, HandlerFactory, Listener, Network, Stream

__all__ = [
    "CachingResolver",
    "Clock",
    "DnsResolver",
    "Endpoint",
    "Handler",
    "HandlerFactory",
    "Listener",
    "Network",
    "Resolver",
    "SocketNetwork",
    "Stream",
    "SystemClock",
    "Timer",
    "connect_any",
    "interleave",
]
