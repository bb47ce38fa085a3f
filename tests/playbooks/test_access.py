# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbook access: who may do what in clusters of two regions, and in two that cannot be read."""

from __future__ import annotations

import csv
import json
import pathlib
import typing as t

import pytest
import yaml
from support.existing_cluster import ROLE_PREFIX
from support.existing_cluster import make_account
from support.existing_cluster import writes
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

REGIONS = {"north": "eu-west-1", "south": "eu-central-1"}


@pytest.fixture(scope="module")
def clusters(sandbox: SandboxProcess) -> None:
    """A cluster in each of two regions, with one workload each and the role ``app`` in common."""
    make_account(sandbox)
    make_role(sandbox.client("iam"), "gone", "pods.eks.amazonaws.com")
    for name, region in REGIONS.items():
        eks, ec2 = (sandbox.client(service, region_name=region) for service in ("eks", "ec2"))
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
        network = {"subnetIds": subnets}
        eks.create_cluster(name=name, roleArn=f"{ROLE_PREFIX}eks-cluster", resourcesVpcConfig=network)
        eks.get_waiter("cluster_active").wait(name=name, WaiterConfig={"Delay": 1})
        for service_account, role in (("app", "app"), *((("broken", "gone"),) if name == "south" else ())):
            names = {"clusterName": name, "namespace": "team-a", "serviceAccount": service_account}
            eks.create_pod_identity_association(**names, roleArn=f"{ROLE_PREFIX}{role}")
    sandbox.client("iam").delete_role(RoleName="gone")


@pytest.fixture
def inventory(tmp_path: pathlib.Path) -> str:
    hosts = {
        **{name: {"eks_region": region} for name, region in REGIONS.items()},
        "missing": {"eks_region": "eu-west-1"},
        "faraway": {
            "eks_region": "eu-west-1",
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_port": 9,
        },
    }
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    path = tmp_path / "hosts.yml"
    path.write_text(yaml.safe_dump({"eks_clusters": {"hosts": hosts, "vars": local}}), encoding="utf-8")
    return str(path)


def test_reads_all_clusters_and_names_the_unreadable_ones(
    playbook: Playbooks, sandbox: SandboxProcess, clusters: None, inventory: str, tmp_path: pathlib.Path
) -> None:
    files = {kind: tmp_path / f"access.{kind}" for kind in ("json", "csv", "page")}
    sandbox.clear_calls()
    names: dict[str, t.Any] = {f"podidentity_access_{kind}": str(path) for kind, path in files.items()}
    run = playbook("playbooks/access.yml", inventory=inventory, **names)
    assert run.code != 0, "a cluster that could not be read fails the run"
    assert {host: run.count("failed", host) for host in ("north", "south", "missing")} == {
        "north": 0,
        "south": 0,
        "missing": 1,
    }
    assert all(run.count("changed", host) == 0 for host in REGIONS)
    assert writes(sandbox) == []
    assert "Could not be read: faraway, missing." in run.output
    assert f"Role {ROLE_PREFIX}gone does not exist" in run.output

    reports = json.loads(files["json"].read_text(encoding="utf-8"))
    assert [report["cluster"]["name"] for report in reports] == ["faraway", "missing", "north", "south"]
    faraway, missing, north, south = reports
    assert faraway["error"] not in (None, "", "It was not looked at."), "why its host could not be reached"
    assert 'cluster_name "missing" names no cluster' in missing["error"]
    assert (north["cluster"]["region"], south["cluster"]["region"]) == ("eu-west-1", "eu-central-1")
    assert [item["service_account"] for item in south["access"]] == ["app", "broken"]
    shared = [finding["text"] for finding in north["access"][0]["findings"] if finding["id"] == "role_shared"]
    assert "north/team-a, south/team-a" in shared[0]
    rows = list(csv.DictReader(files["csv"].read_text(encoding="utf-8").splitlines()))
    assert [(row["kind"], row["cluster"], row["service_account"]) for row in rows] == [
        ("unread cluster", "faraway", ""),
        ("unread cluster", "missing", ""),
        ("association", "north", "app"),
        ("association", "south", "app"),
        ("association", "south", "broken"),
    ]
    page = files["page"].read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and all(word in page for word in ("north", "south", "missing", "broken"))


def test_reports_denied_reads_once(
    playbook: Playbooks, sandbox: SandboxProcess, clusters: None, inventory: str
) -> None:
    make_role(sandbox.client("iam"), "gone", "pods.eks.amazonaws.com")
    denied = [
        {"operation": f"iam:{name}", "code": "AccessDenied", "message": f"You may not call iam:{name}", "status": 403}
        for name in ("ListAttachedRolePolicies", "ListRoles")
    ]
    sandbox.knobs(faults=denied)
    try:
        run = playbook("playbooks/access.yml", "--limit", "north,south", inventory=inventory)
    finally:
        sandbox.knobs(faults=[])
        sandbox.client("iam").delete_role(RoleName="gone")
    assert run.code == 0
    said = " ".join(run.output.split())
    assert "Role app could not be read in full: You may not call iam:ListAttachedRolePolicies." in said
    assert "Role gone could not be read" not in said
    assert "The same is true of 1 more." in said
    assert said.count("Trust without an association was not looked for: You may not call iam:ListRoles.") == 1


def test_uploads_report_and_publishes_findings(
    playbook: Playbooks, sandbox: SandboxProcess, clusters: None, inventory: str, tmp_path: pathlib.Path
) -> None:
    """As AWX needs it, where files go with the job."""
    s3 = sandbox.client("s3")
    s3.create_bucket(Bucket="reports", CreateBucketConfiguration={"LocationConstraint": sandbox.env["AWS_REGION"]})
    names = {f"podidentity_access_{kind}": str(tmp_path / f"access.{kind}") for kind in ("json", "page")}
    run = playbook(
        "playbooks/access.yml",
        "--limit",
        "south",
        inventory=inventory,
        env={"ANSIBLE_SHOW_CUSTOM_STATS": "true"},
        podidentity_access_bucket="reports",
        **names,
    )
    assert (run.code, run.count("changed", "south")) == (0, 0)
    uploaded = [entry["Key"] for entry in s3.list_objects_v2(Bucket="reports")["Contents"]]
    assert uploaded == ["access.json", "access.page"]
    published = run.output.split("CUSTOM STATS")[1]
    assert "podidentity_access_findings" in published
    assert f"Role {ROLE_PREFIX}gone does not exist" in published
