# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Running a command in a container, with a deadline."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import threading
import typing as t

from .._diagnosis.reading import dig
from .._diagnosis.reading import kubernetes_words
from .._diagnosis.reading import listing
from .._diagnosis.reading import text
from .causes import Refusal

with contextlib.suppress(ImportError):  # AnsibleK8SModule reports it.
    import kubernetes
    import kubernetes.stream
    import websocket
    import yaml

STDOUT, STDERR, STATUS = 1, 2, 3
#: Seconds that a connection may take beside the command itself.
CONNECTING = 15


@dataclasses.dataclass(frozen=True)
class Executed:
    """What became of a command in a container."""

    #: The exit code; None where the command did not start or did not end.
    code: int | None = None
    output: str = ""
    errors: str = ""
    #: Why there is no exit code.
    failure: str = ""


Execution = Executed | Refusal  # pylint: disable=unsupported-binary-operation


@dataclasses.dataclass(frozen=True)
class Place:
    """A container, and the command that is run in it."""

    namespace: str
    pod: str
    container: str
    command: t.Sequence[str]


def execute(client: t.Any, place: Place, seconds: float) -> Execution:
    """Run a command and wait for its end, and no longer.

    :param client: one that is used for nothing else, because a stream replaces how its client makes requests.
    """
    future: concurrent.futures.Future[Execution] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(_run(client, place, seconds))
        except Exception as error:  # raised again by the caller's thread
            future.set_exception(error)

    # The library takes no timeout for a connection, and the end of the process waits for every other kind of thread.
    threading.Thread(target=run, name="exec", daemon=True).start()
    try:
        return future.result(seconds + CONNECTING)
    except concurrent.futures.TimeoutError:
        return Executed(failure=f"there was no answer within {seconds + CONNECTING:.0f} s")


def _run(client: t.Any, place: Place, seconds: float) -> Execution:
    try:
        channels = kubernetes.stream.stream(
            kubernetes.client.CoreV1Api(client).connect_get_namespaced_pod_exec,
            place.pod,
            place.namespace,
            container=place.container,
            command=list(place.command),
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
    except kubernetes.client.exceptions.ApiException as error:
        return Refusal(error.status or 0, kubernetes_words(str(error.reason)))
    try:
        channels.run_forever(timeout=seconds)
        if channels.is_open():
            return Executed(failure=f"the command did not end within {seconds:.0f} s")
        output, errors, status = (channels.read_channel(one) for one in (STDOUT, STDERR, STATUS))
        return ended(output, errors, status)
    except (OSError, websocket.WebSocketException) as error:
        return Executed(failure=f"the connection ended early: {error}")
    finally:
        channels.close()


def ended(output: str, errors: str, status: str) -> Executed:
    """What became of a command by the Status that the API server sends at its end."""
    try:
        found = yaml.safe_load(status)
    except yaml.YAMLError:
        found = None
    if dig(found, "status") == "Success":
        return Executed(0, output, errors)
    for cause in listing(dig(found, "details", "causes")):
        if dig(cause, "reason") == "ExitCode" and text(dig(cause, "message")).isdecimal():
            return Executed(int(text(dig(cause, "message"))), output, errors)
    # A container runtime that cannot start the command says so in its own words.
    causes = [text(dig(cause, "message")) for cause in listing(dig(found, "details", "causes"))]
    failure = text(dig(found, "message")) or " ".join(filter(None, causes))
    return Executed(None, output, errors, failure or "the connection ended without a result")
