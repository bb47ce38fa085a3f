# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Sphinx builds the documentation site; `make docs` lays out what it reads (tools/docs.py)."""

from __future__ import annotations

import re
import typing as t

project = "podidentity.eks"
author = "The podidentity.eks contributors"
copyright = author
extensions = ["myst_parser", "sphinx_antsibull_ext"]
root_doc = "docs/index"
html_theme = "furo"
html_title = project
# Everything a page shows comes with the site: no fonts, scripts or pictures from elsewhere.
html_copy_source = False
# The pages of the reference repeat the names of their options.
suppress_warnings = ["myst.header"]
myst_heading_anchors = 4
highlight_language = "none"
nitpicky = True

#: References into the documentation of other collections, whose pages are on the web.
FOREIGN = re.compile(
    r"ansible_collections\.((?!podidentity\.)\w+\.\w+)\.(\w+?_(?:module|lookup|filter|plugin|inventory))\b"
)
ANSIBLE_DOCS = "https://docs.ansible.com/ansible/latest"
#: What the pages of the reference call by other names.
PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def foreign_reference(_app: t.Any, _env: t.Any, node: t.Any, contnode: t.Any) -> t.Any:
    """A link to a page of Ansible's documentation; None for a reference that is simply wrong."""
    from docutils import nodes

    target = node.get("reftarget", "")
    page = PAGES.get(target)
    if found := FOREIGN.match(target):
        page = f"collections/{found[1].replace('.', '/')}/{found[2]}.html"
    if node.get("reftype") == "envvar" and target.startswith("ANSIBLE_"):
        page = f"reference_appendices/config.html#envvar-{target}"
    if page is None:
        return None
    return nodes.reference("", "", contnode, internal=False, refuri=f"{ANSIBLE_DOCS}/{page}")


def setup(app: t.Any) -> None:
    app.connect("missing-reference", foreign_reference)
