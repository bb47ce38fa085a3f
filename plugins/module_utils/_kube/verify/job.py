# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The Job that proves a workload."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ..._diagnosis.cases import INDEX_LABEL
from ..._diagnosis.observed import CONTAINER
from ..._diagnosis.own_pods import RUN_LABEL
from ..._diagnosis.reading import mapping

if t.TYPE_CHECKING:
    import collections.abc as c

Object = dict[str, t.Any]
TERMINATION_LOG = "/dev/termination-log"
#: The addresses of the agent, which no proxy reaches.
AGENT_ADDRESSES = ("169.254.170.23", "[fd00:ec2::23]")
#: What every pod has in its environment: its file system is read-only but for /tmp.
PLAIN = ({"name": "HOME", "value": "/tmp"}, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"})
INSTALL = """\
python3 -m venv /tmp/venv;
/tmp/venv/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check boto3;
exec /tmp/venv/bin/python "$@"
"""
#: Seconds between the end of waiting and the end that a Job gives itself.
SPARE = 60
#: For how many seconds Kubernetes keeps a Job that is to be inspected.
KEPT = 3600


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the Jobs of a run have in common."""

    #: The options of the module.
    params: t.Mapping[str, t.Any]
    env: c.Sequence[t.Mapping[str, t.Any]]
    script: str

    def place(self, workload: t.Mapping[str, t.Any], option: str) -> t.Any:
        """Image, node selector or tolerations: what the workload itself declares, or else what all have."""
        return mapping(workload.get("prove")).get(option) or self.params[option]


def metadata_of(workload: t.Mapping[str, t.Any], place: int, run: str) -> Object:
    """Name, namespace and labels of a workload's Job; by ``place``, its place in the list, its pod is found again."""
    account = str(workload["service_account"]).replace(".", "-")[:32]
    return {
        "name": f"verify-{account}-{run}-{place}",
        "namespace": workload["namespace"],
        "labels": {
            "app.kubernetes.io/name": "podidentity-verify",
            "app.kubernetes.io/managed-by": "podidentity.eks",
            RUN_LABEL: run,
            INDEX_LABEL: str(place),
        },
    }


def job_of(workload: t.Mapping[str, t.Any], metadata: Object, orders: t.Any, settings: Settings) -> Object:
    """The Job. It is admitted where Pod Security is restricted."""
    params = settings.params
    spec: Object = {
        "serviceAccountName": workload["service_account"],
        # The token of Pod Identity is another one; the script has no business with the Kubernetes API.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "nodeSelector": settings.place(workload, "node_selector"),
        "tolerations": settings.place(workload, "tolerations"),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container_of(workload, orders, settings)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            # Both hold where the module cannot clean up, as when it is killed. The second is as long as the module may
            # still wait for the pod of another workload, because the pod goes with its Job.
            "activeDeadlineSeconds": params["timeout"] + SPARE,
            "ttlSecondsAfterFinished": KEPT if params["keep"] else params["timeout"] + SPARE,
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": spec},
        },
    }


def container_of(workload: t.Mapping[str, t.Any], orders: t.Any, settings: Settings) -> Object:
    """The container that runs the script."""
    # Kubernetes replaces $(NAME) in a command, and makes one $ of two.
    script, told = (content.replace("$", "$$") for content in (settings.script, json.dumps(orders)))
    installing = settings.params["install"]
    return {
        "name": CONTAINER,
        "image": settings.place(workload, "image"),
        "command": ["/bin/sh", "-ec", INSTALL, CONTAINER] if installing else ["python3"],
        "args": ["-c", script, told, TERMINATION_LOG],
        "env": [*PLAIN, *proxy_variables(settings.params["pod_proxy"]), *settings.env],
        "resources": settings.params["resources"],
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def proxy_variables(proxy: t.Mapping[str, str | None]) -> list[dict[str, str]]:
    """The variables of a proxy. Programs differ in whether they read the upper-case or the lower-case name."""
    given = {name: proxy.get(name) or "" for name in ("http_proxy", "https_proxy")}
    if not any(given.values()):
        return []
    exceptions = filter(None, map(str.strip, (proxy.get("no_proxy") or "").split(",")))
    given["no_proxy"] = ",".join(dict.fromkeys([*exceptions, *AGENT_ADDRESSES]))
    return [
        {"name": spelled, "value": value} for name, value in given.items() if value for spelled in (name, name.upper())
    ]
