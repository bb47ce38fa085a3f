# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`make demo`: the whole story on a sandbox of its own, from an empty AWS account to the proof from inside a pod.

The demo is an ordinary user of the collection: it starts the sandbox, puts two buckets there as somebody's data, runs
`ansible-playbook playbooks/site.yml` and prints what was proven. Whatever happens, Ctrl-C included, the sandbox stops.
Its arguments are options of the sandbox's command `up`, such as `--control-plane envtest`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time
import typing as t

import boto3

ROOT = pathlib.Path(__file__).resolve().parents[1]
DEMO = ROOT / "build" / "demo"
SANDBOX = DEMO / "sandbox"
PROOF = DEMO / "proof.json"
BUCKETS = ("customer-invoices", "customer-reports")
#: What a user's shell may hold that would lead the demo to another account, cluster or configuration.
FOREIGN = re.compile(r"(AWS|K8S_AUTH|ANSIBLE|KUBE)_?.*")


def sandbox(command: str, *options: str) -> None:
    """Run one command of the sandbox in the virtual environment beside this one."""
    python = pathlib.Path(sys.prefix).parent / "sandbox" / "bin" / "python"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "sandbox")}
    subprocess.run([python, "-m", "eks_sandbox", command, "--directory", str(SANDBOX), *options], env=env, check=True)


def environment() -> dict[str, str]:
    """The environment that `source build/sandbox/env` would make, cleared of the caller's own AWS and Ansible."""
    env = {key: value for key, value in os.environ.items() if not FOREIGN.fullmatch(key)}
    for line in (SANDBOX / "env").read_text(encoding="utf-8").splitlines():
        if line.startswith("export "):
            for word in shlex.split(line.removeprefix("export ")):
                key, _, value = word.partition("=")
                env[key] = value
    return env | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(ROOT / "build" / "ansible"),
        "ANSIBLE_DEPRECATION_WARNINGS": "False",  # amazon.aws has some about itself
        "ANSIBLE_FORCE_COLOR": str(sys.stdout.isatty()),
        "PYTHONUNBUFFERED": "1",
    }


def put_data(env: t.Mapping[str, str]) -> None:
    """What was in the account before us: the buckets that the pod will list."""
    s3 = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    for bucket in BUCKETS:
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": env["AWS_REGION"]})


def play(env: t.Mapping[str, str]) -> int:
    """Run the story; the exit code of ansible-playbook."""
    command = [str(pathlib.Path(sys.executable).with_name("ansible-playbook")), "-i", "inventories/sandbox"]
    command += ["playbooks/site.yml", "--extra-vars", json.dumps({"podidentity_proof_file": str(PROOF)})]
    # A session of its own: on Ctrl-C every worker and module of the run is told, and waited for, by us.
    with subprocess.Popen(command, env=dict(env), cwd=ROOT, start_new_session=True) as run:
        try:
            return run.wait()
        except KeyboardInterrupt:
            end(run)
            raise


def end(run: subprocess.Popen[bytes]) -> None:
    """Stop a run and all its processes: asked first, made to after five seconds."""
    os.killpg(run.pid, signal.SIGINT)
    try:
        run.wait(timeout=5)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):  # all gone by themselves
            os.killpg(run.pid, signal.SIGKILL)


def table(rows: t.Sequence[t.Sequence[str]]) -> str:
    """Left-aligned columns, a rule under the first row."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def proven(workload: t.Mapping[str, t.Any]) -> str:
    """What the pod of one workload proved, for a reader."""
    identity = workload["identity"]
    role = workload["role_arn"]
    rows = [
        ("role", role.rsplit("/", 1)[1], identity["role"], role.rsplit("/", 1)[1] == identity["role"]),
        ("account", role.split(":")[4], identity["account"], role.split(":")[4] == identity["account"]),
        ("session", "eks-...", identity["session_name"], identity["session_name"].startswith("eks-")),
    ]
    rows += [
        (f"{call['service']}.{call['operation']}", call["expected"], call["outcome"], call["ok"])
        for call in workload["calls"]
    ]
    cells = [("what", "expected", "in the pod", "ok"), *((*row[:3], "yes" if row[3] else "NO") for row in rows)]
    text = f"{workload['cluster']}: {workload['namespace']}/{workload['service_account']}\n\n{table(cells)}"
    shown = [str(call["shown"]) for call in workload["calls"] if call.get("shown")]
    return text + "".join(f"\n\nThe pod saw: {value}" for value in shown)


def report(seconds: float) -> int:
    """Print what was proven; 1 when anything was not."""
    proofs = json.loads(PROOF.read_text(encoding="utf-8"))
    if not proofs or not all(proof["proven"] for proof in proofs):
        print(f"\nNot proven: see {PROOF.relative_to(ROOT)}", file=sys.stderr)
        return 1
    print("\nProven from inside a pod\n========================")
    for proof in proofs:
        print(proven(proof))
    print(f"\nThe proof lies in {PROOF.relative_to(ROOT)}; from an empty account to it took {seconds:.0f} s.")
    return 0


def interrupt(_number: int, _frame: object) -> t.NoReturn:
    """End in the same way on Ctrl-C and on SIGTERM: the sandbox is stopped."""
    raise KeyboardInterrupt


def main() -> int:
    # SIGINT as well: a shell that starts us in the background has it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    DEMO.mkdir(parents=True, exist_ok=True)
    PROOF.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        sandbox("up", *sys.argv[1:])
        env = environment()
        put_data(env)
        failed = play(env)
        return failed or report(time.monotonic() - started)
    except KeyboardInterrupt:
        print("\nInterrupted: stopping the sandbox.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave the sandbox running
        sandbox("down")


if __name__ == "__main__":
    sys.exit(main())
