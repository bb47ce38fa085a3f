# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a container in namespaces sees of files: its image, a few files that kubelet writes, and its volumes.

Of this machine it has the system's programs and libraries and what its image needs besides, read-only; no home, no
settings, no checkout.
"""

from __future__ import annotations

import pathlib
import sys
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.node.images import SYSTEM_PATH
from eks_sandbox.node.images import Image

#: Bytes that a container may write outside its volumes; they are in memory.
WRITABLE_SIZE = 512 * 2**20
SYSTEM = "/usr"
#: Beside ``/usr`` on older systems, links into it on newer ones.
_BESIDE = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
#: What programs need of the machine's settings, where it is there: certificates and how pip finds them, the linker's
#: cache, names of things.
_SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/mime.types",
    "/etc/pip.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl",
)
_FOLDERS = {"/etc": 0o755, "/home": 0o755, "/root": 0o700, "/run": 0o755, "/tmp": 0o1777, "/var/tmp": 0o1777}
_ACCOUNTS = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "hosts: files dns\n",
}

#: Where a container's Python is, and the program ``aws`` of its packages.
PYTHON = "/opt/python"
PATH = f"{PYTHON}/bin:{SYSTEM_PATH}"
_AWS = f"#!{PYTHON}/bin/python3\nimport sys\nfrom awscli.clidriver import main\nsys.exit(main())\n"

Bind = tuple[str, str, bool]


def base_plan(path: pathlib.Path) -> dict[str, t.Any]:
    """The file system that every container has, to be built at an empty folder (``shim/root.py`` builds it)."""
    links, binds = {"/var/run": "../run"}, [(SYSTEM, SYSTEM, True)]
    for name in _BESIDE:
        place = pathlib.Path(name)
        if place.is_symlink():
            links[name] = str(place.readlink()).lstrip("/")
        elif place.is_dir():
            binds.append((name, name, True))
    binds += [(name, name, True) for name in _SETTINGS if pathlib.Path(name).exists()]
    return {
        "path": str(path),
        "size": WRITABLE_SIZE,
        "folders": dict(_FOLDERS),
        "files": dict(_ACCOUNTS),
        "programs": {},
        "links": links,
        "binds": binds,
        "read_only": False,
    }


def add_image(plan: dict[str, t.Any], image: Image, folders: t.Iterable[pathlib.Path]) -> None:
    """Put an image into a file system: its Python at a separate path, and folders of this machine unchanged."""
    if image.python is not None:
        _add_python(plan, image.packages)
    plan["binds"] += [(str(path), str(path), True) for path in (*image.folders, *folders)]


def _add_python(plan: dict[str, t.Any], packages: pathlib.Path | None) -> None:
    """A virtual environment of the interpreter that runs the sandbox.

    It cannot be the sandbox's own at its own place: a volume of a pod may be mounted there.
    """
    program = pathlib.Path(sys.executable).resolve()
    installation = program.parents[1]
    if not installation.is_relative_to(SYSTEM):
        plan["binds"].append((str(installation), str(installation), True))
    names = ("python", "python3", f"python3.{sys.version_info.minor}")
    plan["links"] |= {f"{PYTHON}/bin/{name}": str(program) for name in names}
    plan["links"][f"{PYTHON}/lib64"] = "lib"
    plan["files"][f"{PYTHON}/pyvenv.cfg"] = f"home = {program.parent}\ninclude-system-site-packages = false\n"
    if packages is not None:
        plan["binds"].append((str(packages), f"{PYTHON}/lib", True))
        plan["programs"][f"{PYTHON}/bin/aws"] = _AWS


def network_files(hostname: str, namespace: str, hosts: t.Mapping[str, str], spec: Object) -> dict[str, str]:
    """``/etc/hosts``, ``hostname`` and ``resolv.conf`` as kubelet writes them; ``hosts`` are names and addresses."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{address}\t{name}" for name, address in hosts.items()]
    lines += [f"{alias['ip']}\t{' '.join(alias.get('hostnames') or [])}" for alias in spec.get("hostAliases") or []]
    search = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
    return {
        "/etc/hosts": "\n".join(["# Kubernetes-managed hosts file.", *lines, ""]),
        "/etc/hostname": f"{hostname}\n",
        "/etc/resolv.conf": f"search {search}\nnameserver 10.100.0.10\noptions ndots:5\n",
    }
