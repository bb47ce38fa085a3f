# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of who may do what in a real browser without a network: what it shows, and that it can be read."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Policy
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Role
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_page import as_page
from support.access_reports import ACCOUNT
from support.access_reports import ACTIONS
from support.access_reports import OTHER_ACCOUNT
from support.access_reports import Report
from support.access_reports import access
from support.access_reports import allowing
from support.access_reports import cluster
from support.access_reports import condition
from support.access_reports import document
from support.access_reports import report
from support.access_reports import role
from support.access_reports import statement
from support.chromium import Tab

pytestmark = pytest.mark.deep

NORTH, SOUTH = cluster("north"), cluster("south", "eu-central-1")
#: What is drawn of a box: its words as they are shown, and whether it is dimmed.
NODES = """Array.from(document.querySelectorAll("#drawing .node"), (node) => ({
  id: node.id,
  label: node.querySelector(".label").textContent,
  detail: (node.querySelector(".detail") || {textContent: ""}).textContent,
  off: node.classList.contains("off"),
}))"""
LINES = """Array.from(document.querySelectorAll("#drawing .wire"), (line) => {
  const [x, y] = line.getAttribute("d").match(/^M(\\S+) (\\S+?)C/).slice(1).map(Number);
  const [u, v] = line.getAttribute("d").match(/ (\\S+) (\\S+)$/).slice(1).map(Number);
  return {from: [x, y], to: [u, v], error: line.classList.contains("error")};
})"""
#: Boxes of the picture whose words leave them, and elements of the page that are wider than their place.
TOO_WIDE = """(() => {
  const found = [];
  for (const node of document.querySelectorAll("#drawing .node")) {
    const box = node.querySelector(".box").getBoundingClientRect(), mark = node.querySelector("use");
    const end = mark ? mark.getBoundingClientRect().left : box.right;
    for (const words of node.querySelectorAll("text")) {
      const is = words.getBoundingClientRect();
      if (is.left < box.left || is.right > end || is.top < box.top || is.bottom > box.bottom)
        found.push(words.textContent);
    }
  }
  for (const cell of document.querySelectorAll("td, th, li, summary, .unread, h1"))
    if (cell.scrollWidth > cell.clientWidth + 1 && cell.clientWidth) found.push(cell.textContent.slice(0, 80));
  if (document.documentElement.scrollWidth > window.innerWidth) found.push("the page itself");
  return found;
})()"""
OVERLAPPING = """(() => {
  const boxes = Array.from(document.querySelectorAll("#drawing .box"), (box) => box.getBoundingClientRect());
  return boxes.filter((a, n) => boxes.slice(n + 1).some((b) =>
    a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5)).length;
})()"""


def scoped_trust(where: dict[str, str], namespace: str, service_account: str) -> dict[str, t.Any]:
    return document(statement(condition(where["arn"], namespace, service_account)))


def example_reports() -> list[Report]:
    """Two clusters that share a role, one broken workload, a target role elsewhere, and a cluster that was not read."""
    shared = role("shared", document(statement()), "AdministratorAccess")
    inline = Policy(name="podidentity.eks", document=allowing("sqs:SendMessage"))
    reader = role("reader", scoped_trust(NORTH, "shop", "reader"), "AmazonS3ReadOnlyAccess", inline)
    onward = Policy(name="podidentity.eks-target", document=allowing(*ACTIONS))
    source = role("source", scoped_trust(SOUTH, "billing", "invoices"), onward)
    archive = Role(arn=f"arn:aws:iam::{OTHER_ACCOUNT}:role/archive", note=f"it is in account {OTHER_ACCOUNT}")
    gone = Role(arn=f"arn:aws:iam::{ACCOUNT}:role/gone", exists=False)
    return [
        report(NORTH, access(NORTH, "shop", "reader", reader), access(NORTH, "shop", "admin", shared)),
        report(
            SOUTH,
            access(SOUTH, "billing", "invoices", source, archive),
            access(SOUTH, "billing", "broken", gone),
            access(SOUTH, "platform", "deployer", shared),
        ),
        {"cluster": {"name": "closed", "region": "us-east-1"}, "error": "The security token is invalid."},
    ]


def large_report(count: int, namespaces: int, long: bool = True) -> list[Report]:
    """So many workloads, each with a role and an inline policy of its own, with the longest names that there are."""
    items, letters = [], 1 if long else 0
    for number in range(count):
        namespace = f"team-{number % namespaces:03}-{'n' * 54 * letters}"
        service_account = f"app-{number:03}-{'s' * 245 * letters}"
        trust = scoped_trust(NORTH, namespace, service_account) if number % 9 else document(statement())
        inline = Policy(name=f"inline{'I' * 122 * letters}", document=allowing("sqs:SendMessage"))
        boundary = f"arn:aws:iam::aws:policy/{'b' * 1500}" if long else None
        own = role(
            f"role-{number:03}-{'r' * 55 * letters}",
            trust,
            f"managed{'P' * 121 * letters}",
            inline,
            permissions_boundary=boundary,
        )
        items.append(access(NORTH, namespace, service_account, own))
    return [report(NORTH, *items)]


@pytest.fixture
def show(tab: Tab, tmp_path: pathlib.Path) -> t.Callable[..., Tab]:
    """Opens the page of reports from a file."""

    def show(reports: list[Report], **settings: t.Any) -> Tab:
        path = tmp_path / "access.html"
        path.write_text(as_page(reports, "Who may do what", "2026-11-26 19:00 UTC"), encoding="utf-8")
        tab.open(path, **settings)
        return tab

    return show


def search(tab: Tab, words: str) -> str:
    """Type into the box; what it says then."""
    script = "document.getElementById('search').value = WORDS; search.dispatchEvent(new Event('input'));"
    tab.evaluate(script.replace("WORDS", json.dumps(words)))
    told: str = tab.evaluate("document.getElementById('shown').textContent")
    return told


def drawn_labels(tab: Tab) -> dict[str, list[str]]:
    """The names of the boxes of each column, from top to bottom as they stand in the page."""
    columns: dict[str, list[str]] = {}
    for node in tab.evaluate(NODES):
        columns.setdefault(node["id"][:2], []).append(node["label"])
    return {name: sorted(labels) for name, labels in columns.items()}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_opens_offline_from_a_file_without_errors(show: t.Callable[..., Tab], dark: bool) -> None:
    tab = show(example_reports(), dark=dark)
    asked = [told["request"]["url"] for told in tab.event_params("Network.requestWillBeSent")]
    assert [url.rpartition("/")[2] for url in asked] == ["access.html"]
    assert tab.event_params("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") == []
    assert tab.evaluate("document.title") == "Who may do what"
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(16, 21, 27)" if dark else "rgb(255, 255, 255)")


def test_page_starts_with_summary_and_findings(show: t.Callable[..., Tab]) -> None:
    tab = show(example_reports())
    sums = tab.evaluate(
        "Array.from(document.querySelectorAll('.sums li'), (one) => one.innerText.replace(/\\s+/g, ' '))"
    )
    assert sums == ["3 clusters, 1 not read", "5 workloads", "5 roles", "1 error", "2 warnings", "2 notices"]
    assert "closed in us-east-1: The security token is invalid." in tab.evaluate("document.body.innerText")
    order = "Array.from(document.querySelectorAll('.finding'), (one) => [one.id, one.open])"
    assert tab.evaluate(order) == [
        ["finding-role_missing", True],
        ["finding-trust_open", True],
        ["finding-wildcard_permissions", True],
        ["finding-role_shared", False],
        ["finding-target_role_unreadable", False],
    ]


def test_picture_leads_from_clusters_to_policies(show: t.Callable[..., Tab]) -> None:
    tab = show(example_reports())
    assert drawn_labels(tab) == {
        "n0": ["closed", "north", "south"],
        "n1": ["billing/broken", "billing/invoices", "platform/deployer", "shop/admin", "shop/reader"],
        "n2": ["gone", "reader", "shared", "source"],
        "n3": ["AdministratorAccess", "AmazonS3ReadOnlyAccess", "not readable", "podidentity.eks"],
    }
    details = {node["label"]: node["detail"] for node in tab.evaluate(NODES)}
    assert (details["gone"], details["source"]) == ("does not exist", f"to archive in {OTHER_ACCOUNT}")
    lines = tab.evaluate(LINES)
    assert len(lines) == 5 + 5 + 4, "one to each workload, one to the role of each, one to each policy of a role"
    assert sum(line["error"] for line in lines) == 1, "only one workload does not get its role"
    assert tab.evaluate(OVERLAPPING) == 0


def test_lines_begin_and_end_at_boxes(show: t.Callable[..., Tab]) -> None:
    tab = show(example_reports())
    boxes = tab.evaluate(
        "Array.from(document.querySelectorAll('#drawing .node'), (node) => { const [x, y] ="
        " node.getAttribute('transform').match(/[-\\d.]+/g).map(Number), box = node.querySelector('.box').getBBox();"
        " return {left: [x, y + box.height / 2], right: [x + box.width, y + box.height / 2]}; })"
    )
    lines = tab.evaluate(LINES)
    assert {tuple(line["from"]) for line in lines} <= {tuple(box["right"]) for box in boxes}
    assert {tuple(line["to"]) for line in lines} <= {tuple(box["left"]) for box in boxes}


def test_search_filters_table_findings_and_picture(show: t.Callable[..., Tab]) -> None:
    tab = show(example_reports())
    assert tab.evaluate("document.getElementById('shown').textContent") == "5 of 5 workloads"
    assert search(tab, "Billing gone") == "1 of 5 workloads", "all words, in upper or lower case"
    visible = "Array.from(document.querySelectorAll('tbody tr'), (row) => row).filter((row) => row.offsetHeight).length"
    assert tab.evaluate(visible) == 1
    bright = sorted(node["label"] for node in tab.evaluate(NODES) if not node["off"])
    assert bright == ["billing/broken", "gone", "south"]
    cases = "Array.from(document.querySelectorAll('.finding')).filter((one) => one.offsetHeight).map((one) => one.id)"
    assert tab.evaluate(cases) == ["finding-role_missing"]
    assert search(tab, "nothing like that") == "0 of 5 workloads"
    assert search(tab, "") == "5 of 5 workloads"
    assert not any(node["off"] for node in tab.evaluate(NODES)), "a cluster without workloads is bright again, too"


def test_table_link_opens_its_finding(show: t.Callable[..., Tab]) -> None:
    tab = show(example_reports())
    gone = "new Promise((done) => window.addEventListener('hashchange', () => done(), {once: true}))"
    tab.evaluate(f"location.hash = '#finding-role_shared'; {gone}")
    assert tab.evaluate("document.getElementById('finding-role_shared').open") is True
    broken = "Array.from(document.querySelectorAll('a')).filter((a) => !document.querySelector(a.getAttribute('href')))"
    assert tab.evaluate(f"{broken}.length") == 0


@pytest.mark.parametrize(
    ("count", "namespaces", "width"), [(3, 3, 1440), (60, 60, 1000), (61, 7, 1440), (500, 40, 1000)]
)
def test_long_names_fit_their_boxes(show: t.Callable[..., Tab], count: int, namespaces: int, width: int) -> None:
    tab = show(large_report(count, namespaces), width=width)
    assert tab.evaluate(TOO_WIDE) == []
    assert tab.evaluate(OVERLAPPING) == 0
    assert tab.evaluate("document.querySelectorAll('tbody tr').length") == count
    columns = drawn_labels(tab)
    assert len(columns["n1"]) == (count if count <= 60 else namespaces)
    assert all(len(labels) <= 60 for labels in columns.values())


def test_page_fits_a_phone_screen(show: t.Callable[..., Tab]) -> None:
    tab = show(example_reports(), width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390, "picture and table scroll in their own places"


@pytest.mark.parametrize(("count", "pages"), [(3, 2), (500, 70)])
def test_page_prints_on_a4_landscape(show: t.Callable[..., Tab], count: int, pages: int) -> None:
    tab = show(large_report(count, 40, long=False), dark=True)
    printed = tab.pdf()
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", printed)
    assert {(round(float(width)), round(float(height))) for width, height in boxes} == {(842, 595)}
    assert pages / 2 <= len(boxes) <= pages
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "paper is white"
    assert tab.evaluate("document.getElementById('filter').offsetHeight") == 0


def test_page_breaks_of_long_picture_cut_no_box(show: t.Callable[..., Tab]) -> None:
    tab = show(large_report(60, 60))
    pages = tab.evaluate(
        "Array.from(document.querySelectorAll('.slice'), (one) => one.getAttribute('viewBox').split(' ').map(Number))"
    )
    boxes = tab.evaluate(
        "Array.from(document.querySelectorAll('#drawing .node'), (node) => [Number(node.getAttribute('transform')"
        ".match(/ ([\\d.]+)/)[1]), node.querySelector('.box').getBBox().height])"
    )
    assert len(pages) > 1
    assert [
        (y, height)
        for y, height in boxes
        if not any(top <= y and y + height <= top + tall for _x, top, _width, tall in pages)
    ] == []


def test_accessibility_tree_has_the_same_content(show: t.Callable[..., Tab]) -> None:
    tab = show(example_reports())
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert ("image", "Clusters, workloads, roles and policies") in named
    assert [name for kind, name in named if kind == "columnheader"] == [
        *("Cluster", "Workload", "Role", "Policies", "Trusted for", "Findings")
    ]
    assert any(kind == "rowheader" and name.startswith("shop/reader") for kind, name in named)
    assert ("searchbox", "Show only") in named
    assert [name for kind, name in named if kind == "heading"] == [
        *("Who may do what", "Findings", "The way from a cluster to a permission", "All workloads")
    ]


def test_hostile_names_appear_as_plain_text(show: t.Callable[..., Tab]) -> None:
    hostile = "\"><script>window.taken=1</script><img src=x onerror=window.taken=1>&'"
    policy = Policy(name=hostile, document=allowing(hostile))
    own = role("app", document(statement()), policy, permissions_boundary=hostile)
    failed = {"cluster": {"name": hostile, "region": hostile}, "error": hostile}
    noted = report(NORTH, access(NORTH, hostile, hostile, own, documents=True), notes=[hostile])
    tab = show([noted, failed])
    assert tab.evaluate("window.taken") is None
    assert tab.evaluate("document.querySelectorAll('img, script').length") == 1, "the page's own script"
    assert hostile in tab.evaluate("document.body.textContent")
    assert tab.evaluate(TOO_WIDE) == []
    assert tab.event_params("Log.entryAdded", "Runtime.exceptionThrown") == []
