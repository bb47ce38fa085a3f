# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which service accounts are created and deleted, over all declarations and all that may exist."""

from __future__ import annotations

import typing as t

import hypothesis
import hypothesis.strategies as st
from ansible_collections.podidentity.eks.plugins.module_utils._kube.service_account import plan as planning
from ansible_collections.podidentity.eks.plugins.module_utils._kube.service_account.spec import OPTIONS

SPACES, NAMES = ("a", "b"), ("x", "y")
workloads = st.lists(
    st.fixed_dictionaries(
        {"namespace": st.sampled_from(SPACES), "service_account": st.sampled_from(NAMES)},
        optional={"state": st.sampled_from(["present", "absent"]), "service_account_managed": st.booleans()},
    ),
    unique_by=lambda one: (one["namespace"], one["service_account"]),
    max_size=4,
)
existing = st.dictionaries(
    st.sampled_from([f"{space}/{name}" for space in SPACES for name in (*NAMES, "other")]),
    st.builds(planning.Found, st.booleans(), st.sampled_from(["", "arn"])),
)
params = st.fixed_dictionaries(
    {
        "workloads": workloads,
        "state": st.sampled_from(["present", "absent"]),
        "operations": st.lists(st.sampled_from(["apply", "remove"]), unique=True, min_size=1),
        "purge": st.sampled_from(["none", "namespace", "cluster"]),
        "also_declared": st.lists(st.sampled_from(["a/other", "b/other"]), unique=True),
        "create_namespaces": st.booleans(),
    }
)


def after(found: t.Mapping[str, planning.Found], plan: planning.Plan) -> dict[str, planning.Found]:
    """What exists when the plan was carried out."""
    gone = {str(item) for item in plan.delete}
    made = {str(item): planning.Found(True) for item in plan.create if item.name}
    return {**{name: one for name, one in found.items() if name not in gone}, **made}


@hypothesis.given(params, existing)
def test_only_managed_accounts_are_deleted_and_missing_created(
    options: dict[str, t.Any], found: dict[str, planning.Found]
) -> None:
    request = planning.request_of(options)
    plan = planning.plan(request, found, {"a"} if options["create_namespaces"] else None)
    deleted = {str(item) for item in plan.delete}
    assert all(found[name].managed for name in deleted)
    assert not deleted & {*request.wanted, *request.unmanaged, *options["also_declared"]}
    assert {str(item) for item in plan.create if item.name}.isdisjoint(found)
    assert not plan.delete or "remove" in options["operations"]
    assert not plan.create or "apply" in options["operations"]
    assert [item.namespace for item in plan.create if not item.name] in ([], ["b"])


@hypothesis.given(params, existing)
def test_second_run_changes_nothing(options: dict[str, t.Any], found: dict[str, planning.Found]) -> None:
    request = planning.request_of(options)
    again = planning.plan(request, after(found, planning.plan(request, found)))
    assert (again.create, again.delete) == ((), ())


@hypothesis.given(params, existing)
def test_nothing_is_read_where_nothing_could_change(
    options: dict[str, t.Any], found: dict[str, planning.Found]
) -> None:
    request = planning.request_of(options)
    if request.needs_nothing:
        plan = planning.plan(request, found)
        assert (plan.create, plan.delete, plan.kept, plan.absent, plan.irsa) == ((), (), (), (), {})


def test_options_of_the_request_are_those_of_the_module() -> None:
    assert {"workloads", "state", "operations", "purge", "also_declared", "create_namespaces"} <= set(OPTIONS)
