# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an image's name lets a pod run.

There are no images here. A name that stands for something this machine has gets it; any other name fails as a registry
would let it fail.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re
import sys
import typing as t
import venv

SANDBOX_SOURCES = pathlib.Path(__file__).resolve().parents[2]
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
AGENT_REPOSITORY = "eks-pod-identity-agent"

_PYTHON = re.compile(r"(public\.ecr\.aws/(lambda|docker/library)/|docker\.io/(library/)?|library/)?python")
_AMAZON_LINUX = re.compile(r"(public\.ecr\.aws/amazonlinux/|docker\.io/(library/)?|library/)?amazonlinux")
_AGENT = re.compile(rf"(.+/)?{AGENT_REPOSITORY}")
_PYTHON_NAMES = re.compile(r"python(3(\.\d+)?)?")


class ImagePullError(Exception):
    """No such image."""


@dataclasses.dataclass(frozen=True)
class Image:
    """What a container of this image has before its own settings."""

    name: str
    #: Folders of programs.
    path: str
    #: The interpreter that ``python`` stands for, whatever folder a command names.
    python: pathlib.Path
    #: What the image itself runs; None where a pod must say it.
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_agent: bool = False

    def arguments(self, container: t.Mapping[str, t.Any]) -> list[str]:
        """The command line: ``command`` replaces the entry point, and ``args`` what follows it."""
        command, arguments = container.get("command"), container.get("args")
        if command and self.is_agent:
            # AWS's manifests call the agent through its runner: the program is ours, its sub-command and flags stay.
            return [*self.entrypoint, *(part for part in command if "/" not in part), *(arguments or ())]
        if command:
            return [*command, *(arguments or ())]
        return [*self.entrypoint, *(arguments or self.command)]

    def resolve(self, arguments: t.Sequence[str]) -> list[str]:
        """The command line with the image's Python in place of a path that only the image would have."""
        if not arguments:
            return []
        program = arguments[0]
        if "/" in program and _PYTHON_NAMES.fullmatch(program.rpartition("/")[2]):
            program = str(self.python)
        return [program, *arguments[1:]]


class Images:
    """The images of one cluster; made folders live below ``directory``."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory

    def pull(self, reference: str) -> Image:
        """The image of this name.

        :raises ImagePullError: nothing here stands for it.
        """
        repository = _repository(reference)
        if _PYTHON.fullmatch(repository):
            return self._with_boto3(reference)
        if _AMAZON_LINUX.fullmatch(repository):
            return self._plain(reference)
        if _AGENT.fullmatch(repository):
            return self._agent(reference)
        raise ImagePullError(
            f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}": not found '
            "(the sandbox has the images python, public.ecr.aws/lambda/python, amazonlinux and eks-pod-identity-agent)"
        )

    @staticmethod
    def _with_boto3(reference: str) -> Image:
        """The sandbox's own interpreter, whose packages hold boto3, as those of the Lambda image do."""
        folder = pathlib.Path(sys.executable).parent
        is_lambda = "lambda/" in reference
        return Image(
            name=reference,
            path=f"{folder}:{SYSTEM_PATH}",
            python=pathlib.Path(sys.executable),
            entrypoint=("/lambda-entrypoint.sh",) if is_lambda else (),
            command=() if is_lambda else ("python3",),
        )

    def _plain(self, reference: str) -> Image:
        """A shell, and a Python that has its standard library and nothing else."""
        folder = self._directory / "amazonlinux"
        if not (folder / "bin" / "python3").exists():
            venv.create(folder, symlinks=True, with_pip=False)
        path = f"{folder / 'bin'}:{SYSTEM_PATH}"
        return Image(name=reference, path=path, python=folder / "bin" / "python3", command=("/bin/bash",))

    @staticmethod
    def _agent(reference: str) -> Image:
        python = pathlib.Path(sys.executable)
        return Image(
            name=reference,
            path=f"{python.parent}:{SYSTEM_PATH}",
            python=python,
            entrypoint=(str(python), "-m", "eks_sandbox.node.agent"),
            environment={"PYTHONPATH": str(SANDBOX_SOURCES)},
            is_agent=True,
        )


def _repository(reference: str) -> str:
    """The reference without tag and digest; the host of a private registry of AWS stays."""
    name = reference.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"
