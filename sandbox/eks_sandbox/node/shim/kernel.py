# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Linux system calls that Python lacks, or has only since 3.12."""

from __future__ import annotations

import ctypes
import os
import pathlib
import platform
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY = 0x1


def _call(name: str, *arguments: object) -> None:
    """A function of the C library that returns -1 and sets errno when it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def control_process(option: int, value: int) -> None:
    """``prctl``, if the system has it."""
    if sys.platform == "linux":
        _call("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _call("unshare", flags)


def join(descriptor: int, kind: int) -> None:
    """Enter the namespace that a descriptor stands for."""
    _call("setns", descriptor, kind)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system, or bind a path to another."""
    texts = [text.encode() or None for text in (source, target, kind, options)]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def make_read_only(path: str, *, recursive: bool) -> None:
    """Nothing can be written through this mount, nor through mounts on top of it if it is recursive."""
    attributes = (ctypes.c_uint64 * 4)(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    flags = ctypes.c_uint(_AT_RECURSIVE if recursive else 0)
    number = ctypes.c_long(_MOUNT_SETATTR)
    _call("syscall", number, _AT_FDCWD, path.encode(), flags, ctypes.byref(attributes), size)


def change_root(path: str) -> None:
    """Make a mount the root, and detach the old root: no path leads back to it."""
    os.chdir(path)
    _call("syscall", ctypes.c_long(_PIVOT_ROOT[platform.machine()]), b".", b".")
    _call("umount2", b".", MNT_DETACH)
    os.chdir("/")


def enter_user_namespace(user: int, group: int, more: int = 0) -> None:
    """Be this user and group in a new user namespace, where no other identity exists, and in more new namespaces."""
    inside = {"uid_map": f"{user} {os.geteuid()} 1", "gid_map": f"{group} {os.getegid()} 1"}
    unshare(CLONE_NEWUSER | more)
    for name, text in {"setgroups": "deny", **inside}.items():
        write(f"/proc/self/{name}", text)


def write(path: str, text: str) -> None:
    """Write to a file of the kernel, in one go."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def last_capability() -> int:
    """The highest capability that this kernel knows."""
    return int(pathlib.Path("/proc/sys/kernel/cap_last_cap").read_bytes())
