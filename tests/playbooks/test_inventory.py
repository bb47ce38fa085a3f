# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory plugin as ansible-inventory runs it, over clusters of two accounts and three regions.

Two tests run the command itself; the others run its code in a process that has imported Ansible before.
"""

from __future__ import annotations

import configparser
import dataclasses
import json
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml
from support.environment import ROOT
from support.examples import examples_of
from support.iam_roles import make_role
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

HOME, OTHER = "111122223333", "444455556666"
EXTERNAL_ID = "inventory-7"
#: Account, region, name and tags of each cluster; one name is there twice.
CLUSTERS = [
    (HOME, "eu-west-1", "alpha", {"stage": "production"}),
    (HOME, "us-east-1", "alpha", {"stage": "staging"}),
    (HOME, "us-east-1", "gamma", {"team": "data"}),
    (OTHER, "eu-central-1", "beta", {"stage": "production", "note": "{{ lookup('env', 'HOME') }}"}),
]
REGIONS = ["eu-west-1", "us-east-1"]
#: As AWX sets it: an inventory that cannot be read is an error.
FAIL_IF_UNREADABLE = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True"}
TOLD_APART = "eks_cluster_name ~ '.' ~ eks_region"
ASSUMED = {
    "assume_role_arn": f"arn:aws:iam::{OTHER}:role/inventory",
    "assume_role_external_id": EXTERNAL_ID,
    "regions": ["eu-central-1"],
}


@dataclasses.dataclass(frozen=True)
class Inventory:
    """A finished ``ansible-inventory --list``."""

    code: int
    document: dict[str, t.Any]
    errors: str

    @property
    def hosts(self) -> dict[str, dict[str, t.Any]]:
        variables: dict[str, dict[str, t.Any]] = self.document.get("_meta", {}).get("hostvars", {})
        return variables

    def group(self, name: str) -> list[str]:
        return sorted(self.document.get(name, {}).get("hosts", []))


def plain(value: dict[str, t.Any]) -> t.Any:
    """The value without the mark by which ansible-inventory says that a text is no template."""
    return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else value


class RunCommand(t.Protocol):
    """Runs ``ansible-inventory``; returns how it ended, what it has written and what it has complained about."""

    def __call__(self, *arguments: str, env: dict[str, str]) -> tuple[int, str, str]: ...


@dataclasses.dataclass(frozen=True)
class Lister:
    """Writes an inventory file of the plugin and lists what it says."""

    playbook: Playbooks
    folder: pathlib.Path
    run: RunCommand

    def __call__(self, env: t.Mapping[str, str | None] | None = None, **options: t.Any) -> Inventory:
        return self.list(yaml.safe_dump({"plugin": "podidentity.eks.aws_eks", **options}), env or {})

    def list(self, text: str, env: t.Mapping[str, str | None], *arguments: str) -> Inventory:
        file = self.folder / "aws_eks.yml"
        file.write_text(text, encoding="utf-8")
        changes = {"AWS_CONFIG_FILE": str(self.playbook.sandbox.directory / "config"), **env}
        code, output, errors = self.run(
            "-i", str(file), "--list", *arguments, env=self.playbook.environment(**FAIL_IF_UNREADABLE, **changes)
        )
        print(output, errors)
        return Inventory(code, json.loads(output, object_hook=plain) if output else {}, errors)


def run_real_command(*arguments: str, env: dict[str, str]) -> tuple[int, str, str]:
    """The command as a user runs it."""
    command = ["ansible-inventory", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def run_quickly(playbook: Playbooks) -> t.Iterator[RunCommand]:
    """The command's own code in a process that has imported it once for all tests."""
    path = ROOT / "tests" / "support" / "inventory_process.py"
    # Ansible reads its own settings when it is imported, and those of AWS for each request.
    env = playbook.environment(**FAIL_IF_UNREADABLE)
    command, pipe = [sys.executable, str(path)], subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdin=pipe, stdout=pipe) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        requests, answers = child.stdin, child.stdout

        def run(*arguments: str, env: dict[str, str]) -> tuple[int, str, str]:
            requests.write(json.dumps({"arguments": arguments, "env": env}) + "\n")
            requests.flush()
            answer = json.loads(answers.readline())
            return answer["code"], answer["output"], answer["errors"]

        yield run
        requests.close()
        assert child.wait(10) == 0


@pytest.fixture
def listed(
    run_quickly: RunCommand, playbook: Playbooks, clusters: None, tmp_path: pathlib.Path, sandbox: SandboxProcess
) -> Lister:
    sandbox.clear_calls()
    sandbox.knobs(faults=[])
    return Lister(playbook, tmp_path, run_quickly)


@pytest.fixture
def listed_by_command(listed: Lister) -> Lister:
    return dataclasses.replace(listed, run=run_real_command)


@pytest.fixture(scope="module")
def clusters(sandbox: SandboxProcess) -> None:
    """Clusters of two accounts, and a role of the second one that the first one's user may assume."""
    keys = {HOME: sandbox.profile("default"), OTHER: sandbox.add_account(OTHER)[OTHER]}
    for account, settings in keys.items():
        make_role(sandbox.client("iam", **settings), "eks-cluster", "eks.amazonaws.com")
        assert sandbox.client("sts", **settings).get_caller_identity()["Account"] == account
    make_inventory_role(sandbox.client("iam", **keys[OTHER]))
    for account, region, name, tags in CLUSTERS:
        where = {**keys[account], "region_name": region}
        ec2 = sandbox.client("ec2", **where)
        vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.7.{number}.0/24", AvailabilityZone=f"{region}{zone}")["Subnet"]
            for number, zone in enumerate("ab")
        ]
        sandbox.client("eks", **where).create_cluster(
            name=name,
            roleArn=f"arn:aws:iam::{account}:role/eks-cluster",
            resourcesVpcConfig={"subnetIds": [subnet["SubnetId"] for subnet in subnets]},
            tags=tags,
        )
    for account, region, name, _tags in CLUSTERS:
        waiter = sandbox.client("eks", **keys[account], region_name=region).get_waiter("cluster_active")
        waiter.wait(name=name, WaiterConfig={"Delay": 1})


def make_inventory_role(iam: t.Any) -> None:
    """A role that may list and describe clusters, for the other account's users with the right external id."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{HOME}:root"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
    }
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    iam.create_role(RoleName="inventory", AssumeRolePolicyDocument=json.dumps(trust))
    allow = {"Effect": "Allow", "Action": ["eks:ListClusters", "eks:DescribeCluster"], "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    iam.put_role_policy(RoleName="inventory", PolicyName="look", PolicyDocument=json.dumps(policy))


def test_clusters_of_all_accounts_and_regions_are_hosts(listed_by_command: Lister, sandbox: SandboxProcess) -> None:
    found = listed_by_command(
        regions=["{{ 'eu-west-1' }}", "us-east-1"],
        accounts=[{}, ASSUMED],
        hostname=TOLD_APART,
        keyed_groups=[{"key": "eks_cluster.tags.stage | default('none')", "prefix": "stage"}],
        groups={"home": f"eks_account_id == '{HOME}'"},
        compose={"cluster_version": "eks_cluster.version"},
        strict=True,
    )
    calls = sandbox.calls()
    assert found.code == 0
    assert found.errors.strip() == "", "no warning"
    names = sorted(f"{name}.{region}" for _account, region, name, _tags in CLUSTERS)
    assert found.group("eks_clusters") == names
    assert found.group("stage_production") == ["alpha.eu-west-1", "beta.eu-central-1"]
    assert found.group("home") == [name for name in names if name != "beta.eu-central-1"]
    beta = found.hosts["beta.eu-central-1"]
    eks = sandbox.client("eks", **sandbox.profile(OTHER), region_name="eu-central-1")
    cluster = eks.describe_cluster(name="beta")["cluster"]
    assert beta["eks_cluster"]["endpoint"] == cluster["endpoint"]
    assert beta["eks_cluster"]["platform_version"] == cluster["platformVersion"]
    assert beta["eks_cluster"]["auto_mode"] is False
    assert beta["cluster_version"] == cluster["version"]
    assert (beta["eks_cluster_name"], beta["eks_region"], beta["eks_account_id"]) == ("beta", "eu-central-1", OTHER)
    assert beta["eks_assume_role_arn"] == ASSUMED["assume_role_arn"]
    assert beta["ansible_connection"] == "local"
    assert pathlib.Path(beta["ansible_python_interpreter"]).samefile(sys.executable)
    assert beta["eks_cluster"]["tags"] == CLUSTERS[-1][-1], "a tag is a text and never a template"
    assert "eks_assume_role_arn" not in found.hosts["gamma.us-east-1"]
    assert calls == {"sts:AssumeRole": 1, "eks:ListClusters": 3, "eks:DescribeCluster": len(CLUSTERS)}


def test_filters_choose_clusters_and_a_profile_has_the_keys(listed: Lister) -> None:
    found = listed(
        accounts=[{"profile": OTHER, "regions": ["eu-central-1"]}, {"regions": REGIONS}],
        filters={"tags": {"stage": "prod*"}, "statuses": ["ACTIVE"]},
        env={"AWS_PROFILE": None, "AWS_REGION": None, "AWS_DEFAULT_REGION": None},
    )
    assert found.group("eks_clusters") == ["alpha", "beta"]
    assert found.hosts["beta"]["eks_profile"] == OTHER
    assert found.hosts["alpha"]["eks_region"] == "eu-west-1"


def test_two_clusters_never_become_one_host(listed: Lister) -> None:
    found = listed(regions=REGIONS)
    assert found.code != 0
    assert "both become host alpha: tell them apart by the option hostname" in " ".join(found.errors.split())


def test_unreachable_accounts_are_named_and_others_are_listed(listed: Lister, sandbox: SandboxProcess) -> None:
    options: dict[str, t.Any] = {
        "accounts": [{}, {**ASSUMED, "assume_role_external_id": "wrong"}, {"profile": "absent"}],
        "regions": ["eu-west-1"],
    }
    found = listed(**options)
    assert found.code == 0
    assert found.group("eks_clusters") == ["alpha"]
    denied, unknown = found.hosts["alpha"]["eks_unreachable"]
    assert denied["account"] == f"the account of role {ASSUMED['assume_role_arn']}"
    assert "not authorized to perform: sts:AssumeRole" in denied["reason"]
    assert "absent" in unknown["reason"]
    assert found.errors.count("are not in the inventory") == 2
    assert listed(**options, fail_on_unreachable=True).code != 0


def test_cluster_that_cannot_be_described_is_named(listed: Lister, sandbox: SandboxProcess) -> None:
    sandbox.knobs(faults=[{"operation": "eks:DescribeCluster", "code": "ServerException", "calls": [1, 2, 3, 4]}])
    found = listed(regions=["eu-west-1"], accounts=[{}, ASSUMED], concurrency=1)
    assert found.code == 0
    assert found.group("eks_clusters") == ["beta"]
    [unreachable] = found.hosts["beta"]["eks_unreachable"]
    assert unreachable["region"] == "eu-west-1, cluster alpha"
    assert "ServerException" in unreachable["reason"]


def test_inventory_fails_if_no_account_can_be_reached(listed: Lister) -> None:
    found = listed(accounts=[{"profile": "absent"}], regions=["eu-west-1"])
    assert found.code != 0
    assert "The config profile (absent) could not be found" in found.errors


def test_region_without_clusters_gives_no_hosts(listed: Lister) -> None:
    found = listed(regions=["eu-north-1"])
    assert found.code == 0
    assert found.hosts == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"filters": {"name": "a"}}, "did you mean names?"),
        ({"hostname": "eks_cluster_nam"}, "The option hostname is no expression for a cluster's name"),
        ({"regions": []}, "No AWS region is known"),
    ],
)
def test_wrong_options_are_refused_in_one_sentence(listed: Lister, options: dict[str, t.Any], sentence: str) -> None:
    nowhere = {"AWS_REGION": None, "AWS_DEFAULT_REGION": None, "AWS_CONFIG_FILE": None}
    found = listed(**{"regions": ["eu-west-1"], **options}, env=nowhere)
    assert found.code != 0
    assert sentence in " ".join(found.errors.split())


def test_cache_answers_without_calls_and_holds_no_credentials(
    listed: Lister, sandbox: SandboxProcess, tmp_path: pathlib.Path
) -> None:
    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    options: dict[str, t.Any] = {"regions": ["eu-west-1"], "accounts": [{}, ASSUMED], **cache}
    first = listed(**options)
    sandbox.clear_calls()
    again = listed(**options)
    assert again.document == first.document
    assert sandbox.calls() == {}
    [kept] = (tmp_path / "cache").iterdir()
    text = kept.read_text(encoding="utf-8")
    assert "beta" in text
    assert "SecretAccessKey" not in text
    assert sandbox.env["AWS_SECRET_ACCESS_KEY"] not in text


def test_documented_example_works_as_it_stands(
    listed_by_command: Lister, sandbox: SandboxProcess, tmp_path: pathlib.Path
) -> None:
    config = configparser.ConfigParser()
    config["profile production"] = sandbox.profile("default")
    with (tmp_path / "config").open("w", encoding="utf-8") as file:
        config.write(file)
    text = examples_of(ROOT / "plugins" / "inventory" / "aws_eks.py")
    found = listed_by_command.list(text, {"AWS_CONFIG_FILE": str(tmp_path / "config")}, "--flush-cache")
    assert found.code == 0
    assert found.group("stage_production") == ["alpha.eu-west-1", "beta.eu-central-1"]
    assert found.group("stage_staging") == ["alpha.us-east-1"]
    assert found.hosts["alpha.us-east-1"]["eks_profile"] == "production"
    assert len(found.hosts) == 3
