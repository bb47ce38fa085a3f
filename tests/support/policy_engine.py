# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A policy engine of somebody else: an admission webhook that changes pods by the namespace that they are made in."""

from __future__ import annotations

import base64
import copy
import json
import typing as t

import kubernetes
from support.third_party_webhook import ThirdPartyWebhook

WEBHOOK = "pod-identity-webhook"
Pod = dict[str, t.Any]
Change = t.Callable[[Pod], None]


class PolicyEngine(ThirdPartyWebhook):
    """Changes pods while the ``with`` block runs."""

    def __init__(self) -> None:
        super().__init__([])
        #: What becomes of pods, by namespace.
        self.changes: dict[str, Change] = {}

    def install(self, api: t.Any) -> None:
        """Ask it about all pods, before the pod identity webhook and in the same configuration."""
        webhook = {
            "name": "engine.example.com",
            "admissionReviewVersions": ["v1"],
            "clientConfig": self.address(),
            "failurePolicy": "Fail",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "sideEffects": "None",
        }
        admission = kubernetes.client.AdmissionregistrationV1Api(api)
        first = [{"op": "add", "path": "/webhooks/0", "value": webhook}]
        admission.patch_mutating_webhook_configuration(WEBHOOK, first)

    def answer(self, review: dict[str, t.Any]) -> bytes:
        """The AdmissionReview with its response."""
        request = review["request"]
        pod = copy.deepcopy(request["object"])
        self.changes.get(request["namespace"], keep_unchanged)(pod)
        patch = [
            {"op": "replace", "path": "/spec", "value": pod["spec"]},
            {"op": "replace", "path": "/metadata", "value": pod["metadata"]},
        ]
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        response = {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        return json.dumps({**review, "response": response}).encode()


def keep_unchanged(_pod: Pod) -> None:
    """Nothing is changed."""


def environment(**variables: str) -> Change:
    """More variables for the container."""

    def change(pod: Pod) -> None:
        [container] = pod["spec"]["containers"]
        container["env"] += [{"name": name, "value": value} for name, value in variables.items()]

    return change


def container(**settings: t.Any) -> Change:
    """Other settings of the container."""

    def change(pod: Pod) -> None:
        pod["spec"]["containers"][0].update(settings)

    return change


def on_node(group: str) -> Change:
    """On a node of this node group, whatever its taints."""

    def change(pod: Pod) -> None:
        pod["spec"]["nodeSelector"] = {"eks.amazonaws.com/nodegroup": group}
        pod["spec"]["tolerations"] = [{"operator": "Exists"}]

    return change


def labelled(**labels: str) -> Change:
    """More labels, whose names have a prefix of EKS."""

    def change(pod: Pod) -> None:
        named = {f"eks.amazonaws.com/{name.replace('_', '-')}": value for name, value in labels.items()}
        pod["metadata"]["labels"] = {**pod["metadata"].get("labels", {}), **named}

    return change


def annotated(**annotations: str) -> Change:
    """Annotations, whose names have a prefix of EKS."""

    def change(pod: Pod) -> None:
        named = {f"eks.amazonaws.com/{name.replace('_', '-')}": value for name, value in annotations.items()}
        pod["metadata"]["annotations"] = named

    return change
