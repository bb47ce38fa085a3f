# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An EKS endpoint to measure against: every call takes so long, and behind a token bucket only so many go through.

A process of its own, so that it does not share an interpreter with what is measured. It answers the operations on pod
identity associations and tag:GetResources as EKS does, and counts what it was asked. asyncio switches off Nagle's
algorithm on its sockets; with it, each call on a kept connection would take 40 ms longer than it says.

``python tests/bench/endpoint.py --latency 0.06 [--rate 50 --burst 50]`` prints ``{"port": ...}`` and serves until it is
terminated. ``GET /_bench`` answers the counts, ``DELETE /_bench`` clears counts, ``PUT /_bench`` everything.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import dataclasses
import itertools
import json
import re
import time
import typing as t
import urllib.parse

ACCOUNT = "111122223333"
REGION = "eu-west-1"
ALL = re.compile(r"/clusters/(?P<clusterName>[^/]+)/pod-identity-associations")
ONE = re.compile(r"/clusters/(?P<clusterName>[^/]+)/pod-identity-associations/(?P<associationId>[^/]+)")
TAGS = re.compile(r"/tags/(?P<arn>.+)")
#: Method and path of each operation (botocore's service models of EKS and of the tagging API).
OPERATIONS = (
    ("POST", ALL, "CreatePodIdentityAssociation"),
    ("GET", ALL, "ListPodIdentityAssociations"),
    ("GET", ONE, "DescribePodIdentityAssociation"),
    ("POST", ONE, "UpdatePodIdentityAssociation"),
    ("DELETE", ONE, "DeletePodIdentityAssociation"),
    ("POST", TAGS, "TagResource"),
    ("DELETE", TAGS, "UntagResource"),
    ("POST", re.compile("/"), "GetResources"),
    ("GET", re.compile(r"/clusters/(?P<clusterName>[^/]+)"), "DescribeCluster"),
)
LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.I | re.M)
SUMMARY = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId")
#: The time that all associations were made at: what they are measured by does not depend on it.
MADE_AT = 1_760_000_000

Answer = tuple[int, dict[str, t.Any]]
Shape = dict[str, t.Any]


@dataclasses.dataclass
class Bucket:
    """A token bucket as AWS limits calls: ``burst`` at once, then ``rate`` a second; a refusal costs nothing."""

    rate: float
    burst: float
    tokens: float = dataclasses.field(init=False)
    filled_at: float = dataclasses.field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def admits(self, now: float) -> bool:
        """Whether a call may pass, in seconds of a monotonic clock; always where there is no rate."""
        if not self.rate:
            return True
        self.tokens = min(self.burst, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Endpoint:
    """The associations of all clusters, and what was asked about them."""

    def __init__(self, latency: float, bucket: Bucket) -> None:
        self.latency = latency
        self.bucket = bucket
        self.calls: collections.Counter[str] = collections.Counter()
        self.refused = 0
        self._ids = itertools.count(1)
        self._associations: dict[str, Shape] = {}
        self._keys: dict[tuple[str, str, str], str] = {}

    async def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Answer one request."""
        url = urllib.parse.urlsplit(target)
        path = urllib.parse.unquote(url.path)
        if path == "/_bench":
            return self._side_door(method)
        parameters = {key: values[0] for key, values in urllib.parse.parse_qs(url.query).items()}
        if body:
            parameters |= json.loads(body)
        for wanted_method, pattern, operation in OPERATIONS:
            match = pattern.fullmatch(path)
            if match and method == wanted_method:
                return await self._call(operation, parameters | match.groupdict())
        return 404, {"__type": "ResourceNotFoundException", "message": f"There is no {method} {path}"}

    async def _call(self, operation: str, parameters: Shape) -> Answer:
        self.calls[operation] += 1
        await asyncio.sleep(self.latency)
        if not self.bucket.admits(time.monotonic()):
            self.refused += 1
            return 429, {"__type": "ThrottlingException", "message": "Rate exceeded"}
        act: t.Callable[[Shape], Answer] = getattr(self, operation)
        return act(parameters)

    def _side_door(self, method: str) -> Answer:
        if method != "GET":
            self.calls.clear()
            self.refused = 0
            self.bucket.tokens = self.bucket.burst
        if method == "PUT":
            self._associations.clear()
            self._keys.clear()
        return 200, {"calls": dict(self.calls), "refused": self.refused, "associations": len(self._associations)}

    def CreatePodIdentityAssociation(self, parameters: Shape) -> Answer:
        key = (parameters["clusterName"], parameters["namespace"], parameters["serviceAccount"])
        if key in self._keys:
            message = f"Association already exists: {self._keys[key]}"
            return 409, {"__type": "ResourceInUseException", "message": message}
        association_id = f"a-{next(self._ids):017}"
        where = f"arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/{parameters['clusterName']}"
        association = {
            "tags": {},
            "disableSessionTags": False,
            **{name: value for name, value in parameters.items() if name != "clientRequestToken"},
            "associationId": association_id,
            "associationArn": f"{where}/{association_id}",
            "createdAt": MADE_AT,
            "modifiedAt": MADE_AT,
        }
        self._keys[key] = association_id
        self._associations[association_id] = association
        return 200, {"association": association}

    def ListPodIdentityAssociations(self, parameters: Shape) -> Answer:
        filters = {name: parameters[name] for name in SUMMARY if name in parameters}.items()
        found = [
            summary
            for association in self._associations.values()
            if filters <= (summary := {name: association[name] for name in SUMMARY}).items()
        ]
        return 200, paged("associations", found, parameters.get("nextToken"), int(parameters.get("maxResults", 100)))

    def DescribePodIdentityAssociation(self, parameters: Shape) -> Answer:
        return self._one(parameters, {})

    def UpdatePodIdentityAssociation(self, parameters: Shape) -> Answer:
        unset = ("clientRequestToken", "clusterName", "associationId")
        return self._one(parameters, {name: value for name, value in parameters.items() if name not in unset})

    def DeletePodIdentityAssociation(self, parameters: Shape) -> Answer:
        status, answer = self._one(parameters, {})
        if status == 200:
            association = self._associations.pop(parameters["associationId"])
            del self._keys[association["clusterName"], association["namespace"], association["serviceAccount"]]
        return status, answer

    def _one(self, parameters: Shape, changes: Shape) -> Answer:
        association = self._associations.get(parameters["associationId"])
        if association is None:
            return 404, {"__type": "ResourceNotFoundException", "message": "There is no such association"}
        association.update(changes)
        return 200, {"association": association}

    def TagResource(self, parameters: Shape) -> Answer:
        self._associations[parameters["arn"].rpartition("/")[2]]["tags"].update(parameters["tags"])
        return 200, {}

    def UntagResource(self, parameters: Shape) -> Answer:
        self._associations[parameters["arn"].rpartition("/")[2]]["tags"].pop(parameters["tagKeys"], None)
        return 200, {}

    def GetResources(self, parameters: Shape) -> Answer:
        filters = {one["Key"]: one.get("Values") for one in parameters.get("TagFilters", [])}
        found = [
            {
                "ResourceARN": association["associationArn"],
                "Tags": [{"Key": key, "Value": value} for key, value in association["tags"].items()],
            }
            for association in self._associations.values()
            if all(
                key in association["tags"] and association["tags"][key] in (values or [association["tags"][key]])
                for key, values in filters.items()
            )
        ]
        page = paged("ResourceTagMappingList", found, parameters.get("PaginationToken"), 100)
        return 200, {"PaginationToken": page.pop("nextToken", ""), **page}

    def DescribeCluster(self, parameters: Shape) -> Answer:
        name = parameters["clusterName"]
        return 200, {"cluster": {"name": name, "arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{name}"}}


def paged(name: str, found: list[Shape], token: str | None, size: int) -> Shape:
    """One page of a list, and the token of the next."""
    start = int(token or 0)
    more = {"nextToken": str(start + size)} if start + size < len(found) else {}
    return {name: found[start : start + size], **more}


class Connection(asyncio.Protocol):
    """A kept HTTP/1.1 connection whose client sends one request at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._received = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = t.cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, rest = self._received.partition(b"\r\n\r\n")
        if not ended:
            return
        if b"100-continue" in head.lower() and not rest:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = LENGTH.search(head)
        if len(rest) < (int(length[1]) if length else 0):
            return
        self._received = b""
        method, target, _version = head.split(b"\r\n", 1)[0].decode().split(" ")
        task = asyncio.ensure_future(self._answer(method, target, rest))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, method: str, target: str, body: bytes) -> None:
        status, answer = await self._endpoint.answer(method, target, body)
        content = json.dumps(answer).encode()
        error = f"x-amzn-ErrorType: {answer['__type']}\r\n" if "__type" in answer else ""
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n{error}\r\n"
        self._transport.write(head.encode() + content)


async def serve(endpoint: Endpoint) -> None:
    """Serve on a free port of the loopback interface, which the first line of the output names."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(endpoint), "127.0.0.1", 0, backlog=512)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.06, help="seconds that every call takes")
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second; 0 for no limit")
    parser.add_argument("--burst", type=float, default=50.0, help="calls at once, before the rate counts")
    options = parser.parse_args()
    asyncio.run(serve(Endpoint(options.latency, Bucket(options.rate, options.burst))))


if __name__ == "__main__":
    main()
