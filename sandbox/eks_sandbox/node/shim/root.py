# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file system of one container: its image, read-only, a few files of its own, and its volumes."""

from __future__ import annotations

import pathlib
import typing as t

from eks_sandbox.node.shim import kernel

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}


def enter(plan: dict[str, t.Any]) -> None:
    """Create the file system and move into it, in a new mount namespace of this process.

    ``path``: an empty folder to build it at; ``size``: bytes that a container may write; ``folders``: to make, with
    their modes; ``files`` and ``programs``: path and text; ``links``: path and target; ``binds``: (source, target,
    read-only) of image and volumes; ``read_only``: the root.

    :raises OSError: something cannot be mounted.
    """
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    root = pathlib.Path(plan["path"])
    _memory(root, plan["size"])
    for name, mode in plan["folders"].items():
        _below(root, name).mkdir(parents=True, exist_ok=True)
        _below(root, name).chmod(mode)
    for name, target in plan["links"].items():
        _placed(root, name).symlink_to(target)
    for name, text in plan["files"].items():
        _placed(root, name).write_text(text, encoding="utf-8")
    for name, text in plan["programs"].items():
        _placed(root, name).write_text(text, encoding="utf-8")
        _below(root, name).chmod(0o755)
    _devices(root)
    _below(root, "/proc").mkdir()
    kernel.mount("proc", f"{root}/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    # A nested mount comes after the one that contains it.
    for source, target, read_only in sorted(plan["binds"], key=_depth):
        _bind(source, _place(root, target), read_only=read_only)
    if plan["read_only"]:
        kernel.make_read_only(str(root), recursive=False)
    kernel.change_root(str(root))


def _memory(path: pathlib.Path, size: int) -> None:
    kernel.mount("tmpfs", str(path), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, f"mode=755,size={size}")


def _depth(bind: tuple[str, str, bool]) -> int:
    return len(pathlib.PurePath(bind[1]).parts)


def _below(root: pathlib.Path, name: str) -> pathlib.Path:
    return root / name.lstrip("/")


def _placed(root: pathlib.Path, name: str) -> pathlib.Path:
    path = _below(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _place(root: pathlib.Path, target: str) -> pathlib.Path:
    """Where a path of the container is while its root is not the root yet.

    :raises OSError: a symbolic link in a volume leads out of the container.
    """
    path = _below(root, target).resolve()
    if not path.is_relative_to(root):
        raise OSError(f"mounting to {target}: a symbolic link leads out of the container")
    return path


def _bind(source: str, path: pathlib.Path, *, read_only: bool) -> None:
    if pathlib.Path(source).is_dir():
        path.mkdir(parents=True, exist_ok=True)
    elif not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    kernel.mount(source, str(path), flags=kernel.MS_BIND | kernel.MS_REC)
    if read_only:
        kernel.make_read_only(str(path), recursive=True)


def _devices(root: pathlib.Path) -> None:
    folder = _below(root, "/dev")
    folder.mkdir()
    _memory(folder, 2**16)
    for name in DEVICES:
        _bind(f"/dev/{name}", folder / name, read_only=False)
    for name, target in _DEVICE_LINKS.items():
        (folder / name).symlink_to(target)
    terminals, shared = folder / "pts", folder / "shm"
    for path in (terminals, shared):
        path.mkdir()
    kernel.mount("devpts", str(terminals), "devpts", kernel.MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")
    _memory(shared, 64 * 2**20)
