# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A callback of Ansible that notes down why each host of a run failed: one line of JSON for each failed task."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: failures
type: aggregate
short_description: Note down failures
description: Appends one line of JSON for each failed task to the file that FAILURES_FILE of the environment names.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """What Ansible loads."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "failures"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """A task that was not told to go on; of a loop, its items have been noted down."""
        if not ignore_errors and "results" not in result.result:
            _note(result)

    def v2_runner_item_on_failed(self, result: t.Any) -> None:
        """An item of a loop."""
        _note(result)


def _note(result: t.Any) -> None:
    answer = {
        "host": result.host.get_name(),
        "task": result.task.get_name(),
        "msg": " ".join(str(result.result.get("msg", "")).split()),
    }
    with pathlib.Path(os.environ["FAILURES_FILE"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(answer) + "\n")
