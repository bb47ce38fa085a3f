# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings that make the sandbox slow, late or faulty; each one is checked when it is set."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
import typing as t

from eks_sandbox.aws.model import service_model

#: The longest time of a knob, in seconds: a day.
LONGEST = 86400
#: Prefix of an operation in the call log -> service in botocore; S3 has one too, but other names for its operations.
SERVICES = {
    "eks": "eks",
    "eks-auth": "eks-auth",
    "tagging": "resourcegroupstaggingapi",
    "iam": "iam",
    "sts": "sts",
    "ec2": "ec2",
}


class WrongKnob(ValueError):
    """A setting that does not exist or cannot hold this value; the text names it and the valid values."""


@functools.cache
def operation_names(service: str) -> frozenset[str]:
    """The operations of a service (a key of ``SERVICES``), as its model names them."""
    return frozenset(service_model(SERVICES[service]).operation_names)


@functools.cache
def _enumeration(shape: str) -> tuple[str, ...]:
    """The values of an enumeration in EKS's model."""
    return tuple(service_model("eks").shape_for(shape).enum)


def matches(pattern: str, operation: str) -> bool:
    """Whether ``eks:CreateAddon`` is meant by a pattern, such as ``eks:Create*``, ``CreateAddon`` or ``*``."""
    return fnmatch.fnmatchcase(operation if ":" in pattern else operation.partition(":")[2], pattern)


# --- checks: each returns the value as the knob keeps it, or raises WrongKnob -----------------------------------------


def _number(name: str, value: t.Any, most: float = LONGEST) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise WrongKnob(f"{name} must be a number from 0 to {most:g}.")
    return float(value)


def _whole_number(name: str, value: t.Any, least: int = 0, most: int = 1_000_000) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise WrongKnob(f"{name} must be a whole number from {least} to {most}.")
    return value


def _text(name: str, value: t.Any) -> str:
    if not isinstance(value, str):
        raise WrongKnob(f"{name} must be a string.")
    return value


def _yes_or_no(name: str, value: t.Any) -> bool:
    if not isinstance(value, bool):
        raise WrongKnob(f"{name} must be true or false.")
    return value


def _platform(name: str, value: t.Any) -> str:
    if not re.fullmatch(r"1\.\d{2}/eks\.\d+", _text(name, value)):
        raise WrongKnob(f"{name} must be a Kubernetes and a platform version, such as 1.28/eks.3.")
    return str(value)


def _choice(choices: t.Sequence[str], name: str, value: t.Any) -> str:
    if value not in choices:
        raise WrongKnob(f"{name} must be one of {', '.join(choices)}; got {value}.")
    return str(value)


def _operation(name: str, value: t.Any) -> str:
    """A pattern that some operation of this sandbox's services matches, so that a slip does not pass in silence."""
    pattern = _text(name, value)
    # Calls of S3 have the names of IAM's actions, and no list of them exists.
    if pattern.startswith("s3:"):
        return pattern
    for service in SERVICES:
        if ":" in pattern and not fnmatch.fnmatchcase(service, pattern.partition(":")[0]):
            continue
        if any(matches(pattern, f"{service}:{operation}") for operation in operation_names(service)):
            return pattern
    raise WrongKnob(
        f"{name}: no operation is called {pattern}; a pattern is like eks:CreateAddon, eks:Create* or eks:*."
    )


def _call_numbers(name: str, value: t.Any) -> list[int]:
    if not isinstance(value, list):
        raise WrongKnob(f"{name} must be a list of numbers, such as [1, 2] for the first two calls.")
    return [_whole_number(name, number, least=1) for number in value]


def _mapping(
    key: t.Callable[[str, t.Any], str], item: t.Callable[[str, t.Any], t.Any], name: str, value: t.Any
) -> t.Any:
    if not isinstance(value, dict):
        raise WrongKnob(f"{name} must be an object.")
    return {key(name, one): item(f"{name}.{one}", other) for one, other in value.items()}


def _enumerated(shape: str, name: str, value: t.Any) -> str:
    return _choice(_enumeration(shape), name, value)


def _code(shape: str) -> functools.partial[str]:
    """A value of an enumeration in EKS's model, which is read only when it is needed."""
    return functools.partial(_enumerated, shape)


def _records(kind: type[t.Any], name: str, value: t.Any) -> list[t.Any]:
    if not isinstance(value, list):
        raise WrongKnob(f"{name} must be a list of objects.")
    return [_record(kind, f"{name}[{index}]", one) for index, one in enumerate(value)]


def _record(kind: type[t.Any], name: str, value: t.Any) -> t.Any:
    if not isinstance(value, dict):
        raise WrongKnob(f"{name} must be an object.")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise WrongKnob(f"{name} has no key {', '.join(unknown)}; its keys are {', '.join(fields)}.")
    missing = [key for key, field in fields.items() if field.default is dataclasses.MISSING and key not in value]
    if missing:
        raise WrongKnob(f"{name} lacks {', '.join(missing)}.")
    checks = _checks(kind)
    return kind(**{key: checks[key](f"{name}.{key}", given) for key, given in value.items()})


def _faults(name: str, value: t.Any) -> list[Fault]:
    faults: list[Fault] = _records(Fault, name, value)
    for index, fault in enumerate(faults):
        if fault.outcome == "error" and not fault.code:
            raise WrongKnob(f"{name}[{index}] must have code, the error to return.")
    return faults


def _map(key: t.Callable[[str, t.Any], str], item: t.Callable[[str, t.Any], t.Any]) -> functools.partial[t.Any]:
    return functools.partial(_mapping, key, item)


def _checks(kind: type[t.Any]) -> dict[str, t.Callable[[str, t.Any], t.Any]]:
    """The check of each setting of a class, from its annotation."""
    return {name: hint.__metadata__[0] for name, hint in t.get_type_hints(kind, include_extras=True).items()}


_outcome = functools.partial(_choice, ("error", "reset", "timeout", "late", "lost"))
_cluster_outcome = functools.partial(_choice, ("FAILED",))
_nodegroup_outcome = functools.partial(_choice, ("CREATE_FAILED", "DELETE_FAILED", "DEGRADED"))
_addon_outcome = functools.partial(_choice, ("CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", "DEGRADED"))
_update_outcome = functools.partial(_choice, ("Failed", "Cancelled"))
_update_type = _code("UpdateType")
Number = t.Annotated[float, _number]
Count = t.Annotated[int, _whole_number]
Text = t.Annotated[str, _text]
Operation = t.Annotated[str, _operation]
Texts = dict[str, str]


# --- the settings -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class RateLimit:
    """A token bucket for each operation that matches, in each account and region."""

    operation: Operation
    #: Calls a second in the long run.
    rate: Number
    #: Calls at once.
    burst: t.Annotated[int, functools.partial(_whole_number, least=1)]
    #: One bucket for all operations that match, instead of one for each.
    shared: t.Annotated[bool, _yes_or_no] = False


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens to some calls of an operation.

    * ``error``: nothing is done, the error is answered.
    * ``reset``: nothing is done, the connection is reset.
    * ``timeout``: nothing is done, and no answer is sent.
    * ``late``: it is done, and the answer is sent ``seconds`` later.
    * ``lost``: it is done, and the connection is reset instead of an answer.
    """

    operation: Operation
    outcome: t.Annotated[str, _outcome] = "error"
    #: Only calls of callers whose ARN matches, such as ``*:assumed-role/nodes/*``.
    caller: Text = "*"
    #: The error's code, and its status where the service's model has none for it.
    code: Text = ""
    message: Text = "The sandbox was told to answer this error."
    status: t.Annotated[int, functools.partial(_whole_number, least=400, most=599)] = 400
    seconds: Number = 0.0
    #: Which of the calls, from 1, counted from when the knobs were set; empty: every call.
    calls: t.Annotated[t.Sequence[int], _call_numbers] = ()
    #: The share of these calls, drawn from a generator with this seed.
    probability: t.Annotated[float, functools.partial(_number, most=1)] = 1.0
    seed: Count = 0


@dataclasses.dataclass
class Knobs:
    """All settings with their defaults; times are in seconds."""

    #: CREATING or DELETING of a cluster; its update takes as long.
    cluster_seconds: Number = 1.0
    nodegroup_seconds: Number = 1.0
    addon_seconds: Number = 0.5
    #: How long an add-on stays CREATING before it is DEGRADED without a node; with nodes, ten times as long.
    addon_patience_seconds: Number = 2.0
    #: Name -> Kubernetes and platform version of a cluster that is old already, such as ``1.28/eks.3``.
    cluster_platforms: t.Annotated[Texts, _map(_text, _platform)] = dataclasses.field(default_factory=dict)
    #: Name -> how its next creation, update or deletion ends, and the code of the health issue that goes with it.
    cluster_outcomes: t.Annotated[Texts, _map(_text, _cluster_outcome)] = dataclasses.field(default_factory=dict)
    cluster_issues: t.Annotated[Texts, _map(_text, _code("ClusterIssueCode"))] = dataclasses.field(default_factory=dict)
    #: Name -> what its checks before an update of the version have found; ERROR stops one that is not forced.
    cluster_insights: t.Annotated[Texts, _map(_text, _code("InsightStatusValue"))] = dataclasses.field(
        default_factory=dict
    )
    nodegroup_outcomes: t.Annotated[Texts, _map(_text, _nodegroup_outcome)] = dataclasses.field(default_factory=dict)
    nodegroup_issues: t.Annotated[Texts, _map(_text, _code("NodegroupIssueCode"))] = dataclasses.field(
        default_factory=dict
    )
    addon_outcomes: t.Annotated[Texts, _map(_text, _addon_outcome)] = dataclasses.field(default_factory=dict)
    addon_issues: t.Annotated[Texts, _map(_text, _code("AddonIssueCode"))] = dataclasses.field(default_factory=dict)
    #: Type of an update, such as VersionUpdate -> how it ends, and the code of its error.
    update_outcomes: t.Annotated[Texts, _map(_update_type, _update_outcome)] = dataclasses.field(default_factory=dict)
    update_errors: t.Annotated[Texts, _map(_update_type, _code("ErrorCode"))] = dataclasses.field(default_factory=dict)
    #: How long the webhook does not know of a new association, or of the end of one.
    association_delay_seconds: Number = 0.0
    #: Replicas of the webhook, which answer in turn, and how long after the first the last one learns of a change.
    webhook_replicas: t.Annotated[int, functools.partial(_whole_number, least=1, most=100)] = 1
    webhook_spread_seconds: Number = 0.0
    #: How long a new role "does not exist" for other services, and a changed trust policy is the old one for them.
    iam_propagation_seconds: Number = 0.0
    #: How long a NAT gateway is pending or deleting.
    nat_gateway_seconds: Number = 0.5
    #: Quota; EKS has 5,000 and does not raise it (facts 2.1).
    associations_per_cluster: Count = 5000
    #: Quota; IAM raises it on request ("Role trust policy length").
    trust_policy_characters: t.Annotated[int, functools.partial(_whole_number, least=2048, most=8192)] = 2048
    #: What every call takes, and (by pattern, the first that matches) what calls of some operations take instead.
    latency_seconds: Number = 0.0
    latencies: t.Annotated[dict[str, float], _map(_operation, _number)] = dataclasses.field(default_factory=dict)
    rate_limits: t.Annotated[list[RateLimit], functools.partial(_records, RateLimit)] = dataclasses.field(
        default_factory=list
    )
    faults: t.Annotated[list[Fault], _faults] = dataclasses.field(default_factory=list)
    #: How long a request may take to arrive completely.
    request_seconds: Number = 20.0

    def update(self, changes: t.Any) -> None:
        """Set the named knobs and leave the others; all or nothing.

        Raises WrongKnob.
        """
        checks = _checks(type(self))
        if not isinstance(changes, dict):
            raise WrongKnob("Knobs are a JSON object.")
        unknown = sorted(set(changes) - set(checks))
        if unknown:
            raise WrongKnob(f"Unknown knob {', '.join(unknown)}; the knobs are {', '.join(sorted(checks))}.")
        checked = {name: checks[name](name, value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def reset(self, changes: t.Any) -> None:
        """Back to the defaults, but for these; raises WrongKnob."""
        for name, value in vars(Knobs()).items():
            setattr(self, name, value)
        self.update(changes)

    def document(self) -> dict[str, t.Any]:
        """All settings, as JSON shows them and :meth:`update` takes them."""
        return dataclasses.asdict(self)
