# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stand-in for AWX's jobs: runs playbooks by ansible-runner and hands values over as AWX 24.6 does.

* Extra variables come in ``env/extravars``. What the template itself sets stands there as it is; of everything else
  each text and each key is marked ``!unsafe``, so that ansible-core 2.19 gives it a type.
* The template's variables give way to artifacts of earlier nodes, and these to a survey's answers. AWX adds what it
  says of the job itself, such as ``awx_job_id``.
* A sliced job is several jobs, each with every n-th host; a slice without a host fails. Of an artifact that several
  slices publish, the last one stays.
* A node runs when the one before it succeeded, and a denied approval ends the workflow.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import typing as t

import ansible_runner
import yaml
from support.environment import ROOT

Values = t.Mapping[str, t.Any]
#: What AWX says of every job, under the names of both products.
META = {
    f"{product}_{name}": value
    for product in ("awx", "tower")
    for name, value in {
        "job_id": 42,
        "job_launch_type": "workflow",
        "job_template_name": "EKS Pod Identity: apply a request",
        "inventory_name": "EKS Pod Identity clusters",
        "project_revision": "0123abc",
        "user_name": "on",
    }.items()
}
#: Where an approval node stands, and whether it is approved.
APPROVED, DENIED = "approved", "denied"


class UnsafeDumper(yaml.SafeDumper):
    """Marks texts, keys included."""

    def represent_data(self, data: t.Any) -> yaml.Node:
        if isinstance(data, str):
            return self.represent_scalar("!unsafe", data)
        return super().represent_data(data)


def extra_vars_file(values: Values, trusted: Values) -> str:
    """The text of ``env/extravars``; trusted are variables that the template itself sets."""
    parts = []
    for key, value in values.items():
        safe = key in trusted and trusted[key] == value
        parts.append(
            yaml.dump({key: value}, Dumper=yaml.SafeDumper if safe else UnsafeDumper, default_flow_style=False)
        )
    return "".join(parts)


@dataclasses.dataclass(frozen=True)
class Template:
    """A job template."""

    playbook: str
    check: bool = False
    variables: Values = dataclasses.field(default_factory=dict)
    limit: str = ""
    tags: str = ""
    slices: int = 1
    verbosity: int = 0
    #: Somebody cancels the job when this stands in its output.
    cancelled_at: str = ""


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that has ended."""

    runner: t.Any
    folder: pathlib.Path

    @property
    def successful(self) -> bool:
        return bool(self.runner.status == "successful")

    @property
    def output(self) -> str:
        return str((self.folder / "artifacts" / "job" / "stdout").read_text(encoding="utf-8"))

    @property
    def words(self) -> str:
        """The output without its line breaks."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> dict[str, int]:
        """By host."""
        return dict((self.runner.stats or {}).get("changed", {}))

    @property
    def artifacts(self) -> dict[str, t.Any]:
        """What it published by set_stats."""
        stats = [event for event in self.runner.events if event["event"] == "playbook_on_stats"]
        return dict(stats[-1]["event_data"].get("artifact_data", {})) if stats else {}


@dataclasses.dataclass
class Awx:
    """Runs jobs over an inventory."""

    folder: pathlib.Path
    environment: dict[str, str]
    hosts: dict[str, Values]
    #: Variables of the group ``eks_clusters``.
    variables: Values
    _numbers: t.Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def launch(self, template: Template, answers: Values | None = None, artifacts: Values | None = None) -> list[Job]:
        """The job, or its slices."""
        values = {**META, **template.variables, **(artifacts or {}), **(answers or {})}
        names = sorted(self.hosts)
        return [self._run(template, values, names[number :: template.slices]) for number in range(template.slices)]

    def workflow(self, nodes: t.Iterable[Template | str], answers: Values | None = None) -> list[list[Job]]:
        """The jobs of each node that ran, until one failed or was denied."""
        ran: list[list[Job]] = []
        artifacts: dict[str, t.Any] = {}
        for node in nodes:
            if isinstance(node, str):
                if node == DENIED:
                    break
                continue
            jobs = self.launch(node, answers, artifacts)
            ran.append(jobs)
            for job in jobs:
                artifacts.update(job.artifacts)
            if not all(job.successful for job in jobs):
                break
        return ran

    def _run(self, template: Template, values: Values, hosts: list[str]) -> Job:
        folder = self.folder / str(next(self._numbers))
        (folder / "env").mkdir(parents=True)
        (folder / "env" / "extravars").write_text(extra_vars_file(values, template.variables), encoding="utf-8")
        arguments = [*(["--check"] if template.check else []), "--diff"]
        arguments += ["--limit", template.limit] if template.limit else []
        arguments += ["--tags", template.tags] if template.tags else []
        output = folder / "artifacts" / "job" / "stdout"

        def cancelled() -> bool:
            return (
                bool(template.cancelled_at) and output.exists() and template.cancelled_at in output.read_text("utf-8")
            )

        runner = ansible_runner.run(
            private_data_dir=str(folder),
            project_dir=str(ROOT),
            playbook=template.playbook,
            inventory={"eks_clusters": {"hosts": {name: self.hosts[name] for name in hosts}, "vars": self.variables}},
            envvars=self.environment,
            cmdline=" ".join(arguments),
            verbosity=template.verbosity,
            cancel_callback=cancelled,
            ident="job",
            quiet=True,
        )
        job = Job(runner, folder)
        print(job.output)
        return job
