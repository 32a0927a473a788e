"""Settings of Sphinx for the site; ``make docs`` builds it without a network."""

import os
import shutil
import sys
from pathlib import Path

from bench._version import __version__

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE / "_extensions"))
os.environ.setdefault("BENCH_OFFLINE", "1")  # for the notebooks

# The report of `make results`: report/index.html of the site.
shutil.rmtree(_HERE / "_build" / "unpacked", ignore_errors=True)
shutil.unpack_archive(_HERE / "results" / "report.zip", _HERE / "_build" / "unpacked")

project = "aebench"
author = ""
version = release = __version__

extensions = ["cards", "myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "scanpydoc.theme"]
exclude_patterns = ["_build", "images"]
suppress_warnings = ["myst.header"]  # result tables are made by `bench report`

html_theme = "scanpydoc"
html_title = "aebench"
html_static_path = ["_static"]
html_extra_path = ["_build/unpacked"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_theme_options = {"show_navbar_depth": 1, "navbar_persistent": []}
html_show_sphinx = False
html_show_copyright = False
html_last_updated_fmt = None

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_execution_show_tb = True
nb_output_stderr = "remove"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
