# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Creates the namespaces that the containers of one pod share, passes them to the sandbox, and ends.

Namespaces live as long as a process holds a descriptor of them or runs in them, so this process need not stay. A socket
belongs to the network that it was created in, regardless of the process that accepts its connections. So a pod reaches
only what the sandbox offers.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import typing as t

from eks_sandbox.node.shim import kernel

#: What the containers of a pod share, besides the network that not every pod has.
SHARED = ("user", "ipc", "uts")
MESSAGE_SIZE = 2**16
#: Requests to a network interface (netdevice(7)), and its flag for "up".
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK, SIOCGIFINDEX = 0x8913, 0x8914, 0x8916, 0x891C, 0x8933
IFF_UP = 1
#: ipv6(7): bind to an address that the machine does not have yet.
IPV6_FREEBIND = 78
#: Connections that wait to be accepted.
BACKLOG = 128


def main(descriptor: int) -> None:
    """Handle a request on this socket, and answer with descriptors, or with the reason for a refusal."""
    with socket.socket(fileno=descriptor) as channel:
        asked = json.loads(channel.recv(MESSAGE_SIZE))
        try:
            answer, descriptors = _connectable(asked) if "net" in asked else _made(asked)
        except OSError as error:
            answer, descriptors = {"failed": str(error.strerror or error)}, []
        socket.send_fds(channel, [json.dumps(answer).encode()], descriptors)


def _made(asked: dict[str, t.Any]) -> tuple[dict[str, t.Any], list[int]]:
    """New namespaces and listening sockets; a pod without addresses stays in its node's network."""
    network = kernel.CLONE_NEWNET if asked["addresses"] else 0
    kernel.enter_user_namespace(0, 0, kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | network)
    socket.sethostname(asked["hostname"])
    present = bring_up(asked["addresses"]) if network else []
    listening = [(address, port) for address, port in asked["listen"] if address in present]
    shared = (*SHARED, "net") if network else SHARED
    descriptors = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in shared]
    descriptors += [_listen(address, port) for address, port in listening]
    return {"shared": shared, "listening": listening}, descriptors


def _connectable(asked: dict[str, t.Any]) -> tuple[dict[str, t.Any], list[int]]:
    """A socket of a pod's network."""
    kernel.join(asked["user"], kernel.CLONE_NEWUSER)
    kernel.join(asked["net"], kernel.CLONE_NEWNET)
    return {}, [socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach()]


def _listen(address: str, port: int) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        if listener.family == socket.AF_INET6:
            # The kernel looks for duplicates of a new address in the background, and refuses it to others meanwhile.
            listener.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        return listener.detach()


def bring_up(addresses: t.Sequence[str]) -> list[str]:
    """Switch the loopback interface on and give it addresses; returns those it has: a kernel may lack IPv6."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        [flags] = struct.unpack_from("h", fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0)), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
        short = [address for address in addresses if ":" not in address]
        for number, address in enumerate(short):
            _add_address(control, f"lo:{number}" if number else "lo", address)
    try:
        for address in (long := [address for address in addresses if ":" in address]):
            _add_long_address(address)
    except OSError:
        return short
    return short + long


def _add_address(control: socket.socket, label: str, address: str) -> None:
    mask = "255.0.0.0" if address == "127.0.0.1" else "255.255.255.255"
    for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, mask)):
        packed = struct.pack("16sH2x4s8x", label.encode(), socket.AF_INET, socket.inet_aton(value))
        fcntl.ioctl(control, request, packed)


def _add_long_address(address: str) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        [index] = struct.unpack_from("i", fcntl.ioctl(control, SIOCGIFINDEX, struct.pack("16s8x", b"lo")), 16)
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, address), 128, index))
