# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The adapter to ministack: with :mod:`ministack_checks` the one place that touches its internals.

ministack (https://pypi.org/project/ministack/, MIT) gives IAM with evaluation of policies, conditions and session tags,
STS, S3 and EC2. Everything the rest of the sandbox needs of it goes through :class:`Ministack`; where it is laxer than
AWS for the calls of this project, :mod:`ministack_checks` refuses.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import secrets
import string
import time
import typing as t
import urllib.parse

import botocore.parsers
import botocore.serialize

from eks_sandbox.aws import launch_templates
from eks_sandbox.aws import managed_policies
from eks_sandbox.aws import service_linked_roles
from eks_sandbox.aws import trust
from eks_sandbox.aws.denials import say_who_denied
from eks_sandbox.aws.ec2_permissions import Ec2Permissions
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.errors import access_denied
from eks_sandbox.aws.http import Application
from eks_sandbox.aws.http import Request
from eks_sandbox.aws.iam_permissions import IamPermissions
from eks_sandbox.aws.knobs import Knobs
from eks_sandbox.aws.ministack_checks import Checks
from eks_sandbox.aws.model import service_model
from eks_sandbox.aws.nat_gateways import NatGateways
from eks_sandbox.aws.permissions import Permissions
from eks_sandbox.aws.permissions import Question
from eks_sandbox.aws.policy_simulator import simulate_with_context
from eks_sandbox.aws.policy_variables import expand_variables
from eks_sandbox.aws.questions import check_as_aws
from eks_sandbox.interfaces import Credentials

ADMINISTRATOR = "sandbox-admin"
#: What ministack serves here; the sandbox refuses any other service instead of faking a success.
SERVICES = frozenset({"iam", "sts", "s3", "ec2"})

_AWS_POLICY = "arn:aws:iam::aws:policy/"
_AUTHENTICATION_CODES = {
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "RequestTimeTooSkewed": "InvalidSignatureException",
    "CredentialDateMismatch": "InvalidSignatureException",
    "IncompleteSignature": "IncompleteSignatureException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "InvalidToken": "UnrecognizedClientException",
    "InvalidClientTokenId": "UnrecognizedClientException",
}


@dataclasses.dataclass(frozen=True)
class Caller:
    """An authenticated caller."""

    access_key: str
    #: ``arn:aws:iam::…:user/…`` or ``arn:aws:sts::…:assumed-role/…``
    arn: str
    account: str
    region: str


class Where(t.Protocol):
    """What belongs to an account and a region: a caller, a cluster."""

    @property
    def account(self) -> str: ...

    @property
    def region(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class Place:
    """An account and a region by themselves."""

    account: str
    region: str


@dataclasses.dataclass(frozen=True)
class Role:
    """An IAM role as other services see it."""

    name: str
    arn: str
    #: ``AROA…``
    id: str
    trust_policy: str


def prepare_environment(port: int, account: str, region: str) -> None:
    """Set what ministack reads when it is imported; call this before creating :class:`Ministack`.

    The dead Docker socket keeps it from starting containers. The AWS settings of the user who starts the sandbox are
    dropped, because ministack would take their access key for its root key.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AUTH="true",
        AWS_ACCESS_KEY_ID=secrets.token_hex(16),
        AWS_SECRET_ACCESS_KEY=secrets.token_hex(32),
        DOCKER_HOST="unix:///nonexistent/docker.sock",
        GATEWAY_PORT=str(port),
        IOT_MTLS_ENABLED="0",
        MINISTACK_ACCOUNT_ID=account,
        MINISTACK_HOST="127.0.0.1",
        MINISTACK_REGION=region,
        PERSIST_STATE="0",
        SFTP_ENABLED="0",
    )


class Ministack:
    """IAM, STS, S3 and EC2 of one sandbox."""

    def __init__(self, account: str, region: str, knobs: Knobs) -> None:
        # Imported here, because ministack reads its settings while it is imported.
        from ministack import app
        from ministack.core import iam_actions
        from ministack.core import iam_evaluator
        from ministack.core import responses
        from ministack.core import router
        from ministack.services import ec2
        from ministack.services import iam
        from ministack.services import sts

        self.application: Application = app.app
        self.account = account
        self.region = region
        self.administrator_keys = _new_keys()
        #: By account; they outlive a reset.
        self._administrators = {account: self.administrator_keys}
        #: By account and name: keys and policy of the users that outlive a reset.
        self._users: dict[tuple[str, str], tuple[Credentials, dict[str, t.Any]]] = {}
        self._knobs = knobs
        self._app = app
        self._actions = iam_actions
        self._evaluator = iam_evaluator
        self._responses = responses
        self._router = router
        self._iam = iam
        self._sts = sts
        self._services = {"ec2": ec2, "iam": iam}
        self._models = {name: service_model(name) for name in self._services}
        self._checks = Checks(
            iam, sts, responses.get_account_id, router.extract_access_key_id, self._authorise_tagging, knobs
        )
        self._checks.accounts = self._administrators.keys()
        self._checks.install()
        #: The permissions that IAM checked for callers, until the call log is cleared.
        self.permissions = Permissions()
        self._ec2_permissions = Ec2Permissions(ec2)
        self._make_strict(knobs)

    def _make_strict(self, knobs: Knobs) -> None:
        """Put what AWS has and ministack lacks into its modules; which wraps which depends on the order."""
        ec2, iam = self._services["ec2"], self._iam
        service_linked_roles.name_as_aws_does(iam)
        NatGateways(ec2, knobs).install()
        launch_templates.complete(ec2)
        simulate_with_context(iam, self._evaluator, self._models["iam"])
        expand_variables(self._evaluator)
        say_who_denied(self._evaluator, self._actions)
        check_as_aws(self._evaluator, self._actions, self._ec2_permissions, IamPermissions(iam), self._remember)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Seed managed policies and make every account's administrator and users."""
        for name, (description, statements) in managed_policies.POLICIES.items():
            document = json.dumps({"Version": "2012-10-17", "Statement": statements})
            record = self._iam._make_aws_managed_record(name, document, description)
            self._iam._aws_managed_policies.setdefault(record["Arn"], record)
        for account in self._administrators:
            await self._make_administrator(account)
        for (account, name), (keys, policy) in self._users.items():
            await self._make_user(account, name, keys, policy)

    async def add_account(self, account: str) -> Credentials:
        """The keys of an account's administrator; the first request creates the account.

        Raises ValueError if this is not an account id.
        """
        if not re.fullmatch(r"[0-9]{12}", account):
            raise ValueError(f"An account id must have 12 digits; got {account}.")
        if account not in self._administrators:
            self._administrators[account] = _new_keys()
            await self._make_administrator(account)
        return self._administrators[account]

    async def add_user(self, account: str, name: str, policy: dict[str, t.Any]) -> Credentials:
        """The keys of a user with this one managed policy; created on the first request, and again after every reset.

        Raises ServiceError if the policy or the name is invalid.
        """
        user = (account, name)
        keys = self._users[user][0] if user in self._users else _new_keys()
        if user not in self._users:
            await self._make_user(account, name, keys, policy)
            self._users[user] = (keys, policy)
        return keys

    async def _make_administrator(self, account: str) -> None:
        policy = f"{_AWS_POLICY}AdministratorAccess"
        await self._make_user(account, ADMINISTRATOR, self._administrators[account])
        parameters = {"UserName": ADMINISTRATOR, "PolicyArn": policy}
        await self.call("iam", "AttachUserPolicy", parameters, Place(account, self.region))

    async def _make_user(
        self, account: str, name: str, keys: Credentials, policy: dict[str, t.Any] | None = None
    ) -> None:
        where = Place(account, self.region)
        await self.call("iam", "CreateUser", {"UserName": name}, where)
        if policy is not None:
            # Longer than the inline policies of a user may be.
            document = json.dumps(policy, separators=(",", ":"))
            made = await self.call("iam", "CreatePolicy", {"PolicyName": name, "PolicyDocument": document}, where)
            attached = {"UserName": name, "PolicyArn": made["Policy"]["Arn"]}
            await self.call("iam", "AttachUserPolicy", attached, where)
        record = {
            "UserName": name,
            "AccessKeyId": keys.access_key,
            "SecretAccessKey": keys.secret_key,
            "Status": "Active",
            "CreateDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self._iam._access_keys.set_scoped(account, None, keys.access_key, record)

    async def reset(self) -> None:
        """Forget everything but the accounts, their administrators and added users, whose keys stay the same."""
        self._app._reset_all_state()
        self._checks.role_changes.clear()
        await self.start()

    # --- calls as a service of AWS ------------------------------------------------------------------------------------

    async def call(self, service: str, operation: str, parameters: dict[str, t.Any], where: Where) -> dict[str, t.Any]:
        """Call EC2 or IAM as EKS itself does, beyond the caller's permissions.

        Raises ServiceError with the code of that service.
        """
        model = self._models[service].operation_model(operation)
        protocol = self._models[service].metadata["protocol"]
        request = botocore.serialize.create_serializer(protocol).serialize_to_request(parameters, model)
        body = urllib.parse.urlencode(request["body"]).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        with self._scope(where):
            status, answered, content = await self._services[service].handle_request("POST", "/", headers, body, {})
        content = content.encode() if isinstance(content, str) else content
        answer = {"status_code": status, "headers": answered, "body": content}
        parsed = botocore.parsers.create_parser(protocol).parse(answer, model.output_shape)
        if status >= 300:
            raise ServiceError(parsed["Error"]["Code"], parsed["Error"]["Message"], status=status)
        return t.cast("dict[str, t.Any]", parsed)

    @contextlib.contextmanager
    def _scope(self, where: Where) -> t.Iterator[None]:
        """ministack keeps account and region of a request in context variables."""
        before = (self._responses.get_account_id(), self._responses.get_region())
        self._responses.set_request_account_id(where.account)
        self._responses.set_request_region(where.region)
        try:
            yield
        finally:
            self._responses.set_request_account_id(before[0])
            self._responses.set_request_region(before[1])

    # --- authentication and authorisation -----------------------------------------------------------------------------

    def is_root_key(self, access_key: str) -> bool:
        """Whether ministack would take this key for its all-powerful root (``test``, account numbers)."""
        return bool(self._evaluator.is_root_access_key(access_key))

    def authenticate(self, request: Request) -> Caller:
        """Verify the SigV4 signature of a request, as ministack does for its own services.

        Raises ServiceError with the codes that AWS's JSON services use (UnrecognizedClientException, …).
        """
        signature = request.signature
        if signature is None:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", status=403)
        scope = request.scope
        self._responses.set_request_account_id(self._app._request_account_scope(signature.access_key))
        self._responses.set_request_region(signature.region)
        query = {name: list(values) for name, values in request.query.items()}
        self._evaluator.pin_signed_request(request.method, request.raw_path, query, scope["headers"])
        self._evaluator.pin_signed_body(request.body)
        account = self._responses.get_account_id()
        checked = self._evaluator.authenticate(signature.access_key, account)
        if checked is None or isinstance(checked, self._evaluator.AuthError):
            code = getattr(checked, "code", "MissingAuthenticationToken")
            message = getattr(checked, "message", "Missing Authentication Token")
            raise ServiceError(_AUTHENTICATION_CODES.get(code, code), message, status=403)
        return Caller(signature.access_key, checked.principal_arn, checked.account_id, signature.region)

    def authorise(
        self, caller: Caller, action: str, resource: str, context: t.Mapping[str, t.Any] | None = None
    ) -> None:
        """Evaluate the caller's identity policies, boundary and session policies for one action.

        ``context`` holds condition keys, such as ``iam:PassedToService``.
        Raises AccessDeniedException, worded as AWS does.
        """
        service = action.partition(":")[0]
        keys = {name.lower(): value for name, value in (context or {}).items()}
        with self._scope(caller):
            result = self._evaluator.enforce(caller.access_key, action, service, caller.region, resource, keys)
        if result is None:
            return
        if isinstance(result, self._evaluator.AuthError):
            raise ServiceError(_AUTHENTICATION_CODES.get(result.code, result.code), result.message, status=403)
        explicit = result.decision == "Deny"
        raise access_denied(self._actions.identity_denial_message(action, caller.arn, resource, explicit))

    def launch_questions(self, where: Where, template: str, used: t.Sequence[str], image: str) -> list[Question]:
        """What EC2 checks for a caller who starts instances with a launch template (Ec2Permissions.launch)."""
        with self._scope(where):
            return self._ec2_permissions.launch(template, used, image)

    def _remember(self, access_key: str, question: Question, allowed: bool) -> None:
        """Record a permission that IAM checked for a caller."""
        self.permissions.add(self.caller_arn(access_key), question.action, question.resource, allowed)

    def _authorise_tagging(self, access_key: str, role_arn: str) -> None:
        """Refuse a caller who may not pass session tags to a role; within the caller's request to STS."""
        where = Place(self._responses.get_account_id(), self._responses.get_region())
        caller = Caller(access_key, self.caller_arn(access_key), where.account, where.region)
        try:
            self.authorise(caller, "sts:TagSession", role_arn)
        except ServiceError as error:
            raise ServiceError("AccessDenied", error.message, status=403) from error

    def caller_arn(self, access_key: str) -> str:
        """The ARN behind an access key, for the call log; empty for an unknown key."""
        identity = self._evaluator.resolve_caller_identity(access_key)
        return str(identity["userArn"]) if identity else ""

    def operation_name(self, request: Request, service: str) -> str:
        """``service:Operation`` of a request to one of ministack's services, for the call log."""
        query = {name: list(values) for name, values in request.query.items()}
        path = urllib.parse.unquote(request.raw_path)
        headers = dict(request.headers)
        action = self._actions.extract_iam_action(service, request.method, path, headers, request.body, query)
        return action or f"{service}:{request.method}"

    # --- roles --------------------------------------------------------------------------------------------------------

    def role(self, arn: str) -> Role | None:
        """The role with exactly this ARN, or None when there is none; as late as IAM's changes reach other services."""
        account, name = arn.split(":")[4], arn.rsplit("/", 1)[-1]
        record = self._iam._roles.get_scoped(account, None, name)
        if record is None or record["Arn"] != arn:
            return None
        trust_policy, change = record["AssumeRolePolicyDocument"], self._checks.role_changes.get((account, name))
        if change is not None and time.monotonic() - change.at < self._knobs.iam_propagation_seconds:
            trust_policy = change.before
        return None if trust_policy is None else Role(name, arn, record["RoleId"], trust_policy)

    def principal_id(self, arn: str) -> str | None:
        """The unique id of the user or role with this ARN, ``AIDA…`` or ``AROA…``; None if there is none."""
        if ":user/" not in arn:
            role = self.role(arn)
            return role.id if role else None
        record = self._iam._users.get_scoped(arn.split(":")[4], None, arn.rsplit("/", 1)[-1])
        return None if record is None or record["Arn"] != arn else str(record["UserId"])

    def service_linked_role(self, where: Where, service: str) -> str | None:
        """The ARN of a service's role in an account; None if there is none."""
        record = self._iam._roles.get_scoped(where.account, None, service_linked_roles.NAMES[service])
        return None if record is None else str(record["Arn"])

    def trusts_service(
        self,
        role: Role,
        service: str,
        source: t.Mapping[str, str],
        session_tags: t.Mapping[str, str],
    ) -> bool:
        """Whether the role's trust policy lets this service assume it with these session tags.

        ``source`` holds aws:SourceAccount and aws:SourceArn. sts:TagSession is checked only if there are tags.
        """
        document = trust.for_service(role.trust_policy, service)
        actions = ["sts:AssumeRole", *(["sts:TagSession"] if session_tags else [])]
        return all(self._trust_allows(document, role.arn, service, action, source, session_tags) for action in actions)

    def trusts_session(
        self, role: Role, session_arn: str, source: Role, external_id: str, session_tags: t.Mapping[str, str]
    ) -> bool:
        """Whether the role's trust policy lets a session of the source role assume it (role chaining)."""
        keys = {"sts:ExternalId": external_id, "aws:PrincipalArn": source.arn}
        actions = ["sts:AssumeRole", *(["sts:TagSession"] if session_tags else [])]
        document = json.loads(role.trust_policy)
        return all(
            self._trust_allows(document, role.arn, session_arn, action, keys, session_tags) for action in actions
        )

    def _trust_allows(
        self,
        document: dict[str, t.Any],
        role_arn: str,
        principal: str,
        action: str,
        source: t.Mapping[str, str],
        session_tags: t.Mapping[str, str],
    ) -> bool:
        is_session = principal.startswith("arn:")
        context = self._evaluator.EvalContext(
            principal_arn=source.get("aws:PrincipalArn", principal),
            principal_type="AssumedRole" if is_session else "Service",
            principal_account=principal.split(":")[4] if is_session else role_arn.split(":")[4],
            action=action,
            resource_arn=role_arn,
            region=self.region,
            request_tags=dict(session_tags),
            tag_keys=list(session_tags),
            service_context={key.lower(): value for key, value in source.items()},
        )
        return bool(self._evaluator.evaluate_trust_policy(document, principal, context))

    def session(
        self,
        role: Role,
        name: str,
        *,
        seconds: int,
        session_tags: t.Mapping[str, str] | None = None,
        policy: str | None = None,
    ) -> tuple[Credentials, str, float]:
        """Register a session of a role: its credentials, its assumed-role ARN and its end (epoch seconds).

        ``policy`` is a session policy: the session may do what both it and the role's policies allow.
        """
        account = role.arn.split(":")[4]
        arn = f"arn:aws:sts::{account}:assumed-role/{role.name}/{name}"
        credentials = Credentials(_access_key_id("ASIA"), secrets.token_urlsafe(30), secrets.token_urlsafe(120))
        end = time.time() + seconds
        self._sts.register_session(
            credentials.access_key,
            {
                "Arn": arn,
                "UserId": f"{role.id}:{name}",
                "SecretAccessKey": credentials.secret_key,
                "SessionToken": credentials.session_token,
                "Expiration": end,
                "AccountId": account,
                "PrincipalType": "AssumedRole",
                "SessionTags": [{"Key": key, "Value": value} for key, value in (session_tags or {}).items()],
                "TransitiveTagKeys": list(session_tags or ()),
                "SessionPolicies": {"Policy": policy, "PolicyArns": []} if policy else None,
            },
        )
        return credentials, arn, end

    def session_caller(self, credentials: Credentials, arn: str) -> Caller:
        """A registered session as a caller, for authorising what it does next."""
        return Caller(credentials.access_key, arn, arn.split(":")[4], self.region)


def _new_keys() -> Credentials:
    return Credentials(_access_key_id("AKIA"), secrets.token_urlsafe(30), "")


def _access_key_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
