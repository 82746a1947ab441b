"""Posthouse (驿站): a complete SMTP system, as a library, a developer's mail catcher, a relay and an MX."""

__version__ = "0.1.0"

__all__ = ["__version__"]
