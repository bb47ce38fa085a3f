# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Variables beside the workloads: names that look like ours and are not, and the region."""

from __future__ import annotations

import contextlib
import difflib
import re
import typing as t

from ansible_collections.podidentity.eks.plugins.module_utils._workload import spec

with contextlib.suppress(ImportError):  # Without botocore no region is checked; the modules report it.
    import botocore
    import botocore.exceptions
    import botocore.session

if t.TYPE_CHECKING:
    import collections.abc as c

#: How alike a name must be to one of ours to be taken for a misspelt one (difflib's ratio).
ALIKE = 0.9
#: Names that the playbooks and roles themselves set, or that other variables of a play have.
INTERNAL = re.compile(r"podidentity_(caller|clusters?|declared|profile|region|request(_.*)?)|__.*")
REGION_FORM = re.compile(r"[a-z]+(-[a-z]+)+-[0-9]+")


def misspelt(names: t.Iterable[str], known: c.Collection[str], own: c.Container[str], where: str) -> c.Iterator[str]:
    """Variables that nothing reads and that look like one of ours.

    :param known: every variable that a user may set.
    :param own: names that the user means, however they look.
    """
    for name in sorted(names):
        if name in known or name in own or INTERNAL.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=ALIKE)
        if close:
            yield (
                f"{where} sets the variable {name}, which nothing reads: did you mean {close[0]}? Name a variable of "
                "your own in podidentity_own_variables."
            )


def known_variables(role_options: t.Iterable[str]) -> set[str]:
    """Every variable that a user may set."""
    return {*spec.VARIABLES, *role_options}


def region_problems(region: object, where: str) -> c.Iterator[str]:
    """A region of no partition of AWS that botocore knows.

    botocore knows the form of each partition's regions, so that it takes regions that are newer than it.
    """
    example = "give the AWS region of the cluster, such as eu-west-1, as a host variable."
    if not isinstance(region, str) or not REGION_FORM.fullmatch(region):
        yield f'{where} has the eks_region "{region or ""}": {example}'
        return
    if "botocore" not in globals():
        return
    session = botocore.session.Session()
    try:
        session.get_partition_for_region(region)
    except botocore.exceptions.UnknownRegionError:
        known = [
            name
            for partition in session.get_available_partitions()
            for name in session.get_available_regions("eks", partition)
        ]
        close = difflib.get_close_matches(region, known, n=1)
        right = f"did you mean {close[0]}?" if close else example
        yield f'{where} has the eks_region "{region}", which botocore {botocore.__version__} does not know: {right}'
