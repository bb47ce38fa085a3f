# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a verification ran: proofs in a workload's own pods, what is wrong with these, and what Kubernetes refuses."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t
import urllib.parse

import hypothesis
import hypothesis.strategies as st
import pytest
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_proof_report import pod_identity_proof_report
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import is_settled
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.cases import pod_orders
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.executing import command
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.executing import places
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.own_pods import by_account
from ansible_collections.podidentity.eks.plugins.module_utils._diagnosis.reading import kubernetes_words
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Refusal
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import Executed
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import Execution
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import ended
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import DeclarationError
from ansible_collections.podidentity.eks.plugins.module_utils._workload.prove import read_workloads
from support.environment import ROOT
from unit.test_diagnosis import DOCUMENT
from unit.test_diagnosis import NOT_TRIED
from unit.test_diagnosis import WORKLOAD
from unit.test_diagnosis import diagnose
from unit.test_diagnosis import document
from unit.test_diagnosis import observed
from unit.test_diagnosis import pod
from unit.test_diagnosis import prove_all
from unit.test_diagnosis import without_identity

Json = dict[str, t.Any]

SCRIPT = ROOT / "plugins" / "module_utils" / "_kube" / "verify" / "script.py"

URI = {"name": "AWS_CONTAINER_CREDENTIALS_FULL_URI", "value": "http://169.254.170.23/v1/credentials"}
TOKEN_FOLDER = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
TOKEN = {"name": "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "value": f"{TOKEN_FOLDER}/eks-pod-identity-token"}
SOURCE = {"serviceAccountToken": {"audience": "pods.eks.amazonaws.com", "path": "eks-pod-identity-token"}}
VOLUME = {"name": "eks-pod-identity-token", "projected": {"sources": [SOURCE]}}
FORBIDDEN = Refusal(
    403, 'pods is forbidden: User "somebody" cannot list resource "pods" in API group "" at the cluster scope'
)


def container(name: str = "main", *variables: Json, injected: bool = True) -> Json:
    mounts = [{"name": "eks-pod-identity-token", "mountPath": TOKEN_FOLDER}] if injected else []
    return {"name": name, "env": [*variables, *([URI, TOKEN] if injected else [])], "volumeMounts": mounts}


def own_pod(name: str, *containers: Json, created: str = "10:00:00", ready: bool = True, **changes: t.Any) -> Json:
    """A running pod of the workload itself."""
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    pod = {
        "metadata": {"name": name, "namespace": "team-a", "creationTimestamp": f"2026-11-23T{created}Z", "labels": {}},
        "spec": {"serviceAccountName": "app", "containers": list(containers) or [container()], "volumes": [VOLUME]},
        "status": {"phase": "Running", "conditions": conditions},
    }
    return {key: value | changes.get(key, {}) for key, value in pod.items()}


def chosen_container(*pods: Json, container: str = "") -> list[tuple[str, str]]:
    found = places(read_workloads([WORKLOAD]), by_account(list(pods)), container)
    return [(one.pod, one.container) for one in found.values()]


def executed(pods: list[Json], answer: Execution | None = None) -> Json:
    """What the module observes of the script in a running pod."""
    return observed(mode="exec", container="", own_pods=pods, executed={} if answer is None else {0: answer})


def script_output(value: Json) -> str:
    return f"-----BEGIN POD IDENTITY PROOF-----\n{json.dumps(value)}\n-----END POD IDENTITY PROOF-----\n"


def warnings(*pods: Json) -> list[str]:
    """The warnings beside a good proof in a Job."""
    proof = diagnose(observed(own_pods=list(pods)))
    assert proof["proven"] is True, "a warning fails nothing"
    found: list[str] = proof["warnings"]
    assert [line for line in pod_identity_proof_report([proof]) if "warning" in line] == [
        f"  warning   {warning}" for warning in found
    ]
    return found


def test_newest_ready_pod_with_injected_container_is_chosen() -> None:
    sidecar = container("sidecar", injected=False)
    pods = [
        own_pod("old"),
        own_pod("new", sidecar, container(), created="11:00:00"),
        own_pod("newest", created="12:00:00", ready=False),
    ]
    assert chosen_container(*pods) == [("new", "main")]
    assert chosen_container(*pods, container="sidecar") == [("new", "sidecar")]


def test_first_container_is_chosen_without_credentials() -> None:
    assert chosen_container(own_pod("early", container("a", injected=False), container("b", injected=False))) == [
        ("early", "a")
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": {"namespace": "team-b"}},
        {"metadata": {"deletionTimestamp": "2026-11-23T12:00:00Z"}},
        {"metadata": {"labels": {"podidentity.eks/run": "x7k2m9qa"}}},
        {"spec": {"serviceAccountName": "other"}},
        {"spec": {"serviceAccountName": None}},
        {"status": {"phase": "Succeeded"}},
    ],
)
def test_unrelated_or_ended_pods_are_not_chosen(changes: Json) -> None:
    assert chosen_container(own_pod("other", **changes)) == []


def test_exec_proof_names_pod_and_container() -> None:
    proof = diagnose(executed([own_pod("web-1")], GOOD))
    assert proof["proven"] is True
    assert (proof["mode"], proof["pod"], proof["container"]) == ("exec", "web-1", "main")
    assert "  seen in   container main of pod web-1" in pod_identity_proof_report([proof])


EARLY = own_pod("early", container(injected=False))
NOT_INJECTED = document(pod_identity_injected=False, variables=[], credentials={"method": None}, calls=NOT_TRIED)
GOOD = Executed(0, script_output(DOCUMENT))
WITHOUT_BOTO3 = {
    "format": 1,
    "pod_identity_injected": True,
    "error": {"type": "ImportError", "message": "No module named 'boto3'"},
}
OLD = without_identity("Unsupported host", "ValueError", botocore="1.30.0")
#: What comes at the end of a command that a container runtime could not start.
NOT_STARTED = {
    "status": "Failure",
    "reason": "InternalError",
    "message": "Internal error occurred: error executing command in container: failed to exec in container: failed to "
    'start exec "f": OCI runtime exec failed: exec failed: unable to start container process: exec: "python3": '
    "executable file not found in $PATH: unknown",
    "details": {"causes": [{"message": "error executing command in container"}]},
}
EXECUTIONS: list[tuple[str, Json, list[str]]] = [
    (
        "association_missing",
        {**executed([own_pod("web-1")], GOOD), "associations": []},
        ["team-a/app"],
    ),
    ("no_running_pod", executed([]), ["team-a/app is ready."]),
    ("no_running_pod", executed([own_pod("web-1", ready=False)]), ["1 that run are not ready"]),
    ("not_injected", executed([EARLY], Executed(0, script_output(NOT_INJECTED))), ["container main of pod early"]),
    ("not_injected", executed([EARLY], Executed(127, "", "python3: not found")), ["admitted too early"]),
    (
        "exec_refused",
        executed([own_pod("web-1")], Refusal(403, "User x cannot create pods/exec")),
        ["User x cannot create pods/exec"],
    ),
    (
        "exec_without_python",
        executed([own_pod("web-1")], ended("", "", json.dumps(NOT_STARTED))),
        ["Container main of pod web-1", "executable file not found"],
    ),
    (
        "exec_without_python",
        executed([own_pod("web-1")], Executed(127, "", "python3: not found")),
        ["not found"],
    ),
    (
        "exec_without_python",
        executed([own_pod("web-1")], Executed(1, "", "3.8.10 is older than Python 3.9\n")),
        ["3.8.10"],
    ),
    (
        "exec_without_boto3",
        executed([own_pod("web-1")], Executed(0, script_output(WITHOUT_BOTO3))),
        ["No module named 'boto3'"],
    ),
    ("exec_failed", executed([own_pod("web-1")], Executed(142, "", "")), ["within 120 s"]),
    ("exec_failed", executed([own_pod("web-1")], Executed(137, "", "Killed")), ["exit code 137", "Killed"]),
    (
        "sdk_too_old",
        executed([own_pod("web-1")], Executed(0, script_output(OLD))),
        ["1.30.0 of container main of pod web-1"],
    ),
    (
        "pods_not_listed",
        {**executed([]), "own_pods": FORBIDDEN},
        ['User "somebody" cannot list resource "pods"'],
    ),
    ("pods_not_listed", observed(pods=FORBIDDEN), ["at the cluster scope."]),
    (
        "setup_failed",
        {"cluster": "example", "setup_failures": {"team-a/app": "EKS refuses the role."}},
        ["could not be set up in this run: EKS refuses the role."],
    ),
    ("verification_failed", {"cluster": "example", "failure": "EKS does not answer."}, ["EKS does not answer"]),
]


@pytest.mark.parametrize(("cause", "seen", "words"), EXECUTIONS)
def test_failed_run_has_specific_cause(cause: str, seen: Json, words: list[str]) -> None:
    proof = diagnose(seen)
    assert proof["proven"] is False
    assert proof["cause"]["id"] == cause
    assert [word for word in words if word not in proof["cause"]["text"]] == []


def test_restart_is_advised_for_pod_without_injection() -> None:
    advice = diagnose(executed([EARLY], Executed(0, script_output(NOT_INJECTED))))["advice"]
    assert "podidentity.eks.restart" in advice


def variable(name: str, value: str = "the-secret") -> Json:
    return {"name": name, "value": value}


def test_overriding_variables_warn_once_for_all_replicas() -> None:
    keys = container("main", variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"), variable("AWS_PROFILE"))
    [warning] = warnings(*(own_pod(f"web-{number}", keys) for number in range(5)), own_pod("fine"))
    assert warning == (
        "Pods web-0, web-1, web-2 and 2 more: container main sets AWS_ACCESS_KEY_ID and AWS_PROFILE, which AWS SDKs "
        "may obey before Pod Identity."
    )


def test_empty_variable_does_not_override_and_secret_one_does() -> None:
    assert warnings(own_pod("web", container("main", variable("AWS_ACCESS_KEY_ID", "")))) == []
    secret = {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "id"}}}
    assert len(warnings(own_pod("web", container("main", secret)))) == 1


def test_pod_without_injection_warns_unless_it_opted_out() -> None:
    [warning] = warnings(EARLY)
    assert warning.startswith("Pod early: admitted without Pod Identity credentials;")
    skipped = {"labels": {"eks.amazonaws.com/skip-pod-identity-webhook": "true"}}
    assert (
        warnings(
            own_pod("early", container(injected=False), metadata=skipped | {"name": "early", "namespace": "team-a"})
        )
        == []
    )


@pytest.mark.parametrize(
    ("exceptions", "warned"),
    [
        (None, True),
        ("", True),
        ("example.com", True),
        ("169.254.170.2", True),
        ("example.com, 169.254.170.23", False),
        ("169.254.0.0/16", False),
        ("*", False),
    ],
)
def test_proxy_warns_unless_agent_is_excluded(exceptions: str | None, warned: bool) -> None:
    variables = [variable("HTTP_PROXY", "http://user:the-secret@proxy:3128")]
    variables += [] if exceptions is None else [variable("no_proxy", exceptions)]
    found = warnings(own_pod("web", container("main", *variables)))
    assert len(found) == warned
    assert "the-secret" not in "".join(found)


def test_https_proxy_or_unknown_no_proxy_does_not_warn() -> None:
    unknown = {"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxies", "key": "no"}}}
    assert warnings(own_pod("a", container("main", variable("HTTPS_PROXY")))) == []
    assert warnings(own_pod("b", container("main", variable("HTTP_PROXY"), unknown))) == []


def test_ipv6_agent_is_matched_in_brackets() -> None:
    agent = {**URI, "value": "http://[fd00:ec2::23]/v1/credentials"}
    main = container("main", variable("HTTP_PROXY"))
    main["env"][1] = agent
    assert len(warnings(own_pod("web", main))) == 1
    main["env"].append(variable("NO_PROXY", "[fd00:ec2::23]"))
    assert warnings(own_pod("web", main)) == []


def test_lookup_cleanup_and_region_problems_are_warnings() -> None:
    proof = diagnose(
        observed(
            own_pods=FORBIDDEN,
            left={0: "jobs.batch is forbidden"},
            pods=[pod(document(region="eu-north-1"))],
        )
    )
    assert proof["proven"] is True
    looked, left, region = proof["warnings"]
    assert looked.startswith("The workload's own pods could not be listed: pods is forbidden")
    assert (
        left == "Job verify-app-1 was not removed: jobs.batch is forbidden. Kubernetes removes it when its time is up."
    )
    assert region == "The pod's region is eu-north-1, the cluster's is eu-west-1."


anything: st.SearchStrategy[t.Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


answers: st.SearchStrategy[Execution] = st.builds(
    Executed, st.none() | st.integers(), st.text(), st.text(), st.text()
) | st.builds(Refusal, st.integers(), st.text())


@hypothesis.given(anything, anything, anything, answers)
def test_any_pods_and_answers_give_a_proof(env: t.Any, address: str, other: t.Any, answer: Execution) -> None:
    main = container("main", {"name": "HTTP_PROXY", "value": env}, {"name": "NO_PROXY", "value": address})
    main["env"].append({**URI, "value": address})
    pods: t.Any = [own_pod("a", main), own_pod("b", {"name": env, "env": other}), other]
    for seen in (observed(own_pods=pods), executed(pods, answer)):
        [proof] = prove_all([WORKLOAD], seen)
        assert pod_identity_proof_report([proof])


def test_wait_ends_on_forbidden_and_continues_on_unreachable_api() -> None:
    def settled(refusal: Refusal) -> bool:
        return is_settled(refusal, expected=1, elapsed=3.0, timeout=120.0)

    assert settled(FORBIDDEN) is True
    assert settled(Refusal(0, "Max retries exceeded")) is False


@pytest.mark.parametrize(
    "message",
    [
        "Failed to create object: {body!r}",
        "(403)\nReason: Forbidden\nHTTP response body: {text}\n",
    ],
)
def test_kubernetes_message_is_extracted_from_client_error(message: str) -> None:
    text = json.dumps({"kind": "Status", "message": 'it\'s the "pods" of x', "reason": "Forbidden"})
    assert kubernetes_words(message.format(body=text.encode(), text=text)) == 'it\'s the "pods" of x'
    assert kubernetes_words("no JSON at all.") == "no JSON at all"


def test_script_and_orders_run_as_one_short_command(tmp_path: pathlib.Path) -> None:
    [orders] = pod_orders(read_workloads([WORKLOAD]), [], "", grace=0, limit=60)
    program, *arguments = command(SCRIPT.read_text(encoding="utf-8"), orders)
    assert len(urllib.parse.urlencode([("command", one) for one in arguments])) < 8000, (
        "some proxies take no longer URLs"
    )
    assert program == "python3"
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    proof = diagnose(executed([own_pod("web-1")], Executed(0, done.stdout)))
    assert proof["cause"]["id"] != "exec_failed"


@pytest.mark.parametrize(
    ("prove", "words"),
    [
        ({"image": ""}, "prove.image is to be the name of an image"),
        ({"image": 7}, "prove.image is to be the name of an image"),
        ({"node_selector": ["gpu"]}, "prove.node_selector is to be a mapping of labels to texts"),
        ({"node_selector": {"gpu": True}}, "prove.node_selector is to be a mapping of labels to texts"),
        ({"tolerations": {"key": "gpu"}}, "prove.tolerations is to be a list of mappings"),
        ({"nodes": {}}, "prove is to be a mapping of allow, deny, image, node_selector, tolerations, nothing else"),
    ],
)
def test_invalid_prove_options_are_refused(prove: Json, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        read_workloads([{**WORKLOAD, "prove": prove}])
