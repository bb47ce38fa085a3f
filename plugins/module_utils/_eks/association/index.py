# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""The index of the fast mode: the tagging API tells the tags of hundreds of associations in a few calls.

An association that was made in fast mode carries a hash of what was declared. While the declaration is the same and so
is the hash, nobody asks EKS for the association itself. So a change that somebody makes outside, without touching the
tag, is not seen; and the tagging API follows EKS with a delay of seconds. That is why the index only ever says "this
needs no look": what is written or deleted is decided by a look at the association itself.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from .. import common
from .objects import AssociationSpec
from .policies import compact

#: The tag with the hash.
SPEC_TAG = "podidentity.eks/spec"
#: Characters of the hash: 80 bits, so that two declarations never meet.
HASH_LENGTH = 20
#: The resource type of associations, and the largest page, in the tagging API (GetResources).
RESOURCE_TYPE = "eks:podidentityassociation"
PAGE_SIZE = 100

#: Tags of associations by their ARN.
Index = t.Mapping[str, t.Mapping[str, str]]


def spec_hash(fields: t.Mapping[str, str | bool]) -> str:
    """The hash of declared fields, as the API takes them; a policy counts by its content, not by its layout."""
    values = dict(fields)
    if values.get("policy"):
        values["policy"] = compact(json.loads(str(values["policy"])))
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


@common.calling("read the tags of pod identity associations")
def read_index(make_client: t.Callable[[], t.Any], marks: t.Mapping[str, str]) -> Index:
    """The tags of all associations of the region that carry these tags, or where there are none that carry a hash."""
    filters = [{"Key": key, "Values": [value]} for key, value in marks.items()]
    paginator = make_client().get_paginator("get_resources")
    pages = paginator.paginate(
        ResourceTypeFilters=[RESOURCE_TYPE],
        TagFilters=filters or [{"Key": SPEC_TAG}],
        PaginationConfig={"PageSize": PAGE_SIZE},
    )
    return {
        resource["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
        for page in pages
        for resource in page["ResourceTagMappingList"]
    }


def vouched_for(spec: AssociationSpec, tags: t.Mapping[str, str], fields: t.Mapping[str, str | bool]) -> bool:
    """Whether the index says that an association is as declared: the same hash, and the declared tags and no others."""
    if not spec.present or tags.get(SPEC_TAG) != spec_hash(fields):
        return False
    if spec.tags is None:
        return True
    kept = {key: tags[key] for key in (*(spec.creation_tags or {}), SPEC_TAG) if key in tags}
    _after, calls = common.plan_tags("", tags, spec.tags, spec.purge_tags, kept)
    return not calls
