# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pod identity webhook: what EKS does to a pod whose service account has an association.

Source of every rule: aws/amazon-eks-pod-identity-webhook, and pods that the real webhook changed on a real
kube-apiserver (``tests/data/webhook-cases.json``).
"""

from __future__ import annotations

import base64
import copy
import csv
import dataclasses
import json
import random
import re
import typing as t

from eks_sandbox.control_plane.objects import Object

ASSOCIATED_LABEL = "eks.amazonaws.com/pod-identity"
SKIP_LABEL = "eks.amazonaws.com/skip-pod-identity-webhook"
SKIP_CONTAINERS = "eks.amazonaws.com/skip-containers"
TOKEN_EXPIRATION = "eks.amazonaws.com/token-expiration"
ROLE_ARN = "eks.amazonaws.com/role-arn"
AUDIENCE_ANNOTATION = "eks.amazonaws.com/audience"
REGIONAL_ENDPOINTS = "eks.amazonaws.com/sts-regional-endpoints"

CREDENTIALS_URI = "http://169.254.170.23/v1/credentials"
#: Seconds; the longest life of a token, the shortest life that can be requested, and how far lives are spread.
LONGEST, SHORTEST, JITTER = 86400, 600, 7200
_FILE_MODE = 0o644
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclasses.dataclass(frozen=True)
class Injection:
    """What a container gets."""

    volume: str
    mount_path: str
    audience: str
    file_name: str
    #: Name of the variable that holds the token's path, and the other variable that goes with it.
    token_variable: str
    companion: tuple[str, str]


def pod_identity() -> Injection:
    """Credentials by the agent on the node."""
    return Injection(
        volume="eks-pod-identity-token",
        mount_path="/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
        audience="pods.eks.amazonaws.com",
        file_name="eks-pod-identity-token",
        token_variable="AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        companion=("AWS_CONTAINER_CREDENTIALS_FULL_URI", CREDENTIALS_URI),
    )


def web_identity(role_arn: str, audience: str) -> Injection:
    """Credentials by STS, for a service account with IRSA's annotation."""
    return Injection(
        volume="aws-iam-token",
        mount_path="/var/run/secrets/eks.amazonaws.com/serviceaccount",
        audience=audience,
        file_name="token",
        token_variable="AWS_WEB_IDENTITY_TOKEN_FILE",
        companion=("AWS_ROLE_ARN", role_arn),
    )


class Webhook:
    """Changes the pods of one cluster."""

    def __init__(
        self,
        region: str,
        is_associated: t.Callable[[str, str], bool],
        annotations_of: t.Callable[[str, str], t.Awaitable[t.Mapping[str, str]]],
    ) -> None:
        self._region = region
        self._is_associated = is_associated
        self._annotations_of = annotations_of

    async def review(self, body: Object) -> Object:
        """An AdmissionReview with its response."""
        request = body["request"]
        response: Object = {"uid": request["uid"], "allowed": True}
        pod = request["object"]
        namespace = request.get("namespace") or pod["metadata"].get("namespace", "")
        operations = await self.operations(namespace, pod)
        if operations:
            patch = base64.b64encode(json.dumps(operations).encode()).decode()
            response |= {"patchType": "JSONPatch", "patch": patch}
        return {"apiVersion": body["apiVersion"], "kind": "AdmissionReview", "response": response}

    async def operations(self, namespace: str, pod: Object) -> list[Object]:
        """The JSON patch that gives the pod its identity; empty when it gets none."""
        account = pod["spec"].get("serviceAccountName") or "default"
        annotations = await self._annotations_of(namespace, account)
        if self._is_associated(namespace, account):
            return self._patch(pod, pod_identity(), annotations, is_pod_identity=True)
        if not annotations.get(ROLE_ARN):
            return []
        audience = annotations.get(AUDIENCE_ANNOTATION, "sts.amazonaws.com")
        return self._patch(pod, web_identity(annotations[ROLE_ARN], audience), annotations, is_pod_identity=False)

    def _patch(
        self, pod: Object, injection: Injection, account: t.Mapping[str, str], *, is_pod_identity: bool
    ) -> list[Object]:
        """``account`` are the annotations of the service account; the pod's own come first."""
        spec, metadata = pod["spec"], pod["metadata"]
        annotations = metadata.get("annotations") or {}
        operations: list[Object] = []
        if is_pod_identity:
            labels = {**(metadata.get("labels") or {}), ASSOCIATED_LABEL: "enabled"}
            operations.append({"op": "add", "path": "/metadata/labels", "value": labels})
        volumes = spec.get("volumes") or []
        if all(volume["name"] != injection.volume for volume in volumes):
            added = _volume(injection, _expiration(annotations, account))
            operations.append({"op": "add", "path": "/spec/volumes", "value": [added, *volumes]})
        skipped = _skipped(annotations)
        settings = self._settings(injection, spec.get("nodeSelector") or {}, account)
        for field in ("initContainers", "containers"):
            containers = spec.get(field) or []
            changed = [
                container if container["name"] in skipped else _with_identity(container, injection, settings)
                for container in containers
            ]
            if changed != containers:
                operations.append({"op": "add", "path": f"/spec/{field}", "value": changed})
        return operations

    def _settings(
        self, injection: Injection, selector: t.Mapping[str, str], account: t.Mapping[str, str]
    ) -> list[tuple[str, ...]]:
        """Groups of variables and their values; a container that names one of a group keeps its own."""
        path = f"{injection.mount_path}/{injection.file_name}"
        if "windows" in (selector.get("beta.kubernetes.io/os"), selector.get("kubernetes.io/os")):
            path = "C:" + path.replace("/", "\\")
        regional = ("AWS_STS_REGIONAL_ENDPOINTS", "regional") if _is_regional(account) else ()
        region = ("AWS_DEFAULT_REGION", self._region, "AWS_REGION", self._region)
        return [regional, region, (*injection.companion, injection.token_variable, path)]


def _with_identity(container: Object, injection: Injection, settings: list[tuple[str, ...]]) -> Object:
    """A copy of the container with the variables and the mount, or the container where it has all settings itself."""
    variables = list(container.get("env") or [])
    present = {variable["name"] for variable in variables}
    known = (*settings[1:], ("AWS_STS_REGIONAL_ENDPOINTS",))
    if all(present & set(group[::2]) for group in known):
        return container
    for group in settings:
        if not present & set(group[::2]):
            variables += [{"name": name, "value": value} for name, value in zip(group[::2], group[1::2], strict=True)]
    changed = {**copy.deepcopy(container), "env": variables}
    mounts = list(container.get("volumeMounts") or [])
    if all(mount["name"] != injection.volume for mount in mounts):
        mounts.append({"name": injection.volume, "readOnly": True, "mountPath": injection.mount_path})
    return {**changed, "volumeMounts": mounts}


def _skipped(annotations: t.Mapping[str, str]) -> set[str]:
    """Names of the containers to skip: one line of CSV, whose spaces count; an invalid line names no container."""
    try:
        return set(next(csv.reader([annotations.get(SKIP_CONTAINERS, "")], strict=True), []))
    except csv.Error:
        return set()


def _is_regional(account: t.Mapping[str, str]) -> bool:
    """Whether the SDK must use the regional endpoint of STS; the service account can switch off this default."""
    return account.get(REGIONAL_ENDPOINTS) not in ("0", "f", "F", "FALSE", "false", "False")


def _expiration(pod: t.Mapping[str, str], account: t.Mapping[str, str]) -> int:
    """Seconds that the token lives: the pod's value, else the service account's, at least 600.

    A value that is not a number is ignored. A day, the default, is spread over two hours.
    """
    asked = [annotations.get(TOKEN_EXPIRATION, "") for annotations in (pod, account)]
    seconds = next((max(int(text), SHORTEST) for text in asked if _NUMBER.fullmatch(text)), LONGEST)
    return LONGEST - random.randint(0, JITTER) if seconds == LONGEST else seconds


def _volume(injection: Injection, expiration: int) -> Object:
    token = {
        "audience": injection.audience,
        "expirationSeconds": expiration,
        "path": injection.file_name,
    }
    source = {"sources": [{"serviceAccountToken": token}], "defaultMode": _FILE_MODE}
    return {"name": injection.volume, "projected": source}


def configuration(url: str, certificate_authority: str) -> Object:
    """The MutatingWebhookConfiguration that EKS registers."""
    bundle = base64.b64encode(certificate_authority.encode()).decode()
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*"}
    webhook = {
        "name": "iam-for-pods.amazonaws.com",
        "admissionReviewVersions": ["v1beta1", "v1"],
        "clientConfig": {"url": url, "caBundle": bundle},
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {"matchExpressions": [{"key": SKIP_LABEL, "operator": "DoesNotExist"}]},
        "reinvocationPolicy": "IfNeeded",
        "rules": [rule],
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "pod-identity-webhook"},
        "webhooks": [webhook],
    }
