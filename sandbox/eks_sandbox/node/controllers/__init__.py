# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controllers of Kubernetes that workloads need; each is an ordinary client of the API."""

from __future__ import annotations

from eks_sandbox.node.client import Client
from eks_sandbox.node.controller import Controller
from eks_sandbox.node.controller import Informers
from eks_sandbox.node.controllers.daemon_sets import DaemonSetController
from eks_sandbox.node.controllers.deployments import DeploymentController
from eks_sandbox.node.controllers.disruption_budgets import DisruptionBudgetController
from eks_sandbox.node.controllers.garbage import PodGarbageController
from eks_sandbox.node.controllers.jobs import JobController
from eks_sandbox.node.controllers.namespaces import NamespaceController
from eks_sandbox.node.controllers.replica_sets import ReplicaSetController
from eks_sandbox.node.controllers.stateful_sets import StatefulSetController
from eks_sandbox.node.controllers.taints import TaintController
from eks_sandbox.node.controllers.workload import MANAGER

__all__ = ["MANAGER", "create"]

CONTROLLERS: tuple[type[Controller], ...] = (
    NamespaceController,
    PodGarbageController,
    TaintController,
    JobController,
    ReplicaSetController,
    DeploymentController,
    DaemonSetController,
    StatefulSetController,
    DisruptionBudgetController,
)


def create(client: Client, certificate_authority: str) -> tuple[Informers, list[Controller]]:
    """All controllers of one cluster, and what they follow."""
    informers = Informers(client)
    controllers = [kind(client, informers) for kind in CONTROLLERS]
    for controller in controllers:
        if isinstance(controller, NamespaceController):
            controller.certificate_authority = certificate_authority
    return informers, controllers
