"""The operations: what operators can look at and change, each declared once with its name, parameters and help.

Over budget: one module for each group of operations, and the texts and results that they share.
"""

__all__: list[str] = []
