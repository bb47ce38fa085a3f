# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the roles `cluster` and `agent` decide in filters, and the file for a certificate authority."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible import constants
from ansible.errors import AnsibleError
from ansible_collections.podidentity.eks.plugins.filter.eks_nodes_without_agent import eks_nodes_without_agent
from ansible_collections.podidentity.eks.plugins.lookup.eks_ca_file import written

Mapping = dict[str, t.Any]
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


def node(name: str, ready: str = "True", labels: dict[str, str] | None = None, *taints: Mapping) -> Mapping:
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": list(taints)} if taints else {},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def pod(name: str, ready: str = "True", **status: t.Any) -> Mapping:
    conditions = [{"type": "Ready", "status": ready}]
    return {
        "metadata": {"name": f"eks-pod-identity-agent-{name}"},
        "spec": {"nodeName": name},
        "status": {"phase": "Running", "conditions": conditions} | status,
    }


def test_nodes_with_ready_agent_are_not_listed() -> None:
    assert eks_nodes_without_agent([node("a"), node("b")], [pod("a"), pod("b", ready="False"), pod("b")]) == []


def test_node_without_agent_pod_is_listed() -> None:
    lacking = [{"node": "b", "reason": "has no agent pod", "needed": True}]
    assert eks_nodes_without_agent([node("a"), node("b")], [pod("a")]) == lacking


@pytest.mark.parametrize(
    ("version", "why"),
    [
        (
            "v1.1.0-eksbuild.1",
            "version v1.1.0-eksbuild.1 of the add-on tolerates none, v1.2.0 and later ones tolerate all",
        ),
        ("v1.2.0-eksbuild.1", "the tolerations in the add-on's configuration must allow all"),
        ("v1.10.0-eksbuild.1", "the tolerations in the add-on's configuration must allow all"),
        (None, "the tolerations in the add-on's configuration must allow all"),
    ],
)
def test_taints_blocking_agent_are_named(version: str | None, why: str) -> None:
    taints = [{"key": "gpu", "effect": "NoSchedule"}, {"key": "slow", "effect": "PreferNoSchedule"}]
    (lacking,) = eks_nodes_without_agent([node("a", "True", {}, *taints)], [], version)
    assert lacking["reason"] == f"has no agent pod: of its taints gpu:NoSchedule {why}"
    (lacking,) = eks_nodes_without_agent([node("a", "True", {}, taints[1])], [], version)
    assert lacking["reason"] == "has no agent pod"


def test_reason_of_unready_agent_is_shown() -> None:
    crashing = [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]
    (lacking,) = eks_nodes_without_agent([node("a")], [pod("a", ready="False", containerStatuses=crashing)])
    assert lacking["reason"] == "has agent pod eks-pod-identity-agent-a that is not ready (Running, CrashLoopBackOff)"


def test_nodes_that_need_no_agent_are_skipped() -> None:
    compute_type = "eks.amazonaws.com/compute-type"
    nodes = [
        node("w", labels={"kubernetes.io/os": "windows"}),
        node("f", labels={compute_type: "fargate"}),
        node("g", labels={compute_type: "auto"}),
        node("h", labels={compute_type: "hybrid"}),
        node("down", ready="Unknown"),
    ]
    assert eks_nodes_without_agent(nodes, []) == []
    told = eks_nodes_without_agent([*nodes, node("a")], [], explain=True)
    assert {one["node"]: one["reason"] for one in told if not one["needed"]} == {
        "w": "does not run Linux, so it has no EKS Pod Identity",
        "f": "is of Fargate, which has no EKS Pod Identity",
        "g": "is of EKS Auto Mode, which has the agent built in",
        "h": "is a hybrid node, which has a daemon set of its own",
        "down": "is not ready, so nothing can start there",
    }
    assert [one["node"] for one in told if one["needed"]] == ["a"]


def test_certificate_is_written_to_ansible_local_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    path = written(CERTIFICATE)
    assert path.parent == tmp_path and path.read_text(encoding="ascii") == CERTIFICATE
    assert written(CERTIFICATE) == path


def test_invalid_certificate_is_refused() -> None:
    with pytest.raises(AnsibleError, match="PEM"):
        written("")
