"""The manual's generated pages.

Each module is one page, read from the code that it describes.  ``python -m docs_pages`` writes them; ``--check`` says
which are stale.
"""
