"""What people read, in their own language: one TOML file a language, each held against the English one.

To add a language, copy ``en.toml`` to its ISO 639-1 code, translate every text, and leave the names in
braces as they are; ``tests/edge/test_i18n.py`` says what is missing.
"""

from edge.i18n.catalogue import DEFAULT_LANGUAGE, Catalogue, catalogue, languages

__all__ = ["DEFAULT_LANGUAGE", "Catalogue", "catalogue", "languages"]
