# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventories and plays that the code blocks of the guides declare."""

from __future__ import annotations

import pathlib
import typing as t

import yaml
from support.pages import GUIDES
from support.pages import Block
from support.pages import blocks

BLOCKS = blocks(*GUIDES)
HOST_VARS = {block.page.stem: block.document for block in BLOCKS if block.kind == "host_vars"}
#: What a page may leave to others.
GROUP_VARS = {
    "ansible_connection": "local",
    "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    "eks_region": "eu-west-1",
    "cluster_zones": ["eu-west-1a", "eu-west-1b"],
    "service_account_create_namespaces": True,
}
#: How a block may be tested; text is not code, and `make docs` reads tables of contents.
KINDS = {
    *(("yaml", "host_vars"), ("yaml", "hosts"), ("yaml", "playbook")),
    *(("shell", ""), ("json", ""), ("text", ""), ("", "{toctree}")),
}


def of_kind(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


def plays_of(page: str) -> list[dict[str, t.Any]]:
    """The plays of a page's playbooks."""
    return [play for block in of_kind("playbook") if block.page.stem == page for play in block.document]


def inventory_of(path: pathlib.Path, hosts: t.Iterable[str]) -> str:
    """An inventory whose hosts have the variables of the pages after which they are named."""
    declared = {host: HOST_VARS[host] for host in hosts}
    path.write_text(yaml.safe_dump({"eks_clusters": {"vars": GROUP_VARS, "hosts": declared}}), encoding="utf-8")
    return str(path)
