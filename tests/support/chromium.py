# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A headless Chromium for tests, without a network, spoken to by its DevTools protocol.

The protocol is at https://chromedevtools.github.io/devtools-protocol; websocket-client carries it.
"""

from __future__ import annotations

import base64
import collections.abc
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import time
import typing as t
import urllib.request

import websocket

#: Names of the program on a PATH.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    # Whatever is not in the page cannot come from anywhere.
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-port=0"),
)
#: Seconds for a start or an answer, on a busy machine.
PATIENCE = 240.0

Answer = dict[str, t.Any]


class NoChromium(Exception):
    """There is none; the message says why, and ``installable`` whether it could have been installed."""

    def __init__(self, why: str, installable: bool) -> None:
        super().__init__(why)
        self.installable = installable


def find_chromium() -> str:
    """The program that the variable CHROME names or a PATH has; where neither does, Debian's package is installed."""
    found = [path for path in (os.environ.get("CHROME"), *map(shutil.which, PROGRAMS)) if path]
    if found:
        return found[0]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoChromium("No Chromium is on PATH or named by CHROME: install one, such as Debian's chromium.", False)
    install_chromium()
    return str(shutil.which("chromium"))


def install_chromium() -> None:
    """Install Debian's package; :class:`NoChromium` with apt's own words when that fails."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(["apt-get", *command], env=env, text=True, capture_output=True, check=False)
        if done.returncode:
            raise NoChromium(f"Debian's package chromium could not be installed: {done.stderr.strip()}", True)


@contextlib.contextmanager
def running_chromium(program: str, profile: pathlib.Path) -> collections.abc.Iterator[int]:
    """A Chromium with an empty profile; the port of its DevTools."""
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with (profile / "chromium.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield port_of(process, profile)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def port_of(process: subprocess.Popen[bytes], profile: pathlib.Path) -> int:
    """The port, which Chromium writes into its profile once it listens."""
    written, deadline = profile / "DevToolsActivePort", time.monotonic() + PATIENCE
    while not (written.exists() and "\n" in written.read_text(encoding="utf-8")):
        log = (profile / "chromium.log").read_text(encoding="utf-8", errors="replace")
        assert process.poll() is None, f"Chromium did not start:\n{log}"
        assert time.monotonic() < deadline, f"Chromium does not listen after {PATIENCE} s:\n{log}"
        time.sleep(0.05)
    return int(written.read_text(encoding="utf-8").splitlines()[0])


@dataclasses.dataclass
class Tab:
    """A tab of its own."""

    socket: websocket.WebSocket
    #: What the browser has told since the page was opened.
    events: list[Answer] = dataclasses.field(default_factory=list)
    numbers: collections.abc.Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, **parameters: t.Any) -> Answer:
        """One command and its answer; events that come before it are kept."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := self._receive()).get("id") != number:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: Answer = answer["result"]
        return result

    def open(self, path: pathlib.Path, *, width: int = 1280, dark: bool = False) -> None:
        """Show a file, in a window so wide, and wait until it is there."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not self.event_params("Page.loadEventFired"):
            self._receive()

    def event_params(self, *methods: str) -> list[Answer]:
        """The parameters of the events of these kinds."""
        return [event["params"] for event in self.events if event["method"] in methods]

    def evaluate(self, script: str) -> t.Any:
        """What an expression comes to; AssertionError where it throws."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as it is printed, with the page size of its style sheet."""
        answer = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(answer["data"])

    def _receive(self) -> Answer:
        message: Answer = json.loads(self.socket.recv())
        if "method" in message:
            self.events.append(message)
        return message


@contextlib.contextmanager
def new_tab(port: int) -> collections.abc.Iterator[Tab]:
    """A tab that tells what goes on in it."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://127.0.0.1:{port}/json/new", method="PUT")
    with opener.open(request, timeout=PATIENCE) as answer:
        target = json.load(answer)
    socket = websocket.create_connection(
        target["webSocketDebuggerUrl"], timeout=PATIENCE, suppress_origin=True, http_no_proxy=["127.0.0.1"]
    )
    tab = Tab(socket)
    for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
        tab.call(f"{domain}.enable")
    try:
        yield tab
    finally:
        opener.open(f"http://127.0.0.1:{port}/json/close/{target['id']}", timeout=PATIENCE).close()
        socket.close()
