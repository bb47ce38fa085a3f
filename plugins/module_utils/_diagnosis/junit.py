# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Proofs in the form of JUnit: a test suite for each cluster, a test case for each workload."""

from __future__ import annotations

import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.report import Proof
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.report import describe

#: What XML 1.0 cannot hold, not even escaped; messages of programs may have any of it.
NOT_IN_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def render(proofs: t.Sequence[Proof], timestamp: str) -> str:
    """The whole document."""
    root = ET.Element("testsuites", counts(proofs))
    for cluster in dict.fromkeys(proof["cluster"] for proof in proofs):
        own = [proof for proof in proofs if proof["cluster"] == cluster]
        suite = ET.SubElement(root, "testsuite", {"name": legible(cluster), **counts(own), "timestamp": timestamp})
        for proof in own:
            add_case(suite, proof)
    ET.indent(root)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def add_case(suite: ET.Element, proof: Proof) -> None:
    """One workload."""
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": legible(f"{proof['cluster']}.{proof['namespace']}"),
            "name": legible(proof["service_account"]),
            "time": f"{proof.get('seconds', 0):.3f}",
        },
    )
    if not proof["proven"]:
        message = f"{proof['cause']['text']} {proof['advice']}"
        ET.SubElement(case, "failure", {"type": legible(proof["cause"]["id"]), "message": legible(message)})
    ET.SubElement(case, "system-out").text = legible("\n".join(describe(proof)))


def counts(proofs: t.Sequence[Proof]) -> dict[str, str]:
    """The attributes that sum up."""
    return {
        "tests": str(len(proofs)),
        "failures": str(sum(not proof["proven"] for proof in proofs)),
        "errors": "0",
        "skipped": "0",
        "time": f"{sum(proof.get('seconds', 0) for proof in proofs):.3f}",
    }


def legible(text: t.Any) -> str:
    """A text without what cannot be in XML."""
    return NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", str(text))
