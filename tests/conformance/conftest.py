# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sandbox for the conformance tests, and short ways to what a test needs in it."""

from __future__ import annotations

import typing as t

import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.kubernetes_cluster import cluster
from support.pods import namespace
from support.sandbox_process import STUB_CLUSTERS
from support.sandbox_process import SandboxProcess

__all__ = ["cluster", "namespace"]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[SandboxProcess]:
    """One sandbox with real clusters for all conformance tests."""
    process = SandboxProcess()
    process.start(tmp_path_factory.mktemp("sandbox"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def aws_sandbox(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[SandboxProcess]:
    """One sandbox with stub clusters, for tests that call AWS and never Kubernetes."""
    process = SandboxProcess(*STUB_CLUSTERS)
    process.start(tmp_path_factory.mktemp("aws"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def administrator(aws_sandbox: SandboxProcess) -> Account:
    """The account with its clients, made once: its keys outlive every reset."""
    return Account(aws_sandbox)


@pytest.fixture
def account(administrator: Account) -> Account:
    """The account with nothing in it, in a quick sandbox with stub clusters."""
    administrator.sandbox.reset()
    administrator.sandbox.knobs(**QUICK)
    return administrator
