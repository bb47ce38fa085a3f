# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The effective security context of a pod and a container."""

from __future__ import annotations

import dataclasses
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.node.environment import ConfigurationError

#: Capabilities by their numbers (linux/capability.h), and those that a container runtime leaves to a container.
CAPABILITIES = tuple(
    """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
    """.split()  # noqa: SIM905 - a table
)
_USUAL = frozenset(
    """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE
    SETFCAP
    """.split()  # noqa: SIM905 - a table
)


@dataclasses.dataclass(frozen=True)
class Security:
    """The user and the rights of a container's processes."""

    user: int
    group: int
    #: Names without ``CAP_``.
    capabilities: frozenset[str]
    no_new_privileges: bool
    read_only_root: bool

    @classmethod
    def of(cls, pod: Object, container: Object) -> Security:
        """The container's own settings before the pod's. Every image here runs as root by default.

        :raises ConfigurationError: it must not run as root but would.
        """
        own: Object = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
        user = own.get("runAsUser")
        if own.get("runAsNonRoot") and not user:
            why = "container has runAsNonRoot and image will run as root"
            why = "container's runAsUser breaks non-root policy" if user == 0 else why
            named = f'"{pod["metadata"]["name"]}_{pod["metadata"]["namespace"]}({pod["metadata"]["uid"]})"'
            raise ConfigurationError(f"{why} (pod: {named}, container: {container['name']})")
        return cls(
            user=user or 0,
            group=own.get("runAsGroup") or 0,
            capabilities=_capabilities(own),
            no_new_privileges=own.get("allowPrivilegeEscalation") is False,
            read_only_root=bool(own.get("readOnlyRootFilesystem")),
        )

    @property
    def capability_numbers(self) -> list[int]:
        """For the kernel."""
        return [number for number, name in enumerate(CAPABILITIES) if name in self.capabilities]


def _capabilities(context: Object) -> frozenset[str]:
    if context.get("privileged"):
        return frozenset(CAPABILITIES)
    changes = context.get("capabilities") or {}
    added, dropped = (_names(changes.get(change) or []) for change in ("add", "drop"))
    kept = set(_USUAL) if "ALL" not in dropped else set()
    everything = set(CAPABILITIES) if "ALL" in added else set()
    return frozenset((kept - dropped) | added | everything)


def _names(said: t.Iterable[str]) -> set[str]:
    return {name.upper().removeprefix("CAP_") for name in said}
