# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The overview as a table and as a page: nothing is lost, nothing is taken for a formula or for HTML."""

from __future__ import annotations

import csv
import html
import itertools
import random
import re
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.podidentity.eks.plugins.filter import pod_identity_access_csv
from ansible_collections.podidentity.eks.plugins.filter import pod_identity_access_overview
from ansible_collections.podidentity.eks.plugins.filter import pod_identity_access_page
from ansible_collections.podidentity.eks.plugins.module_utils._access.objects import Policy
from ansible_collections.podidentity.eks.plugins.module_utils._access.reports import over_clusters
from ansible_collections.podidentity.eks.plugins.module_utils._access.table import COLUMNS
from ansible_collections.podidentity.eks.plugins.module_utils._access.table import as_csv
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_page import TEMPLATE
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_page import TITLES
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_page import as_page
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_picture import cells
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_picture import picture
from ansible_collections.podidentity.eks.plugins.plugin_utils.access_picture import shortened
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from support.access_reports import Report
from support.access_reports import access
from support.access_reports import allowing
from support.access_reports import cluster
from support.access_reports import document
from support.access_reports import report
from support.access_reports import role
from support.access_reports import statement

OPEN = document(statement())


def fleet(sizes: t.Sequence[t.Sequence[int]]) -> list[Report]:
    """Reports of clusters: for each cluster its namespaces, for each of them how many workloads it has."""
    reports = []
    for number, namespaces in enumerate(sizes):
        where = cluster(f"cluster-{number}")
        reports.append(
            report(
                where,
                *(
                    access(where, f"ns-{place}", f"app-{one}", role(f"role-{number}-{place}-{one % 3}", OPEN, "P", "Q"))
                    for place, count in enumerate(namespaces)
                    for one in range(count)
                ),
            )
        )
    return reports


# --- the table --------------------------------------------------------------------------------------------------------


def test_table_lists_unread_clusters_workloads_and_leftovers() -> None:
    where = cluster()
    target = role("target", OPEN, "AmazonS3ReadOnlyAccess", Policy(name="more", document=allowing("sqs:*")))
    own = access(where, "shop", "reader", role("app", OPEN, "P"), target, policy=allowing("s3:GetObject"))
    orphan: Report = {"role_name": "old", "namespace": None, "service_account": None, "findings": []}
    reports = [report(where, own, orphans=[orphan]), {"cluster": {"name": "closed"}, "error": "No credentials."}]
    closed, row, left = csv.DictReader(as_csv(reports).splitlines())
    assert (closed["kind"], closed["cluster"], closed["findings"]) == ("unread cluster", "closed", "No credentials.")
    assert (row["namespace"], row["service_account"], row["role"], row["trust_scope"]) == (
        *("shop", "reader", "app", "open"),
    )
    assert row["managed_policies"] == "AmazonS3ReadOnlyAccess", "what the pods may do is what the target role may"
    assert (row["inline_policies"], row["managed"], row["session_tags"]) == ("more", "true", "true")
    assert row["severity"] == "error" and "error target_trust_refuses: " in row["findings"]
    assert (left["kind"], left["role"], left["namespace"]) == ("trust left over", "old", "")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


@given(st.lists(CELLS.filter(bool), min_size=1, max_size=5, unique=True))
def test_csv_cells_round_trip_and_escape_formulas(names: list[str]) -> None:
    where = cluster()
    items = [access(where, "ns", f"sa-{number}", role("app", OPEN, name)) for number, name in enumerate(names)]
    table = list(csv.reader(as_csv([report(where, *items)]).split("\n")))
    assert table[0] == list(COLUMNS)
    policies = [row[COLUMNS.index("managed_policies")] for row in table[1:] if row]
    assert policies == [f"'{name}" if name.startswith(("=", "+", "-", "@", "\t")) else name for name in names]


# --- the picture ------------------------------------------------------------------------------------------------------

SIZES = st.lists(st.lists(st.integers(0, 8), max_size=8), max_size=4)


@settings(max_examples=40)
@given(SIZES)
def test_picture_shows_workload_once_per_column_without_overlap(sizes: list[list[int]]) -> None:
    drawn = picture(over_clusters(fleet(sizes)))
    count = sum(map(sum, sizes))
    for column in drawn.columns:
        nodes = sorted((node for node in drawn.nodes if node.column is column), key=lambda node: node.y)
        assert len(nodes) <= column.most
        assert all(above.y + above.height < below.y for above, below in itertools.pairwise(nodes))
        assert all(node.y >= 0 and node.y + node.height <= drawn.height for node in nodes)
        if column.name != "Policies":
            assert sorted(number for node in nodes for number in node.workloads) == list(range(count))
    for line in drawn.lines:
        assert line.workloads == tuple(sorted(set(line.source.workloads) & set(line.target.workloads)))


def test_picture_groups_by_namespace_then_cluster_above_sixty() -> None:
    def labels(sizes: list[list[int]]) -> list[str]:
        nodes = picture(over_clusters(fleet(sizes))).nodes
        return [f"{node.label} {node.detail}".strip() for node in nodes if node.column.name == "Workloads"]

    assert len(labels([[60]])) == 60
    assert labels([[61], [2, 1]]) == ["ns-0 61 workloads, 61 marked", "ns-0 2 workloads, 2 marked", "ns-1/app-0"]
    assert labels([[2] * 40, [1] * 21]) == ["80 workloads 80 marked", "21 workloads 21 marked"]


@given(st.text(max_size=60), st.integers(1, 40))
def test_shortened_text_fits_and_short_text_stays(text: str, room: int) -> None:
    short = shortened(text, room)
    assert cells(short) <= room
    if cells(" ".join(text.split())) <= room:
        assert short == " ".join(text.split())


def test_shortened_name_keeps_both_ends() -> None:
    assert shortened("AmazonEKSWorkerNodeMinimalPolicy", 15) == "AmazonE…lPolicy"


# --- the page ---------------------------------------------------------------------------------------------------------


def test_page_ignores_order_of_reports() -> None:
    reports = fleet([[3, 2], [1]])
    page = as_page(reports, "Who", "today")
    for report_ in reports:
        random.Random(1).shuffle(report_["access"])
    assert as_page(list(reversed(reports)), "Who", "today") == page
    assert as_page(over_clusters(reports), "Who", "today") == page


@settings(max_examples=30)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), st.sampled_from("&<>\"'"))
def test_page_escapes_hostile_names(name: str, sign: str) -> None:
    hostile = f"{sign}{name}{sign}"
    where = {**cluster(), "name": hostile}
    policy = Policy(name=hostile, document=allowing(hostile))
    own = role("app", OPEN, policy, note=hostile, permissions_boundary=hostile)
    item = access(where, hostile, hostile, own, owner_arn=hostile)
    page = as_page([report(where, item, notes=[hostile]), {"cluster": where, "error": hostile}], hostile, hostile)
    bare = as_page([report(cluster(), access(cluster(), "n", "s", role("app", OPEN)))], "t", "g")
    assert str(html.escape(hostile)).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    tags = re.compile(r"<(script|img|style|link|iframe|meta|form)\b")
    assert tags.findall(page) == tags.findall(bare)
    assert tags.findall(page).count("script") == 1


def test_page_loads_no_external_resources() -> None:
    page = as_page(fleet([[1]]), "Who", "")
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'" in page
    assert re.findall(r"(?:https?:)?//[a-z]|url\(|@import|src=", page) == []
    links = set(re.findall(r'href="([^"]*)"', page))
    assert links and all(link.startswith("#") for link in links)


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "print"])
def test_text_contrast_meets_wcag(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", TEMPLATE.read_text(encoding="utf-8"), re.S)
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", blocks[scheme]))
    on_panels = [(word, behind) for word in ("text", "muted") for behind in ("page", "panel")]
    marked = [(word, f"{word}-back") for word in ("error", "warning", "info", "good")]
    for word, behind in [*on_panels, *marked, *((word, "page") for word in ("error", "warning", "info"))]:
        bright, dim = sorted((luminance(colours[word]), luminance(colours[behind])), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, (word, behind)


def test_every_finding_has_a_title() -> None:
    sources = (TEMPLATE.parent.parent / "module_utils" / "_access").glob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r'id="([a-z_]+)"', text)) | set(re.findall(r'unreadable\("([a-z_]+)"', text))
    assert named | {"role_shared"} == set(TITLES)


def test_filters_accept_reports_and_refuse_other_input() -> None:
    plugins = (pod_identity_access_overview, pod_identity_access_csv, pod_identity_access_page)
    for plugin in plugins:
        [(name, filter_)] = plugin.FilterModule().filters().items()
        assert filter_(fleet([[2]]))
        with pytest.raises(AnsibleFilterError, match=f"{name}: Item 1 of the list lacks cluster, access"):
            filter_([{}])
