# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting, tags, feature detection and the facts that must agree with other files."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import boto3
import pytest
import yaml
from ansible_collections.podidentity.eks.plugins.module_utils._eks import common
from ansible_collections.podidentity.eks.plugins.module_utils._eks import waiters
from ansible_collections.podidentity.eks.plugins.module_utils._eks.common import AnsibleEKSError
from hypothesis import given
from hypothesis import strategies as st
from support.environment import ROOT

ARN = "arn:aws:eks:eu-west-1:111122223333:cluster/example"


@dataclasses.dataclass
class Time:
    """A clock that only sleeping moves."""

    now: float = 0.0
    naps: list[float] = dataclasses.field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def wait(goal: waiters.Wait, statuses: t.Iterable[str], timeout: float = 60) -> tuple[waiters.State, Time]:
    time = Time()
    states = iter(statuses)

    def look() -> waiters.State:
        return waiters.State(next(states), ("NoNodes: none is ready",))

    return waiters.wait_for(goal, "example", look, timeout, clock=time.clock, sleep=time.sleep), time


def test_wait_on_reached_state_does_not_sleep() -> None:
    state, time = wait(waiters.CLUSTER_ACTIVE, ["ACTIVE"])
    assert state.status == "ACTIVE"
    assert time.naps == []


def test_intervals_grow_from_one_to_fifteen_seconds() -> None:
    seconds = list(itertools.islice(waiters.intervals(), 12))
    assert seconds[0] == 1
    assert seconds == sorted(seconds)
    assert seconds[-1] == 15


def test_wait_continues_on_degraded_addon() -> None:
    state, _time = wait(waiters.ADDON_ACTIVE, ["CREATING", "DEGRADED", "DEGRADED", "ACTIVE"])
    assert state.status == "ACTIVE"


def test_wait_continues_on_unknown_state() -> None:
    assert wait(waiters.CLUSTER_ACTIVE, ["UPGRADING_SOON", "ACTIVE"])[0].status == "ACTIVE"


@pytest.mark.parametrize(
    ("goal", "status"),
    [
        (waiters.CLUSTER_ACTIVE, "FAILED"),
        (waiters.CLUSTER_ACTIVE, "DELETING"),
        (waiters.CLUSTER_ACTIVE, waiters.ABSENT),
        (waiters.CLUSTER_DELETED, "ACTIVE"),
        (waiters.NODEGROUP_ACTIVE, "CREATE_FAILED"),
        (waiters.NODEGROUP_DELETED, "DELETE_FAILED"),
        (waiters.ADDON_ACTIVE, "CREATE_FAILED"),
        (waiters.ADDON_ACTIVE, "UPDATE_FAILED"),
        (waiters.ADDON_DELETED, "DELETE_FAILED"),
        (waiters.UPDATE_DONE, "Failed"),
        (waiters.UPDATE_DONE, "Cancelled"),
    ],
)
def test_wait_fails_on_failure_state_with_reasons(goal: waiters.Wait, status: str) -> None:
    with pytest.raises(AnsibleEKSError) as caught:
        wait(goal, [status])
    assert f"{status} (NoNodes: none is ready)" in str(caught.value)
    assert goal.resource in str(caught.value)


def test_wait_timeout_reports_last_state() -> None:
    looks = itertools.repeat("DEGRADED")
    with pytest.raises(AnsibleEKSError) as caught:
        wait(waiters.ADDON_ACTIVE, looks, timeout=30)
    message = str(caught.value)
    assert "Waited 30 seconds for the add-on example to become ACTIVE" in message
    assert "still DEGRADED (NoNodes: none is ready)" in message
    assert "wait_timeout" in message


def test_wait_never_sleeps_past_timeout() -> None:
    _state, time = wait(waiters.CLUSTER_ACTIVE, [*["CREATING"] * 4, "ACTIVE"], timeout=5)
    assert time.now == 5


@pytest.mark.parametrize(
    ("shape", "waits"),
    [
        ("ClusterStatus", [waiters.CLUSTER_SETTLED, waiters.CLUSTER_ACTIVE, waiters.CLUSTER_DELETED]),
        ("NodegroupStatus", [waiters.NODEGROUP_SETTLED, waiters.NODEGROUP_ACTIVE, waiters.NODEGROUP_DELETED]),
        ("AddonStatus", [waiters.ADDON_ACTIVE, waiters.ADDON_DELETED]),
        ("UpdateStatus", [waiters.UPDATE_DONE]),
    ],
)
def test_waits_name_only_states_of_api(shape: str, waits: list[waiters.Wait]) -> None:
    model = eks().meta.service_model.shape_for(shape)
    for goal in waits:
        assert goal.success | goal.failure <= {*model.enum, waiters.ABSENT}
        assert not goal.success & goal.failure


def test_issues_are_formatted_with_resources() -> None:
    addon = {"health": {"issues": [{"code": "AccessDenied", "message": "No way", "resourceIds": ["role"]}]}}
    update = {"errors": [{"errorCode": "SubnetNotFound", "errorMessage": "Gone", "resourceIds": []}]}
    assert waiters.issues_of(addon) == ("AccessDenied: No way [role]",)
    assert waiters.issues_of(update) == ("SubnetNotFound: Gone",)
    assert waiters.issues_of({}) == ()


TAGS = st.dictionaries(st.sampled_from(["a", "b", "C", "aws:owned"]), st.sampled_from(["1", "2"]))
OWN_TAGS = st.dictionaries(st.sampled_from(["a", "b", "C"]), st.sampled_from(["1", "2"]))


@given(TAGS, OWN_TAGS, st.booleans())
def test_tag_calls_reach_predicted_tags(before: dict[str, str], desired: dict[str, str], purge: bool) -> None:
    after, actions = common.plan_tags(ARN, before, desired, purge)
    tags = dict(before)
    for action in actions:
        assert action.parameters["resourceArn"] == ARN
        for key in action.parameters.get("tagKeys", []):
            del tags[key]
        tags.update(action.parameters.get("tags", {}))
    assert tags == after
    assert desired.items() <= after.items()
    assert common.plan_tags(ARN, after, desired, purge)[1] == ()
    assert {key for key in before if key.startswith("aws:")} <= set(after)
    if not purge:
        assert set(before) <= set(after)


def test_undeclared_tags_stay() -> None:
    assert common.plan_tags(ARN, {"a": "1"}, None, True) == ({"a": "1"}, ())


def test_unknown_botocore_parameter_names_required_version() -> None:
    common.require_parameter(eks(), "CreatePodIdentityAssociation", "policy", "policy", "1.42.46")
    with pytest.raises(AnsibleEKSError) as caught:
        common.require_parameter(eks(), "CreatePodIdentityAssociation", "wish", "the option wish", "9.9.9")
    assert "the option wish needs botocore 9.9.9 or newer" in str(caught.value)


def test_user_agent_version_is_collection_version() -> None:
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    assert f"{galaxy['namespace']}.{galaxy['name']}" == common.COLLECTION_NAME
    assert galaxy["version"] == common.COLLECTION_VERSION


def test_diff_of_new_object_has_empty_before() -> None:
    change = common.Change(None, {"name": "example"}, (common.Action("create_cluster", {}),))
    assert change.changed
    assert change.diff() == {"before": {}, "after": {"name": "example"}}
    assert not common.Change({"a": 1}, {"a": 1}).changed


def eks() -> t.Any:
    return boto3.client("eks", region_name="eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")
