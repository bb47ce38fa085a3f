# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that makes RBAC for whoever runs the playbooks; what is in it is proven in ``tests/cluster``."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_operator_rbac import pod_identity_operator_rbac
from ansible_collections.podidentity.eks.plugins.filter.pod_identity_refusal import pod_identity_refusal
from ansible_collections.podidentity.eks.plugins.plugin_utils.operator_policy import CHAPTERS
from ansible_collections.podidentity.eks.plugins.plugin_utils.operator_policy import LEVELS
from support.environment import ROOT

Object = dict[str, t.Any]


def places(objects: list[Object]) -> list[tuple[str, str, str | None]]:
    """Kind, name and namespace of each object."""
    return [(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")) for one in objects]


def rights(objects: list[Object]) -> set[tuple[str | None, str, str, str | None]]:
    """Namespace, verb, resource and name of everything that is allowed."""
    return {
        (one["metadata"].get("namespace"), verb, resource, name)
        for one in objects
        for rule in one.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", (None,))
    }


def test_rbac_file_matches_filter_output() -> None:
    text = (ROOT / "docs" / "permissions" / "operator-rbac.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == {"apiVersion": "v1", "kind": "List", "items": pod_identity_operator_rbac([])}


def test_all_chapters_are_one_cluster_role_and_one_for_the_agent() -> None:
    role, binding, *agent = pod_identity_operator_rbac(list(CHAPTERS))
    assert places([role, binding, *agent]) == [
        ("ClusterRole", "pod-identity-operators", None),
        ("ClusterRoleBinding", "pod-identity-operators", None),
        ("Role", "pod-identity-operators", "kube-system"),
        ("RoleBinding", "pod-identity-operators", "kube-system"),
    ]
    assert rights(agent) == {("kube-system", "get", "daemonsets", "eks-pod-identity-agent")}
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "pod-identity-operators",
    }
    group = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "pod-identity-operators"}
    assert binding["subjects"] == [group]
    # No rule says what another one says.
    said = [(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]]
    assert len(said) == len(set(said))
    assert not any("*" in rule[key] for rule in role["rules"] for key in ("apiGroups", "resources", "verbs"))


def test_agent_is_read_by_name_in_its_namespace() -> None:
    found = pod_identity_operator_rbac(["agent"])
    assert [kind for kind, _name, _namespace in places(found)] == [
        *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    ]
    assert rights(found) == {
        (None, "list", "nodes", None),
        ("kube-system", "list", "pods", None),
        ("kube-system", "get", "daemonsets", "eks-pod-identity-agent"),
    }
    assert pod_identity_operator_rbac("agent") == found


def test_single_namespace_limits_workload_rights() -> None:
    found = pod_identity_operator_rbac(["service_account", "restart"], namespaces=["team-a"])
    assert rights(found) - {(None, "get", "mutatingwebhookconfigurations", "pod-identity-webhook")} == {
        ("team-a", verb, resource, name)
        for _namespace, verb, resource, name in rights(pod_identity_operator_rbac(["service_account", "restart"]))
        if name is None
    }


def test_namespaces_are_listed_cluster_wide_and_written_each() -> None:
    found = pod_identity_operator_rbac(["service_account"], namespaces=["team-a", "team-b"], group="ops", name="made")
    assert places(found) == [
        *(("ClusterRole", "made", None), ("ClusterRoleBinding", "made", None)),
        *(("Role", "made", "team-a"), ("RoleBinding", "made", "team-a")),
        *(("Role", "made", "team-b"), ("RoleBinding", "made", "team-b")),
    ]
    assert {one["subjects"][0]["name"] for one in found if "subjects" in one} == {"ops"}
    assert rights(found) == {
        (None, "list", "serviceaccounts", None),
        *((team, verb, "serviceaccounts", None) for team in ("team-a", "team-b") for verb in ("create", "delete")),
    }


def test_included_rights_are_not_repeated() -> None:
    """The agent's pods are among all pods."""
    both = rights(pod_identity_operator_rbac(["agent", "restart"]))
    agent = ("kube-system", "get", "daemonsets", "eks-pod-identity-agent")
    assert {entry for entry in both if entry[0]} == {agent}
    narrow = rights(pod_identity_operator_rbac(["agent", "restart"], namespaces=["kube-system"]))
    assert agent in narrow and len([entry for entry in narrow if entry[1:3] == ("list", "pods")]) == 1


def test_each_level_adds_to_previous_one() -> None:
    # Without the agent, some of whose rights others include.
    others = [chapter for chapter in CHAPTERS if chapter != "agent"]
    check, apply, remove = (rights(pod_identity_operator_rbac(others, level=level)) for level in LEVELS)
    assert check < apply < remove
    assert {verb for _namespace, verb, _resource, _name in check} == {"list"}
    # What a proof makes it also removes.
    assert {entry[1:3] for entry in apply if entry[1] == "delete"} == {("delete", "jobs")}
    assert {entry[1:3] for entry in remove - apply} == {("delete", "serviceaccounts")}


def test_verify_modes_need_different_rights() -> None:
    job, exec_ = (rights(pod_identity_operator_rbac(["verify"], verify_mode=mode)) for mode in ("job", "exec"))
    assert {entry[1:3] for entry in exec_ - job} == {("get", "pods/exec"), ("create", "pods/exec")}
    assert {entry[2] for entry in job - exec_} == {"jobs", "pods/log", "events"}


def test_namespace_rights_need_create_namespaces() -> None:
    plain, makes = (
        rights(pod_identity_operator_rbac(["service_account"], create_namespaces=value)) for value in (False, True)
    )
    assert makes - plain == {(None, verb, "namespaces", None) for verb in ("list", "create")}


def test_chapters_without_kubernetes_return_nothing() -> None:
    nothing = {chapter for chapter in CHAPTERS if not pod_identity_operator_rbac(chapter)}
    assert nothing == {"cluster", "addons", "iam_role", "association", "target_role", "access", "inventory"}
    assert pod_identity_operator_rbac(["verify", "probe"], level="check") == []


def test_chapters_are_playbook_tags() -> None:
    site = yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text(encoding="utf-8"))
    tasks = [task for play in site for task in [play, *play["tasks"]]]
    tasks += yaml.safe_load((ROOT / "roles" / "workload" / "tasks" / "main.yml").read_text(encoding="utf-8"))
    tags = {tag for task in tasks for tag in task.get("tags", ())} - {"always", "remove"}
    # These are a playbook and an inventory plugin.
    assert tags == {*CHAPTERS} - {"access", "inventory"}


@pytest.mark.parametrize(
    ("chapters", "options", "sentence"),
    [
        (["verfy"], {}, 'There is no chapter "verfy" (did you mean verify?). There are: cluster, agent, addons,'),
        (7, {}, "The chapters are 7: give a list of cluster, agent, addons,"),
        ([], {"levle": "check"}, 'has the unknown key "levle": did you mean level?'),
        ([], {"level": "all"}, 'level is "all": give one of check, apply, remove.'),
        ([], {"verify_mode": "pod"}, 'verify_mode is "pod": give one of job, exec.'),
        ([], {"create_namespaces": "yes"}, 'create_namespaces is "yes": give true or false.'),
        ([], {"namespaces": "team-a"}, 'namespaces is "team-a": give a list, such as ["team-a"].'),
        ([], {"namespaces": ["Team"]}, 'namespaces holds "Team": use 1 to 63 lower-case letters'),
        ([], {"group": "system:masters"}, 'group is "system:masters": give a group of your own, since EKS keeps those'),
        ([], {"group": ""}, 'group is "": give a group of your own'),
        ([], {"name": "a/b"}, 'name is "a/b", which no object can have: give one without / and %.'),
        ([], {"group": "a/b"}, 'name is "a/b", which no object can have'),
    ],
)
def test_invalid_option_is_reported(chapters: t.Any, options: t.Any, sentence: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        pod_identity_operator_rbac(chapters, **options)
    assert sentence in str(caught.value)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        pod_identity_operator_rbac(["verfy"], level="all", group="", namespaces=["A", "B"])
    assert len(str(caught.value).splitlines()) == 5


def test_refusal_quotes_api_server_and_gives_remedy() -> None:
    said = 'nodes is forbidden: User "anna" cannot list resource "nodes" in API group "" at the cluster scope'
    body = '{"kind":"Status","message":"' + said.replace('"', '\\\\"') + '","reason":"Forbidden"}'
    whole = f"Exception '403\nReason: Forbidden\nHTTP response headers: x\nHTTP response body: b'{body}'\n' raised"
    told = pod_identity_refusal(whole)
    assert told == f"{said}; allow it by RBAC, which the filter podidentity.eks.pod_identity_operator_rbac makes"
    assert pod_identity_refusal('{"message": "jobs.batch is forbidden: exceeded quota"}') == (
        "jobs.batch is forbidden: exceeded quota"
    )
    unknown = """Module failed: 401\nHTTP response body: {"kind": "Status", "message": "Unauthorized", "code": 401}"""
    assert pod_identity_refusal(unknown).startswith("The API server does not know these credentials: give their IAM")
    assert pod_identity_refusal("") == "the API server cannot be reached, or does not know these credentials"
    for other in ("Two lines.\nThey stay.", ["Two lines.", "They stay."], told, f"Pods cannot be listed: {told}."):
        assert pod_identity_refusal(other) == other
