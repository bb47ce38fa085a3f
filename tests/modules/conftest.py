# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Modules as Ansible runs them, ``main()`` and all, in this process, against a sandbox over HTTP."""

from __future__ import annotations

import collections.abc
import functools
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._eks import waiters
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import shared
from botocore.loaders import JSONFileLoader
from support.aws_proxy import AwsProxy
from support.iam_roles import make_role
from support.module_runs import Account
from support.module_runs import Result
from support.module_runs import RunModule
from support.module_runs import create_network
from support.module_runs import create_roles
from support.module_runs import run_module
from support.module_runs import use_environment
from support.sandbox_process import STUB_CLUSTERS
from support.sandbox_process import SandboxProcess

__all__ = ["run_module"]


@pytest.fixture(scope="session", autouse=True)
def parsed_models() -> collections.abc.Iterator[None]:
    """Parse each model of botocore once: every module run has a session of its own, which would parse it again."""
    load_file = JSONFileLoader.load_file

    @functools.cache
    def load(path: str) -> t.Any:
        return load_file(JSONFileLoader(), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _loader, path: load(path))
        yield


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[SandboxProcess]:
    """One sandbox for all tests of modules."""
    process = SandboxProcess(*STUB_CLUSTERS)
    process.start(tmp_path_factory.mktemp("sandbox"))
    yield process
    process.stop()


@pytest.fixture
def sandbox(sandbox_process: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> SandboxProcess:
    """The sandbox as good as new, quick, and in the environment as a user would have it."""
    sandbox_process.reset()
    sandbox_process.knobs(cluster_seconds=0.02, nodegroup_seconds=0.02, addon_seconds=0.02)
    use_environment(monkeypatch, sandbox_process.env)
    # The sandbox is a thousand times quicker than EKS, so looking once a second would be most of a test's time.
    monkeypatch.setattr(waiters, "FIRST_INTERVAL", 0.05)
    monkeypatch.setattr(shared, "SETTLE_SECONDS", 0.0)
    return sandbox_process


@pytest.fixture(scope="session")
def clients(sandbox_process: SandboxProcess) -> dict[str, t.Any]:
    """The boto3 clients of the fixtures; making one takes longer than most tests."""
    return {service: sandbox_process.client(service) for service in ("iam", "ec2", "eks")}


@pytest.fixture
def account(sandbox: SandboxProcess, clients: dict[str, t.Any]) -> Account:
    """The sandbox with roles and a network, and an empty call log."""
    create_roles(clients["iam"])
    vpc_id, subnet_ids, security_group_ids = create_network(clients["ec2"])
    sandbox.clear_calls()
    return Account(sandbox, vpc_id, subnet_ids, security_group_ids, clients["eks"])


@pytest.fixture
def example(account: Account, clients: dict[str, t.Any]) -> Account:
    """An account with the cluster ``example`` and roles for associations."""
    account.create_cluster()
    for name in ("app-v2", "target"):
        make_role(clients["iam"], name, "pods.eks.amazonaws.com")
    make_role(clients["iam"], "eks-trust", "eks.amazonaws.com")
    return account


@pytest.fixture
def aws_proxy(example: Account) -> collections.abc.Iterator[AwsProxy]:
    """A proxy through which others act between the module's calls."""
    with AwsProxy(example.sandbox.endpoint) as proxy:
        yield proxy


@pytest.fixture
def run(example: Account, run_module: RunModule) -> collections.abc.Callable[..., Result]:
    """Runs a module in diff mode; ``calls`` of the result are the operations that it called, in order."""

    def run(module_name: str, /, *, check: bool = False, **params: t.Any) -> Result:
        example.sandbox.clear_calls()
        result = run_module(module_name, check_mode=check, diff=True, **params)
        return {**result, "calls": [call["operation"] for call in example.sandbox.call_log()]}

    return run
