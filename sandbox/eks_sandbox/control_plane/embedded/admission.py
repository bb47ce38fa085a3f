# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Admission: checks and changes between a request and the store."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import ssl
import typing as t
import uuid

import aiohttp
import jsonpatch

from eks_sandbox.control_plane.embedded.defaults import random_suffix
from eks_sandbox.control_plane.embedded.errors import ApiError
from eks_sandbox.control_plane.embedded.errors import bad_request
from eks_sandbox.control_plane.embedded.errors import forbidden
from eks_sandbox.control_plane.embedded.errors import not_found
from eks_sandbox.control_plane.embedded.resources import MUTATING_WEBHOOKS
from eks_sandbox.control_plane.embedded.resources import NAMESPACES
from eks_sandbox.control_plane.embedded.resources import SERVICE_ACCOUNTS
from eks_sandbox.control_plane.embedded.resources import Resource
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.objects import labels_of
from eks_sandbox.control_plane.objects import matches_selector
from eks_sandbox.interfaces import Identity
from eks_sandbox.node.authenticator import user_info

TOKEN_MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
#: Seconds a token of the API lives; by this odd number kube-apiserver recognizes its own projection.
TOKEN_LIFETIME = 3607
_PRIORITIES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
_REVIEW_VERSIONS = ("v1", "v1beta1")
_NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def ensure_namespace_takes(store: Store, resource: Resource, namespace: str, name: str) -> None:
    """Refuse new objects if their namespace does not exist or is being deleted.

    :raises ApiError: 404 or 403
    """
    found = store.find(NAMESPACES, "", namespace)
    if found is None:
        raise not_found(NAMESPACES, namespace)
    if found["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        raise forbidden(resource, name, why)


def admit_service_account(store: Store, resource: Resource, pod: Object) -> None:
    """The ServiceAccount admission: the account must exist; its token is mounted by default.

    :raises ApiError: 403 when the account does not exist.
    """
    spec, metadata = pod["spec"], pod["metadata"]
    name = spec.setdefault("serviceAccountName", spec.get("serviceAccount") or "default")
    spec["serviceAccount"] = name
    account = store.find(SERVICE_ACCOUNTS, metadata["namespace"], name)
    if account is None:
        where = f"{metadata['namespace']}/{name}"
        why = f'error looking up service account {where}: serviceaccount "{name}" not found'
        raise forbidden(resource, metadata.get("name", ""), why)
    wanted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
    if wanted:
        _mount_token(spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]


def _mount_token(spec: Object) -> None:
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    missing = [
        container
        for container in containers
        if all(mount.get("mountPath") != TOKEN_MOUNT for mount in container.get("volumeMounts") or [])
    ]
    if not missing:
        return
    name = f"kube-api-access-{random_suffix()}"
    for container in missing:
        mount = {"name": name, "readOnly": True, "mountPath": TOKEN_MOUNT}
        container.setdefault("volumeMounts", []).append(mount)
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    spec.setdefault("volumes", []).append({"name": name, "projected": {"sources": sources, "defaultMode": 420}})


def admit_priority(resource: Resource, pod: Object) -> None:
    """The Priority and RuntimeClass admission of a cluster with only the two classes that every cluster has.

    :raises ApiError: 403 for a class that does not exist.
    """
    spec, name = pod["spec"], pod["metadata"].get("name", "")
    priority_class = spec.get("priorityClassName", "")
    if priority_class and priority_class not in _PRIORITIES:
        raise forbidden(resource, name, f"no PriorityClass with name {priority_class} was found")
    computed = _PRIORITIES.get(priority_class, 0)
    if spec.setdefault("priority", computed) != computed:
        why = "must not be provided in pod spec; priority admission controller computed"
        given = f"the integer value of priority ({spec['priority']})"
        raise forbidden(resource, name, f"{given} {why} {computed} from the given PriorityClass name")
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    if runtime := spec.get("runtimeClassName"):
        raise forbidden(resource, name, f'pod rejected: RuntimeClass "{runtime}" not found')


def admit_node(node: Object) -> None:
    """What the TaintNodesByCondition admission does: until it is known to be ready, a new node takes no pods."""
    taints = node.setdefault("spec", {}).setdefault("taints", [])
    if all(taint.get("key") != _NOT_READY[0] for taint in taints):
        taints.append({"key": _NOT_READY[0], "effect": "NoSchedule"})


def admit_tolerations(pod: Object) -> None:
    """What the DefaultTolerationSeconds admission does, with new pods and with changed ones."""
    tolerations = pod["spec"].setdefault("tolerations", [])
    for key in _NOT_READY:
        if not any(_tolerates_no_execute(entry, key) for entry in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def _tolerates_no_execute(toleration: Object, key: str) -> bool:
    return toleration.get("key", key) == key and toleration.get("effect", "NoExecute") in ("NoExecute", "")


@dataclasses.dataclass(frozen=True)
class AdmissionRequest:
    """What a webhook receives about a write."""

    resource: Resource
    operation: str
    obj: Object
    identity: Identity
    dry_run: bool

    def review(self, version: str) -> Object:
        """The AdmissionReview, in a version that the webhook knows."""
        resource, metadata = self.resource, self.obj["metadata"]
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
        request = {
            "uid": str(uuid.uuid4()),
            "kind": kind,
            "requestKind": kind,
            "resource": plural,
            "requestResource": plural,
            "name": metadata.get("name", ""),
            "namespace": metadata.get("namespace", ""),
            "operation": self.operation,
            "userInfo": user_info(self.identity),
            "object": self.obj,
            "oldObject": None,
            "dryRun": self.dry_run,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
        }
        return {"apiVersion": f"admission.k8s.io/{version}", "kind": "AdmissionReview", "request": request}


class Webhooks:
    """Calls the registered MutatingWebhookConfigurations, in the order of their names."""

    def __init__(self, store: Store, session: aiohttp.ClientSession) -> None:
        self._store = store
        self._session = session

    async def mutate(self, request: AdmissionRequest) -> Object:
        """The object after every matching webhook.

        :raises ApiError: a webhook refuses, or does not answer and its failurePolicy is Fail.
        """
        webhooks = [
            webhook
            for configuration in self._store.select(MUTATING_WEBHOOKS)
            for webhook in configuration.get("webhooks") or []
        ]
        request, last = await self._round(webhooks, request)
        again = [webhook for webhook in webhooks[:last] if webhook.get("reinvocationPolicy") == "IfNeeded"]
        request, _ = await self._round(again, request)
        return request.obj

    async def _round(self, webhooks: list[Object], request: AdmissionRequest) -> tuple[AdmissionRequest, int]:
        """Call each once; also returns the index of the last one that changed something."""
        last = 0
        for place, webhook in enumerate(webhooks):
            if self._matches(webhook, request):
                changed = await self._ask(webhook, request)
                last = last if changed == request.obj else place
                request = dataclasses.replace(request, obj=changed)
        return request, last

    def _matches(self, webhook: Object, request: AdmissionRequest) -> bool:
        if not any(_rule_matches(rule, request) for rule in webhook.get("rules") or []):
            return False
        if not matches_selector(webhook.get("objectSelector") or {}, labels_of(request.obj)):
            return False
        namespace = self._store.find(NAMESPACES, "", request.obj["metadata"].get("namespace", ""))
        return namespace is None or matches_selector(webhook.get("namespaceSelector") or {}, labels_of(namespace))

    async def _ask(self, webhook: Object, request: AdmissionRequest) -> Object:
        try:
            response = await self._call(webhook, request)
        except (aiohttp.ClientError, ValueError, TimeoutError, ssl.SSLError, KeyError, TypeError) as error:
            if webhook.get("failurePolicy") == "Ignore":
                return request.obj
            why = f'failed calling webhook "{webhook["name"]}": {error or type(error).__name__}'
            raise ApiError(500, "InternalError", f"Internal error occurred: {why}") from error
        if not response.get("allowed"):
            status = response.get("status") or {}
            why = status.get("message") or status.get("reason") or "without explanation"
            message = f'admission webhook "{webhook["name"]}" denied the request: {why}'
            raise ApiError(int(status.get("code") or 400), str(status.get("reason") or ""), message)
        return _patched(webhook, request.obj, response)

    async def _call(self, webhook: Object, request: AdmissionRequest) -> Object:
        configuration = webhook["clientConfig"]
        if not configuration.get("url"):
            raise ValueError("services have no endpoints on the sandbox's embedded control plane, use a url")
        context = _context(configuration.get("caBundle") or "")
        timeout = aiohttp.ClientTimeout(total=webhook.get("timeoutSeconds") or 10)
        version = next((name for name in webhook["admissionReviewVersions"] if name in _REVIEW_VERSIONS), "v1")
        review = request.review(version)
        async with self._session.post(configuration["url"], json=review, ssl=context, timeout=timeout) as answer:
            if answer.status != 200:
                raise ValueError(f"the server answered with status {answer.status}")
            document = await answer.json()
        if document.get("apiVersion") != review["apiVersion"]:
            raise ValueError(f"expected webhook response of {review['apiVersion']}, Kind=AdmissionReview")
        response: Object = document["response"]
        if response.get("uid") != review["request"]["uid"]:
            raise ValueError("expected response.uid to be that of the request")
        return response


@functools.lru_cache(maxsize=16)
def _context(ca_bundle: str) -> ssl.SSLContext:
    """For connections to a webhook; a connection is kept for the next call only by the same context."""
    return ssl.create_default_context(cadata=base64.b64decode(ca_bundle).decode() or None)


def _rule_matches(rule: Object, request: AdmissionRequest) -> bool:
    resource = request.resource
    wanted = (
        ("operations", request.operation),
        ("apiGroups", resource.group),
        ("apiVersions", resource.version),
        ("resources", resource.plural),
    )
    for field, value in wanted:
        choices = rule.get(field) or []
        if value not in choices and "*" not in choices and not (field == "resources" and "*/*" in choices):
            return False
    scope = rule.get("scope", "*")
    return bool(scope == "*" or (scope == "Namespaced") == resource.namespaced)


def _patched(webhook: Object, obj: Object, response: Object) -> Object:
    if not response.get("patch"):
        return obj
    try:
        operations = json.loads(base64.b64decode(response["patch"]))
        patched = jsonpatch.JsonPatch(operations).apply(obj, in_place=False)
    except (ValueError, TypeError, jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        message = f'Internal error occurred: webhook "{webhook["name"]}" sent a patch that does not fit: {error}'
        raise ApiError(500, "InternalError", message) from error
    if not isinstance(patched, dict):
        raise bad_request(f'webhook "{webhook["name"]}" turned the object into something else')
    return t.cast(Object, patched)
