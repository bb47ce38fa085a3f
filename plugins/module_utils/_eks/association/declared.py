# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What is declared: from the options of the modules to specs, and everything that cannot be right about them."""

from __future__ import annotations

import collections
import re
import typing as t

from .. import common
from .. import ownership
from ..validation import cluster_name_problems
from ..validation import namespace_problems
from ..validation import quoted
from ..validation import role_arn_problems
from ..validation import service_account_problems
from ..validation import tags_problems
from .index import SPEC_TAG
from .objects import UPDATABLE
from .objects import AssociationSpec
from .policies import compact
from .policies import parse_policy

if t.TYPE_CHECKING:
    import collections.abc as c

    from mypy_boto3_eks.client import EKSClient

#: The first botocore with each field that came after the API itself.
FEATURES = {"target_role_arn": "1.38.35", "disable_session_tags": "1.38.35", "policy": "1.42.46"}
#: The API's limit on the text of a session policy, in characters (CreatePodIdentityAssociation, ``policy``).
POLICY_LIMIT = 2048
ASSOCIATION_ID = re.compile(r"a-[0-9a-z]+")
#: The options of one association that become fields of its spec as they are.
FIELDS = (
    "namespace",
    "service_account",
    "association_id",
    "role_arn",
    "target_role_arn",
    "disable_session_tags",
    "policy",
    "force_owned",
)


def spec_of_one(params: t.Mapping[str, t.Any]) -> AssociationSpec:
    """The declaration in the options of the module ``eks_pod_identity_association``."""
    return AssociationSpec(
        cluster_name=params["cluster_name"],
        present=params["state"] == "present",
        tags=common.text_tags(params["tags"]),
        purge_tags=params["purge_tags"],
        creation_tags=common.text_tags(params["creation_tags"]),
        **{name: params[name] for name in FIELDS},
    )


def specs_of_many(params: t.Mapping[str, t.Any]) -> list[AssociationSpec]:
    """The declarations in the options of the module ``eks_pod_identity_associations``."""
    marks = ownership_marks(params)
    return [spec_of_item(item, params, marks) for item in params["associations"]]


def ownership_marks(params: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The tags of what is made here: ``creation_tags``, by default the cluster's name under our own key."""
    declared = common.text_tags(params["creation_tags"])
    return {ownership.TAG: params["cluster_name"]} if declared is None else declared


def spec_of_item(
    item: t.Mapping[str, t.Any], params: t.Mapping[str, t.Any], marks: t.Mapping[str, str]
) -> AssociationSpec:
    """One of the list; its own tags come on top of those that are declared for all."""
    tags = None
    if params["tags"] is not None or item["tags"] is not None:
        tags = common.text_tags({**(params["tags"] or {}), **(item["tags"] or {})})
    return AssociationSpec(
        cluster_name=params["cluster_name"],
        present=item["state"] == "present",
        tags=tags,
        purge_tags=params["purge_tags"] if item["purge_tags"] is None else item["purge_tags"],
        creation_tags=marks,
        marks=marks,
        adopt=params["adopt"],
        update_foreign=params["update_foreign"],
        indexed=params["mode"] == "fast",
        **{name: item[name] for name in FIELDS},
    )


def problems(specs: c.Sequence[AssociationSpec]) -> list[str]:
    """Everything that cannot be right about what is declared, one sentence each, without asking AWS."""
    found = [
        problem
        for name in dict.fromkeys(spec.cluster_name for spec in specs)
        for problem in cluster_name_problems(name)
    ]
    for spec in specs:
        found += [*key_problems(spec), *role_problems(spec), *policy_problems(spec)]
        found += tags_problems(first_tags(spec), str(spec))
    return [*found, *repetitions(specs)]


def first_tags(spec: AssociationSpec) -> dict[str, str]:
    """The tags that a new association will have, and the one that the fast mode adds."""
    tags = common.first_tags(spec.tags, spec.creation_tags)
    return {**tags, SPEC_TAG: ""} if spec.indexed else tags


def repetitions(specs: c.Sequence[AssociationSpec]) -> c.Iterator[str]:
    """A service account, or an association, that is declared more than once."""
    for name, count in collections.Counter(str(spec) for spec in specs).items():
        if count > 1:
            yield (f"{name} is declared {count} times: a service account has one association at most, declare it once.")
    ids = collections.Counter(spec.association_id for spec in specs if spec.association_id)
    for association_id, count in ids.items():
        if count > 1:
            yield f"association_id {quoted(association_id)} is declared {count} times: it is that of one association."


def key_problems(spec: AssociationSpec) -> c.Iterator[str]:
    """Names that EKS would store although no pod can ever match them (Kubernetes object names)."""
    yield from namespace_problems(spec.namespace, str(spec))
    yield from service_account_problems(spec.service_account, str(spec))
    if spec.association_id is not None and not ASSOCIATION_ID.fullmatch(spec.association_id):
        yield (
            f"association_id {quoted(spec.association_id)} of {spec} is no ID of an association: "
            'give it as EKS does, such as "a-abcdefghijklmnop1".'
        )


def role_problems(spec: AssociationSpec) -> c.Iterator[str]:
    """Role ARNs that cannot be right; the role's account is checked by the planner, which knows the cluster's."""
    if spec.role_arn is not None:
        yield from role_arn_problems(spec.role_arn, "role_arn", str(spec))
    elif spec.present:
        yield f"role_arn of {spec} is missing: an association needs the ARN of an IAM role."
    if spec.target_role_arn:
        yield from role_arn_problems(spec.target_role_arn, "target_role_arn", str(spec))


def policy_problems(spec: AssociationSpec) -> c.Iterator[str]:
    """A session policy that EKS refuses: JSON, at most 2,048 characters, and only without session tags."""
    if not spec.policy:
        return
    document = parse_policy(spec.policy)
    if document is None:
        yield (
            f"policy of {spec} is no IAM policy: give a JSON object with Version and Statement, "
            "as text or as a mapping."
        )
    elif len(compact(document)) > POLICY_LIMIT:
        yield (
            f"policy of {spec} has {len(compact(document))} characters without white space: EKS takes at "
            f"most {POLICY_LIMIT}, so move permissions to the role."
        )
    if spec.disable_session_tags is not True:
        yield (
            f"policy of {spec} needs disable_session_tags: true, because EKS takes a session policy "
            "only without session tags."
        )


def feature_problems(client: EKSClient, specs: c.Sequence[AssociationSpec]) -> c.Iterator[str]:
    """Options that are used and that the installed botocore does not know, with the version that does."""
    for name, since in FEATURES.items():
        # An installed botocore that does not know a field has never set it either.
        if any(getattr(spec, name) for spec in specs):
            yield from common.parameter_problems(client, "CreatePodIdentityAssociation", UPDATABLE[name], name, since)
