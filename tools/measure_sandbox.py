# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measure how fast and how big the sandbox is, beside what it is to be; prints a table and, if asked, writes JSON.

Run it with the Python of ``.venv/<version>/collection`` on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import operator
import pathlib
import sys
import tempfile
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.boto3_account import QUICK  # noqa: E402
from support.boto3_account import Account  # noqa: E402
from support.boto3_account import wait_for  # noqa: E402
from support.fuzzing import Footprint  # noqa: E402
from support.sandbox_process import SandboxProcess  # noqa: E402

CLIENTS = 8
ASSOCIATIONS = 5000
#: What is measured -> (unit, comparison, what it is to be).
GOALS: dict[str, tuple[str, t.Callable[[float, float], bool], float]] = {
    "start": ("s", operator.le, 2.0),
    "reset": ("s", operator.le, 0.1),
    "reset with a running cluster": ("s", operator.le, 1.0),
    "one call on a kept connection": ("ms", operator.le, 10.0),
    f"EKS calls by {CLIENTS} clients": ("/s", operator.ge, 300.0),
    f"memory with {ASSOCIATIONS} associations": ("MiB", operator.le, 200.0),
}


def main() -> int:
    """Measure everything; returns 1 when something is not as it is to be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=pathlib.Path, help="a file to write the figures to")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="measure-sandbox-") as directory:
        sandbox = SandboxProcess()
        began = time.monotonic()
        sandbox.start(pathlib.Path(directory))
        figures["start"] = time.monotonic() - began
        try:
            measure(sandbox, figures)
        finally:
            sandbox.stop()
    for name, value in figures.items():
        unit, compare, goal = GOALS[name]
        verdict = "" if compare(value, goal) else "   <- not as it is to be"
        print(
            f"{name:36} {value:8.2f} {unit:4} ({'at most' if compare is operator.le else 'at least'} {goal:g}){verdict}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(GOALS[name][1](value, GOALS[name][2]) for name, value in figures.items()) else 1


def measure(sandbox: SandboxProcess, figures: dict[str, float]) -> None:
    """All figures of a sandbox that has just started."""
    figures["reset"] = seconds(sandbox.reset)
    account = Account(sandbox)
    sandbox.knobs(**QUICK)
    account.cluster("one")
    account.nodegroup()
    account.eks.create_addon(clusterName="one", addonName="eks-pod-identity-agent")
    wait_for(account.describe_addon, "ACTIVE", seconds=60)
    figures["reset with a running cluster"] = seconds(sandbox.reset)
    sandbox.knobs(**QUICK)
    account.cluster("one")
    account.eks.list_clusters()
    figures["one call on a kept connection"] = 1000 * seconds(account.eks.list_clusters, times=200)
    taken = create_associations(sandbox, account.pod_role())
    figures[f"EKS calls by {CLIENTS} clients"] = ASSOCIATIONS / taken
    figures[f"memory with {ASSOCIATIONS} associations"] = Footprint.of(sandbox.pid).memory_mebibytes


def seconds(work: t.Callable[[], t.Any], times: int = 1) -> float:
    """How long something takes on average."""
    began = time.monotonic()
    for _time in range(times):
        work()
    return (time.monotonic() - began) / times


def create_associations(sandbox: SandboxProcess, role: str) -> float:
    """Seconds that the clients need, each a process of its own, for all associations together."""
    barrier = multiprocessing.Barrier(CLIENTS + 1)
    clients = [
        multiprocessing.Process(target=create_share, args=(sandbox, role, number, barrier)) for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    barrier.wait()
    began = time.monotonic()
    for client in clients:
        client.join()
        if client.exitcode:
            raise SystemExit("A client failed.")
    return time.monotonic() - began


def create_share(sandbox: SandboxProcess, role: str, number: int, barrier: t.Any) -> None:
    """One client's share of the associations."""
    eks = sandbox.client("eks")
    eks.list_clusters()
    barrier.wait()
    for index in range(ASSOCIATIONS // CLIENTS):
        eks.create_pod_identity_association(
            clusterName="one", namespace=f"team-{number}", serviceAccount=f"app-{index}", roleArn=role
        )


if __name__ == "__main__":
    sys.exit(main())
