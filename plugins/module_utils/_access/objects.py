# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Who may do what: the nouns of the overview, judged without asking anybody."""

from __future__ import annotations

import dataclasses
import typing as t

Document = t.Mapping[str, t.Any]
Severity = t.Literal["error", "warning", "info"]
Found = dict[str, t.Any]

#: The worst first.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy of a role: managed where it has an ARN, otherwise inline."""

    name: str
    arn: str | None = None
    #: None where it was not asked for, or may not be read.
    document: Document | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Role:
    """A role that an association names, as far as it may be read."""

    arn: str
    #: None where that may not be read.
    exists: bool | None = None
    #: Why it could not be read, or not in full.
    note: str | None = None
    trust: Document | None = None
    create_date: str | None = None
    policies: tuple[Policy, ...] = ()
    permissions_boundary: str | None = None
    max_session_duration: int | None = None
    #: When and in which region its credentials were used last, where IAM tells.
    last_used: t.Mapping[str, str | None] | None = None

    @property
    def name(self) -> str:
        """Its name within the account."""
        return self.arn.rpartition("/")[2]

    @property
    def account(self) -> str:
        """The account that it is in; empty for what is no ARN."""
        return (self.arn.split(":") + [""] * 5)[4]

    @property
    def path(self) -> str:
        """Its path, which the ARN tells."""
        return f"/{self.arn.partition('/')[2]}".removesuffix(self.name)

    def render(self, documents: bool) -> Found:
        """The role as the module returns it; the documents where they were asked for."""
        return {
            "arn": self.arn,
            "name": self.name,
            "account": self.account,
            "path": self.path,
            "exists": self.exists,
            "readable": self.exists is not None,
            "note": self.note,
            "create_date": self.create_date,
            "trust_policy": self.trust if documents else None,
            "managed_policies": [dataclasses.asdict(policy) for policy in self.policies if policy.arn],
            "inline_policies": [
                {"name": policy.name, "document": policy.document} for policy in self.policies if not policy.arn
            ],
            "permissions_boundary": self.permissions_boundary,
            "max_session_duration": self.max_session_duration,
            "last_used": self.last_used,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that somebody should know, or do something about."""

    id: str
    severity: Severity
    text: str
    advice: str

    def render(self) -> Found:
        return dataclasses.asdict(self)


def in_order(findings: t.Iterable[Found]) -> list[Found]:
    """The worst first, each once."""
    unique = {(finding["id"], finding["text"]): finding for finding in findings}
    return sorted(unique.values(), key=lambda finding: (rank(finding["severity"]), finding["id"], finding["text"]))


def rank(severity: str) -> int:
    """How far down a severity is; what is unknown comes last."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def worst(severities: t.Iterable[str]) -> str:
    """The worst of several severities, empty where there are none."""
    return min(severities, key=rank, default="")
