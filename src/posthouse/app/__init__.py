"""Receiving mail in a program: an application of handlers, and the servers that run it."""

from posthouse.app.app_server import AppServer, ServerThread
from posthouse.app.application import App
from posthouse.app.message_stream import MessageStream
from posthouse.app.registrations import HandlerCall, Middleware
from posthouse.app.running import load_app, serve_app
from posthouse.app.session_info import SessionInfo

__all__ = [
    "App",
    "AppServer",
    "HandlerCall",
    "MessageStream",
    "Middleware",
    "ServerThread",
    "SessionInfo",
    "load_app",
    "serve_app",
]
