"""The one-page report of a sample: what it says, and the forms in which it is handed on."""

from edge.results.sheet.page import Page, make_page

__all__ = ["Page", "make_page"]
