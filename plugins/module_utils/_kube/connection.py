# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The connection to a cluster's API server: kubernetes.core's options, many threads, no discovery."""

from __future__ import annotations

import contextlib
import json
import typing as t

from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client as core
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

from .._diagnosis.reading import dig
from .causes import WEBHOOK
from .causes import Refusal
from .exec import Execution
from .exec import Place
from .exec import execute

with contextlib.suppress(ImportError):  # AnsibleK8SModule reports it.
    import kubernetes
    import kubernetes.dynamic
    import urllib3

#: Seconds until a connection stands, and until an answer comes; a webhook may take ten, and there may be several.
TIMEOUT = (10, 60)

#: How many objects one answer of a list holds, as with kubectl.
PAGE = 500

Answer = dict[str, t.Any] | Refusal  # pylint: disable=unsupported-binary-operation
Listing = list[dict[str, t.Any]] | Refusal  # pylint: disable=unsupported-binary-operation


def configuration_of(module: t.Any) -> t.Any:
    """The configuration of kubernetes' client by a module's connection options, the environment or a kubeconfig.

    :raises CoreException: when there is no usable one.
    """
    try:
        return core._create_configuration(core._create_auth_spec(module))
    except kubernetes.config.ConfigException as error:
        raise CoreException(
            f"No connection to Kubernetes could be set up ({error}); set host and api_key, kubeconfig, or the "
            "variables K8S_AUTH_*."
        ) from error


class ApiServer:
    """Asks a cluster's API server, in several lanes.

    A cluster has several API servers behind one address, each with a pod identity webhook of its own, and a connection
    that is kept stays with the one that it found. So calls that are to hear different webhooks need different lanes:
    each has connections of its own.
    """

    def __init__(self, module: t.Any, concurrency: int, lanes: int) -> None:
        """
        :param module: an AnsibleK8SModule, whose connection options count, and the environment as in kubernetes.core.
        :raises CoreException: when there is no usable configuration.
        """
        configuration = configuration_of(module)
        configuration.connection_pool_maxsize = concurrency
        # An address where nobody is should not cost the whole patience.
        configuration.retries = 1
        self._configuration, self._headers = configuration, core._create_headers(module)
        self._lanes = [_dynamic(self._client()) for _lane in range(lanes)]

    def try_pod(self, namespace: str, pod: t.Mapping[str, t.Any], lane: int) -> Answer:
        """What creating a pod would make of it; it is not created."""
        return self._ask(lane, "post", f"/api/v1/namespaces/{namespace}/pods", body=pod, dry_run="All")

    def service_accounts(self, namespace: str) -> list[str] | Refusal:
        """Names of the service accounts of a namespace."""
        found = self.objects(f"/api/v1/namespaces/{namespace}/serviceaccounts")
        return found if isinstance(found, Refusal) else [item["metadata"]["name"] for item in found]

    def read(self, path: str) -> Answer:
        """An object."""
        return self._ask(0, "get", path)

    def objects(self, path: str, *, fields: str = "", labels: str = "") -> Listing:
        """The objects of a path, in pages; each with its ``apiVersion`` and ``kind``, which the API server leaves out.

        :param fields: a field selector.
        :param labels: a label selector.
        """
        selectors = {"field_selector": fields or None, "label_selector": labels or None, "limit": PAGE}
        found: list[dict[str, t.Any]] = []
        token = None
        while True:
            answer = self._ask(0, "get", path, _continue=token, **selectors)
            if isinstance(answer, Refusal):
                return answer
            kind = {"apiVersion": answer.get("apiVersion"), "kind": str(answer.get("kind")).removesuffix("List")}
            found.extend({**kind, **item} for item in answer.get("items") or ())
            token = dig(answer, "metadata", "continue")
            if not token:
                return found

    def patch(self, path: str, body: t.Mapping[str, t.Any]) -> Answer:
        """Change an object by a strategic merge patch."""
        return self._ask(0, "patch", path, body=body, content_type="application/strategic-merge-patch+json")

    def create(self, path: str, body: t.Mapping[str, t.Any], dry_run: bool) -> Answer:
        """Create an object among those of a path, or only try it."""
        return self._ask(0, "post", path, body=body, **({"dry_run": "All"} if dry_run else {}))

    def delete(self, path: str, dry_run: bool, *, background: bool = False) -> Answer:
        """Delete an object, or only try it.

        :param background: what belongs to the object is deleted after it.
        """
        options = {"dry_run": "All"} if dry_run else {}
        return self._ask(0, "delete", path, **({"propagation_policy": "Background"} if background else {}), **options)

    def log(self, namespace: str, pod: str, container: str) -> str | Refusal:
        """What a container has printed."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        answer = self._request(0, "get", path, query_params=[("container", container)], serialize=False)
        return answer if isinstance(answer, Refusal) else str(answer.data.decode("utf-8", "replace"))

    def exec(self, place: Place, seconds: float) -> Execution:
        """Run a command in a container, with a client of its own, for so many seconds at most."""
        return execute(self._client(), place, seconds)

    def webhook(self) -> Answer:
        """The MutatingWebhookConfiguration of Pod Identity."""
        kind = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        return self._ask(0, "get", f"{kind}/{WEBHOOK}")

    def _ask(self, lane: int, method: str, path: str, **parameters: t.Any) -> Answer:
        answer = self._request(lane, method, path, serializer=_unchanged, **parameters)
        if isinstance(answer, dict | Refusal):
            return answer
        return Refusal(0, "the answer is no object of Kubernetes, as from a proxy or another server")

    def _request(self, lane: int, method: str, path: str, **parameters: t.Any) -> t.Any:
        client = self._lanes[lane % len(self._lanes)]
        try:
            return client.request(method, path, _request_timeout=TIMEOUT, **parameters)
        except kubernetes.client.exceptions.ApiException as error:
            return Refusal(error.status or 0, _message(error))
        except urllib3.exceptions.HTTPError as error:
            return Refusal(0, str(error))

    def _client(self) -> t.Any:
        client = kubernetes.client.ApiClient(self._configuration)
        for name, value in self._headers.items():
            core._set_header(client, name, value)
        return client


def _dynamic(client: t.Any) -> t.Any:
    # kubernetes.core's own client asks for versions and resources first, which nobody needs here.
    return kubernetes.dynamic.DynamicClient(client, discoverer=_nothing)


def _nothing(*_arguments: object) -> None:
    """Discover nothing."""


def _unchanged(_client: object, document: t.Any) -> t.Any:
    return document


def _message(error: t.Any) -> str:
    """The message of a Status object, or whatever came instead."""
    body = error.body.decode("utf-8", "replace") if isinstance(error.body, bytes) else error.body
    try:
        return str(json.loads(body)["message"])
    except (ValueError, TypeError, KeyError):
        return str(body or error.reason)
