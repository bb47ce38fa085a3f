# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can be told to go slowly or wrong: the sandbox's knobs, set over ``PATCH /_sandbox/knobs``."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from eks_sandbox.aws.errors import ServiceError

#: Health issue codes that EKS gives a broken add-on (facts 2.3).
ADDON_OUTCOMES = ("CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", "DEGRADED")


class UnknownKnob(ValueError):
    """A setting that does not exist or cannot hold this value; the text says which."""


@dataclasses.dataclass
class Fault:
    """An operation that answers an error at its n-th calls (from 1, counted from when the fault was set)."""

    #: ``CreateAddon`` or, where two services share a name, ``eks:CreateAddon``.
    operation: str
    code: str
    message: str = "The sandbox was told to answer this error."
    #: Empty: every call.
    calls: list[int] = dataclasses.field(default_factory=list)
    #: For codes that the service's model does not know.
    status: int = 400


@dataclasses.dataclass
class Knobs:
    """All settings with their defaults; times are in seconds."""

    #: CREATING or DELETING of a cluster; its update takes as long.
    cluster_seconds: float = 1.0
    nodegroup_seconds: float = 1.0
    addon_seconds: float = 0.5
    #: How long an add-on stays CREATING before it is DEGRADED for want of a node; with nodes, ten times as long.
    addon_patience_seconds: float = 2.0
    #: Add-on name -> how its next creation or update ends (one of ``ADDON_OUTCOMES``).
    addon_outcomes: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Add-on name -> code of the health issue that goes with the outcome.
    addon_issues: dict[str, str] = dataclasses.field(default_factory=dict)
    #: How long the webhook does not inject for a new association.
    association_delay_seconds: float = 0.0
    #: How long a new role "does not exist" for other services.
    iam_propagation_seconds: float = 0.0
    #: Quota; EKS has 5,000 and does not raise it (facts 2.1).
    associations_per_cluster: int = 5000
    #: Seconds that every call to EKS takes.
    latency_seconds: float = 0.0
    faults: list[Fault] = dataclasses.field(default_factory=list)

    def update(self, changes: t.Mapping[str, t.Any]) -> None:
        """Set the named knobs and leave the others; all or nothing.

        Raises UnknownKnob.
        """
        known = {field.name for field in dataclasses.fields(self)}
        unknown = sorted(set(changes) - known)
        if unknown:
            raise UnknownKnob(f"There is no knob {', '.join(unknown)}; there are {', '.join(sorted(known))}.")
        checked = {name: _checked(name, getattr(self, name), value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """Back to the defaults."""
        for name, value in dataclasses.asdict(Knobs()).items():
            setattr(self, name, value)

    def document(self) -> dict[str, t.Any]:
        """All settings, as JSON shows them."""
        return dataclasses.asdict(self)


class FaultTable:
    """Counts calls and raises the faults that are due."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._counts: collections.Counter[str] = collections.Counter()

    def start_again(self) -> None:
        """Count from one again; called whenever faults are set."""
        self._counts.clear()

    def check(self, service: str, operation: str) -> None:
        """Raise ServiceError when this call is to fail."""
        names = (operation, f"{service}:{operation}")
        self._counts[names[1]] += 1
        for fault in self._knobs.faults:
            if fault.operation in names and (not fault.calls or self._counts[names[1]] in fault.calls):
                raise ServiceError(fault.code, fault.message, status=fault.status)


def _checked(name: str, current: t.Any, value: t.Any) -> t.Any:
    if name == "faults":
        return _faults(value)
    if isinstance(current, dict):
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise UnknownKnob(f"{name} must be an object of texts.")
        bad = sorted(set(value.values()) - set(ADDON_OUTCOMES)) if name == "addon_outcomes" else []
        if bad:
            raise UnknownKnob(f"{name} knows {', '.join(ADDON_OUTCOMES)}, not {', '.join(bad)}.")
        return dict(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise UnknownKnob(f"{name} must be a number that is not negative.")
    return type(current)(value)


def _faults(value: t.Any) -> list[Fault]:
    try:
        return [Fault(**fault) for fault in value]
    except TypeError as error:
        raise UnknownKnob(f"faults must be a list of objects with operation and code: {error}") from error
