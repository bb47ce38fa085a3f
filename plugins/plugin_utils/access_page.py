# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of who may do what: one HTML text that needs nothing else. Its looks are in ``access_page.html.j2``."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import typing as t

import jinja2

from ..module_utils._access.objects import SEVERITIES
from ..module_utils._access.objects import Found
from ..module_utils._access.objects import rank
from ..module_utils._access.permissions import wildcards
from ..module_utils._access.reports import cluster_names
from ..module_utils._access.reports import over_clusters
from ..module_utils._access.reports import summary
from .access_picture import SLICE
from .access_picture import picture

TEMPLATE = pathlib.Path(__file__).with_name("access_page.html.j2")
#: What a finding is called above the sentences that tell its cases.
TITLES = {
    "role_missing": "The role does not exist",
    "role_shared": "Roles that several namespaces share",
    "role_unreadable": "Roles that could not be read",
    "session_tags_off": "The trust policy asks for session tags, which are off",
    "target_permission_missing": "The role may not assume its target role",
    "target_role_missing": "The target role does not exist",
    "target_role_unreadable": "Target roles that could not be read",
    "target_trust_refuses": "The target role does not trust the role",
    "trust_account": "Roles that every cluster of the account may use",
    "trust_left_over": "Trust that no association uses",
    "undeclared": "Workloads that are no longer declared and keep their access",
    "trust_open": "Roles that any workload of the account may be given",
    "trust_refuses": "The trust policy keeps the workload out",
    "wildcard_permissions": "Policies that allow everything",
}
WORDS = {"error": "Error", "warning": "Warning", "info": "Notice"}
#: How many cases of a finding are shown at once, and how many places of a case are named.
SHOWN_CASES = 8
SHOWN_PLACES = 6


@dataclasses.dataclass
class Case:
    """One sentence, and the workloads that it is about."""

    text: str
    advice: str
    places: list[str] = dataclasses.field(default_factory=list)
    workloads: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class FindingGroup:
    """All cases of one finding."""

    id: str
    severity: str
    title: str
    cases: list[Case]

    @property
    def advice(self) -> str:
        """What to do, where it is the same for all cases."""
        advices = {case.advice for case in self.cases}
        return next(iter(advices)) if len(advices) == 1 else ""

    @property
    def is_open(self) -> bool:
        """Whether the cases are shown before somebody asks for them."""
        return self.severity != "info" and len(self.cases) <= SHOWN_CASES


def as_page(reports: t.Iterable[t.Any], title: str, generated: str = "") -> str:
    """The whole page; the same reports give the same text.

    :param generated: when the reports were made, as it is to be shown.
    """
    known = over_clusters(reports)
    return template().render(
        title=title,
        generated=generated,
        summary=summary(known),
        reports=known,
        rows=[(report["cluster"], item) for report in known for item in report["access"]],
        groups=finding_groups(known),
        picture=picture(known),
        slice=SLICE,
        wildcards=wildcards,
        titles=TITLES,
        words=WORDS,
        shown_places=SHOWN_PLACES,
        severities=SEVERITIES,
    )


@functools.cache
def template() -> jinja2.Template:
    """The template; everything that goes into it is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def finding_groups(reports: t.Sequence[Found]) -> list[FindingGroup]:
    """All findings, the worst first; one sentence that is about several workloads stands once."""
    cases: dict[tuple[str, str], dict[str, Case]] = {}
    number = 0
    for cluster, report in zip(cluster_names(reports), reports, strict=True):
        for item in report["access"]:
            for finding in item["findings"]:
                case = case_of(cases, finding)
                case.places.append(f"{cluster}: {item['namespace']}/{item['service_account']}")
                case.workloads.append(number)
            number += 1
        for item in report["orphans"]:
            for finding in item["findings"]:
                case_of(cases, finding).places.append(cluster)
    order = sorted(cases, key=lambda key: (rank(key[0]), key[1]))
    return [
        FindingGroup(name, severity, TITLES.get(name, name), list(cases[severity, name].values()))
        for severity, name in order
    ]


def case_of(cases: dict[tuple[str, str], dict[str, Case]], finding: Found) -> Case:
    """The case that a finding belongs to."""
    known = cases.setdefault((finding["severity"], finding["id"]), {})
    return known.setdefault(finding["text"], Case(finding["text"], finding["advice"]))
