# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make bench`: how long whole ansible-playbook runs take, beside their rivals, on an endpoint of 60 ms a call.

Every figure of a table is measured in the same run on the same machine, so what counts are the ratios. What is too slow
to be measured whole is measured with 50 associations, scaled, and says so. Writes ``build/bench/bench.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
import typing as t
import urllib.request

from support.environment import ROOT
from support.environment import clean_environment

BENCH = ROOT / "build" / "bench"
RESULT = BENCH / "bench.json"
LATENCY = 0.06
RATE, BURST = 50, 50
COUNT, QUOTA, SAMPLE = 500, 5000, 50
ROLE = "arn:aws:iam::111122223333:role/app"
MANY = "podidentity.eks.eks_pod_identity_associations"
ONE = "podidentity.eks.eks_pod_identity_association"
#: A module that does nothing but what every boto3 module does before it can do anything.
EMPTY = """#!/usr/bin/python
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
AnsibleAWSModule(argument_spec={}).exit_json(changed=False)
"""

Row = dict[str, t.Any]


class Endpoint:
    """The endpoint of endpoint.py, as a process of its own."""

    def __init__(self, **options: float) -> None:
        arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, str(pathlib.Path(__file__).with_name("endpoint.py")), *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{json.loads(self._process.stdout.readline())['port']}"

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def counts(self) -> Row:
        """What was asked since the last clearing."""
        return self._door("GET")

    def clear(self, everything: bool = False) -> None:
        """Forget what was asked, or also what was made; the bucket is full again."""
        self._door("PUT" if everything else "DELETE")

    def _door(self, method: str) -> Row:
        request = urllib.request.Request(f"{self.url}/_bench", method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            found: Row = json.load(answer)
            return found


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run of a program."""

    seconds: float
    calls: int
    refused: int
    #: The most memory that the module's process had, in megabytes; None where the machine does not tell.
    megabytes: float | None = None


def associations(count: int, role: str = ROLE) -> list[Row]:
    """Declarations over twenty namespaces."""
    return [
        {"namespace": f"team-{number % 20}", "service_account": f"app-{number}", "role_arn": role}
        for number in range(count)
    ]


def environment(endpoint: Endpoint) -> dict[str, str]:
    """What a user of the endpoint has in the environment."""
    return clean_environment(BENCH / "home") | {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret-but-long-enough-to-sign-with",
        "ANSIBLE_LIBRARY": str(BENCH / "library"),
    }


def play(endpoint: Endpoint, *tasks: Row) -> Measured:
    """Run a playbook with these tasks, measured from its start to its end."""
    header = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    header["vars"] = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    book = BENCH / "playbook.json"
    book.write_text(json.dumps([{**header, "tasks": list(tasks)}]), encoding="utf-8")
    return run(endpoint, ["ansible-playbook", "-i", "localhost,", str(book)])


def run(endpoint: Endpoint, command: list[str], stdin: str = "") -> Measured:
    """Run a program to its good end."""
    endpoint.clear()
    began = time.monotonic()
    with Memory() as memory:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(endpoint),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    counts = endpoint.counts()
    return Measured(seconds, sum(counts["calls"].values()), counts["refused"], memory.megabytes)


class Memory:
    """Watches how much memory the module's process needs; on Linux only."""

    def __init__(self) -> None:
        self._kilobytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def megabytes(self) -> float | None:
        return self._kilobytes / 1024 or None

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.1):
            for process in pathlib.Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if b"AnsiballZ_" in (process / "cmdline").read_bytes():
                        status = (process / "status").read_text(encoding="utf-8")
                        peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.M)
                        self._kilobytes = max(self._kilobytes, int(peak[1]) if peak else 0)


def typical(repeat: int, measure: t.Callable[[], Measured]) -> Measured:
    """The run in the middle of several."""
    runs = sorted((measure() for _ in range(repeat)), key=seconds_of)
    return runs[(len(runs) - 1) // 2]


def seconds_of(measured: Measured) -> float:
    return measured.seconds


def declare(items: list[Row], **options: t.Any) -> Row:
    """The one task of a run."""
    return {"name": "Associations", MANY: {"cluster_name": "example", "associations": items, **options}}


# --- what is measured -------------------------------------------------------------------------------------------------


def bulk(endpoint: Endpoint, repeat: int) -> list[Row]:
    """Five hundred associations: made, found unchanged, changed."""

    def create() -> Measured:
        endpoint.clear(everything=True)
        return play(endpoint, declare(associations(COUNT), mode="fast"))

    made = typical(repeat, create)
    full = typical(repeat, lambda: play(endpoint, declare(associations(COUNT))))
    fast = typical(repeat, lambda: play(endpoint, declare(associations(COUNT), mode="fast")))
    changed = change_five(endpoint, repeat)
    return [
        row(f"create {COUNT}", made.seconds, "s", 4.0, calls=made.calls),
        row(f"unchanged {COUNT}, full", full.seconds, "s", 4.0, calls=full.calls),
        row(f"unchanged {COUNT}, full: API calls", full.calls, "", 505),
        row(f"unchanged {COUNT}, fast", fast.seconds, "s", 2.5, calls=fast.calls),
        row(f"unchanged {COUNT}, fast: API calls", fast.calls, "", 10),
        row(f"change 5 of {COUNT}", changed.seconds, "s", round(full.seconds + 0.5, 2), calls=changed.calls),
    ]


def change_five(endpoint: Endpoint, repeat: int) -> Measured:
    """Five roles change, and change back in the next run."""
    runs = []
    for number in range(repeat):
        items = associations(COUNT)
        items[:5] = associations(5, role=f"{ROLE}-v{number}")
        runs.append(play(endpoint, declare(items)))
    return sorted(runs, key=seconds_of)[(repeat - 1) // 2]


def bucket(start: float) -> list[Row]:
    """Behind a token bucket, where the ideal is what the bucket allows."""
    ideal = (COUNT - BURST) / RATE
    with Endpoint(latency=LATENCY, rate=RATE, burst=BURST) as endpoint:
        made = play(endpoint, declare(associations(COUNT)))
        finished = endpoint.counts()["associations"]
    name = f"bucket of {RATE}/s, burst {BURST}: create"
    return [
        row(name, made.seconds, "s", round(1.25 * ideal + start, 2), calls=made.calls, refused=made.refused),
        row(f"bucket of {RATE}/s, burst {BURST}: finished of {COUNT}", finished, "", COUNT, least=True),
    ]


def quota(endpoint: Endpoint, little_made: float, little_full: float, start: float) -> list[Row]:
    """As many as a cluster takes: time by the association, against that of fewer in seconds, and memory."""
    endpoint.clear(everything=True)
    items = associations(QUOTA)
    made = play(endpoint, declare(items))
    full = play(endpoint, declare(items))
    rows = []
    for name, large, little in (("create", made, little_made), ("unchanged, full", full, little_full)):
        linear = (large.seconds - start) / QUOTA / ((little - start) / COUNT)
        rows += [
            row(f"{name} {QUOTA}", large.seconds, "s", None, calls=large.calls),
            row(f"{name} {QUOTA}: time by the association, to that of {COUNT}", round(linear, 2), "x", 1.15),
        ]
        if large.megabytes:
            rows.append(row(f"{name} {QUOTA}: memory of the module", round(large.megabytes), "MB", 150))
    return rows


def single(endpoint: Endpoint, repeat: int) -> list[Row]:
    """One association by its own module, against a module that does nothing; per task, by a run with ten of them."""
    (BENCH / "library").mkdir(exist_ok=True)
    (BENCH / "library" / "empty_boto3_module.py").write_text(EMPTY, encoding="utf-8")
    [item] = associations(1)
    task = {"name": "One", ONE: {"cluster_name": "example", **item}}
    endpoint.clear(everything=True)
    play(endpoint, task)
    calls = play(endpoint, task).calls
    ours, empty = (
        statistics.median(per_task(endpoint, one) for _ in range(repeat))
        for one in (task, {"name": "Nothing", "empty_boto3_module": {}})
    )
    return [
        row("one association, unchanged: over an empty boto3 module", round(ours - empty, 3), "s", 0.3, task=ours),
        row("one association, unchanged: API calls", calls, "", 2),
    ]


def per_task(endpoint: Endpoint, task: Row, count: int = 10) -> float:
    """Seconds of one task, without the start of the playbook."""
    return (play(endpoint, *[task] * (count + 1)).seconds - play(endpoint, task).seconds) / count


def rivals(endpoint: Endpoint, ours: float) -> list[Row]:
    """The same work by other means; our own create is what they are compared with."""
    scale = COUNT / SAMPLE
    endpoint.clear(everything=True)
    loop = {
        "name": "One after another",
        ONE: {
            "cluster_name": "example",
            "namespace": "{{ item.namespace }}",
            "service_account": "{{ item.service_account }}",
            "role_arn": "{{ item.role_arn }}",
        },
        "loop": associations(SAMPLE),
    }
    looped = play(endpoint, loop).seconds * scale
    label = f"{SAMPLE} items, scaled"
    rows = [
        row(f"rival: task loop, create {COUNT}", looped, "s", None, note=label),
        row("create: times faster than the task loop", round(looped / ours), "x", 100, least=True),
    ]
    if shutil.which("aws"):
        endpoint.clear(everything=True)
        took = run(endpoint, ["sh", "-e"], stdin=shell_loop()).seconds * scale
        rows.append(row(f"rival: aws CLI in a shell loop, create {COUNT}", took, "s", None, note=label))
    if shutil.which("eksctl"):
        rows.append(eksctl(endpoint))
    return rows


def shell_loop() -> str:
    """What somebody writes who has only the aws CLI."""
    words = "aws eks create-pod-identity-association --cluster-name example --output text"
    return "\n".join(
        f"{words} --namespace {one['namespace']} --service-account {one['service_account']} --role-arn {ROLE}"
        for one in associations(SAMPLE)
    )


def eksctl(endpoint: Endpoint) -> Row:
    """eksctl makes all of a file at once."""
    endpoint.clear(everything=True)
    entries = [
        {"namespace": one["namespace"], "serviceAccountName": one["service_account"], "roleARN": ROLE}
        for one in associations(COUNT)
    ]
    metadata = {"name": "example", "region": "eu-west-1"}
    config = {"apiVersion": "eksctl.io/v1alpha5", "kind": "ClusterConfig", "metadata": metadata}
    (BENCH / "eksctl.yaml").write_text(json.dumps({**config, "iam": {"podIdentityAssociations": entries}}))
    command = ["eksctl", "create", "podidentityassociation", "--config-file", str(BENCH / "eksctl.yaml")]
    began = time.monotonic()
    done = subprocess.run(command, env=environment(endpoint), capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    note = f"{endpoint.counts()['associations']} made" + ("" if done.returncode == 0 else ", it failed")
    return row(f"rival: eksctl, create {COUNT}", took, "s", None, note=note)


# --- the table --------------------------------------------------------------------------------------------------------


def row(what: str, measured: float, unit: str, target: float | None, least: bool = False, **more: t.Any) -> Row:
    """One line: what, the target, what was measured, and the measured share of the target."""
    measured = round(measured, 2)
    ratio = None if target is None else round(measured / target, 2)
    met = None if target is None else (measured >= target if least else measured <= target)
    return {
        "what": what,
        "target": target,
        "least": least,
        "measured": measured,
        "unit": unit,
        "ratio": ratio,
        "met": met,
        **more,
    }


class Table:
    """The rows so far, shown as they come."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        print(f"{'':64} {'target':>10} {'measured':>10} {'ratio':>6}", flush=True)

    def add(self, rows: list[Row]) -> None:
        """Show rows and keep them."""
        self.rows += rows
        for one in rows:
            sign = ">=" if one["least"] else "<="
            target = "" if one["target"] is None else f"{sign} {one['target']:g} {one['unit']}"
            ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
            verdict = {True: "", False: "  missed", None: f"  ({one['note']})" if "note" in one else ""}[one["met"]]
            print(
                f"{one['what']:64} {target:>10} {one['measured']:>7g} {one['unit']:2} {ratio:>6}{verdict}", flush=True
            )


def machine() -> Row:
    """What the figures depend on."""
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the bulk module beside its rivals.")
    parser.add_argument(
        "--repeat", type=int, default=3, help="runs of each short measurement, of which the middle counts"
    )
    parser.add_argument("--only", choices=["bulk", "all"], default="all", help="bulk: without rivals, quota and bucket")
    options = parser.parse_args()
    shutil.rmtree(BENCH, ignore_errors=True)
    BENCH.mkdir(parents=True)
    table = Table()
    with Endpoint(latency=LATENCY) as endpoint:
        play(endpoint, declare([]))  # compiles what was never run
        start = typical(options.repeat, lambda: play(endpoint, declare([]))).seconds
        table.add([row("start: the same playbook with nothing to do", start, "s", None)])
        table.add(bulk(endpoint, options.repeat))
        if options.only == "all":
            made, full = (one["measured"] for one in table.rows[1:3])
            table.add(bucket(start))
            table.add(single(endpoint, options.repeat))
            table.add(quota(endpoint, made, full, start))
            table.add(rivals(endpoint, made))
    document = {"machine": machine(), "latency": LATENCY, "rows": table.rows}
    RESULT.write_text(json.dumps(document, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
