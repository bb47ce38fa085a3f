# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands in containers: how they end, and that waiting for them ends as well."""

from __future__ import annotations

import json
import socket
import time
import typing as t

import kubernetes
import pytest
from ansible_collections.podidentity.eks.plugins.module_utils._kube import exec as execution
from ansible_collections.podidentity.eks.plugins.module_utils._kube.causes import Refusal
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import Executed
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import Place
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import ended
from ansible_collections.podidentity.eks.plugins.module_utils._kube.exec import execute

PLACE = Place("team-a", "web-1", "main", ["true"])


def client_of(port: int) -> t.Any:
    return kubernetes.client.ApiClient(kubernetes.client.Configuration(host=f"http://127.0.0.1:{port}"))


def failure(reason: str, message: str, said: str = "") -> str:
    return json.dumps(
        {"status": "Failure", "message": said, "details": {"causes": [{"reason": reason, "message": message}]}}
    )


@pytest.mark.parametrize(
    ("status", "executed"),
    [
        (json.dumps({"status": "Success"}), Executed(0, "out", "err")),
        (failure("ExitCode", "142"), Executed(142, "out", "err")),
        (failure("ExitCode", "many", "it failed"), Executed(None, "out", "err", "it failed")),
        (failure("", "no such container"), Executed(None, "out", "err", "no such container")),
        ("", Executed(None, "out", "err", "the connection ended without a result")),
        ("{", Executed(None, "out", "err", "the connection ended without a result")),
        ("[1]", Executed(None, "out", "err", "the connection ended without a result")),
    ],
)
def test_end_of_a_command_is_read_from_its_status(status: str, executed: Executed) -> None:
    assert ended("out", "err", status) == executed


def test_server_that_never_answers_does_not_hold_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "CONNECTING", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        answer = execute(client_of(silent.getsockname()[1]), PLACE, 0.2)
    assert answer == Executed(failure="there was no answer within 0 s")
    assert time.monotonic() - began < 5


def test_address_without_a_server_is_a_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    answer = execute(client_of(port), PLACE, 1)
    assert isinstance(answer, Refusal) and answer.status == 0 and "refused" in answer.message
