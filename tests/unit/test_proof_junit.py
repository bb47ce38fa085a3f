# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proofs as test results: what CI servers read, whatever the proofs say."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

import hypothesis
import hypothesis.strategies as st
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_proof_junit import pod_identity_proof_junit

Json = dict[str, t.Any]

#: What the schema that Jenkins publishes knows: attributes by element, and which of them must be there.
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "disabled", "errors", "skipped"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id"},
    "testcase": {"name", "assertions", "time", "classname", "status"},
    "failure": {"type", "message"},
    "system-out": set(),
}
REQUIRED = {"testsuite": {"name", "tests"}, "testcase": {"name"}}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "system-out"},
}
IDENTITY = {
    "arn": "arn:aws:sts::111122223333:assumed-role/app/eks-1",
    "account": "111122223333",
    "role": "app",
    "session_name": "eks-1",
}


def proof(cluster: str = "example", service_account: str = "app", **changes: t.Any) -> Json:
    base: Json = {
        "cluster": cluster,
        "namespace": "team-a",
        "service_account": service_account,
        "role_arn": "arn:aws:iam::111122223333:role/app",
        "target_role_arn": None,
        "identity": IDENTITY,
        "calls": [],
        "mode": "job",
        "pod": "verify-app-1",
        "container": "prove",
        "seconds": 0.5,
        "warnings": [],
        "proven": True,
    }
    return base | changes


def unproven(text: str = "No.", **changes: t.Any) -> Json:
    return proof(proven=False, cause={"id": "wrong_role", "text": text}, advice="Do something.", **changes)


def results(proofs: list[Json]) -> ET.Element:
    """The parsed document, which holds nothing that the schema does not know."""
    root = ET.fromstring(pod_identity_proof_junit(proofs, timestamp="2026-11-23T10:15:30").encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        assert REQUIRED.get(element.tag, set()) <= set(element.attrib)
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
    return root


def test_junit_has_suite_per_cluster_and_case_per_workload() -> None:
    root = results([proof(), proof("other"), unproven(service_account="second", seconds=1.25)])
    assert root.attrib == {"tests": "3", "failures": "1", "errors": "0", "skipped": "0", "time": "2.250"}
    first, other = root
    assert first.attrib == {
        "name": "example",
        "tests": "2",
        "failures": "1",
        "errors": "0",
        "skipped": "0",
        "time": "1.750",
        "timestamp": "2026-11-23T10:15:30",
    }
    assert (other.get("name"), other.get("tests"), other.get("failures")) == ("other", "1", "0")
    good, bad = first
    assert good.attrib == {"classname": "example.team-a", "name": "app", "time": "0.500"}
    assert good.find("failure") is None
    assert str(good.findtext("system-out")).startswith("PROVEN team-a/app in cluster example\n")
    failure = bad.find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "wrong_role", "message": "No. Do something."}
    assert "NOT PROVEN team-a/second in cluster example: wrong_role" in str(bad.findtext("system-out"))


def test_no_proofs_give_empty_document() -> None:
    assert results([]).attrib["tests"] == "0"


anything = st.text(st.characters(), max_size=30)


@hypothesis.given(st.lists(st.tuples(anything, anything, anything), max_size=4))
def test_any_text_gives_readable_xml(texts: list[tuple[str, str, str]]) -> None:
    proofs = [unproven(message, cluster=cluster, service_account=name) for cluster, name, message in texts]
    assert len(list(results(proofs).iter("testcase"))) == len(proofs)


@hypothesis.given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_text_is_kept_and_invalid_xml_characters_replaced(text: str) -> None:
    [failure] = results([unproven(text)]).iter("failure")
    kept = "".join(
        char if char in "\t\n\r" or (char >= " " and char not in "\ufffe\uffff") else "\ufffd" for char in text
    )
    assert failure.get("message") == f"{kept} Do something."
