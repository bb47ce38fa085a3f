# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Prove, from inside a pod, which AWS identity the pod holds and what that identity may do.

Usage: ``python3 -c SCRIPT ORDERS [TERMINATION_LOG]``. The orders say which role is expected, which calls are to be
made, and after how many seconds to give up::

    {"expected": {"account": "111122223333", "role": "app"}, "region": "eu-west-1", "grace": 10, "limit": 120,
     "calls": [{"service": "s3", "operation": "list_buckets", "parameters": {}, "expected": "allow",
                "show": "Buckets[].Name"}]}

The answer is one JSON document on stdout between two marker lines and, where it fits, in the file, from which
Kubernetes takes it into the pod's status. It never holds a secret: of environment variables only the names, of answers
only what was asked for with ``show``, without the members that AWS's own service models call sensitive.

It needs Python 3.9 and boto3, nothing else, for it runs in images that are not ours.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import pathlib
import platform
import re
import signal
import sys
import time
import typing as t

BEGIN = "-----BEGIN POD IDENTITY PROOF-----"
END = "-----END POD IDENTITY PROOF-----"
#: Kubernetes takes no more bytes of a container's termination message.
TERMINATION_LIMIT = 4096
#: Between two tries of what may only need time, in seconds.
PAUSE = 2.0
#: More characters of an answer than these are not shown.
SHOWN_LIMIT = 20000
MESSAGE_LIMIT = 600
HIDDEN = "(hidden)"
#: Leaves of an answer that are hidden even where the service model does not call them sensitive, as STS's tokens.
SECRET_NAME = re.compile(r"(token|password|secretaccesskey|secretstring|plaintext|privatekey)$", re.IGNORECASE)
#: How services say that the caller lacks the permission. EC2 and HEAD requests of S3 have words of their own.
DENIED = re.compile(
    r"AccessDenied(Exception)?$|^(UnauthorizedOperation|AuthorizationError|NotAuthorized|Forbidden|403)$"
)
#: EC2's answer to a call with ``DryRun`` that would have been allowed.
DRY_RUN_ALLOWED = "DryRunOperation"

Document = dict[str, t.Any]


def describe_error(error: BaseException) -> Document:
    """An exception in words: its class, AWS's error code where there is one, and its message."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return {"type": type(error).__name__, "code": code, "message": str(error)[:MESSAGE_LIMIT]}


def describe_environment(environment: t.Mapping[str, str]) -> Document:
    """Which variables steer the SDK's credential chain: names, never values."""
    uri = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    token_file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
    return {
        "variables": sorted(name for name in environment if name.startswith("AWS_")),
        # The EKS Pod Identity webhook sets both, and mounts the token under this name.
        "pod_identity_injected": bool(uri) and token_file.endswith("/eks-pod-identity-token"),
    }


def open_session(fallback_region: str) -> t.Any:
    """A boto3 session as an application would open it; the fallback serves where the pod was given no region."""
    import boto3

    session = boto3.session.Session()
    if session.region_name is None and fallback_region:
        return boto3.session.Session(region_name=fallback_region)
    return session


def resolve_credentials(fallback_region: str) -> tuple[t.Any, Document]:
    """Walk the SDK's credential chain: the session, and which provider answered or what went wrong.

    Whatever a provider raises is the observation that this script is here to make, so every error is caught and told.
    """
    try:
        session = open_session(fallback_region)
        credentials = session.get_credentials()
    except Exception as error:
        return None, {"method": None, "error": describe_error(error)}
    return session, {"method": getattr(credentials, "method", None), "error": None}


def is_retrieval_error(error: Document | None) -> bool:
    """Whether a provider was chosen and could not fetch; a fault in the pod's own settings does not pass with time."""
    return error is not None and error["type"] == "CredentialRetrievalError"


def patient_credentials(fallback_region: str, deadline: float) -> tuple[t.Any, Document]:
    """Try again until the deadline while the agent refuses: IAM needs seconds, and an agent may just be starting."""
    session, credentials = resolve_credentials(fallback_region)
    while is_retrieval_error(credentials["error"]) and time.monotonic() + PAUSE < deadline:
        time.sleep(PAUSE)
        session, credentials = resolve_credentials(fallback_region)
    return session, credentials


@functools.cache  # a client takes long to make
def make_client(session: t.Any, service: str) -> t.Any:
    """A client that gives up within seconds, since the pod has a deadline."""
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
    return session.client(service, config=config)


def read_identity(arn: str) -> Document:
    """The parts of a caller's ARN; for an assumed role ``arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION``."""
    account = (arn.split(":") + [""] * 6)[4]
    kind, _separator, rest = arn.partition(":assumed-role/")
    role, _slash, session_name = rest.partition("/")
    return {
        "arn": arn,
        "account": account,
        "role": role if kind and rest else None,
        "session_name": session_name if kind and rest else None,
    }


def ask_identity(session: t.Any) -> tuple[Document | None, Document | None]:
    """Who AWS says we are, or why it does not say. GetCallerIdentity needs no permission."""
    try:
        return read_identity(make_client(session, "sts").get_caller_identity()["Arn"]), None
    except Exception as error:  # no region, no network, invalid keys: all of it is to be told
        return None, describe_error(error)


def readable(value: t.Any, shape: t.Any, name: str = "") -> t.Any:
    """An answer as plain data for JSON, without what botocore's model of the service marks as sensitive."""
    if shape is not None and shape.metadata.get("sensitive"):
        return HIDDEN
    if isinstance(value, dict):
        members = getattr(shape, "members", {})
        inner = getattr(shape, "value", None)
        return {key: readable(item, members.get(key, inner), str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item, getattr(shape, "member", None), name) for item in value]
    return readable_leaf(value, name)


def readable_leaf(value: t.Any, name: str) -> t.Any:
    """One value that holds no others: times as ISO 8601, and of bytes and streams only that there is one."""
    if isinstance(value, (str, bytes)) and SECRET_NAME.search(name):
        return HIDDEN
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else f"({type(value).__name__})"


def pick(answer: Document, expression: str) -> t.Any:
    """What a JMESPath expression finds in an answer; a very long find is cut."""
    import jmespath

    found = jmespath.search(expression, answer)
    text = json.dumps(found)
    return found if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}... (cut, {len(text)} characters)"


def judge_error(error: BaseException) -> str:
    """``denied`` only for what means a missing permission; ``allowed`` for a dry run that would have been."""
    code = describe_error(error)["code"] or ""
    if code == DRY_RUN_ALLOWED:
        return "allowed"
    return "denied" if DENIED.search(code) else "error"


def attempt(session: t.Any, call: Document) -> Document:
    """Make one call once: its outcome, what was asked to be shown, and the error if there was one."""
    from botocore.exceptions import ClientError

    operation = call["operation"]
    try:
        client = make_client(session, call["service"])
        if operation not in client.meta.method_to_api_mapping:
            message = f"{call['service']} has no operation {operation!r} in this version of botocore"
            return {"outcome": "error", "error": {"type": "UnknownOperation", "code": None, "message": message}}
        answer = getattr(client, operation)(**call.get("parameters", {}))
    except ClientError as error:
        return {"outcome": judge_error(error), "error": describe_error(error)}
    except Exception as error:  # bad parameters, unknown service, no network: told as what it is
        return {"outcome": "error", "error": describe_error(error)}
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
    return {"outcome": "allowed", "error": None, **show(answer, model.output_shape, call.get("show"))}


def show(answer: Document, shape: t.Any, expression: str | None) -> Document:
    """``shown`` where the call asks for it; a faulty expression says so and does not spoil the outcome."""
    if not expression:
        return {}
    plain = readable({key: value for key, value in answer.items() if key != "ResponseMetadata"}, shape)
    try:
        return {"shown": pick(plain, expression)}
    except Exception as error:  # jmespath raises errors of many classes, ValueError and TypeError among them
        return {"shown": None, "show_error": describe_error(error)["message"]}


def make_call(session: t.Any, call: Document, deadline: float) -> Document:
    """One declared call. An allowed one that is denied is tried again until the deadline: IAM needs seconds."""
    result = attempt(session, call)
    while call["expected"] == "allow" and result["outcome"] == "denied" and time.monotonic() + PAUSE < deadline:
        time.sleep(PAUSE)
        result = attempt(session, call)
    wanted = {"allow": "allowed", "deny": "denied"}[call["expected"]]
    told = {key: call[key] for key in ("service", "operation", "expected")}
    return {**told, **result, "ok": result["outcome"] == wanted}


def is_expected(identity: Document | None, expected: Document | None) -> bool:
    """Whether the pod holds the role that its association names."""
    if not identity or not expected:
        return False
    return all(identity[key] == expected[key] for key in ("account", "role"))


def make_calls(session: t.Any, declared: Document, identity: Document | None, deadline: float) -> list[Document]:
    """Every declared call, but only under the expected identity: under another one a ``deny`` call might succeed."""
    calls = declared.get("calls", [])
    if is_expected(identity, declared.get("expected")):
        return [make_call(session, call, deadline) for call in calls]
    skipped = {"outcome": "not_tried", "ok": False, "error": None}
    return [{**{key: call[key] for key in ("service", "operation", "expected")}, **skipped} for call in calls]


def prove(declared: Document, environment: t.Mapping[str, str]) -> Document:
    """The whole proof as one document."""
    begun = time.monotonic()
    document: Document = {"format": 1, "python": platform.python_version(), **describe_environment(environment)}
    try:
        import boto3
        import botocore
    except ImportError as error:
        return {**document, "boto3": None, "botocore": None, "error": describe_error(error)}
    deadline = begun + float(declared.get("grace", 0))
    session, credentials = patient_credentials(declared.get("region", ""), deadline)
    identity, identity_error = None, None
    if credentials["method"]:
        identity, identity_error = ask_identity(session)
    return {
        **document,
        "boto3": boto3.__version__,
        "botocore": botocore.__version__,
        "region": session.region_name if session else None,
        "credentials": credentials,
        "identity": identity,
        "identity_error": identity_error,
        "calls": make_calls(session, declared, identity, deadline),
        "seconds": round(time.monotonic() - begun, 3),
    }


def publish(document: Document, termination_log: pathlib.Path | None) -> None:
    """Print the document, and leave it as the termination message if the kubelet made that file and it fits."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    sys.stdout.write(f"{BEGIN}\n{text}\n{END}\n")
    sys.stdout.flush()
    if termination_log and termination_log.exists() and len(text.encode()) <= TERMINATION_LIMIT:
        termination_log.write_text(text, encoding="utf-8")


def main(arguments: t.Sequence[str]) -> int:
    gc.disable()  # it takes a fifth of the time, and there is little to collect in a process that ends at once
    orders, *termination_log = arguments
    declared = json.loads(orders)
    # Where the script runs in somebody else's container, nothing but this ends it when nobody waits any more.
    signal.alarm(int(declared.get("limit", 0)))
    publish(prove(declared, os.environ), pathlib.Path(termination_log[0]) if termination_log else None)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
