# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The IAM policy of whoever runs the playbooks, chapter by chapter, from the data file beside this one.

It is a data file as in ``policies`` (see :mod:`policy_library`), but that a statement has ``grants`` in place of
``Action``: each names actions, the chapters that use them, and the level from which on. Without chapters it is for all
of them. A statement none of whose actions is used is left out.
"""

from __future__ import annotations

import json
import pathlib
import typing as t

from ..module_utils._workload.validation import shown
from .policy_library import Parameter
from .policy_library import Policy
from .policy_library import PolicyError
from .policy_library import Statement
from .policy_library import near

FILE = pathlib.Path(__file__).with_name("operator_policy.json")
#: The tags of the playbook site, then the playbook access and the inventory plugin.
CHAPTERS = (
    *("cluster", "agent", "addons", "iam_role", "service_account", "association", "target_role"),
    *("probe", "restart", "verify", "access", "inventory"),
)
#: Each holds those before it.
LEVELS = ("check", "apply", "remove")
#: Characters of a managed policy, white space left out
#: (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
MANAGED_LIMIT = 6_144


def policy(chapters: object, level: object) -> Policy:
    """The policy for some chapters, or for all where none is named; raises PolicyError."""
    wanted = [chapters] if isinstance(chapters, str) else chapters
    problems = [*chapter_problems(wanted), *level_problems(level)]
    if problems:
        raise PolicyError("\n".join(problems))
    data = json.loads(FILE.read_text(encoding="utf-8"))
    parameters = {name: Parameter(**parameter) for name, parameter in data.pop("parameters").items()}
    named = t.cast("list[str]", wanted) or CHAPTERS
    levels = LEVELS[: LEVELS.index(str(level)) + 1]
    made = [_granted(statement, named, levels) for statement in data.pop("statements")]
    return Policy(
        **data,
        parameters=parameters,
        statements=[statement for statement in made if statement["Action"]],
        service_account=None,
        limit=MANAGED_LIMIT,
        kept_in="a managed policy: give fewer values, or divide the chapters between two policies",
    )


def chapter_problems(wanted: object) -> t.Iterator[str]:
    """One sentence for each reason why these cannot be the chapters."""
    if not isinstance(wanted, (list, tuple)):
        yield f"The chapters are {shown(wanted)}: give a list of {', '.join(CHAPTERS)}."
        return
    for chapter in wanted:
        if chapter not in CHAPTERS:
            yield f"There is no chapter {shown(chapter)}{near(chapter, CHAPTERS)}. There are: {', '.join(CHAPTERS)}."


def level_problems(level: object) -> t.Iterator[str]:
    """The sentence that says why this is no level."""
    if level not in LEVELS:
        yield f"level is {shown(level)}: give one of {', '.join(LEVELS)}."


def _granted(statement: Statement, chapters: t.Sequence[str], levels: t.Sequence[str]) -> Statement:
    """The statement with the actions that these chapters use at these levels."""
    used = {
        action
        for grant in statement["grants"]
        if grant["level"] in levels and not set(grant.get("chapters", chapters)).isdisjoint(chapters)
        for action in grant["actions"]
    }
    rest = {key: value for key, value in statement.items() if key not in ("Sid", "grants")}
    return {"Sid": statement["Sid"], "Effect": "Allow", "Action": sorted(used), **rest}
