"""The documentation site: `make docs` builds it into build/docs. Sphinx reads this file.

The pages are the Markdown files of docs/, which also read well on their own. What only the site has is written in
reStructuredText: the start page, the reference, and pages that show files from outside docs/. What this site adds to
Sphinx is in _site/, a subject a file.

    MINIRES_LESSONS=cache    execute the lessons, which otherwise are shown without results, and keep the results;
                             `make docs` does, unless it is told LESSONS=off
    MINIRES_EXPLORER=0       leave the explorer's page out, a few seconds less
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import minires  # noqa: E402

project = "MiniRes"
author = "The MiniRes authors"
copyright = "The MiniRes authors, MIT licence"
version = release = minires.__version__

extensions = [
    "myst_nb",  # Markdown, and lessons that are notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "_site.docstrings",
    "_site.explorer",
    "_site.links",
    "_site.lists",
    "_site.mathml",
    "_site.reference",
]
root_doc = "index"
exclude_patterns = ["_site", "**.ipynb_checkpoints"]
language = "en"
highlight_language = "none"  # an indented block is a formula or a command; a fenced one names its language
default_role = "py:obj"  # `name` in a docstring is a link wherever the name is documented

# Markdown
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_fence_as_directive = ["math"]  # ```math, which GitHub typesets too
myst_heading_anchors = 4
nb_execution_mode = os.environ.get("MINIRES_LESSONS", "off")
nb_execution_cache_path = os.environ.get("MINIRES_LESSONS_CACHE", str(HERE.parent / "build" / "lessons"))
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_excludepatterns = ["**/answers/**"]

# The reference
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 100
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Attributes while the graph lives", "Attributes")]
add_module_names = False
toc_object_entries = False  # the navigation beside each page has headings, not thousands of names
html_math_renderer = "mathml"

# How it looks
html_theme = "furo"
html_title = "MiniRes"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "github-dark"
copybutton_exclude = ".linenos, .gp, .go"
html_theme_options = {"navigation_with_keys": True}
