# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""What every EKS resource shares: the module class, errors, plans, tags and transformation."""

from __future__ import annotations

import dataclasses
import typing as t

try:
    import botocore
    import botocore.config
    import botocore.exceptions
except ImportError:
    pass  # AnsibleAWSModule reports it.

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.common import set_collection_info
from ansible_collections.amazon.aws.plugins.module_utils.errors import AWSErrorHandler
from ansible_collections.amazon.aws.plugins.module_utils.exceptions import AnsibleAWSError
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.tagging import compare_aws_tags
from ansible_collections.amazon.aws.plugins.module_utils.transformation import boto3_resource_to_ansible_dict

from . import codes
from . import options
from . import plan_items
from .traffic import Traffic

if t.TYPE_CHECKING:
    from mypy_boto3_eks.client import EKSClient

COLLECTION_NAME = "podidentity.eks"
#: The same as in galaxy.yml; it goes into the User-Agent of every call.
COLLECTION_VERSION = "0.2.0-dev"

NO_REGION = (
    "No AWS region is known; set the option region, the environment variable AWS_REGION, "
    "or a region in the AWS profile."
)
NO_CREDENTIALS = (
    "No AWS credentials were found; set access_key and secret_key, or profile, or the environment variables "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
)
PERMISSIONS = "The filter podidentity.eks.pod_identity_operator_policy has the permissions that a run needs."

#: Seconds until a connection stands, and until an answer comes; after that the call is sent again.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30
#: How many calls one module sends at the same time, where it does not say otherwise.
CONCURRENCY = 10
#: How often something is looked at again that others have changed between looking and writing.
MOST_RACES = 5

#: Keys whose values are maps with keys of the user's own, which must stay as they are written.
VERBATIM_KEYS = ("tags", "labels")

P = t.ParamSpec("P")
R = t.TypeVar("R")


class AnsibleEKSError(AnsibleAWSError):  # type: ignore[misc]  # amazon.aws has no types
    """Everything that makes an EKS module fail; caught once, in ``main()``."""


def error_of(error: AnsibleEKSError) -> tuple[str, str]:
    """Code and message of the service's answer, empty where no service has answered."""
    answer = getattr(error.exception, "response", None) or {}
    return answer.get("Error", {}).get("Code", ""), answer.get("Error", {}).get("Message", "")


def explained(error: AnsibleEKSError) -> str:
    """The message of an error, with what to do where that is known.

    Missing credentials, the commonest cause of all, get their own sentence; a denial, in which AWS names the action and
    the resource, says where the permissions of a run are listed.
    """
    if isinstance(error.exception, botocore.exceptions.NoCredentialsError):
        return NO_CREDENTIALS
    return f"{error}. {PERMISSIONS}" if error_of(error)[0] in codes.ACCESS_DENIED else str(error)


def refuse(problems: t.Iterable[str]) -> None:
    """Raise :class:`AnsibleEKSError` when there are problems, with one sentence for each; nothing was written yet."""
    found = list(problems)
    if found:
        raise AnsibleEKSError("\n".join(found))


class EKSErrorHandler(AWSErrorHandler):  # type: ignore[misc]  # amazon.aws has no types
    """Turns botocore's exceptions into :class:`AnsibleEKSError`."""

    _CUSTOM_EXCEPTION = AnsibleEKSError

    @classmethod
    def _is_missing(cls) -> t.Any:
        return is_boto3_error_code(list(codes.NOT_FOUND))


class AnsibleEKSModule(AnsibleAWSModule):  # type: ignore[misc]  # amazon.aws has no types
    """The base of all modules of this collection."""

    def __init__(self, **kwargs: t.Any) -> None:
        # amazon.aws takes the class of the module that it wraps from here, whatever it is given.
        settings = AnsibleAWSModule.default_settings
        usual = settings["module_class"]
        settings["module_class"] = options.CheckedModule
        try:
            super().__init__(**kwargs)
        finally:
            settings["module_class"] = usual
        set_collection_info(collection_name=COLLECTION_NAME, collection_version=COLLECTION_VERSION)
        self.traffic = Traffic()
        if not self.check_mode:
            # What is predicted counts nowhere else: a run sees the cluster, or fails.
            self.params.pop("planned_cluster", None)
        self._check_aws_config()

    def _check_aws_config(self) -> None:
        """amazon.aws hands the option to botocore as it is."""
        try:
            botocore.config.Config(**(self.params.get("aws_config") or {}))
        except TypeError as error:
            self.fail_json(msg=f"aws_config: {error}; give options of botocore.config.Config, such as retries.")

    def eks_client(self, concurrency: int = CONCURRENCY) -> EKSClient:
        """A client for EKS, for so many threads; fails in one sentence when no region is known."""
        if not self.region:
            self.fail_json(msg=NO_REGION)
        return t.cast("EKSClient", self.watched_client("eks", concurrency))

    def watched_client(self, service: str, concurrency: int = CONCURRENCY, **settings: t.Any) -> t.Any:
        """A client whose calls are paced, counted and retried by :attr:`traffic`.

        :param settings: take the place of what the task's options say, such as other credentials.
        """
        config = botocore.config.Config(
            connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, max_pool_connections=concurrency
        )
        client = self.client(service, config=config, **settings)
        self.traffic.watch(client)
        return client

    @property
    def diff_mode(self) -> bool:
        """Whether the result is to show what changes."""
        return bool(self._diff)

    def warn(self, warning: str) -> None:
        """Warn once; amazon.aws hands warnings to exit_json as well, which ansible-core answers with a deprecation."""
        self._module.warn(warning)

    def fail_json_aws_error(self, exception: AnsibleEKSError, **returned: t.Any) -> None:
        """Fail with the error's message, see :func:`explained`.

        :param returned: what else the task returns, such as ``failed_items``.
        """
        if isinstance(exception.exception, botocore.exceptions.NoCredentialsError):
            self.fail_json(msg=NO_CREDENTIALS, **returned)
        if error_of(exception)[0] in codes.ACCESS_DENIED:
            # amazon.aws takes it in place of the exception's own text.
            exception.exception.message = f"{exception.exception}. {PERMISSIONS}"
        if exception.exception:
            self.fail_json_aws(exception.exception, msg=exception.message, **returned)
        self.fail_json(msg=exception.message, **returned)

    def exit_with(self, change: Change, *, item: tuple[str, str] | None = None, **returned: t.Any) -> None:
        """End the module with what a plan did, or would do in check mode.

        ``returned`` is the resource under its own name. ``actions`` lists the API operations of the plan in order, and
        ``changes`` the fields that differ, both of them the same in check mode.

        :param item: kind and name of the resource in the plan of a run, which is then returned as ``plan_item``.
        """
        operations, fields = [action.operation for action in change.actions], change.fields()
        result: dict[str, t.Any] = {"changed": change.changed, "actions": operations, "changes": fields, **returned}
        if item is not None:
            result["plan_item"] = plan_items.of_operations(*item, operations, fields)
        if self.diff_mode:
            result["diff"] = change.diff()
        self.exit_json(**result)


# --- calls ------------------------------------------------------------------------------------------------------------


def calling(description: str) -> t.Callable[[t.Callable[P, R]], t.Callable[P, R]]:
    """Decorate a function that makes API calls: it raises :class:`AnsibleEKSError` when one fails.

    :param description: goes into the message after "Failed to"; amazon.aws 10 fills in no placeholders.
    """
    return t.cast("t.Callable[[t.Callable[P, R]], t.Callable[P, R]]", EKSErrorHandler.common_error_handler(description))


def finding(description: str) -> t.Callable[[t.Callable[P, R]], t.Callable[P, R | None]]:
    """Like :func:`calling`, but the answer is None when EKS says that the thing does not exist."""
    handler = EKSErrorHandler.list_error_handler(description, None)
    return t.cast("t.Callable[[t.Callable[P, R]], t.Callable[P, R | None]]", handler)


def parameter_problems(client: EKSClient, operation: str, parameter: str, option: str, since: str) -> t.Iterator[str]:
    """Say so when the installed botocore does not know a parameter of an operation.

    To be asked only when ``option`` is used, so that old versions of botocore serve everybody else.

    :param operation: as the API spells it, such as ``CreatePodIdentityAssociation``.
    :param parameter: one that is part of another after a dot, such as ``updateConfig.updateStrategy``.
    :param since: the first version of botocore that has it.
    """
    shape: t.Any = client.meta.service_model.operation_model(operation).input_shape
    for name in parameter.split("."):
        shape = None if shape is None else shape.members.get(name)
    if shape is None:
        yield (
            f"{option} needs botocore {since} or newer, but {botocore.__version__} is installed: "
            f"its {operation} has no {parameter}."
        )


def require_parameter(client: EKSClient, operation: str, parameter: str, option: str, since: str) -> None:
    """Raise :class:`AnsibleEKSError` for what :func:`parameter_problems` finds."""
    refuse(parameter_problems(client, operation, parameter, option, since))


# --- plans ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Action:
    """One API call of a plan."""

    #: The method of the boto3 client, such as ``update_cluster_version``.
    operation: str
    parameters: t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Change:
    """A plan: how the resource looks, how it will look, and the calls in between, in order.

    ``None`` stands for a resource that is not there. Check mode stops here and returns ``after``.
    """

    before: t.Mapping[str, t.Any] | None
    after: t.Mapping[str, t.Any] | None
    actions: tuple[Action, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.actions)

    def carried_out(self, done: t.Iterable[Action]) -> t.Self:
        """The plan with the calls that were made, those of earlier attempts included."""
        return dataclasses.replace(self, actions=tuple(done))

    def fields(self) -> dict[str, dict[str, t.Any]]:
        """The fields that change, each with its value before and after."""
        if not self.changed:
            return {}
        before, after = self.before or {}, self.after or {}
        both = {key: {"before": before.get(key), "after": after.get(key)} for key in dict.fromkeys([*before, *after])}
        return {key: values for key, values in both.items() if values["before"] != values["after"]}

    def diff(self) -> dict[str, t.Any]:
        """Both sides in the form of Ansible's diff mode."""
        return {"before": dict(self.before or {}), "after": dict(self.after or {})}


def perform(client: EKSClient, action: Action) -> dict[str, t.Any]:
    """Make one call of a plan; returns EKS's answer, and nothing when something to delete was gone already."""
    method: t.Callable[..., dict[str, t.Any]] = getattr(client, action.operation)
    description = action.operation.replace("_", " ")
    if action.operation.startswith("delete_"):
        return finding(description)(method)(**action.parameters) or {}
    return calling(description)(method)(**action.parameters)


# --- tags -------------------------------------------------------------------------------------------------------------


def plan_tags(
    arn: str,
    before: t.Mapping[str, str],
    desired: t.Mapping[str, str] | None,
    purge: bool,
    creation: t.Mapping[str, str] | None = None,
) -> tuple[dict[str, str], tuple[Action, ...]]:
    """The tags that a resource will have, and the calls that bring it there.

    :param desired: None leaves all tags alone.
    :param purge: whether tags that are not desired go; those of AWS (``aws:``) always stay.
    :param creation: tags that a new resource gets. One that exists keeps what it has of them, and gets none.
    """
    if desired is None:
        return dict(before), ()
    kept = {key: before[key] for key in creation or {} if key in before}
    to_set, to_remove = compare_aws_tags(dict(before), {**kept, **desired}, purge_tags=purge)
    actions = []
    if to_remove:
        actions.append(Action("untag_resource", {"resourceArn": arn, "tagKeys": sorted(to_remove)}))
    if to_set:
        actions.append(Action("tag_resource", {"resourceArn": arn, "tags": dict(sorted(to_set.items()))}))
    left = {key: value for key, value in before.items() if key not in to_remove}
    return {**left, **to_set}, tuple(actions)


def first_tags(desired: t.Mapping[str, str] | None, creation: t.Mapping[str, str] | None) -> dict[str, str]:
    """The tags that a new resource gets."""
    return {**(creation or {}), **(desired or {})}


# --- results ----------------------------------------------------------------------------------------------------------


def to_ansible(resource: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An object of the EKS API as Ansible shows it: snake_case keys and ISO dates; tags and labels as they are."""
    transformed = boto3_resource_to_ansible_dict(
        {key: value for key, value in resource.items() if key != "ResponseMetadata"},
        transform_tags=False,
        force_tags=False,
        ignore_list=list(VERBATIM_KEYS),
    )
    return dict(transformed or {})


def unordered(value: t.Any) -> t.Any:
    """A setting in a form in which it is compared: lists of ids, types and CIDRs have no order."""
    return frozenset(value) if isinstance(value, list | tuple) else value


def without_none(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The parameters that were set."""
    return {key: value for key, value in values.items() if value is not None}


def text_tags(tags: t.Mapping[str, t.Any] | None) -> dict[str, str] | None:
    """Tags as declared in YAML, where a value may be a number, as AWS wants them; None stays None."""
    return None if tags is None else {str(key): str(value) for key, value in tags.items()}
