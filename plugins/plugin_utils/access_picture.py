# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The picture of who may do what: clusters, workloads, roles and policies in four columns, and the lines between them.

Where a column would be too long to be read, its nodes are grouped: workloads by namespace, roles and policies by what
they have in common. Everything here is arithmetic; the page's template draws it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import os.path
import statistics
import typing as t
import unicodedata

from ..module_utils._access.objects import Found
from ..module_utils._access.objects import worst
from ..module_utils._access.permissions import wildcards

if t.TYPE_CHECKING:
    import collections.abc as c

#: Sizes are in units of the picture, in which letters of a fixed width are LETTER wide.
LETTER = 7.4
SMALL_LETTER = 6.3
GAP = 8
#: Height of a node with a name alone, and with a second line.
LOW, HIGH = 26, 42
HEADER = 34
#: How much of its height a page of paper takes.
SLICE = 780
PADDING = 12
#: Room for the mark of a severity at the right.
MARK = 22
#: Where between two columns a line bends.
BEND = 0.5
#: Which findings are about a role, and not about one of its policies.
ABOUT_ROLES = ("role_", "trust_", "session_tags_", "target_")
#: How much the names of several things must have in common to be called by that.
LEAST_START = 6
#: How many of the things that a node stands for its title names.
TOLD_LABELS = 20

Key = tuple[t.Any, ...]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the picture."""

    name: str
    x: int
    width: int
    #: How many nodes it shows before it groups them.
    most: int


COLUMNS = (
    Column("Clusters", 0, 196, 60),
    Column("Workloads", 260, 288, 60),
    Column("Roles", 612, 296, 60),
    Column("Policies", 972, 268, 40),
)
WIDTH = COLUMNS[-1].x + COLUMNS[-1].width


@dataclasses.dataclass(kw_only=True)
class Thing:
    """A cluster, a workload, a role or a policy."""

    key: Key
    label: str
    detail: str = ""
    #: Everything in full, for a pointer that rests on it and for who cannot see the picture.
    title: str = ""
    severity: str = ""
    #: Numbers of the workloads that lead to it.
    workloads: set[int] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """A thing, or several of them, in its place."""

    id: str
    column: Column
    y: float
    height: int
    label: str
    detail: str
    title: str
    severity: str
    #: How many things it stands for.
    count: int
    #: Numbers of the workloads that lead to it.
    workloads: tuple[int, ...]

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def shown_label(self) -> str:
        return shortened(self.label, self.room(LETTER))

    @property
    def shown_detail(self) -> str:
        return shortened(self.detail, self.room(SMALL_LETTER))

    def room(self, letter: float) -> int:
        """How many letters fit into a line of it."""
        return int((self.column.width - 2 * PADDING - (MARK if self.severity else 0)) / letter)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A line between two nodes, for all the workloads that go along it."""

    source: Node
    target: Node
    severity: str
    workloads: tuple[int, ...]

    @property
    def path(self) -> str:
        """A curve that leaves and arrives level."""
        left, right = self.source.column.x + self.source.column.width, self.target.column.x
        bend = left + (right - left) * BEND
        a, b = self.source.middle, self.target.middle
        return f"M{left} {a:g}C{bend:g} {a:g} {bend:g} {b:g} {right} {b:g}"

    @property
    def thickness(self) -> float:
        """More workloads make a thicker line, but not a bar."""
        return round(min(4.0, 1.4 + 0.3 * math.sqrt(len(self.workloads) - 1)), 2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """Everything that the template draws."""

    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]
    height: float
    #: Whether a column was too long, so that its nodes are grouped.
    grouped: bool
    columns: tuple[Column, ...] = COLUMNS
    width: int = WIDTH

    @property
    def slices(self) -> list[float]:
        """Where it is cut for pages of paper. They overlap, so that every node is whole on one of them."""
        step = SLICE - HIGH - GAP
        return [float(step * number) for number in range(max(1, math.ceil((self.height - HIGH - GAP) / step)))]


#: Of one workload, the things that it leads to, column by column; policies may be none or many.
Chain = tuple[list[Thing], ...]
#: The things of a column that are shown as one node, by what they have in common.
Groups = dict[t.Hashable, list[Thing]]
#: What a thing has in common with others.
Way = t.Callable[[Thing], t.Hashable]


def picture(reports: t.Sequence[Found]) -> Picture:
    """The picture of reports as :func:`.._access.reports.over_clusters` returns them.

    Workloads are numbered through all reports, in their order.
    """
    pairs = [(report, item) for report in reports for item in report["access"]]
    chains: list[Chain] = [
        ([cluster_thing(report)], [workload_thing(report, item)], [role_thing(item)], policy_things(item))
        for report, item in pairs
    ]
    columns = [things_of(level, chains) for level in range(len(COLUMNS))]
    for report in reports:
        columns[0].setdefault(cluster_key(report), cluster_thing(report))
    groups = grouped(columns, chains)
    placed = place(groups)
    return Picture(
        nodes=tuple(node for nodes in placed for node in nodes.values()),
        lines=tuple(lines(groups, placed, chains)),
        height=max(node.y + node.height for nodes in placed for node in nodes.values()) if reports else HEADER,
        grouped=any(len(things) > 1 for column in groups for things in column.values()),
    )


# --- what there is ----------------------------------------------------------------------------------------------------


def cluster_key(report: Found) -> Key:
    return tuple(report["cluster"][part] for part in ("name", "region", "account"))


def cluster_thing(report: Found) -> Thing:
    cluster, error = report["cluster"], report["error"]
    place = " ".join(filter(None, (cluster["region"], cluster["account"])))
    return Thing(
        key=cluster_key(report),
        label=cluster["name"] or "without a name",
        detail="could not be read" if error else place if report["access"] else "no associations",
        title="\n".join(filter(None, (cluster["arn"] or f"{cluster['name']} {place}", error))),
        severity="error" if error else "",
    )


def workload_thing(report: Found, item: Found) -> Thing:
    name = f"{item['namespace']}/{item['service_account']}"
    owner = (item["owner"] or "").split("/")[-2:][0]
    marks = (
        f"add-on {owner}" if owner else "",
        "session policy" if item["session_policy"] else "",
        "" if item["session_tags"] else "no session tags",
    )
    texts = [finding["text"] for finding in item["findings"]]
    return Thing(
        key=(*cluster_key(report), item["namespace"], item["service_account"]),
        label=name,
        detail=", ".join(filter(None, marks)),
        title="\n".join([f"{name} in cluster {report['cluster']['name']}", *texts]),
        severity=serious(item["findings"]),
    )


def role_thing(item: Found) -> Thing:
    """The role of a workload, and the target role that it leads to."""
    role, target = item["role"], item["target_role"]
    own = [finding for finding in item["findings"] if finding["id"].startswith(ABOUT_ROLES)]
    ends = f"to {target['name']} in {target['account']}" if target else ""
    missing = "does not exist" if role["exists"] is False else ""
    return Thing(
        key=(role["arn"], target["arn"] if target else None),
        label=role["name"],
        detail=missing or ends,
        title="\n".join([role["arn"], *([f"to {target['arn']}"] if target else [])]),
        severity=serious(own),
    )


def policy_things(item: Found) -> list[Thing]:
    """The policies of the last role of the chain: what the pods may do."""
    role = item["target_role"] or item["role"]
    if not role["readable"]:
        return [Thing(key=(role["arn"], None), label="not readable", detail=role["name"], title=role["note"] or "")]
    inline = [(policy, f"inline in {role['name']}", role["arn"]) for policy in role["inline_policies"]]
    return [
        Thing(
            key=(policy.get("arn") or arn, policy["name"]),
            label=policy["name"],
            detail=detail,
            title=policy.get("arn") or f"{policy['name']}, inline in {arn}",
            severity="warning" if wildcards(policy["name"], policy.get("arn"), policy["document"]) else "",
        )
        for policy, detail, arn in [*((policy, "", "") for policy in role["managed_policies"]), *inline]
    ]


def serious(findings: t.Iterable[Found]) -> str:
    """The worst of what keeps a workload from its role or should be changed; a notice is no such thing."""
    return worst(finding["severity"] for finding in findings if finding["severity"] != "info")


# --- columns ----------------------------------------------------------------------------------------------------------


def things_of(level: int, chains: t.Sequence[Chain]) -> dict[Key, Thing]:
    """All things of a column, each once, with the workloads that lead to it and the worst that is found of it."""
    found: dict[Key, Thing] = {}
    for number, chain in enumerate(chains):
        for thing in chain[level]:
            known = found.setdefault(thing.key, thing)
            known.severity = worst(filter(None, (known.severity, thing.severity)))
            known.workloads.add(number)
    return found


def grouped(columns: t.Sequence[dict[Key, Thing]], chains: t.Sequence[Chain]) -> list[Groups]:
    """Each column by the first way of grouping that makes it short enough, otherwise by the last."""
    found: list[Groups] = []
    for level, things in enumerate(columns):
        for way in ways(level, found, chains):
            groups: Groups = {}
            for thing in things.values():
                groups.setdefault(way(thing), []).append(thing)
            if len(groups) <= COLUMNS[level].most:
                break
        found.append(groups)
    return found


def ways(level: int, before: t.Sequence[Groups], chains: t.Sequence[Chain]) -> c.Iterator[Way]:
    """How the things of a column can be grouped, the finest way first."""

    def clusters_of(thing: Thing) -> t.Hashable:
        return frozenset(chains[number][0][0].key for number in thing.workloads)

    yield lambda thing: thing.key
    if level == 0:
        return
    if level == 1:
        # The cluster and the namespace of a workload.
        yield lambda thing: thing.key[:-1]
    else:
        # What has the same workloads, or the same roles, has everything in common that is seen.
        of_workload = {
            number: key for key, things in before[-1].items() for thing in things for number in thing.workloads
        }
        if level == 3:
            # Managed policies are known by name. Inline ones have the same name in many roles.
            yield lambda thing: thing.key if ":policy/" in thing.key[0] else (thing.label, clusters_of(thing))
        yield lambda thing: frozenset(of_workload[number] for number in thing.workloads)
    yield clusters_of


# --- places -----------------------------------------------------------------------------------------------------------


def place(groups: t.Sequence[Groups]) -> list[dict[t.Hashable, Node]]:
    """Nodes for all groups. Workloads stand in their order, everything else beside what it belongs to."""
    drawn = [
        {key: node_of(level, number, things) for number, (key, things) in enumerate(column.items())}
        for level, column in enumerate(groups)
    ]
    total = max(sum(node.height + GAP for node in column.values()) for column in drawn)
    workloads = stacked(drawn[1], HEADER + (total - sum(node.height + GAP for node in drawn[1].values())) / 2)
    heights = {number: node.middle for node in workloads.values() for number in node.workloads}
    columns = []
    for level, column in enumerate(drawn):
        columns.append(workloads if level == 1 else beside(column, heights, HEADER + total))
        if level == 2:
            # Policies go beside their roles, and not beside the workloads of these.
            heights |= {number: node.middle for node in columns[-1].values() for number in node.workloads}
    return columns


def stacked(column: t.Mapping[t.Hashable, Node], y: float) -> dict[t.Hashable, Node]:
    """Nodes one below the other."""
    placed = {}
    for key, node in column.items():
        placed[key] = dataclasses.replace(node, y=round(y, 1))
        y += node.height + GAP
    return placed


def beside(column: t.Mapping[t.Hashable, Node], heights: t.Mapping[int, float], end: float) -> dict[t.Hashable, Node]:
    """Nodes as near as may be to the middle of their workloads, without one upon another."""
    wanted = {
        key: statistics.fmean(heights[number] for number in node.workloads) if node.workloads else end
        for key, node in column.items()
    }
    order = sorted(column, key=lambda key: (wanted[key], column[key].label))
    placed: dict[t.Hashable, Node] = {}
    y = float(HEADER)
    for key in order:
        y = max(y, wanted[key] - column[key].height / 2)
        placed[key] = dataclasses.replace(column[key], y=y)
        y += column[key].height + GAP
    below = end
    for key in reversed(order):
        node = placed[key]
        placed[key] = dataclasses.replace(node, y=round(min(node.y, below - node.height - GAP), 1))
        below = placed[key].y
    return placed


def node_of(level: int, number: int, things: t.Sequence[Thing]) -> Node:
    """The node for one thing or several, not placed yet."""
    thing = things[0] if len(things) == 1 else summed_up(level, things)
    return Node(
        id=f"n{level}-{number}",
        column=COLUMNS[level],
        y=0.0,
        height=HIGH if thing.detail else LOW,
        label=thing.label,
        detail=thing.detail,
        title=thing.title,
        severity=thing.severity,
        count=len(things),
        workloads=tuple(sorted(thing.workloads)),
    )


def summed_up(level: int, things: t.Sequence[Thing]) -> Thing:
    """Several things as one."""
    serious_ones = sum(bool(thing.severity) for thing in things)
    count = f"{len(things)} {COLUMNS[level].name.lower()}"
    label = what_they_share(level, things)
    details = [count if label else "", f"{serious_ones} marked" if serious_ones else ""]
    named = [thing.label for thing in things[:TOLD_LABELS]]
    more = len(things) - len(named)
    return Thing(
        key=things[0].key,
        label=label or count,
        detail=", ".join(filter(None, details)),
        title="\n".join([count, *named, *([f"and {more} more"] if more else [])]),
        severity=worst(filter(None, (thing.severity for thing in things))),
        workloads=set().union(*(thing.workloads for thing in things)),
    )


def what_they_share(level: int, things: t.Sequence[Thing]) -> str:
    """What several things are called together, empty if there is no such name."""
    if level == 1:
        namespaces = {thing.key[-2] for thing in things}
        return str(namespaces.pop()) if len(namespaces) == 1 else ""
    labels = sorted({thing.label for thing in things})
    if len(labels) == 1:
        return labels[0]
    start = os.path.commonprefix(labels)  # noqa: RUF071  # Letter by letter is what is meant.
    return f"{start}…" if len(start) >= LEAST_START else ""


# --- lines ------------------------------------------------------------------------------------------------------------


def lines(
    groups: t.Sequence[Groups], placed: t.Sequence[t.Mapping[t.Hashable, Node]], chains: t.Sequence[Chain]
) -> c.Iterator[Line]:
    """One line for each two nodes of neighbouring columns that a workload leads along, from top to bottom."""
    where = [
        {thing.key: nodes[key] for key, things in column.items() for thing in things}
        for column, nodes in zip(groups, placed, strict=True)
    ]
    found: dict[tuple[str, str], tuple[Node, Node, set[int]]] = {}
    broken: set[int] = set()
    for number, chain in enumerate(chains):
        if chain[1][0].severity == "error":
            broken.add(number)
        for level, pair in enumerate(itertools.pairwise(chain)):
            for left, right in itertools.product(*pair):
                source, target = where[level][left.key], where[level + 1][right.key]
                found.setdefault((source.id, target.id), (source, target, set()))[2].add(number)
    for source, target, workloads in sorted(found.values(), key=lambda line: (line[0].column.x, line[0].y, line[1].y)):
        # What keeps a workload from its role is on the way from the one to the other.
        severity = "error" if source.column is COLUMNS[1] and workloads <= broken else ""
        yield Line(source=source, target=target, severity=severity, workloads=tuple(sorted(workloads)))


# --- letters ----------------------------------------------------------------------------------------------------------


def shortened(text: str, room: int) -> str:
    """A text that fits into so many letters; names differ at their ends, so it is the middle that goes."""
    line = " ".join(text.split())
    if cells(line) <= room:
        return line
    head, tail = line, line
    while cells(head) > (room - 1) - (room - 1) // 2:
        head = head[:-1]
    while cells(tail) > (room - 1) // 2:
        tail = tail[1:]
    return f"{head}…{tail}"


def cells(text: str) -> int:
    """How many letters wide a text is; those of East Asia take two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
