"""Sphinx builds the site from the Markdown of the repository and the docstrings: `scripts/docs`.

The source folder is the repository, so that a link between two pages works in a clone and on the site alike.
"""

from acn.version import __version__

project, author, copyright = "acn", "the authors of acn", "2026, the authors of acn"
release = version = __version__
root_doc = "docs/index"
include_patterns = ["docs/**", "results/**.md", "FORMAT.md", "CHANGELOG.md", "CONTRIBUTING.md"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme, html_title = "furo", "acn"

# Docstrings write names as Markdown does, in single backquotes.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("Given", "Pixels", "Bytes", "Floats", "RandomState")}
napoleon_google_docstring, napoleon_numpy_docstring = True, False
myst_heading_anchors = 4
