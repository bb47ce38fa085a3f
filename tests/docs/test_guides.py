# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every code block of the guides works: declarations and playbooks are run, inventories read, commands looked up."""

from __future__ import annotations

import json
import pathlib
import re
import shlex
import subprocess
import typing as t

import pytest
import yaml
from support.environment import ROOT
from support.existing_cluster import make_account
from support.guides import BLOCKS
from support.guides import GROUP_VARS
from support.guides import HOST_VARS
from support.guides import KINDS
from support.guides import inventory_of
from support.guides import of_kind
from support.guides import plays_of
from support.iam_roles import NODE_POLICIES
from support.iam_roles import make_role
from support.pages import ROLES
from support.pages import Block
from support.pages import blocks
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

#: Pages whose declaration is for a cluster that exists.
EXISTING = [name for name, declared in HOST_VARS.items() if declared.get("cluster_manage") is False]
OTHER_ACCOUNT = "444455556666"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_block_declares_how_it_is_tested(block: Block) -> None:
    excused = re.fullmatch(r'not-run="\w[^"]{10,}"', block.kind)
    assert (block.language, block.kind) in KINDS or excused


@pytest.fixture(scope="module")
def account(sandbox: SandboxProcess) -> None:
    """What the guides say is there: clusters with nodes, a bucket, another account."""
    sandbox.add_account(OTHER_ACCOUNT)
    subnets = make_account(sandbox)
    make_role(sandbox.client("iam"), "developers", "ec2.amazonaws.com")
    sandbox.client("s3").create_bucket(
        Bucket="team-data", CreateBucketConfiguration={"LocationConstraint": sandbox.env["AWS_REGION"]}
    )
    make_role(sandbox.client("iam"), "nodes", "ec2.amazonaws.com", *NODE_POLICIES)
    eks, quickly = sandbox.client("eks"), {"Delay": 1}
    cluster_role, node_role = (f"arn:aws:iam::111122223333:role/{name}" for name in ("eks-cluster", "nodes"))
    for name in [*EXISTING, "fleet-staging", "fleet-one", "fleet-two"]:
        eks.create_cluster(name=name, roleArn=cluster_role, resourcesVpcConfig={"subnetIds": subnets})
    for name in EXISTING:
        eks.get_waiter("cluster_active").wait(name=name, WaiterConfig=quickly)
        eks.create_nodegroup(clusterName=name, nodegroupName="nodes", nodeRole=node_role, subnets=subnets)


def test_check_mode_predicts_new_clusters(
    playbook: Playbooks, sandbox: SandboxProcess, account: None, tmp_path: pathlib.Path
) -> None:
    new = [name for name in HOST_VARS if name not in EXISTING]
    run = playbook("playbooks/site.yml", "--check", inventory=inventory_of(tmp_path / "hosts.yml", new))
    assert run.code == 0
    assert all(run.count("changed", host) > 0 for host in new)


def test_proves_workloads_of_existing_clusters(
    playbook: Playbooks, sandbox: SandboxProcess, account: None, tmp_path: pathlib.Path
) -> None:
    after = [{**play, "hosts": "existing-cluster"} for play in plays_of("existing-cluster")]
    assert after
    story, proof_file = tmp_path / "story.yml", tmp_path / "proof.json"
    site = {"name": "The whole story", "ansible.builtin.import_playbook": str(ROOT / "playbooks" / "site.yml")}
    story.write_text(yaml.safe_dump([site, *after], sort_keys=False), encoding="utf-8")
    run = playbook(
        str(story),
        inventory=inventory_of(tmp_path / "hosts.yml", EXISTING),
        env={"AWS_CONFIG_FILE": str(sandbox.directory / "config")},
        podidentity_proof_file=str(proof_file),
    )
    assert run.code == 0
    proofs = json.loads(proof_file.read_text(encoding="utf-8"))
    declared = {(host, w["namespace"], w["service_account"]) for host in EXISTING for w in workloads(host)}
    proven = {(p["cluster"], p["namespace"], p["service_account"]) for p in proofs if p["proven"]}
    assert proven == declared
    [archive] = [proof for proof in proofs if proof["cluster"] == "cross-account"]
    assert archive["identity"]["account"] == OTHER_ACCOUNT


def workloads(host: str) -> list[dict[str, t.Any]]:
    declared: list[dict[str, t.Any]] = HOST_VARS[host]["podidentity_workloads"]
    return declared


def test_fleet_play_reconciles_every_cluster(playbook: Playbooks, account: None, tmp_path: pathlib.Path) -> None:
    [inventory] = [block for block in of_kind("hosts") if block.page.stem == "fleet"]
    fleet, story = tmp_path / "fleet.yml", tmp_path / "story.yml"
    fleet.write_text(inventory.text, encoding="utf-8")
    story.write_text(yaml.safe_dump(plays_of("fleet")), encoding="utf-8")
    run = playbook(str(story), inventory=str(fleet))
    assert run.code == 0
    assert [run.count("changed", f"fleet-{name}") for name in ("staging", "one", "two")] == [1, 1, 1]


def test_job_roles_have_operator_policies(playbook: Playbooks, sandbox: SandboxProcess, tmp_path: pathlib.Path) -> None:
    story, iam = tmp_path / "story.yml", sandbox.client("iam")
    story.write_text(yaml.safe_dump(plays_of("permissions")[:1]), encoding="utf-8")
    settings = {name: GROUP_VARS[name] for name in ("ansible_connection", "ansible_python_interpreter")}
    assert playbook(str(story), "--extra-vars", json.dumps(settings), inventory="localhost,").code == 0
    for level in ("check", "remove"):
        [attached] = iam.list_attached_role_policies(RoleName=f"shop-jobs-{level}")["AttachedPolicies"]
        assert attached["PolicyName"] == f"shop-{level}"
        found = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
        assert ("eks:CreateCluster" in json.dumps(found)) == (level == "remove")
        assert "cluster/shop-*" in json.dumps(found)


@pytest.mark.parametrize("block", of_kind("hosts"), ids=lambda block: block.name)
def test_inventories_have_clusters(block: Block, playbook: Playbooks, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(block.text, encoding="utf-8")
    command = ["ansible-inventory", "-i", str(path), "--list"]
    done = subprocess.run(command, env=playbook.environment(), cwd=ROOT, capture_output=True, text=True, check=True)
    hosts = json.loads(done.stdout)["_meta"]["hostvars"]
    assert hosts
    assert all(found["ansible_connection"] == "local" for found in hosts.values())


def test_role_readme_playbooks_pass_syntax_check(playbook: Playbooks, tmp_path: pathlib.Path) -> None:
    # A mapping is a part of a declaration.
    found = [block for block in blocks(*ROLES) if block.language == "yaml" and isinstance(block.document, list)]
    assert {block.page for block in found} == set(ROLES)
    story = tmp_path / "story.yml"
    story.write_text(yaml.safe_dump([play for block in found for play in block.document]), encoding="utf-8")
    assert playbook(str(story), "--syntax-check").code == 0


def test_json_blocks_parse() -> None:
    for block in BLOCKS:
        if block.language == "json":
            assert json.loads(block.text), block.name


COMMANDS = [
    (block, line)
    for block in BLOCKS
    if block.language == "shell"
    for line in block.text.replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
#: Programs that are not of this collection.
KNOWN = {"source", "pip", "cp", "kubectl", "ansible-inventory"}


@pytest.mark.parametrize(("block", "line"), COMMANDS, ids=[line for _block, line in COMMANDS])
def test_commands_name_existing_targets_and_files(block: Block, line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        assert words[0] in TARGETS
    elif program == "ansible-playbook":
        [name] = [word for word in words if word.endswith(".yml") or word.startswith("podidentity.eks.")]
        name = name if name.endswith(".yml") else f"playbooks/{name.removeprefix('podidentity.eks.')}.yml"
        assert (ROOT / name).is_file()
    elif program == "ansible-doc":
        kind, name = words[1], words[2].removeprefix("podidentity.eks.")
        assert (ROOT / "plugins" / kind / f"{name}.py").is_file() or (ROOT / "roles" / name).is_dir()
    elif program == "ansible-galaxy":
        assert words == ["collection", "install", "podidentity.eks"]
    else:
        assert program in KNOWN
    for word in words:
        if word.startswith("inventories/"):
            assert (ROOT / word).is_dir()
