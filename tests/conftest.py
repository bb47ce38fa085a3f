# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tiers of the tests, the order in which they run, and the clients that conformance tests use."""

from __future__ import annotations

import collections
import pathlib
import typing as t

import hypothesis
import pytest
from support import scheduling
from support.sandbox_process import CONTROL_PLANE
from support.sandbox_process import POD_MODE

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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that updates the times by which the tests are ordered."""
    parser.addoption(
        "--record-seconds", action="store_true", help="write the time of each file to tests/data/seconds.json"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and let no example fail for its time: a busy machine is no fault of the code."""
    untimed = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
    hypothesis.settings.register_profile("untimed", untimed)
    hypothesis.settings.load_profile("untimed")
    config.addinivalue_line("markers", "deep: runs in `make test-all` and not in `make test`")
    config.addinivalue_line("markers", "client(name): the client that a conformance test uses")


def pytest_report_header() -> str:
    """Say what the sandbox's clusters are in this run."""
    return f"sandbox: control plane {CONTROL_PLANE}, pods {POD_MODE}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> scheduling.PieceScheduling:
    """Share the tests out by pieces of work."""
    return scheduling.PieceScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest first, and note the client of each conformance test, which must name one."""
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
    scheduling.longest_first(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report how many conformance tests ran by each client, and record times if asked."""
    reports = [
        report for found in terminalreporter.stats.values() for report in found if isinstance(report, pytest.TestReport)
    ]
    counted = collections.Counter(
        value
        for report in reports
        if report.when == "call" and not report.skipped
        for name, value in report.user_properties
        if name == _PROPERTY
    )
    if counted:
        listed = ", ".join(f"{client} {counted[client]}" for client in CLIENTS if counted[client])
        terminalreporter.write_line(f"conformance by client: {listed}")
    if config.getoption("record_seconds"):
        scheduling.record(reports)
