# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The knobs: what goes slowly, late or wrong when the sandbox is told so, as ordinary clients see it."""

from __future__ import annotations

import collections
import ctypes
import os
import pathlib
import socket
import time
import typing as t

import botocore.config
import botocore.exceptions
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.boto3_account import allow
from support.boto3_account import refused
from support.kubernetes_cluster import Cluster
from support.kubernetes_cluster import eventually
from support.kubernetes_cluster import pod
from support.raw_http import port
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("boto3")

#: A call of each service: (client, method, parameters, name in the call log).
CALLS: list[tuple[str, str, dict[str, t.Any], str]] = [
    ("eks", "list_clusters", {}, "eks:ListClusters"),
    (
        "eks-auth",
        "assume_role_for_pod_identity",
        {"clusterName": "one", "token": "eyJhbGciOiJub25lIn0.e30.c2ln"},
        "eks-auth:AssumeRoleForPodIdentity",
    ),
    ("resourcegroupstaggingapi", "get_resources", {}, "tagging:GetResources"),
    ("iam", "list_roles", {}, "iam:ListRoles"),
    ("sts", "get_caller_identity", {}, "sts:GetCallerIdentity"),
    ("ec2", "describe_subnets", {}, "ec2:DescribeSubnets"),
    ("s3", "list_buckets", {}, "s3:ListAllMyBuckets"),
]
#: Number of a system call of Linux that Python has no name for.
PIDFD_GETFD = 438
SERVICES = [service for service, _method, _parameters, _operation in CALLS]


def call(account: Account, index: int, **settings: t.Any) -> t.Any:
    """Make the call of a service once."""
    service, method, parameters, _operation = CALLS[index]
    return getattr(account.sandbox.client(service, **settings), method)(**parameters)


def short_timeout(attempts: int = 1) -> botocore.config.Config:
    """A client that waits half a second for an answer."""
    return botocore.config.Config(read_timeout=0.5, retries={"mode": "standard", "total_max_attempts": attempts})


# --- faults -----------------------------------------------------------------------------------------------------------


def test_fault_applies_to_the_given_calls(account: Account) -> None:
    fault = {"operation": "ListClusters", "code": "ServiceUnavailableException", "calls": [2, 3], "message": "Not now."}
    account.sandbox.knobs(faults=[fault])
    account.eks.list_clusters()
    for _attempt in range(2):
        with refused("ServiceUnavailableException", "Not now.", status=503):
            account.eks.list_clusters()
    account.eks.list_clusters()


def test_fault_pattern_counts_calls_of_all_its_operations(account: Account) -> None:
    account.sandbox.knobs(faults=[{"operation": "eks:List*", "code": "ServerException", "calls": [2]}])
    account.eks.list_clusters()
    with refused("ResourceNotFoundException"):
        account.eks.describe_cluster(name="none")
    with refused("ServerException", status=500):
        account.eks.list_addons(clusterName="none")


def test_fault_can_apply_to_one_caller(account: Account) -> None:
    fault = {
        "operation": "ListClusters",
        "code": "ServiceUnavailableException",
        "caller": "*:user/unlucky",
        "calls": [1],
    }
    account.sandbox.knobs(faults=[fault])
    account.eks.list_clusters()
    unlucky = account.sandbox.client("eks", **account.user("unlucky", allow("eks:ListClusters")))
    with refused("ServiceUnavailableException", status=503):
        unlucky.list_clusters()
    unlucky.list_clusters()


def test_fault_probability_is_reproducible(account: Account) -> None:
    fault = {"operation": "eks:ListClusters", "code": "ServerException", "probability": 0.5, "seed": 7}
    runs = []
    for _run in range(2):
        account.sandbox.knobs(faults=[fault])
        account.sandbox.clear_calls()
        for _attempt in range(20):
            try:
                account.eks.list_clusters()
            except botocore.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "ServerException"
        runs.append([one["refused"] for one in account.sandbox.call_log()])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {None, "ServerException"}


@pytest.mark.parametrize("index", range(len(CALLS)), ids=SERVICES)
def test_fault_reaches_the_client_of_every_service(account: Account, index: int) -> None:
    fault = {"operation": CALLS[index][3], "code": "OutOfOrder", "message": "Not <now> & not here.", "status": 503}
    account.sandbox.knobs(faults=[fault])
    with refused("OutOfOrder", "Not <now> & not here.", status=503):
        call(account, index)


@pytest.mark.parametrize("index", range(len(CALLS)), ids=SERVICES)
def test_reset_fault_closes_connection_of_every_service(account: Account, index: int) -> None:
    account.sandbox.knobs(faults=[{"operation": CALLS[index][3], "outcome": "reset"}])
    account.sandbox.clear_calls()
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        call(account, index)
    assert [one["refused"] for one in account.sandbox.call_log()] == ["ConnectionReset"]


def test_timeout_fault_does_nothing(account: Account) -> None:
    account.sandbox.knobs(faults=[{"operation": "iam:CreateUser", "outcome": "timeout"}])
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        account.sandbox.client("iam", config=short_timeout()).create_user(UserName="nobody")
    account.sandbox.knobs(faults=[])
    with refused("NoSuchEntity"):
        account.iam.get_user(UserName="nobody")
    assert [one["refused"] for one in account.sandbox.call_log(operation="iam:CreateUser")] == ["Timeout"]


def test_late_fault_answers_after_doing_the_work(account: Account) -> None:
    account.sandbox.knobs(faults=[{"operation": "iam:CreateUser", "outcome": "late", "seconds": 1.5, "calls": [1]}])
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        account.sandbox.client("iam", config=short_timeout()).create_user(UserName="somebody")
    with refused("EntityAlreadyExists"):
        account.iam.create_user(UserName="somebody")


def test_lost_fault_keeps_what_was_created(account: Account) -> None:
    account.cluster("one")
    role = account.pod_role()
    account.sandbox.knobs(faults=[{"operation": "CreatePodIdentityAssociation", "outcome": "lost", "calls": [1]}])
    account.sandbox.clear_calls()
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        account.associate(role)
    [found] = account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    with refused("ResourceInUseException", found["associationId"]):
        account.associate(role)
    log = account.sandbox.call_log(operation="*:CreatePodIdentityAssociation")
    assert [(one["lost"], one["refused"]) for one in log] == [(True, None), (False, "ResourceInUseException")]


def test_retry_gets_the_lost_answer(account: Account) -> None:
    account.cluster("one")
    role = account.pod_role()
    account.sandbox.knobs(faults=[{"operation": "CreatePodIdentityAssociation", "outcome": "lost", "calls": [1]}])
    wanted = {"clusterName": "one", "namespace": "default", "serviceAccount": "app", "roleArn": role}
    eks = account.sandbox.client("eks", config=short_timeout(attempts=2))
    association = eks.create_pod_identity_association(**wanted)["association"]
    [found] = account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert found["associationId"] == association["associationId"]


# --- rate limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "code", "status"),
    [
        (0, "ThrottlingException", 429),
        (1, "ThrottlingException", 429),
        (2, "ThrottledException", 400),
        (3, "Throttling", 400),
        (4, "Throttling", 400),
        (5, "RequestLimitExceeded", 503),
        (6, "SlowDown", 503),
    ],
    ids=SERVICES,
)
def test_rate_limit_uses_the_error_code_of_the_service(account: Account, index: int, code: str, status: int) -> None:
    operation = CALLS[index][3]
    account.sandbox.knobs(rate_limits=[{"operation": operation, "rate": 0, "burst": 1}])
    try:
        call(account, index)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "ResourceNotFoundException"
    with refused(code, status=status):
        call(account, index)
    assert account.sandbox.call_document()["throttled"] == {operation: 1}


def test_rate_limit_is_per_operation_account_and_region(account: Account) -> None:
    other = account.sandbox.add_account("444455556666")["444455556666"]
    account.sandbox.knobs(rate_limits=[{"operation": "eks:List*", "rate": 0, "burst": 2}])
    for settings in ({}, {"region_name": "us-east-1"}, other):
        eks = account.sandbox.client("eks", **settings)
        eks.list_clusters()
        eks.list_clusters()
        with refused("ThrottlingException", "Rate exceeded", status=429):
            eks.list_clusters()
        with refused("ResourceNotFoundException"):
            eks.list_addons(clusterName="none")


def test_rate_limit_can_be_shared(account: Account) -> None:
    limits = [{"operation": "eks:*", "rate": 0, "burst": 2, "shared": True}]
    account.sandbox.knobs(rate_limits=limits)
    account.eks.list_clusters()
    account.eks.describe_addon_versions()
    with refused("ThrottlingException"):
        account.eks.list_clusters()


def test_rate_limit_bucket_refills(account: Account) -> None:
    account.sandbox.knobs(rate_limits=[{"operation": "eks:ListClusters", "rate": 20, "burst": 1}])
    patient = botocore.config.Config(retries={"mode": "adaptive", "total_max_attempts": 10})
    eks = account.sandbox.client("eks", config=patient)
    for _call in range(4):
        eks.list_clusters()


def test_client_retries_overcome_throttling(account: Account) -> None:
    fault = {"operation": "eks:ListClusters", "code": "ThrottlingException", "calls": [1, 2]}
    account.sandbox.knobs(faults=[fault])
    account.sandbox.clear_calls()
    patient = botocore.config.Config(retries={"mode": "standard", "total_max_attempts": 3})
    account.sandbox.client("eks", config=patient).list_clusters()
    assert account.sandbox.calls() == {"eks:ListClusters": 3}


# --- latency ----------------------------------------------------------------------------------------------------------


def call_seconds(account: Account, index: int) -> float:
    """How long a call takes."""
    start = time.monotonic()
    try:
        call(account, index)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "ResourceNotFoundException"
    return time.monotonic() - start


@pytest.mark.parametrize("index", range(len(CALLS)), ids=SERVICES)
def test_latency_applies_to_every_service(account: Account, index: int) -> None:
    account.sandbox.knobs(latency_seconds=0.2)
    assert call_seconds(account, index) >= 0.2


def test_operation_latency_replaces_general_latency(account: Account) -> None:
    account.sandbox.knobs(latency_seconds=30, latencies={"eks:ListClusters": 0.2, "iam:*": 0})
    assert call_seconds(account, 0) >= 0.2
    call(account, 3)


@pytest.mark.client("http")
@pytest.mark.skipif(not pathlib.Path("/proc/net/tcp").exists(), reason="looks at sockets in /proc")
def test_server_disables_nagle_algorithm(account: Account) -> None:
    """Nagle's algorithm would add 40 ms to each call on a kept connection; the kernel says whether it is off."""
    with (
        socket.create_connection(("127.0.0.1", port(account.sandbox))) as connection,
        server_socket(account.sandbox.pid, connection) as other,
    ):
        assert other.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def server_socket(pid: int, connection: socket.socket) -> socket.socket:
    """The other end of a connection, held by that process, as a socket of ours."""
    ends = [f"{address[1]:04X}" for address in (connection.getpeername(), connection.getsockname())]

    def accepted() -> int:
        """Its inode; 0 while only the kernel has taken the connection, and not the process yet."""
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        [inode] = [row[9] for row in rows if [row[1].partition(":")[2], row[2].partition(":")[2]] == ends]
        return int(inode)

    inode = eventually(accepted)
    links = {path.readlink().name: int(path.name) for path in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    with open(os.pidfd_open(pid)) as process:  # noqa: PTH123 - a descriptor has no path
        number = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process.fileno(), links[f"socket:[{inode}]"], 0)
    if number < 0:
        pytest.skip(f"the kernel does not lend sockets here: {os.strerror(ctypes.get_errno())}")
    return socket.socket(fileno=number)


# --- the webhook ------------------------------------------------------------------------------------------------------


def is_injected(cluster: Cluster, account: str) -> bool:
    """Whether a pod that is admitted now would get an identity."""
    answer = cluster.core.create_namespaced_pod(
        "default", pod("try", "true", serviceAccountName=account), dry_run="All"
    )
    return "eks.amazonaws.com/pod-identity" in (answer.metadata.labels or {})


@pytest.fixture
def knobs(cluster: Cluster) -> t.Iterator[t.Callable[..., t.Any]]:
    """Sets knobs of the shared cluster's sandbox, which get their old values afterwards."""
    before = cluster.sandbox.knobs()
    yield cluster.sandbox.knobs
    cluster.sandbox.knobs(**before)


@pytest.mark.client("kubernetes client")
def test_webhook_replicas_disagree_until_a_change_has_spread(cluster: Cluster, knobs: t.Callable[..., t.Any]) -> None:
    cluster.service_account("flapping")
    assert not is_injected(cluster, "flapping")
    knobs(webhook_replicas=2, webhook_spread_seconds=4)
    association = cluster.account.associate(cluster.role, "flapping", clusterName="kubernetes")
    answers = [is_injected(cluster, "flapping") for _replica in range(4)]
    assert collections.Counter(answers) == {True: 2, False: 2}
    eventually(all_admissions(cluster, "flapping", expected=True))
    cluster.account.eks.delete_pod_identity_association(
        clusterName="kubernetes", associationId=association["associationId"]
    )
    answers = [is_injected(cluster, "flapping") for _replica in range(4)]
    assert collections.Counter(answers) == {True: 2, False: 2}
    eventually(all_admissions(cluster, "flapping", expected=False))


@pytest.mark.client("kubernetes client")
def test_webhook_applies_changes_after_a_delay(cluster: Cluster, knobs: t.Callable[..., t.Any]) -> None:
    cluster.service_account("late")
    knobs(association_delay_seconds=2)
    association = cluster.account.associate(cluster.role, "late", clusterName="kubernetes")
    assert not is_injected(cluster, "late")
    eventually(all_admissions(cluster, "late", expected=True))
    cluster.account.eks.delete_pod_identity_association(
        clusterName="kubernetes", associationId=association["associationId"]
    )
    assert is_injected(cluster, "late")
    eventually(all_admissions(cluster, "late", expected=False))


def all_admissions(cluster: Cluster, account: str, *, expected: bool) -> t.Callable[[], bool]:
    """Whether four admissions in a row end as expected."""

    def read() -> bool:
        return all(is_injected(cluster, account) == expected for _admission in range(4))

    return read


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nonsense": 1}, "Unknown knob nonsense; the knobs are "),
        ({"cluster_seconds": -1}, "cluster_seconds must be a number from 0 to 86400."),
        ({"cluster_seconds": "soon"}, "cluster_seconds must be a number from 0 to 86400."),
        ({"cluster_seconds": True}, "cluster_seconds must be a number"),
        ({"cluster_seconds": float("nan")}, "cluster_seconds must be a number"),
        ({"webhook_replicas": 0}, "webhook_replicas must be a whole number from 1 to 100."),
        ({"webhook_replicas": 1.5}, "webhook_replicas must be a whole number from 1 to 100."),
        ({"addon_outcomes": {"vpc-cni": "SLEEPING"}}, "addon_outcomes.vpc-cni must be one of .*; got SLEEPING."),
        ({"addon_outcomes": "DEGRADED"}, "addon_outcomes must be an object."),
        ({"addon_issues": {"vpc-cni": "Tired"}}, "addon_issues.vpc-cni must be one of AccessDenied, .*; got Tired."),
        ({"update_outcomes": {"Sleep": "Failed"}}, "update_outcomes must be one of VersionUpdate, .*; got Sleep."),
        ({"latencies": {"eks:ListCluster": 1}}, "no operation is called eks:ListCluster"),
        ({"latencies": {"eks:*": "slow"}}, r"latencies.eks:\* must be a number"),
        ({"rate_limits": {"eks:*": 5}}, "rate_limits must be a list of objects."),
        ({"rate_limits": [{"operation": "eks:*", "rate": 5}]}, r"rate_limits\[0\] lacks burst."),
        ({"rate_limits": [{"operation": "eks:*", "rate": 5, "burst": 0}]}, r"rate_limits\[0\].burst must be"),
        ({"faults": [{"operation": "ListClusters"}]}, r"faults\[0\] must have code, the error to return."),
        ({"faults": [{"operation": "ListClusters", "kode": "A"}]}, r"faults\[0\] has no key kode; its keys are "),
        ({"faults": [{"operation": "Nothing", "code": "A"}]}, "no operation is called Nothing"),
        ({"faults": [{"operation": "eks:*", "outcome": "luck"}]}, "must be one of error, reset, .*; got luck."),
        ({"faults": [{"operation": "eks:*", "code": "A", "calls": [0]}]}, r"faults\[0\].calls must be a whole number"),
        ({"faults": [{"operation": "eks:*", "code": "A", "probability": 2}]}, "must be a number from 0 to 1."),
        ({"faults": [1]}, r"faults\[0\] must be an object."),
    ],
)
@pytest.mark.client("http")
def test_sandbox_refuses_invalid_knob(account: Account, changes: dict[str, t.Any], words: str) -> None:
    before = account.sandbox.knobs()
    with pytest.raises(ValueError, match=words):
        account.sandbox.knobs(association_delay_seconds=5, **changes)
    assert account.sandbox.knobs() == before


@pytest.mark.client("http")
def test_shown_knobs_can_be_set_again(account: Account) -> None:
    shown = account.sandbox.knobs(
        faults=[{"operation": "eks:*", "outcome": "late", "seconds": 0.1, "calls": [9]}],
        rate_limits=[{"operation": "eks:*", "rate": 50, "burst": 50}],
        latencies={"s3:*": 0.1},
        update_outcomes={"VersionUpdate": "Cancelled"},
        update_errors={"VersionUpdate": "IpNotAvailable"},
    )
    assert account.sandbox.knobs(**shown) == shown


@pytest.mark.client("http")
def test_reset_restores_the_initial_knobs(tmp_path: pathlib.Path) -> None:
    sandbox = SandboxProcess("--control-plane", "embedded", "--knob", "latency_seconds=0.01", "--knob", "faults=[]")
    sandbox.start(tmp_path)
    try:
        assert sandbox.knobs(latency_seconds=0.02, **QUICK)["latency_seconds"] == 0.02
        sandbox.reset()
        after = sandbox.knobs()
        assert (after["latency_seconds"], after["cluster_seconds"]) == (0.01, 1.0)
    finally:
        sandbox.stop()
