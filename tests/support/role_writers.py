# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts of one controller that declare the same role at the same time, each for a cluster of its own.

Run as a program, once for each controller: the folder for temporary files (``TMPDIR``) holds the locks that the hosts
of a controller share. Arguments: the role's name, then the clusters' names. Prints a JSON list of failures.
"""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import sys
import typing as t

import boto3
import botocore.config
from ansible_collections.podidentity.eks.plugins.module_utils._eks.role import running
from ansible_collections.podidentity.eks.plugins.module_utils._eks.traffic import Traffic
from ansible_collections.podidentity.eks.plugins.module_utils._trust.planning import Request
from ansible_collections.podidentity.eks.plugins.module_utils._workload.cluster import Cluster

ACCOUNT = "111122223333"


def cluster(name: str) -> Cluster:
    return Cluster.from_arn(f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/{name}")


def workload(role: str, name: str) -> dict[str, t.Any]:
    """A workload whose source role may also assume a target role, so that an inline policy is shared, too."""
    target = f"arn:aws:iam::222233334444:role/{name}"
    # Fifty scoped statements are more than IAM takes.
    declared = {"name": role, "trust": "open", "managed_policies": ["AmazonS3ReadOnlyAccess"]}
    return {"namespace": "default", "service_account": "app", "role": declared, "target_role_arn": target}


def write(role: str, name: str) -> list[str]:
    """What one host does; returns what failed."""
    iam = boto3.client("iam", config=botocore.config.Config(max_pool_connections=4))
    Traffic().watch(iam)
    request = Request(cluster=cluster(name), account=ACCOUNT, workloads=(workload(role, name),), trust_limit=8192)
    task = running.Task(iam, request, 4, lambda: boto3.client("eks"))
    task.observe()
    task.plan()
    return [f"{name}: {one.failure.error}" for one in task.apply() if one.failure]


def start(role: str, names: t.Sequence[str], env: t.Mapping[str, str]) -> subprocess.Popen[str]:
    """One controller with its hosts."""
    command = [sys.executable, "-m", "support.role_writers", role, *names]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def main() -> None:
    role, *names = sys.argv[1:]
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(names)) as pool:
        failed = [one for found in pool.map(lambda name: write(role, name), names) for one in found]
    json.dump(failed, sys.stdout)


if __name__ == "__main__":
    main()
