# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Pod Identity Agent as a service of the machine, as nodes of EKS Auto Mode have it: no pod, no add-on.

https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html
"""

from __future__ import annotations

import asyncio
import pathlib

from eks_sandbox.node.images import AGENT_REPOSITORY
from eks_sandbox.node.images import Images
from eks_sandbox.node.machine import Machine
from eks_sandbox.node.processes import Command
from eks_sandbox.node.processes import Process

#: Seconds that the agent gets to answer, and between looks whether it does.
START_TIMEOUT, PERIOD = 20.0, 0.05


async def start(machine: Machine, images: Images, directory: pathlib.Path) -> Process:
    """Start it; returns when it answers, so that no pod of the node is earlier.

    :raises TimeoutError: it does not answer in time.
    """
    image = images.pull(AGENT_REPOSITORY)
    flags = ["--cluster-name", machine.cluster.name, *machine.agent_arguments(image)]
    arguments = [str(image.python), *image.entrypoint[1:], *flags]
    environment = {**image.environment, **machine.environment(image, own_network=True), "PATH": image.path}
    command = Command(arguments, environment, directory, log=directory / "agent.log")
    process = await Process.start(command)
    try:
        async with asyncio.timeout(START_TIMEOUT):
            while not await machine.has_agent():
                await asyncio.sleep(PERIOD)
    except BaseException:
        process.kill()
        raise
    return process
