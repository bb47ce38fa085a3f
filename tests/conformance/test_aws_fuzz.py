# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""10,000 damaged requests to EKS, EKS Auth and the tagging API: no 500, no traceback, no leak, and all is well after.

Each request begins as one that botocore's model allows and is signed after the damage, so that it comes far inside.
"""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import re
import socket
import typing as t
import urllib.parse

import botocore.model
import botocore.serialize
import botocore.session
import pytest
from support.boto3_account import QUICK
from support.boto3_account import Account
from support.fuzzing import Damage
from support.fuzzing import Footprint
from support.raw_http import Headers
from support.raw_http import connect
from support.raw_http import port
from support.raw_http import read_all
from support.raw_http import send_over
from support.raw_http import sign
from support.sandbox_process import STUB_CLUSTERS
from support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.client("http")

SIGNED, WARM_UP, BARE = 9_000, 1_000, 1_000
#: What the sandbox may hold more after the damage than before: answers to request tokens, its call log, caches.
MEBIBYTES, OPEN_FILES = 32, 4
#: Service in a signature -> service in botocore.
SERVICES = {"eks": "eks", "eks-auth": "eks-auth", "tagging": "resourcegroupstaggingapi"}
QUERY_NAMES = ("maxResults", "nextToken", "namespace", "serviceAccount", "tagKeys", "addonName", "x")
#: Operations that the sandbox has; the others are asked for less often.
SUPPORTED = re.compile("Cluster|Nodegroup|Addon|PodIdentity|AccessEntr|AccessPolic|Resource|Update|Tag")
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.c2lnbmF0dXJl"


class FuzzRequest(t.NamedTuple):
    """A request before it is signed."""

    service: str
    method: str
    path: str
    body: bytes
    headers: Headers


class Requests:
    """Requests that the services' models allow, with the names of what exists, and damaged ones."""

    def __init__(self, seed: int, names: t.Mapping[str, t.Sequence[str]]) -> None:
        self.damage = Damage(seed)
        self._random = self.damage.random
        self._names = names
        session = botocore.session.get_session()
        models = {service: session.get_service_model(name) for service, name in SERVICES.items()}
        self._operations = {
            service: [model.operation_model(name) for name in model.operation_names]
            for service, model in models.items()
        }

    def valid(self) -> FuzzRequest:
        """A request that the model allows."""
        service = self._random.choices(list(SERVICES), weights=[8, 1, 1])[0]
        operation = self._random.choice(self._operations[service])
        if not SUPPORTED.search(operation.name):
            operation = self._random.choice(self._operations[service])
        protocol = operation.service_model.resolved_protocol
        parameters = self._value(operation.input_shape, "", depth=0) if operation.input_shape else {}
        serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
        request = serializer.serialize_to_request(parameters, operation)
        query = urllib.parse.urlencode(request["query_string"], doseq=True) if request["query_string"] else ""
        path = request["url_path"] + (f"?{query}" if query else "")
        body = request["body"] if isinstance(request["body"], bytes) else b""
        return FuzzRequest(service, request["method"], path, body, dict(request["headers"]))

    def damaged(self) -> FuzzRequest:
        """A request with something wrong in it, more often in its body than elsewhere."""
        valid = self.valid()
        kind = self._random.random()
        if kind < 0.65 and valid.body:
            return valid._replace(body=self.damage.body(valid.body))
        if kind < 0.85:
            return valid._replace(path=self._damaged_path(valid.path))
        if kind < 0.9:
            return valid._replace(method=self._random.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")))
        if kind < 0.95:
            return valid._replace(headers={**valid.headers, "Content-Type": "application/x-www-form-urlencoded"})
        return valid._replace(
            headers={**valid.headers, "X-Amz-Target": self._random.choice(("a.b", ".", "", "x" * 99))}
        )

    def _damaged_path(self, path: str) -> str:
        """Another name, part or query somewhere in an address."""
        address, _, query = path.partition("?")
        parts, odd = address.split("/"), urllib.parse.quote(self.damage.odd_text(), safe="%/", errors="surrogatepass")
        kind = self._random.randrange(4)
        if kind == 0:
            parts[self._random.randrange(len(parts))] = odd
        elif kind == 1:
            parts.append(odd)
        elif kind == 2:
            pairs = [*urllib.parse.parse_qsl(query), (self._random.choice(QUERY_NAMES), self.damage.odd_text())]
            query = urllib.parse.urlencode(pairs, errors="surrogatepass", quote_via=urllib.parse.quote)
        else:
            query = ""
        return "/" + "/".join(parts).lstrip("/") + (f"?{query}" if query else "")

    def _value(self, shape: botocore.model.Shape, name: str, depth: int) -> t.Any:
        if isinstance(shape, botocore.model.StructureShape):
            chosen = [
                (member, inner)
                for member, inner in shape.members.items()
                if member in shape.required_members or self._random.random() < 0.4 / (1 + depth)
            ]
            return {member: self._value(inner, member, depth + 1) for member, inner in chosen}
        if isinstance(shape, botocore.model.ListShape):
            return [self._value(shape.member, name, depth + 1) for _item in range(self._random.randint(0, 2))]
        if isinstance(shape, botocore.model.MapShape):
            return {f"key{number}": self._value(shape.value, name, depth + 1) for number in range(2)}
        return self._scalar(shape, name)

    def _scalar(self, shape: botocore.model.Shape, name: str) -> t.Any:
        if shape.type_name == "boolean":
            return self._random.random() < 0.5
        if shape.type_name in ("integer", "long", "double", "float"):
            return self._random.choice((0, 1, 2, 100))
        if shape.type_name == "timestamp":
            return 1_767_225_600
        if isinstance(shape, botocore.model.StringShape) and shape.enum:
            return self._random.choice(shape.enum)
        if name in self._names and self._random.random() < 0.9:
            return self._random.choice(self._names[name])
        return f"{name.lower()[:8]}-{self._random.randrange(40)}"


@pytest.fixture(scope="module")
def fuzzed_account(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Account]:
    """An account of a sandbox of its own, with one of everything in it."""
    sandbox = SandboxProcess(*STUB_CLUSTERS)
    sandbox.start(tmp_path_factory.mktemp("fuzz"))
    try:
        sandbox.knobs(**QUICK)
        account = Account(sandbox)
        account.cluster("one", deletionProtection=True)
        account.nodegroup()
        account.eks.create_addon(clusterName="one", addonName="eks-pod-identity-agent")
        yield account
    finally:
        sandbox.stop()


def names_in(account: Account) -> dict[str, list[str]]:
    """Names of members -> names of what is there."""
    role = account.pod_role()
    association = account.associate(role)
    cluster = account.eks.describe_cluster(name="one")["cluster"]
    arns, roles, subnets = (
        [cluster["arn"], association["associationArn"]],
        [role, cluster["roleArn"]],
        account.subnets(),
    )
    return {
        "clusterName": ["one"],
        "name": ["one"],
        "roleArn": roles,
        "targetRoleArn": roles,
        "nodeRole": roles,
        "principalArn": roles,
        "resourceArn": arns,
        "ResourceARNList": arns,
        "subnetIds": subnets,
        "subnets": subnets,
        "associationId": [association["associationId"]],
        "nodegroupName": ["nodes"],
        "addonName": ["eks-pod-identity-agent", "vpc-cni"],
        "namespace": ["default"],
        "serviceAccount": ["app"],
        "version": [cluster["version"]],
        "token": [TOKEN],
        "policy": ['{"Version": "2012-10-17", "Statement": []}', "{"],
        "ResourceTypeFilters": ["eks:podidentityassociation", "eks"],
        "nextToken": ["cGFnZToxMDA="],
    }


def send_signed(account: Account, requests: Requests, count: int) -> collections.Counter[int]:
    """Send so many signed requests over a kept connection; how often each status came back."""
    seen: collections.Counter[int] = collections.Counter()
    with contextlib.closing(connect(account.sandbox)) as connection:
        for _number in range(count):
            request = requests.damaged()
            headers = sign(account.sandbox, *request)
            answer = send_over(connection, request.method, request.path, request.body, headers)
            # 501: an operation that the sandbox does not offer says so.
            assert answer.status < 500 or answer.status == 501, (request, answer)
            if answer.body:
                json.loads(answer.body)
            seen[answer.status] += 1
    return seen


def send_bare(account: Account, requests: Requests, count: int) -> None:
    """Send requests whose very bytes are damaged, each over a socket of its own."""
    for _number in range(count):
        request = requests.valid()
        headers = sign(account.sandbox, *request)
        lines = [f"{request.method} {request.path} HTTP/1.1", f"Content-Length: {len(request.body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        content = requests.damage.bytes("\r\n".join([*lines, "", ""]).encode() + request.body)
        with socket.create_connection(("127.0.0.1", port(account.sandbox)), timeout=30) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(content)
                connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        assert not answer.startswith(b"HTTP/1.1 500"), (content, answer)


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="looks at processes in /proc")
def test_sandbox_survives_damaged_requests(fuzzed_account: Account) -> None:
    requests = Requests(20260101, names_in(fuzzed_account))
    send_signed(fuzzed_account, requests, WARM_UP)
    before = Footprint.of(fuzzed_account.sandbox.pid)
    seen = send_signed(fuzzed_account, requests, SIGNED)
    send_bare(fuzzed_account, requests, BARE)
    after = Footprint.of(fuzzed_account.sandbox.pid)
    assert min(seen[200], seen[400], seen[404]) > SIGNED / 50, "some requests came through, and others did not"
    assert seen[403] < SIGNED / 50, "only of what is not UTF-8 the two sides make different signatures"
    assert after.memory_mebibytes - before.memory_mebibytes < MEBIBYTES
    assert after.open_files - before.open_files < OPEN_FILES
    assert "Traceback" not in fuzzed_account.sandbox.log
    check_sandbox(fuzzed_account)


def check_sandbox(account: Account) -> None:
    """The story goes on: what was there is there, and new things can be made."""
    assert account.eks.describe_cluster(name="one")["cluster"]["status"] in ("ACTIVE", "UPDATING")
    account.sandbox.reset()
    account.sandbox.knobs(**QUICK)
    account.cluster("one")
    association = account.associate(account.pod_role())
    listed = account.eks.list_pod_identity_associations(clusterName="one")["associations"]
    assert [one["associationId"] for one in listed] == [association["associationId"]]
