# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which conformance tests a control plane is judged by, and which client each speaks with, counted at the end."""

from __future__ import annotations

import collections
import pathlib

import pytest
from support.sandbox_process import CONTROL_PLANE

CONFORMANCE = pathlib.Path(__file__).with_name("conformance")
#: Clients that we did not write; ``http`` is what no client would send.
CLIENTS = (
    "aws CLI",
    "boto3",
    "amazon.aws",
    "kubectl",
    "kubernetes.core",
    "kubernetes client",
    "http",
)
_PROPERTY = "conformance client"


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "client(name): the client that a conformance test speaks with")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note each conformance test's client; one that names none is a mistake."""
    if CONTROL_PLANE != "embedded":
        # Tests with stub clusters say nothing about a control plane.
        stubbed = [item for item in items if "aws_sandbox" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=stubbed)
        items[:] = [item for item in items if item not in stubbed]
    for item in items:
        if CONFORMANCE in item.path.parents:
            mark = item.get_closest_marker("client")
            if mark is None or mark.args[0] not in CLIENTS:
                raise pytest.UsageError(f"{item.nodeid} has no mark `client` with one of: {', '.join(CLIENTS)}")
            item.user_properties.append((_PROPERTY, mark.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many conformance tests ran by each client."""
    counted: collections.Counter[str] = collections.Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            if report.when == "call":
                counted.update(value for name, value in report.user_properties if name == _PROPERTY)
    if counted:
        listed = ", ".join(f"{client} {counted[client]}" for client in CLIENTS if counted[client])
        terminalreporter.write_line(f"conformance by client: {listed}")
