# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs ansible-inventory again and again without its start-up; one JSON document a line in, one out.

Every request has a fork of its own, which finds Ansible imported and nothing of an earlier request: Ansible keeps much
for the life of a process, such as the warnings that it has shown and no longer repeats.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import traceback
import typing as t

from ansible.cli.inventory import InventoryCLI


def main() -> None:
    """Answer until the input ends: ``{"arguments", "env"}`` with ``{"code", "output", "errors"}``."""
    import_what_the_plugin_needs()
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            child = os.fork()
            if not child:
                run(request, output.fileno(), errors.fileno())
            _, status = os.waitpid(child, 0)
            answer = {"code": os.waitstatus_to_exitcode(status), "output": read(output), "errors": read(errors)}
        print(json.dumps(answer), flush=True)


def import_what_the_plugin_needs() -> None:
    """What takes the time of a start; Ansible's loader of collections is set up by each command."""
    import boto3

    boto3.session.Session().client("sts", "eu-west-1", aws_access_key_id="none", aws_secret_access_key="none")


def run(request: dict[str, t.Any], output: int, errors: int) -> t.NoReturn:
    """Become the command, and end as it does."""
    os.dup2(output, sys.stdout.fileno())
    os.dup2(errors, sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(request["env"])
    code: t.Any = 1
    try:
        InventoryCLI.cli_executor(["ansible-inventory", *request["arguments"]])
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def read(file: io.TextIOBase) -> str:
    """All that the fork has written."""
    file.seek(0)
    return file.read()


if __name__ == "__main__":
    main()
