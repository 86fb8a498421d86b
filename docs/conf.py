"""How the documentation is built: ``make docs``."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

# autodoc imports the operators, and so Airflow: with a home of its own.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-docs-"))

sys.path.insert(0, str(Path(__file__).parent))
import plots

from airflow_provider_daocloud import __version__

plots.main()

project = "airflow-provider-daocloud"
author = "airflow-provider-daocloud contributors"
copyright = author  # noqa: A001 - Sphinx calls it so
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"
html_theme_options = {
    "source_repository": "https://github.com/airflow-provider-daocloud/airflow-provider-daocloud/",
    "source_branch": "main",
    "source_directory": "docs/",
}

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

# A name in single backticks is a link where it is one of ours.
default_role = "py:obj"
autodoc_typehints = "none"  # the signatures have them
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),
    # Types of Airflow and of the standard library, and those that no page shows.
    ("py:.*", r"(?!airflow_provider_daocloud\.).*"),
]
