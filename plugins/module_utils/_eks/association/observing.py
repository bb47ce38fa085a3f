# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is there, as far as the declarations need to know it: one list, and a look at what must be compared."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from .. import common
from . import calls
from .index import Index
from .index import read_index
from .index import vouched_for
from .objects import Association
from .objects import AssociationSpec
from .planning import Purge
from .planning import declared_fields
from .planning import known_account

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient


@dataclasses.dataclass(frozen=True, kw_only=True)
class Observed:
    """What was found in a cluster."""

    #: With all their fields, or as far as the plan needs them; None where there is no such cluster.
    associations: list[Association] | None
    #: The cluster's account, where any of its associations tells it.
    account: str | None = None
    #: How it was looked, and why not in fast mode where that was wanted.
    mode: t.Literal["full", "fast"] = "full"
    fallback: str = ""
    #: Associations that carry our tags, are not declared and are not purged either.
    undeclared: tuple[Association, ...] = ()


def observe(
    client: EKSClient,
    cluster_name: str,
    specs: c.Sequence[AssociationSpec],
    purge: Purge,
    concurrency: int,
    tagging: t.Callable[[], t.Any] | None = None,
    undeclared: t.Callable[[], t.Any] | None = None,
) -> Observed:
    """What the plan for these declarations has to know.

    :param tagging: makes a client of the tagging API for the fast mode, None for the full mode.
    :param undeclared: makes one to find what is no longer declared, None where that is not asked for.
    """
    if not specs and purge.scope == "none" and undeclared is None:
        return Observed(associations=[])
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        # The index is read, and its client made, while the pages of the list come in.
        reading = pool.submit(read_index, tagging, purge.marks) if tagging else None
        filters = {} if undeclared else list_filters(specs, purge)
        summaries = calls.list_associations(client, cluster_name, **filters)
    index, fallback = index_of(reading) if reading else (None, "")
    if summaries is None:
        return Observed(associations=None, fallback=fallback)
    known, unknown = sorted_out(summaries, specs, purge, index)
    described = calls.describe_associations(client, cluster_name, unknown, concurrency)
    return Observed(
        associations=[*known, *described],
        account=known_account(summaries),
        mode="full" if index is None else "fast",
        fallback=fallback,
        undeclared=find_undeclared(client, summaries, specs, purge, concurrency, index, undeclared),
    )


def find_undeclared(
    client: EKSClient,
    summaries: c.Iterable[Association],
    specs: c.Sequence[AssociationSpec],
    purge: Purge,
    concurrency: int,
    index: Index | None,
    tagging: t.Callable[[], t.Any] | None,
) -> tuple[Association, ...]:
    """Associations that carry our tags, are not declared and stay; a call is made only where there may be any.

    :param tagging: makes a client of the tagging API, None where that is not asked for.
    """
    declared, named = {spec.key for spec in specs}, {spec.association_id for spec in specs}
    namespaces = {spec.namespace for spec in specs}
    others = [
        one
        for one in (summaries if tagging else ())
        if one.key not in declared and one.association_id not in named and not one.owner_arn
        if not purge.covers(one.key, namespaces)
    ]
    if not others or tagging is None:
        return ()
    try:
        known = read_index(tagging, purge.marks) if index is None else index
    except common.AnsibleEKSError:
        # Without the tagging API each of them tells its tags itself.
        found = calls.describe_associations(
            client, others[0].cluster_name, [str(one.association_id) for one in others], concurrency
        )
        return tuple(one for one in found if one.carries(purge.marks))
    return tuple(one for one in others if purge.marks.items() <= known.get(str(one.association_arn), {}).items())


def list_filters(specs: c.Sequence[AssociationSpec], purge: Purge) -> dict[str, str]:
    """The narrowest list in which everything is that matters."""
    if purge.scope == "cluster" or any(spec.association_id for spec in specs):
        return {}
    filters = {}
    if len({spec.namespace for spec in specs}) == 1:
        filters["namespace"] = specs[0].namespace
        if purge.scope == "none" and len({spec.service_account for spec in specs}) == 1:
            filters["serviceAccount"] = specs[0].service_account
    return filters


def index_of(reading: concurrent.futures.Future[Index]) -> tuple[Index | None, str]:
    """The index, or None and why there is none: then everything is looked at, which needs no index."""
    try:
        return reading.result(), ""
    except common.AnsibleEKSError as error:
        return None, str(error)


def sorted_out(
    summaries: c.Iterable[Association], specs: c.Sequence[AssociationSpec], purge: Purge, index: Index | None
) -> tuple[list[Association], list[str]]:
    """What is known well enough, and the IDs of what has to be described."""
    wanted = {spec.key: spec for spec in specs}
    named = {spec.association_id for spec in specs}
    namespaces = {spec.namespace for spec in specs}
    known: list[Association] = []
    unknown: list[str] = []
    for summary in summaries:
        spec = wanted.get(summary.key)
        if spec is None and summary.association_id not in named and not purge.covers(summary.key, namespaces):
            continue
        enough = what_is_known(summary, spec, purge, index) if summary.association_id not in named else None
        if enough:
            known.append(enough)
        else:
            unknown.append(str(summary.association_id))
    return known, unknown


def what_is_known(
    summary: Association, spec: AssociationSpec | None, purge: Purge, index: Index | None
) -> Association | None:
    """An association without describing it, None where only that will do."""
    tags = None if index is None else index.get(str(summary.association_arn), {})
    if spec is None:
        # Not declared, so only the owner matters: that of an add-on is known, and what is not in the index is not ours.
        foreign = summary.owner_arn or (tags is not None and not purge.marks.items() <= tags.items())
        return dataclasses.replace(summary, tags=tags) if foreign else None
    fields = declared_fields(spec)
    if tags is None or not vouched_for(spec, tags, fields):
        return None
    values: dict[str, t.Any] = {name: None if value == "" else value for name, value in fields.items()}
    return dataclasses.replace(summary, tags=tags, **values)
