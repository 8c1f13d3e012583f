"""These pages as a site, with Sphinx: ``make site``. It is read from a disk, without a network."""

project = "blastcount"
author = "the authors of blastcount"
extensions = ["myst_parser"]
exclude_patterns = ["*.json", "*.csv"]
html_theme = "furo"
html_title = "blastcount"
html_theme_options = {"source_view_link": "", "source_edit_link": ""}
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
#: Links to headings, down to the fourth level, are checked as well as links to pages.
myst_heading_anchors = 4
highlight_language = "none"  # of blocks that name no language: what a person types or reads
