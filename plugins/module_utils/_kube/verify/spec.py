# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The options of the module ``eks_pod_identity_verify``."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.parameters import _list_no_log_values

from ..._diagnosis.reading import dig
from ..._eks.validation import cluster_name_problems
from ..._workload.prove import DeclarationError
from ..._workload.prove import read_workloads
from ..._workload.workload import is_present

if t.TYPE_CHECKING:
    import collections.abc as c

    from ..module import AnsibleClusterModule

JOB, EXEC = "job", "exec"
RESOURCES = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
DICTS: dict[str, t.Any] = {"type": "list", "elements": "dict"}
OPTIONS: dict[str, dict[str, t.Any]] = {
    "cluster_name": {"type": "str", "required": True},
    "workloads": {**DICTS, "required": True},
    "associations": {**DICTS, "default": []},
    "setup_failures": {"type": "dict", "default": {}},
    "failure": {"type": "str", "default": ""},
    "strict": {"type": "bool", "default": False},
    "mode": {"type": "str", "choices": [JOB, EXEC], "default": JOB},
    "exec_container": {"type": "str", "default": ""},
    "inspect_pods": {"type": "bool", "default": True},
    "image": {"type": "str", "default": "public.ecr.aws/lambda/python:3.13"},
    "install": {"type": "bool", "default": False},
    "pod_env": {**DICTS, "default": [], "no_log": True},
    "pod_proxy": {
        "type": "dict",
        "default": {},
        "options": {
            "http_proxy": {"type": "str", "no_log": True},
            "https_proxy": {"type": "str", "no_log": True},
            "no_proxy": {"type": "str", "no_log": False},
        },
    },
    "pod_region": {"type": "str", "default": ""},
    "timeout": {"type": "int", "default": 120},
    "grace": {"type": "int", "default": 10},
    "node_selector": {"type": "dict", "default": {}},
    "tolerations": {**DICTS, "default": []},
    "resources": {"type": "dict", "default": RESOURCES},
    "keep": {"type": "bool", "default": False},
    "accounts": {"type": "dict", "default": {}},
}


def take_env(module: AnsibleClusterModule) -> list[dict[str, t.Any]]:
    """The variables of the pods, which the result of the module then does not hold.

    ansible-core hides the values of such an option by replacing them wherever they are in the result. Among them are
    names of variables and words such as ``true``, of which a proof is made.
    """
    wrapped, own = module._module, "pod_env"
    env: list[dict[str, t.Any]] = wrapped.params.pop(own)
    spec = wrapped.argument_spec
    others = {name: option for name, option in spec.items() if name != own}
    values = _list_no_log_values({own: spec[own]}, {own: env})
    wrapped.no_log_values -= values - _list_no_log_values(others, wrapped.params)
    return env


def problems(params: t.Mapping[str, t.Any]) -> c.Iterator[str]:
    """What is wrong with the options, one sentence each."""
    yield from cluster_name_problems(params["cluster_name"])
    if params["timeout"] < 1:
        yield f"timeout is {params['timeout']}: give a number of seconds of 1 or more."
    if params["grace"] < 0:
        yield f"grace is {params['grace']}: give a number of seconds of 0 or more."
    try:
        read_workloads(present(params))
    except DeclarationError as error:
        yield str(error)


def present(params: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """The declared workloads; one that is to be removed has nothing to prove."""
    return [one for one in params["workloads"] if is_present(one)]


def split(params: t.Mapping[str, t.Any]) -> tuple[list[dict[str, t.Any]], list[dict[str, t.Any]]]:
    """The workloads to verify, and those that could not be set up."""
    verified: list[dict[str, t.Any]] = []
    held: list[dict[str, t.Any]] = []
    for one in present(params):
        name = f"{dig(one, 'namespace')}/{dig(one, 'service_account')}"
        (held if name in params["setup_failures"] else verified).append(one)
    return verified, held
