# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which workloads the role `restart` rolls, which it must not, and when a rollout is done."""

from __future__ import annotations

import dataclasses
import typing as t

import hypothesis
import hypothesis.strategies as st
import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Refusal
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart import plan as planning
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart.rollout import disruption
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart.rollout import guards
from ansible_collections.podidentity.eks.plugins.module_utils._kube.restart.rollout import outcome

Mapping = dict[str, t.Any]
WORKLOADS = [{"namespace": "default", "service_account": "app"}]
TOKEN = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token"
CHANGED = "2026-11-23T10:00:00.600000+00:00"
ASSOCIATIONS = [{"namespace": "default", "service_account": "app", "modified_at": CHANGED}]
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


def container(name: str = "main", identity: bool = False, **variables: str) -> Mapping:
    if identity:
        variables = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": TOKEN,
        }
    mounts = [{"name": "token", "mountPath": TOKEN.rpartition("/")[0]}] if identity else []
    env = [{"name": key, "value": value} for key, value in variables.items()]
    return {"name": name, "env": env, "volumeMounts": mounts}


def pod(
    name: str,
    owner: str = "",
    *containers: Mapping,
    created: str = "2026-11-23T11:00:00Z",
    account: str = "app",
    phase: str = "Running",
    **metadata: t.Any,
) -> Mapping:
    """A pod of an owner such as ``ReplicaSet/web-1``."""
    kind, _, owner_name = owner.partition("/")
    references = [{"kind": kind, "name": owner_name, "controller": True}] if owner else []
    token = {"path": TOKEN.rpartition("/")[2], "audience": "pods.eks.amazonaws.com"}
    volume = {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "creationTimestamp": created,
            "ownerReferences": references,
            **metadata,
        },
        "spec": {"serviceAccountName": account, "containers": list(containers) or [container()], "volumes": [volume]},
        "status": {"phase": phase},
    }


def workload(place: str, owner: str = "", status: Mapping | None = None, **spec: t.Any) -> Mapping:
    """An object such as ``Deployment/web``, with the label of its name on its pods."""
    kind, _, name = place.partition("/")
    owner_kind, _, owner_name = owner.partition("/")
    references = [{"kind": owner_kind, "name": owner_name, "controller": True}] if owner else []
    template = {"metadata": {"labels": {"app": name}}}
    metadata = {"name": name, "namespace": "default", "generation": 2, "ownerReferences": references}
    return {"kind": kind, "metadata": metadata, "spec": {"template": template, **spec}, "status": status or {}}


def budget(allowed: int, **labels: str) -> Mapping:
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "budget", "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}},
        "status": {"disruptionsAllowed": allowed},
    }


def restart_plan(
    workloads: t.Any,
    pods: t.Any,
    associations: t.Any = (),
    objects: t.Any = (),
    mode: str = "stale",
    *,
    role_dates: t.Any = None,
    proofs: t.Any = None,
    roles: t.Any = None,
    agent: t.Any = None,
) -> dict[str, t.Any]:
    """The plan, and what is left of it where proofs count."""
    made = planning.plan(workloads, pods, associations, objects, mode, role_dates)
    if proofs is not None:
        made = planning.require_proof(made, proofs, associations, roles, agent)
    return dataclasses.asdict(made)


def planned(pods: list[Mapping], *objects: Mapping, mode: str = "stale") -> dict[str, list[tuple[str, str]]]:
    """For each list of the plan, what it names."""
    plan = restart_plan(WORKLOADS, pods, ASSOCIATIONS, list(objects), mode)
    plan.pop("kinds")
    return {key: [(f"{one['kind']}/{one['name']}", one["why"]) for one in plan[key]] for key in plan if plan[key]}


WEB = (workload("ReplicaSet/web-1", "Deployment/web"), workload("Deployment/web"))
WITH_IDENTITY = container(identity=True)


def test_workload_is_restarted_once_for_all_its_pods() -> None:
    pods = [pod("a", "ReplicaSet/web-1", WITH_IDENTITY), *(pod(name, "ReplicaSet/web-1") for name in "bcdef")]
    plan = restart_plan(WORKLOADS, pods, ASSOCIATIONS, WEB)
    [restart] = plan["restarts"]
    assert restart == {
        "kind": "Deployment",
        "namespace": "default",
        "name": "web",
        "service_account": "app",
        "why": "missing",
        "reason": "pods b, c, d and 2 more were admitted without the identity",
    }
    assert [one["name"] for one in plan["pods"]] == list("bcdef")


def test_both_reasons_are_reported() -> None:
    old = pod("b", "StatefulSet/db", WITH_IDENTITY, created="2026-11-23T09:00:00Z")
    plan = restart_plan(WORKLOADS, [pod("a", "StatefulSet/db"), old], ASSOCIATIONS, [workload("StatefulSet/db")])
    assert plan["restarts"][0]["reason"] == (
        "pod a was admitted without the identity, and pod b was admitted before the association last changed "
        f"({CHANGED})"
    )


@pytest.mark.parametrize(
    ("created", "stale"),
    [
        ("2026-11-23T09:59:59Z", True),
        ("2026-11-23T10:00:00Z", True),
        ("2026-11-23T10:00:01Z", False),
        ("2026-11-23T12:00:00+02:00", True),
        ("yesterday", False),
        ("2026-11-23T09:00:00", False),
    ],
)
def test_pod_of_same_second_counts_as_stale(created: str, stale: bool) -> None:
    found = planned([pod("a", "ReplicaSet/web-1", WITH_IDENTITY, created=created)], *WEB)
    assert found.get("restarts", []) == ([("Deployment/web", "stale")] if stale else [])


def test_pod_older_than_role_or_target_role_is_stale() -> None:
    later = pod("a", "ReplicaSet/web-1", WITH_IDENTITY, created="2026-11-23T11:00:00Z")
    for key in ("role_arn", "target_role_arn"):
        known = [{**ASSOCIATIONS[0], "role_arn": "arn:old", key: "arn:new"}]
        plan = restart_plan(
            WORKLOADS, [later], known, WEB, role_dates={"arn:old": CHANGED, "arn:new": "2026-11-23T12:00:00+00:00"}
        )
        assert [one["reason"] for one in plan["restarts"]] == [
            "pod a was admitted before the role arn:new was made (2026-11-23T12:00:00+00:00)"
        ]
        for dates in ({}, {"arn:old": CHANGED}, {"arn:new": None}, {"arn:other": "2026-11-23T12:00:00+00:00"}):
            assert restart_plan(WORKLOADS, [later], known, WEB, role_dates=dates)["restarts"] == []


def test_association_without_date_makes_no_pod_stale() -> None:
    known = [{**ASSOCIATIONS[0], "association_id": "a-1", "modified_at": None}]
    assert restart_plan(WORKLOADS, [pod("a", "ReplicaSet/web-1", WITH_IDENTITY)], known, WEB)["restarts"] == []


def test_modes_select_restarts() -> None:
    pods = [
        pod("a", "ReplicaSet/web-1", WITH_IDENTITY, created="2026-11-23T09:00:00Z"),
        pod("b", "StatefulSet/db"),
    ]
    objects = (*WEB, workload("StatefulSet/db"))
    assert planned(pods, *objects)["restarts"] == [("Deployment/web", "stale"), ("StatefulSet/db", "missing")]
    assert planned(pods, *objects, mode="missing")["restarts"] == [("StatefulSet/db", "missing")]
    assert planned(pods, *objects, mode="never") == {}


@pytest.mark.parametrize(
    "found",
    [
        pod("a", "ReplicaSet/web-1", account="other"),
        pod("a", "ReplicaSet/web-1", phase="Succeeded"),
        pod("a", "ReplicaSet/web-1", phase="Failed"),
        pod("a", "ReplicaSet/web-1", deletionTimestamp="2026-11-23T11:00:00Z"),
        pod("a", "ReplicaSet/web-1", namespace="other"),
        pod("a", "ReplicaSet/web-1", container("side"), WITH_IDENTITY),
    ],
    ids=["service account", "succeeded", "failed", "going", "namespace", "one container has it"],
)
def test_unrelated_and_healthy_pods_are_ignored(found: Mapping) -> None:
    assert planned([found], *WEB) == {}


@pytest.mark.parametrize(
    ("owner", "place", "remedy"),
    [
        ("", "Pod/a", "it has no controller that would make it anew: delete and create it yourself"),
        ("Job/import", "Job/import", "a Job is not restarted: let it end, or delete and create it yourself"),
        (
            "ReplicaSet/alone",
            "ReplicaSet/alone",
            "a ReplicaSet is not restarted from here: restart it by its own means, or replace its pods",
        ),
        (
            "ReplicaSet/rolled",
            "Rollout/rolled",
            "a Rollout is not restarted from here: restart it by its own means, or replace its pods",
        ),
        (
            "StatefulSet/gone",
            "StatefulSet/gone",
            "a StatefulSet is not restarted from here: restart it by its own means, or replace its pods",
        ),
    ],
)
def test_unsupported_owners_are_reported_and_not_restarted(owner: str, place: str, remedy: str) -> None:
    objects = [workload("ReplicaSet/alone"), workload("ReplicaSet/rolled", "Rollout/rolled"), workload("Job/import")]
    plan = restart_plan(WORKLOADS, [pod("a", owner)], ASSOCIATIONS, objects)
    assert (plan["restarts"], plan["blocked"]) == ([], [])
    [told] = plan["reported"]
    assert f"{told['kind']}/{told['name']}" == place
    assert told["reason"] == f"pod a was admitted without the identity; {remedy}"


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (pod("a", labels={"eks.amazonaws.com/skip-pod-identity-webhook": "true"}), "its label eks.amazonaws.com/skip-"),
        (pod("a", annotations={"eks.amazonaws.com/skip-containers": "side, main"}), "its annotation eks.amazonaws.com"),
        (pod("a", "", container(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://me")), "sets AWS_CONTAINER_CREDENTIALS_F"),
    ],
    ids=["label", "annotation", "variable"],
)
def test_pods_opted_out_of_injection_are_only_reported(found: Mapping, why: str) -> None:
    found["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "web-1", "controller": True}]
    plan = restart_plan(WORKLOADS, [found], ASSOCIATIONS, WEB)
    assert (plan["pods"], plan["restarts"]) == ([], [])
    assert why in plan["reported"][0]["reason"]


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (workload("Deployment/web", paused=True), "it is paused"),
        (workload("StatefulSet/web", updateStrategy={"type": "OnDelete"}), "OnDelete"),
        (workload("DaemonSet/web", updateStrategy={"type": "OnDelete"}), "OnDelete"),
        (workload("StatefulSet/web", updateStrategy={"rollingUpdate": {"partition": 2}}), "the partition 2"),
        (
            workload("StatefulSet/web", replicas=3, status={"readyReplicas": 3}),
            "its rollout takes away 1 at a time, and disruption budget budget allows 0 now",
        ),
    ],
)
def test_blocked_rollout_is_named_and_not_restarted(held: Mapping, why: str) -> None:
    owner = f"{held['kind']}/web"
    plan = restart_plan(WORKLOADS, [pod("a", owner)], ASSOCIATIONS, [held, budget(0, app="web")])
    assert plan["restarts"] == []
    assert why in plan["blocked"][0]["reason"]


def test_disruption_budget_blocks_only_its_own_ready_pods() -> None:
    lacking = [pod("a", "StatefulSet/web")]
    assert "restarts" in planned(lacking, workload("StatefulSet/web", replicas=1), budget(0, app="web"))
    ready = workload("StatefulSet/web", replicas=1, status={"readyReplicas": 1})
    assert "restarts" in planned(lacking, ready, budget(0, app="db"))
    assert "restarts" in planned(lacking, ready, budget(1, app="web"))
    assert "blocked" in planned(lacking, ready, budget(0, app="web"))
    assert "blocked" in planned(lacking, ready, budget(0)), "an empty selector is about all pods"


@pytest.mark.parametrize(
    ("rolled", "taken"),
    [
        (workload("Deployment/a", replicas=3, status={"readyReplicas": 3}), 0),
        (workload("Deployment/a", replicas=8, status={"readyReplicas": 8}), 2),
        (workload("Deployment/a", replicas=8, status={"readyReplicas": 1}), 1),
        (workload("Deployment/a", replicas=5, status={"readyReplicas": 5}, strategy={"type": "Recreate"}), 5),
        (
            workload(
                "Deployment/a",
                replicas=5,
                status={"readyReplicas": 5},
                strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}},
            ),
            1,
        ),
        (
            workload(
                "DaemonSet/a",
                status={"desiredNumberScheduled": 9, "numberReady": 9},
                updateStrategy={"rollingUpdate": {"maxUnavailable": "25%"}},
            ),
            3,
        ),
        (workload("DaemonSet/a", status={"desiredNumberScheduled": 9, "numberReady": 9}), 1),
    ],
)
def test_disruption_counts_ready_pods_taken_by_rollout(rolled: Mapping, taken: int) -> None:
    assert disruption(rolled) == taken


@pytest.mark.parametrize(
    ("operator", "values", "is_about"),
    [
        ("In", ["web"], True),
        ("In", ["db"], False),
        ("NotIn", ["web"], False),
        ("NotIn", ["db"], True),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Unheard", [], False),
    ],
)
def test_budget_selector_expressions(operator: str, values: list[str], is_about: bool) -> None:
    made = budget(0)
    made["spec"]["selector"] = {"matchExpressions": [{"key": "app", "operator": operator, "values": values}]}
    assert guards(made, workload("Deployment/web")) is is_about


def outcome_of(found: Mapping | None, refusal: Refusal | None = None) -> tuple[str, str]:
    place = {"kind": found["kind"] if found else "Deployment", "namespace": "default", "name": "web"}
    [told] = outcome([place], [refusal], [found] if found else [])
    return told["state"], told["reason"]


def rollout_status(new: int, available: int, replicas: int = 2, **more: t.Any) -> Mapping:
    known = {"updatedReplicas": new, "availableReplicas": available, "readyReplicas": available, "replicas": replicas}
    return {"observedGeneration": 2, **known, **more}


TIMED_OUT = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "It has timed out progressing."}
QUOTA = {"type": "ReplicaFailure", "message": 'pods "web-2" is forbidden: exceeded quota'}
DAEMONSET_STATUS = {"observedGeneration": 2, "desiredNumberScheduled": 2}


@pytest.mark.parametrize(
    ("found", "state", "reason"),
    [
        (workload("Deployment/web", replicas=2, status=rollout_status(2, 2)), "done", ""),
        (workload("Deployment/web", replicas=0, status={"observedGeneration": 2}), "done", ""),
        (
            workload("Deployment/web", replicas=2, status=rollout_status(1, 2, 3)),
            "waiting",
            "1 of 2 pods are new, 2 are ready",
        ),
        (
            workload("Deployment/web", replicas=2, status=rollout_status(2, 2, 3)),
            "waiting",
            "2 of 2 pods are new, 2 are ready",
        ),
        (
            workload("Deployment/web", replicas=2, status=rollout_status(2, 1)),
            "waiting",
            "2 of 2 pods are new, 1 are ready",
        ),
        (
            workload("Deployment/web", replicas=2, status={**rollout_status(2, 2), "observedGeneration": 1}),
            "waiting",
            "its controller has not begun",
        ),
        (
            workload("Deployment/web", paused=True, status=rollout_status(0, 1)),
            "failed",
            "somebody paused it meanwhile",
        ),
        (
            workload("Deployment/web", replicas=2, status=rollout_status(1, 2, conditions=[TIMED_OUT])),
            "failed",
            "its rollout is stuck: It has timed out progressing",
        ),
        (
            workload("Deployment/web", replicas=2, status=rollout_status(1, 2, conditions=[TIMED_OUT, QUOTA])),
            "failed",
            'its rollout is stuck: pods "web-2" is forbidden: exceeded quota',
        ),
        (None, "failed", "it was deleted meanwhile"),
        (
            workload(
                "StatefulSet/web", replicas=2, status=rollout_status(2, 2, updateRevision="b", currentRevision="a")
            ),
            "waiting",
            "2 of 2 pods are new, 2 are ready",
        ),
        (
            workload(
                "StatefulSet/web", replicas=2, status=rollout_status(0, 2, updateRevision="b", currentRevision="b")
            ),
            "done",
            "",
        ),
        (
            workload(
                "StatefulSet/web", replicas=2, status=rollout_status(0, 0, updateRevision="b", currentRevision="a")
            ),
            "waiting",
            "0 of 2 pods are new, 0 are ready; it waits for old pods to get ready before it replaces them: delete one "
            "that never does",
        ),
        (
            workload(
                "StatefulSet/web",
                replicas=2,
                podManagementPolicy="Parallel",
                status=rollout_status(0, 0, updateRevision="b", currentRevision="a"),
            ),
            "waiting",
            "0 of 2 pods are new, 0 are ready",
        ),
        (
            workload("DaemonSet/web", status={**DAEMONSET_STATUS, "updatedNumberScheduled": 2, "numberAvailable": 2}),
            "done",
            "",
        ),
        (
            workload("DaemonSet/web", status={**DAEMONSET_STATUS, "updatedNumberScheduled": 1, "numberAvailable": 2}),
            "waiting",
            "1 of 2 pods are new, 2 are ready",
        ),
    ],
)
def test_rollout_outcome_from_status(found: Mapping | None, state: str, reason: str) -> None:
    assert outcome_of(found) == (state, reason)


def test_refused_restart_fails_whatever_its_pods_do() -> None:
    done = workload("Deployment/web", replicas=2, status=rollout_status(2, 2))
    refused = outcome_of(done, Refusal(400, 'admission webhook "pods.example" denied\n  the request.'))
    assert refused == ("failed", 'its restart was refused: admission webhook "pods.example" denied the request')


owners = st.sampled_from(
    ["", "Job/j", "ReplicaSet/web-1", "ReplicaSet/web-2", "StatefulSet/db", "DaemonSet/log", "StatefulSet/gone"]
)
pods_of_all_kinds = st.lists(
    st.builds(
        pod,
        st.uuids().map(str),
        owners,
        st.sampled_from([WITH_IDENTITY, container(), container("own", AWS_CONTAINER_CREDENTIALS_FULL_URI="x")]),
        created=st.sampled_from(["2026-11-23T09:00:00Z", "2026-11-23T11:00:00Z"]),
        account=st.sampled_from(["app", "other"]),
        phase=st.sampled_from(["Pending", "Running", "Succeeded"]),
    ),
    max_size=8,
)
objects_of_all_kinds = st.tuples(
    *(
        st.builds(workload, st.just(place), st.just(owner), paused=st.booleans())
        for place, owner in (
            ("ReplicaSet/web-1", "Deployment/web"),
            ("ReplicaSet/web-2", "Deployment/web"),
            ("Deployment/web", ""),
            ("StatefulSet/db", ""),
            ("DaemonSet/log", ""),
        )
    )
)


@hypothesis.given(pods_of_all_kinds, objects_of_all_kinds, st.sampled_from(["missing", "stale"]))
def test_plan_covers_each_owner_once_and_converges(
    pods: list[Mapping], objects: tuple[Mapping, ...], mode: str
) -> None:
    plan = restart_plan(WORKLOADS, pods, ASSOCIATIONS, objects, mode)
    named = [(one["kind"], one["name"]) for key in ("restarts", "blocked", "reported") for one in plan[key]]
    assert len(named) == len(set(named))
    assert {one["kind"] for one in plan["restarts"]} <= set(KINDS)
    assert bool(plan["pods"]) <= bool(named)
    # What is known by the pods alone is the same as what is known by all.
    first = restart_plan(WORKLOADS, pods, ASSOCIATIONS, mode=mode)
    assert plan["pods"] == first["pods"]
    # And of the kinds that it names, nothing more is needed.
    needed = [one for one in objects if one["kind"] in first["kinds"]]
    assert plan == restart_plan(WORKLOADS, pods, ASSOCIATIONS, needed, mode)
    # With its pods gone and new ones in their place, nothing is left to restart.
    replaced = [
        pod(one["metadata"]["name"], "ReplicaSet/web-1", WITH_IDENTITY)
        if one["spec"]["serviceAccountName"] == "app"
        else one
        for one in pods
    ]
    assert restart_plan(WORKLOADS, replaced, ASSOCIATIONS, objects, mode)["pods"] == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["metadata", "spec", "status", "name", "namespace", "kind", "containers", "ownerReferences"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@hypothesis.given(anything, anything, anything, anything)
def test_any_observation_is_accepted(workloads: t.Any, pods: t.Any, associations: t.Any, objects: t.Any) -> None:
    restart_plan(workloads, pods, associations, objects)
    outcome([{"kind": "Deployment", "namespace": "", "name": ""}], [None], objects)


# --- only onto an identity that new pods would get --------------------------------------------------------------------

ROLE = "arn:aws:iam::111122223333:role/app"
ROLLOUT = (
    workload("ReplicaSet/canary-1", "Rollout/canary"),
    {"kind": "PodDisruptionBudget", "metadata": {"name": "none", "namespace": "default"}},
)


def judged(
    proofs: list[Mapping], *roles: Mapping, missing: tuple[str, ...] = (), agent: Mapping | None = None
) -> Mapping:
    """The plan for a Deployment whose pods lack the identity, by these proofs, roles and agent."""
    association = {
        **ASSOCIATIONS[0],
        "association_id": "a-1",
        "association_arn": "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/example/a-1",
        "role_arn": ROLE,
    }
    pods = [pod("a", "ReplicaSet/web-1")]
    found = {"roles": list(roles), "missing": list(missing), "unread": []}
    return restart_plan(WORKLOADS, pods, [association], WEB, proofs=proofs, roles=found, agent=agent)


def proof(proven: bool, cause: str = "") -> Mapping:
    about = {"namespace": "default", "service_account": "app", "proven": proven}
    return about if proven else {**about, "cause": {"id": cause, "text": "."}}


def role(**condition: t.Any) -> Mapping:
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": condition,
    }
    return {"arn": ROLE, "trust_policy": {"Statement": [trust]}, "managed_policies": {}, "inline_policies": {}}


OTHER_NAMESPACE = {"StringEquals": {"aws:RequestTag/kubernetes-namespace": "kube-system"}}


@pytest.mark.parametrize(
    ("proofs", "roles", "missing", "reason"),
    [
        pytest.param([proof(True)], [], (), "", id="proven, whatever is read"),
        pytest.param([proof(False, "trust_refused")], [role()], (), "it is not proven (trust_refused)", id="refuted"),
        pytest.param([], [role()], (), "", id="trusted"),
        pytest.param([proof(False, "image_pull_failed")], [role()], (), "", id="no pod could be asked, trusted"),
        pytest.param([], [role(**OTHER_NAMESPACE)], (), "trust_refused, EKS may not assume its role", id="not trusted"),
        pytest.param([], [], (ROLE,), f"its role {ROLE} does not exist", id="missing"),
        pytest.param([], [], (), f"its role {ROLE} could not be read", id="unread"),
    ],
)
def test_only_an_identity_that_pods_would_get_is_restarted_onto(
    proofs: list[Mapping], roles: list[Mapping], missing: tuple[str, ...], reason: str
) -> None:
    plan = judged(proofs, *roles, missing=missing)
    if reason:
        assert plan["restarts"] == []
        assert f"new pods would not get the identity: {reason}" in plan["blocked"][0]["reason"]
    else:
        assert [one["name"] for one in plan["restarts"]] == ["web"] and plan["blocked"] == []


ISSUE = {"code": "InsufficientNumberOfReplicas", "message": "no agent is ready"}
NO_ADDON: Mapping = {"addons": [], "clusters": [{"auto_mode": False}]}


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        (None, ""),
        ({"addons": None}, ""),
        ({"addons": [{"arn": "a", "status": "ACTIVE"}]}, ""),
        ({"addons": [{"arn": "a", "status": "UPDATING"}]}, ""),
        (
            {"addons": [{"arn": "a", "status": "DEGRADED", "health": {"issues": [ISSUE]}}]},
            "the add-on eks-pod-identity-agent is DEGRADED (InsufficientNumberOfReplicas: no agent is ready",
        ),
        ({"addons": [], "clusters": [{"auto_mode": True}]}, ""),
        ({"addons": [], "clusters": None}, ""),
        ({**NO_ADDON, "managed": False}, ""),
        ({**NO_ADDON, "managed": True}, "the cluster has no add-on eks-pod-identity-agent (where a chart brings the"),
    ],
)
def test_nothing_is_restarted_where_no_agent_runs(agent: Mapping | None, reason: str) -> None:
    plan = judged([], role(), agent=agent)
    assert bool(plan["blocked"]) == bool(reason)
    assert all(reason in one["reason"] for one in plan["blocked"])
    assert judged([proof(True)], role(), agent=agent)["blocked"] == [], "a proof counts more than what is read"


def test_roles_to_read_are_those_of_untried_restarts() -> None:
    pods, known = [pod("a", "ReplicaSet/web-1")], [{**ASSOCIATIONS[0], "role_arn": ROLE}]
    untried = restart_plan(WORKLOADS, pods, known, WEB, proofs=[])
    assert untried["unproven"] == [{"namespace": "default", "service_account": "app", "role_arn": ROLE}]
    for proofs in ([proof(True)], [proof(False, "trust_refused")]):
        assert restart_plan(WORKLOADS, pods, known, WEB, proofs=proofs)["unproven"] == []


def test_owner_of_another_kind_is_named_with_what_helps() -> None:
    plan = restart_plan(WORKLOADS, [pod("a", "ReplicaSet/canary-1")], ASSOCIATIONS, ROLLOUT)
    [reported] = plan["reported"]
    assert (reported["kind"], reported["name"]) == ("Rollout", "canary")
    assert reported["reason"].endswith(
        "a Rollout is not restarted from here: restart it by its own means, or replace its pods"
    )
