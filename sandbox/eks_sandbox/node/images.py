# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an image's name lets a pod run.

There are no images here. A name that stands for something this machine has gets it; any other name fails as a registry
would let it fail.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import re
import sys
import typing as t
import venv

from eks_sandbox.node.processes import SOURCES

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
AGENT_REPOSITORY = "eks-pod-identity-agent"

_PYTHON_NAMES = re.compile(r"python(3(\.\d+)?)?")
_DOCKER_HUB = r"(docker\.io/)?"
_LIBRARY = rf"({_DOCKER_HUB}(library/)?|public\.ecr\.aws/docker/library/)"
#: The grammar of an image's name (distribution/reference): host, path, tag, digest.
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*(?::\d+)?/)?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG, _DIGEST = r"(?::[\w][\w.-]{0,127})?", r"(?:@[\w+.-]+:[0-9a-fA-F]{32,})?"
_REFERENCE = re.compile(rf"({_HOST}{_PATH}(?:/{_PATH})*){_TAG}{_DIGEST}", re.ASCII)


class ImagePullError(Exception):
    """No such image."""


class InvalidImageNameError(ImagePullError):
    """The name is none of an image."""


@dataclasses.dataclass(frozen=True)
class Image:
    """What a container of this image has before its own settings."""

    name: str
    #: The interpreter that ``python`` stands for, in any folder that a command names; None: the image has none.
    python: pathlib.Path | None = None
    #: The folder ``lib`` in which that interpreter finds packages, where it has more than its standard library.
    packages: pathlib.Path | None = None
    #: More folders of this machine that it consists of.
    folders: tuple[pathlib.Path, ...] = ()
    #: What the image runs by default; empty if a pod must set it.
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_agent: bool = False

    @property
    def path(self) -> str:
        """Folders of programs, for a process of this machine."""
        return f"{self.python.parent}:{SYSTEM_PATH}" if self.python else SYSTEM_PATH

    def arguments(self, container: t.Mapping[str, t.Any]) -> list[str]:
        """The command line: ``command`` replaces the entry point, and ``args`` what follows it."""
        command, arguments = container.get("command"), container.get("args")
        if command and self.is_agent:
            # AWS's manifests call the agent through its runner: the sandbox replaces the program, not its arguments.
            return [*self.entrypoint, *(part for part in command if "/" not in part), *(arguments or ())]
        if command:
            return [*command, *(arguments or ())]
        return [*self.entrypoint, *(arguments or self.command)]

    def resolve(self, arguments: t.Sequence[str], python: pathlib.PurePath | None) -> list[str]:
        """The command line with this interpreter in place of a path that only the true image would have."""
        if not arguments:
            return []
        program = arguments[0]
        if python and "/" in program and _PYTHON_NAMES.fullmatch(program.rpartition("/")[2]):
            program = str(python)
        return [program, *arguments[1:]]


class Images:
    """The images of one cluster; their folders are below ``directory``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        #: Repository -> what makes its image.
        self._makers: tuple[tuple[re.Pattern[str], t.Callable[[str], Image]], ...] = (
            (re.compile(rf"{_LIBRARY}python"), _python),
            (re.compile(r"public\.ecr\.aws/lambda/python"), _lambda),
            (re.compile(rf"({_LIBRARY}|public\.ecr\.aws/amazonlinux/)amazonlinux"), self._amazon_linux),
            (re.compile(rf"({_DOCKER_HUB}amazon|public\.ecr\.aws/aws-cli)/aws-cli"), _aws_cli),
            (re.compile(rf"{_LIBRARY}busybox"), _busybox),
            (re.compile(rf"(.+/)?{AGENT_REPOSITORY}"), _agent),
        )

    def pull(self, reference: str) -> Image:
        """The image of this name.

        :raises ImagePullError: no image has this name here.
        """
        named = _REFERENCE.fullmatch(reference)
        if named is None:
            why = f'couldn\'t parse image name "{reference}": invalid reference format'
            raise InvalidImageNameError(f'Failed to apply default image tag "{reference}": {why}')
        for pattern, make in self._makers:
            if pattern.fullmatch(named[1]):
                return make(reference)
        whole = f"docker.io/library/{reference}" if "/" not in named[1] else reference
        known = "python, public.ecr.aws/lambda/python, amazonlinux, amazon/aws-cli, busybox and eks-pod-identity-agent"
        raise ImagePullError(
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{whole}": failed to resolve reference '
            f'"{whole}": {whole}: not found (the sandbox has the images {known})'
        )

    def _amazon_linux(self, reference: str) -> Image:
        """A shell, and a Python that has its standard library and nothing else."""
        python = self._directory / "amazonlinux" / "bin" / "python3"
        if not python.exists():
            venv.create(python.parents[1], symlinks=True, with_pip=False)
        return Image(reference, python, command=("/bin/bash",))


def _python(reference: str) -> Image:
    """The sandbox's own interpreter, whose packages hold boto3."""
    return Image(reference, pathlib.Path(sys.executable), pathlib.Path(sys.prefix) / "lib", command=("python3",))


def _lambda(reference: str) -> Image:
    """boto3 is in its packages, as in those of AWS's image; the entry point of AWS Lambda is not."""
    return dataclasses.replace(_python(reference), entrypoint=("/lambda-entrypoint.sh",), command=())


def _aws_cli(reference: str) -> Image:
    if importlib.util.find_spec("awscli") is None:
        raise ImagePullError(f'failed to pull image "{reference}": the sandbox runs without the aws CLI')
    return dataclasses.replace(_python(reference), entrypoint=("aws",), command=())


def _agent(reference: str) -> Image:
    return dataclasses.replace(
        _python(reference),
        folders=(SOURCES / "eks_sandbox",),
        entrypoint=("python3", "-m", "eks_sandbox.node.agent"),
        command=(),
        environment={"PYTHONPATH": str(SOURCES)},
        is_agent=True,
    )


def _busybox(reference: str) -> Image:
    """A shell and the usual commands: this machine's."""
    return Image(reference, command=("sh",))
