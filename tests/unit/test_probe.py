# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a probe reads from admitted pods and refusals, and when it believes what it reads."""

from __future__ import annotations

import json
import random
import typing as t

import hypothesis
import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import IRSA
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import NONE
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import POD_IDENTITY
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import Identity
from ansible_collections.podidentity.eks.plugins.module_utils._kube.admitted import identity_of
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Cause
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Refusal
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import not_injected
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import refused
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import webhook_problem
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import with_near_miss
from ansible_collections.podidentity.eks.plugins.module_utils._kube.probing import SETTLE
from ansible_collections.podidentity.eks.plugins.module_utils._kube.probing import Look
from ansible_collections.podidentity.eks.plugins.module_utils._kube.probing import Probe
from ansible_collections.podidentity.eks.plugins.module_utils._kube.probing import Progress
from ansible_collections.podidentity.eks.plugins.module_utils._kube.probing import Workload
from ansible_collections.podidentity.eks.plugins.module_utils._kube.probing import run
from hypothesis import strategies as st
from support.environment import DATA

CASES = [
    case
    for case in json.loads((DATA / "webhook-cases.json").read_text(encoding="utf-8"))
    if "error" not in case["result"]
]


def pod_of(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The pod that a case of the real webhook has recorded the parts of."""
    containers = [
        {"name": name, "env": found["env"], "volumeMounts": found["mounts"]}
        for name, found in result["containers"].items()
    ]
    return {"spec": {"containers": containers, "volumes": result["volumes"]}}


# --- reading a pod ----------------------------------------------------------------------------------------------------


#: Cases in which somebody has no Pod Identity, with the mechanism of each container.
OTHER_MECHANISMS = {
    "other_service_account": [NONE],
    "uri_preset": [NONE],
    "token_file_preset": [NONE],
    "skip_label": [NONE],
    "skip_containers_one": [NONE, POD_IDENTITY],
    # A volume with the token's name and no token.
    "volume_name_taken": [NONE],
    "irsa_only": [IRSA],
    # Its paths are there, but Pod Identity is for Linux.
    "windows": [NONE],
}


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_mechanism_is_read_from_recorded_webhook_pods(case: dict[str, t.Any]) -> None:
    names = list(case["result"]["containers"])
    found = [identity_of(pod_of(case["result"]), name).mechanism for name in names]
    assert found == OTHER_MECHANISMS.get(case["name"], [POD_IDENTITY] * len(names))


def test_irsa_variables_override_pod_identity() -> None:
    [case] = [case for case in CASES if case["name"] == "irsa_env_preset"]
    assert identity_of(pod_of(case["result"]), "c") == Identity(POD_IDENTITY, ("AWS_WEB_IDENTITY_TOKEN_FILE",))


def injected() -> dict[str, t.Any]:
    [case] = [case for case in CASES if case["name"] == "plain"]
    pod = pod_of(case["result"])
    return t.cast("dict[str, t.Any]", json.loads(json.dumps(pod)))


@pytest.mark.parametrize("part", ["env", "volumeMounts", "volumes"])
def test_partial_injection_is_no_pod_identity(part: str) -> None:
    pod = injected()
    (pod["spec"] if part == "volumes" else pod["spec"]["containers"][0]).pop(part)
    assert identity_of(pod, "c").mechanism == NONE


def test_another_audience_is_not_pod_identity() -> None:
    pod = injected()
    pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"] = "sts.amazonaws.com"
    assert identity_of(pod, "c").mechanism == NONE


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_overriding_variables_are_reported(name: str) -> None:
    pod = injected()
    pod["spec"]["containers"][0]["env"].append({"name": name, "value": "x"})
    identity = identity_of(pod, "c")
    assert identity == Identity(POD_IDENTITY, (name,))
    cause = not_injected(identity, lambda: pytest.fail("nobody needs the webhook"))
    assert cause is not None
    assert (cause.name, cause.passes) == ("overridden", False)
    assert name in cause.reason


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@hypothesis.given(ANYTHING, ANYTHING, ANYTHING)
def test_identity_accepts_pod_of_any_shape(volumes: t.Any, env: t.Any, mounts: t.Any) -> None:
    container = {"name": "c", "env": env, "volumeMounts": mounts}
    for pod in (volumes, {"spec": {"containers": [container], "volumes": volumes}}):
        assert identity_of(pod, "c").mechanism == NONE


# --- saying why not ---------------------------------------------------------------------------------------------------

#: What kube-apiserver 1.35 says, or AWS's own, by the cause that it means.
REFUSALS = (
    (
        "forbidden",
        403,
        'pods is forbidden: User "jane" cannot create resource "pods" in API group "" in the namespace "a"',
    ),
    ("namespace_missing", 404, 'namespaces "a" not found'),
    (
        "namespace_terminating",
        403,
        'pods "p" is forbidden: unable to create new content in namespace a because it is being terminated',
    ),
    (
        "service_account_missing",
        403,
        'pods "p" is forbidden: error looking up service account a/app: serviceaccount "app" not found',
    ),
    ("quota", 403, 'pods "p" is forbidden: exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1'),
    ("quota", 403, 'pods "p" is forbidden: failed quota: few: must specify limits.nvidia.com/gpu for: probe'),
    ("quota", 403, 'pods "p" is forbidden: status unknown for quota: few, resources: pods'),
    (
        "limits",
        403,
        'pods "p" is forbidden: [minimum cpu usage per Container is 100m, but request is 10m, minimum memory usage per '
        "Container is 64Mi, but request is 32Mi]",
    ),
    ("pod_security", 403, 'pods "p" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes (...)'),
    ("webhook_refused", 403, 'admission webhook "one.example.com" denied the request: exceeded quota: none of yours'),
    ("webhook_refused", 400, 'admission webhook "one.example.com" denied the request without explanation'),
    (
        "webhook_failed",
        500,
        'Internal error occurred: failed calling webhook "one.example.com": failed to call webhook: EOF',
    ),
    (
        "policy_refused",
        422,
        "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'images' with binding 'all' denied request: not from here",
    ),
    ("unauthorized", 401, "Unauthorized"),
    ("busy", 429, "Too many requests, please try again later."),
    ("server_error", 500, "etcdserver: request timed out"),
    ("server_error", 503, "apiserver not ready"),
    ("certificate", 0, "SSLError [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
    ("unreachable", 0, "HTTPSConnectionPool(host='x', port=443): Max retries exceeded: Connection refused"),
    ("refused", 422, 'Pod "p" is invalid: spec.containers[0].image: Required value'),
)
PASSING = {"quota", "webhook_failed", "busy", "server_error", "unreachable"}


@pytest.mark.parametrize(("name", "status", "message"), REFUSALS, ids=[f"{one[0]}-{one[1]}" for one in REFUSALS])
def test_refusal_maps_to_cause(name: str, status: int, message: str) -> None:
    cause = refused(Refusal(status, message))
    assert cause.name == name
    assert cause.passes is (name in PASSING)
    assert message[:60].rstrip(".") in cause.reason, "what the API server said is shown"
    assert cause.reason[0].isupper()
    assert cause.reason.endswith(".")
    assert "{" not in cause.reason
    assert "\n" not in cause.reason


def test_similar_service_account_is_suggested() -> None:
    cause = Cause("service_account_missing", "There is none.")
    assert (
        with_near_miss(cause, "s3-acess-sa", ["default", "s3-access-sa"]).reason
        == "There is none; s3-access-sa is there."
    )
    assert with_near_miss(cause, "web", ["default", "s3-access-sa"]) is cause
    assert with_near_miss(cause, "web", []) is cause
    unseen = with_near_miss(cause, "web", Refusal(403, "serviceaccounts is forbidden.")).reason
    assert unseen == "There is none; which ones are there could not be looked at (serviceaccounts is forbidden)."


WEBHOOK = {"webhooks": [{"name": "iam-for-pods.amazonaws.com", "namespaceSelector": {}}]}


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (WEBHOOK, None),
        (Refusal(403, "forbidden"), None),
        (Refusal(404, "not found"), "webhook_missing"),
        ({"webhooks": []}, "webhook_changed"),
        (
            {"webhooks": [{**WEBHOOK["webhooks"][0], "namespaceSelector": {"matchLabels": {"a": "b"}}}]},
            "webhook_changed",
        ),
    ],
)
def test_broken_webhook_is_the_cause(answer: t.Any, name: str | None) -> None:
    problem = webhook_problem(answer)
    assert (problem.name if problem else None) == name
    cause = not_injected(Identity(NONE), lambda: answer)
    assert cause is not None
    assert (cause.name, cause.passes) == ((name, False) if name else ("not_associated", True))


def test_unreadable_webhook_is_reported() -> None:
    message = 'mutatingwebhookconfigurations "pod-identity-webhook" is forbidden: User "jane" cannot get resource'
    cause = not_injected(Identity(NONE), lambda: Refusal(403, message))
    assert cause is not None
    assert f"could not be looked at ({message})." in cause.reason


def test_irsa_only_is_transient_and_pod_identity_has_no_cause() -> None:
    cause = not_injected(Identity(IRSA), dict)
    assert cause is not None
    assert (cause.name, cause.passes) == ("irsa_only", True)
    assert not_injected(Identity(POD_IDENTITY), dict) is None


# --- believing --------------------------------------------------------------------------------------------------------

YES = Look(POD_IDENTITY)
NO = Look(NONE, Cause("not_associated", "Not yet.", passes=True))
NEVER = Look(cause=Cause("forbidden", "Never."))


class Clock:
    """Time that passes only when somebody sleeps or looks."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def probed(
    answer: t.Callable[[str, float], Look], *names: str, timeout: float = 60, waits: bool = True, consecutive: int = 3
) -> tuple[dict[str, dict[str, t.Any]], Clock]:
    """The results by name, for webhooks that answer like this."""
    clock = Clock()
    probe = Probe([Workload("a", name) for name in names], consecutive, waits, clock())

    def look_at(pending: t.Sequence[Progress]) -> t.Iterator[Look]:
        for one in list(pending):
            clock.now += 0.01
            yield answer(one.workload.service_account, clock.now - 100)

    run(probe, look_at, timeout, clock=clock, sleep=clock.sleep)
    return {one.workload.service_account: probe.result(one) for one in probe.progress}, clock


def test_effective_workloads_are_not_waited_for() -> None:
    results, clock = probed(lambda _name, _now: YES, "x", "y")
    assert [(one["effective"], one["attempts"]) for one in results.values()] == [(True, 3)] * 2
    assert clock.slept == []


def test_late_success_must_hold_for_settle_time() -> None:
    results, _clock = probed(lambda _name, now: YES if now >= 5 else NO, "x")
    assert results["x"]["effective"]
    assert 5 + SETTLE <= results["x"]["seconds"] < 5 + SETTLE + 4


def test_change_in_one_workload_delays_all() -> None:
    """The second workload says no now and then until 6 seconds have passed, by the same webhooks as the first one."""
    answers = iter(range(1000))

    def answer(name: str, now: float) -> Look:
        return NO if name == "y" and now < 6 and next(answers) % 2 == 0 else YES

    results, _clock = probed(answer, "x", "y")
    assert all(one["effective"] for one in results.values())
    assert all(one["seconds"] >= 6 for one in results.values())


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [3, 4, 6, 20])
def test_probe_waits_for_disagreeing_replicas(replicas: int, count: int) -> None:
    """The last one hears of the associations after 8 seconds, and each look meets any of them."""
    random.seed(replicas * 100 + count)
    heard = [3 + 5 * place / max(replicas - 1, 1) for place in range(replicas)]
    results, _clock = probed(lambda _name, now: YES if now >= random.choice(heard) else NO, *map(str, range(count)))
    assert all(one["effective"] for one in results.values())
    assert all(one["seconds"] >= max(heard) for one in results.values())


def test_probe_stops_at_timeout_with_last_result() -> None:
    results, clock = probed(lambda name, _now: YES if name == "good" else NO, "good", "bad", timeout=2)
    assert clock.now == pytest.approx(102, abs=0.1)
    assert results["good"]["effective"], "who has always said yes is not doubted because of others"
    assert (results["bad"]["effective"], results["bad"]["cause"]) == (False, "not_associated")


def test_too_few_successes_at_timeout_are_unsettled() -> None:
    results, _clock = probed(lambda _name, now: YES if now >= 1.8 else NO, "x", timeout=2)
    assert (results["x"]["effective"], results["x"]["cause"]) == (False, "unsettled")
    assert results["x"]["mechanism"] == POD_IDENTITY


def test_permanent_cause_ends_at_once_without_delaying_others() -> None:
    results, clock = probed(lambda name, _now: NEVER if name == "never" else YES, "never", "x")
    assert (results["never"]["attempts"], results["never"]["cause"]) == (1, "forbidden")
    assert results["never"]["mechanism"] is None
    assert (results["x"]["attempts"], results["x"]["effective"]) == (3, True)
    assert clock.slept == []


def test_probe_without_wait_ends_at_first_failure() -> None:
    results, clock = probed(lambda name, _now: NO if name == "no" else YES, "no", "x", waits=False, consecutive=5)
    assert {name: (one["attempts"], one["effective"]) for name, one in results.items()} == {
        "no": (1, False),
        "x": (5, True),
    }
    assert clock.slept == []


def test_probe_intervals_grow_without_change() -> None:
    results, clock = probed(lambda _name, _now: NO, "x", timeout=120)
    assert results["x"]["attempts"] < 60
    assert clock.slept[0] < 0.5
    assert max(clock.slept) == 3.0


@hypothesis.given(
    st.lists(st.sampled_from([YES, NO, NEVER]), max_size=30), st.integers(1, 5), st.booleans(), st.integers(0, 20)
)
def test_effective_requires_consecutive_successes(
    script: list[Look], consecutive: int, waits: bool, timeout: int
) -> None:
    answers, given = iter(script), []

    def answer(_name: str, _now: float) -> Look:
        given.append(next(answers, NEVER))
        return given[-1]

    results, _clock = probed(answer, "x", timeout=timeout, waits=waits, consecutive=consecutive)
    assert results["x"]["attempts"] == len(given)
    assert (results["x"]["reason"] is None) is results["x"]["effective"]
    if results["x"]["effective"]:
        assert len(given) >= consecutive
        assert given[-consecutive:] == [YES] * consecutive
