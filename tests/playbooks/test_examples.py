# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EXAMPLES of every plugin are whole stories, and they work: each is run as it stands, apart from the others."""

from __future__ import annotations

import pytest
from support.environment import ROOT
from support.examples_batch import Batch
from support.examples_batch import Example
from support.examples_batch import run_examples
from support.playbooks import Playbooks
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.deep

EXAMPLES = {
    kind: [Example(path) for path in sorted((ROOT / "plugins" / kind).glob("*.py"))]
    for kind in ("modules", "lookup", "filter")
}


@pytest.fixture(scope="module")
def batch(
    request: pytest.FixtureRequest,
    sandbox: SandboxProcess,
    playbook: Playbooks,
    tmp_path_factory: pytest.TempPathFactory,
) -> Batch:
    """The finished run of all plugins of one kind that are to be tested."""
    callspecs = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [callspec.params.get("example") for callspec in callspecs if callspec]
    examples = [example for example in EXAMPLES[request.param] if example in chosen]
    return run_examples(examples, sandbox, playbook, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize(
    ("batch", "example"),
    [pytest.param(kind, example, id=example.name) for kind, examples in EXAMPLES.items() for example in examples],
    indirect=["batch"],
    scope="module",
)
def test_examples_run_as_they_stand(batch: Batch, example: Example) -> None:
    assert example.tasks, "a plugin needs examples"
    assert batch.counts(example) == {"ok": len(example.tasks), "failed": 0, "unreachable": 0}, batch.about(example)
    assert batch.run.code == 0 or batch.has_failures, "a run without failures ends well"
