# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""EKS tokens: from ``k8s-aws-v1.…`` to the AWS identity that signed it.

The rules are those of aws-iam-authenticator, which EKS runs:
https://github.com/kubernetes-sigs/aws-iam-authenticator/blob/master/pkg/token/token.go
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import re
import urllib.parse

from eks_sandbox.aws.http import Request
from eks_sandbox.aws.http import call_application
from eks_sandbox.aws.ministack import Ministack

PREFIX = "k8s-aws-v1."
#: How many seconds a token is valid after its signing.
LIFETIME = 900
CLUSTER_HEADER = "x-k8s-aws-id"

_ALLOWED = {
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
    "x-amz-user-agent",
}


@dataclasses.dataclass(frozen=True)
class Holder:
    """The principal that signed a token."""

    #: ``arn:aws:iam::…:user/…`` or ``arn:aws:sts::…:assumed-role/…``
    arn: str
    #: ``AIDA…``, or ``AROA…:<session name>``
    user_id: str
    access_key: str


async def holder_of(ministack: Ministack, endpoint: str, cluster_name: str, token: str) -> Holder | None:
    """The principal that signed this token for this cluster, or None if it is not valid.

    The token is a presigned GET of sts:GetCallerIdentity. Only this sandbox's own STS checks it, in-process.
    """
    url = _decode(token)
    if url is None or not _is_own(url, endpoint):
        return None
    query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
    values = {name.lower(): found[0] for name, found in query.items()}
    if len(values) < len(query) or set(values) - _ALLOWED or not _in_time(values):
        return None
    signed = values.get("x-amz-signedheaders", "").split(";")
    if values.get("action") != "GetCallerIdentity" or CLUSTER_HEADER not in signed:
        return None
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": url.scheme,
        "path": "/",
        "raw_path": b"/",
        "query_string": url.query.encode(),
        "headers": [],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", url.port),
    }
    request = Request("GET", "/", query, {}, b"", scope)
    if request.signature is None or ministack.is_root_key(request.signature.access_key):
        return None
    headers = {"host": url.netloc, CLUSTER_HEADER: cluster_name}
    answer = await call_application(ministack.application, request, headers)
    found = re.search(rb"<Arn>([^<]+)</Arn>\s*<UserId>([^<]+)</UserId>", answer.body)
    if answer.status != 200 or found is None:
        return None
    return Holder(found[1].decode(), found[2].decode(), request.signature.access_key)


def _decode(token: str) -> urllib.parse.SplitResult | None:
    if not token.startswith(PREFIX):
        return None
    encoded = token.removeprefix(PREFIX)
    try:
        return urllib.parse.urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    except (binascii.Error, ValueError):
        return None


def _is_own(url: urllib.parse.SplitResult, endpoint: str) -> bool:
    own = urllib.parse.urlsplit(endpoint)
    return (
        url.scheme == own.scheme
        and url.hostname in ("127.0.0.1", "localhost")
        and url.port == own.port
        and url.path in ("", "/")
    )


def _in_time(values: dict[str, str]) -> bool:
    """Signed at most 15 minutes ago, and for at most 15 minutes."""
    try:
        signed = datetime.datetime.strptime(values["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        expires = int(values["x-amz-expires"])
    except (KeyError, ValueError):
        return False
    age = (datetime.datetime.now(datetime.UTC) - signed).total_seconds()
    return 0 <= expires <= LIFETIME and age <= LIFETIME
