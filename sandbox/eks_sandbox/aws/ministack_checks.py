# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The second half of the adapter to ministack: makes its IAM and STS as strict as AWS's.

Every request is checked against botocore's model and the rules in :mod:`iam_rules` and :mod:`sts_rules` before
ministack sees it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
import typing as t
import urllib.parse
from xml.sax.saxutils import escape

from eks_sandbox.aws import iam_lists
from eks_sandbox.aws import iam_rules
from eks_sandbox.aws import query
from eks_sandbox.aws import sts_rules
from eks_sandbox.aws.errors import ServiceError
from eks_sandbox.aws.knobs import Knobs
from eks_sandbox.aws.model import Parameters
from eks_sandbox.aws.model import service_model
from eks_sandbox.aws.policy_documents import as_list
from eks_sandbox.aws.policy_documents import statements

#: Status, headers, body.
Answer = tuple[int, dict[str, str], t.Any]

#: Messages of ministack, and of AWS.
_WORDS = (
    (r"Role (\S+) not found\.", r"The role with name \1 cannot be found."),
    (r"Policy (\S+) not found\.", r"Policy \1 was not found."),
    (r"Policy (\S+) is not attached to \w+ \S+\.", r"Policy \1 was not found."),
    (r"must delete all inline policies first", "must delete policies first"),
    (r"must remove role from all instance profiles first", "must remove roles from instance profile first"),
)


@dataclasses.dataclass(frozen=True)
class RoleChange:
    """The last change of a role's trust policy."""

    #: ``time.monotonic()``
    at: float
    #: The trust policy before; None for a new role.
    before: str | None


class Checks:
    """Wraps ministack's handlers; created and installed once."""

    def __init__(
        self,
        iam: t.Any,
        sts: t.Any,
        account: t.Callable[[], str],
        access_key: t.Callable[[t.Any, t.Any], str],
        authorise_tagging: t.Callable[[str, str], None],
        knobs: Knobs,
    ) -> None:
        self._iam = iam
        self._sts = sts
        #: The account of the request that is being answered, and its access key by headers and query.
        self._account = account
        self._access_key = access_key
        #: Refuses a caller, known by access key, who may not pass session tags to a role.
        self._authorise_tagging = authorise_tagging
        self._knobs = knobs
        self._models = {name: service_model(name) for name in ("iam", "sts")}
        #: By account and role name.
        self.role_changes: dict[tuple[str, str], RoleChange] = {}
        #: The accounts that the sandbox knows, and so whether a principal of theirs exists.
        self.accounts: t.Collection[str] = ()

    def install(self) -> None:
        """Put the checks between ministack's dispatcher and its handlers."""
        self._iam.handle_request = self._iam_request
        self._handle_sts = self._sts.handle_request
        self._sts.handle_request = self._sts_request

    # --- IAM ----------------------------------------------------------------------------------------------------------

    async def _iam_request(
        self, method: str, _path: str, _headers: t.Any, body: bytes, parameters: dict[str, list[str]]
    ) -> Answer:
        # ministack's own parsing loses values that are empty texts, such as those of tags.
        form = {**parameters, **_form(method, body)}
        flat = {name: values[0] for name, values in form.items()}
        operation = flat.get("Action", "")
        handler = self._iam._IAM_HANDLERS.get(operation)
        try:
            if handler is None or operation not in self._models["iam"].operation_names:
                raise ServiceError("InvalidAction", f"Could not find operation {operation}", status=400)
            parsed = query.parse(self._models["iam"].operation_model(operation), flat)
            iam_rules.check(operation, parsed, self)
        except ServiceError as error:
            return self._error(error, "iam")
        before = self._before(operation, parsed)
        status, headers, content = handler(form)
        if status != 200:
            return status, headers, _in_words_of_aws(content)
        self._after(operation, parsed, before)
        try:
            return status, headers, iam_lists.page_of(self._models["iam"].operation_model(operation), parsed, content)
        except ServiceError as error:
            return self._error(error, "iam")

    def _error(self, error: ServiceError, service: str) -> Answer:
        answer: Answer = self._iam._error(error.status, error.code, escape(error.message), ns=service)
        return answer

    def _before(self, operation: str, parameters: Parameters) -> dict[str, t.Any]:
        """What a change makes unknown and is needed afterwards: the record of the role or user."""
        if operation in ("UpdateAssumeRolePolicy", "DeleteRole"):
            return dict(self._iam._roles.get(parameters["RoleName"]) or {})
        return dict(self._iam._users.get(parameters["UserName"]) or {}) if operation == "DeleteUser" else {}

    def _after(self, operation: str, parameters: Parameters, before: dict[str, t.Any]) -> None:
        if operation in ("CreateRole", "UpdateAssumeRolePolicy"):
            key = (self._account(), parameters["RoleName"])
            self.role_changes[key] = RoleChange(time.monotonic(), before.get("AssumeRolePolicyDocument"))
        elif operation in ("DeleteRole", "DeleteUser"):
            self._forget_principal(before["Arn"], before.get("RoleId") or before["UserId"])

    def _forget_principal(self, arn: str, unique_id: str) -> None:
        """In trust policies, a deleted principal becomes its unique id, and stays so if the principal is recreated.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
        """
        for role in self._iam._roles.to_dict().values():
            document = json.loads(role["AssumeRolePolicyDocument"])
            changed = False
            for statement in statements(document):
                principal = statement.get("Principal")
                if isinstance(principal, dict) and arn in as_list(principal.get("AWS")):
                    named = [unique_id if one == arn else one for one in as_list(principal["AWS"])]
                    principal["AWS"] = named if isinstance(principal["AWS"], list) else named[0]
                    changed = True
            if changed:
                role["AssumeRolePolicyDocument"] = json.dumps(document)

    # --- what the rules read (iam_rules.Directory), in the account of the request -------------------------------------

    @property
    def trust_policy_characters(self) -> int:
        """The quota for the size of a trust policy."""
        return self._knobs.trust_policy_characters

    def role_names(self) -> list[str]:
        """The names of all roles."""
        return list(self._iam._roles)

    def principal_exists(self, arn: str) -> bool:
        """Whether this user or role exists; true for everything that the sandbox cannot know."""
        parts = arn.split(":", 5)
        kind, _, name = parts[-1].rpartition("/")
        if len(parts) < 6 or parts[4] not in self.accounts or not re.match(r"(user|role)(/|$)", kind):
            return True
        store = self._iam._users if kind.startswith("user") else self._iam._roles
        record = store.get_scoped(parts[4], None, name)
        return record is not None and record["Arn"] == arn

    def is_policy(self, arn: str) -> bool:
        """Whether there is a managed policy with this ARN."""
        return bool(self._iam._policy_exists(arn))

    def attached_policies(self, kind: str, name: str) -> list[str]:
        """ARNs of the managed policies of a Role, User or Group."""
        store = {"Role": self._iam._roles, "User": self._iam._users, "Group": self._iam._groups}[kind]
        return list((store.get(name) or {}).get("AttachedPolicies", []))

    def inline_policies(self, kind: str, name: str) -> dict[str, str] | None:
        """Documents of the inline policies of a Role, User or Group by name; None if the entity does not exist."""
        if kind == "Role":
            role = self._iam._roles.get(name)
            return None if role is None else dict(role["InlinePolicies"])
        entities, policies = {
            "User": (self._iam._users, self._iam._user_inline_policies),
            "Group": (self._iam._groups, self._iam._group_inline_policies),
        }[kind]
        return dict(policies.get(name) or {}) if name in entities else None

    def access_keys(self, user: str) -> int:
        """How many access keys a user has."""
        return sum(1 for key in self._iam._access_keys.values() if key["UserName"] == user)

    def role_tags(self, role: str) -> list[str]:
        """The keys of a role's tags."""
        return [tag["Key"] for tag in (self._iam._roles.get(role) or {}).get("Tags", [])]

    # --- STS ----------------------------------------------------------------------------------------------------------

    async def _sts_request(
        self, method: str, path: str, headers: t.Any, body: bytes, parameters: dict[str, list[str]]
    ) -> Answer:
        flat = {name: values[0] for name, values in {**parameters, **_form(method, body)}.items()}
        operation = flat.get("Action", "")
        try:
            if operation not in self._models["sts"].operation_names:
                raise ServiceError("InvalidAction", f"Could not find operation {operation}", status=400)
            parsed = query.parse(self._models["sts"].operation_model(operation), flat)
            if operation == "AssumeRole":
                return await self._assume_role(path, headers, flat, parsed)
        except ServiceError as error:
            return self._error(error, "sts")
        answer: Answer = await self._handle_sts(method, path, headers, body, parameters)
        return answer

    async def _assume_role(self, path: str, headers: t.Any, flat: dict[str, str], parameters: Parameters) -> Answer:
        """AssumeRole with what ministack leaves out: longest durations, transitive tags, the packed size."""
        access_key = self._access_key(headers, flat)
        session = self._sts._sessions.get(access_key, {})
        held = {tag["Key"]: tag["Value"] for tag in session.get("SessionTags") or []}
        inherited = {key: held[key] for key in session.get("TransitiveTagKeys", [])}
        sts_rules.check_policy(parameters)
        tags = sts_rules.tags_of(parameters, inherited)
        transitive = sts_rules.transitive_keys(parameters, inherited)
        packed = sts_rules.packed_size(parameters, tags, transitive)
        role = self._role_record(parameters["RoleArn"])
        if role is not None:
            chained = session.get("PrincipalType") == "AssumedRole"
            sts_rules.check_duration(parameters, role["MaxSessionDuration"], chained=chained)
        if tags:
            self._authorise_tagging(access_key, parameters["RoleArn"])
        body = urllib.parse.urlencode(_with_tags(flat, tags)).encode()
        status, answered, content = await self._handle_sts("POST", path, headers, body, {})
        return status, answered, self._completed(content, transitive, packed) if status == 200 else content

    def _role_record(self, arn: str) -> dict[str, t.Any] | None:
        parts = arn.split(":")
        record = self._iam._roles.get_scoped(parts[4], None, arn.rsplit("/", 1)[-1]) if len(parts) == 6 else None
        return record if record is not None and record["Arn"] == arn else None

    def _completed(self, body: bytes, transitive: t.Sequence[str], packed: int) -> bytes:
        """The answer of AssumeRole with its packed size, and the new session with its transitive keys."""
        found = re.search(rb"<AccessKeyId>([^<]+)</AccessKeyId>", body)
        assert found is not None
        self._sts._sessions[found[1].decode()]["TransitiveTagKeys"] = list(transitive)
        return re.sub(rb"(?<=<PackedPolicySize>)0(?=<)", str(packed).encode(), body)


def _form(method: str, body: bytes) -> dict[str, list[str]]:
    return urllib.parse.parse_qs(body.decode(), keep_blank_values=True) if method == "POST" else {}


def _with_tags(flat: t.Mapping[str, str], tags: t.Mapping[str, str]) -> dict[str, str]:
    """A request's parameters with these tags instead of its own."""
    form = {name: value for name, value in flat.items() if not name.startswith("Tags.")}
    for number, (key, value) in enumerate(tags.items(), start=1):
        form |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value}
    return form


def _in_words_of_aws(body: t.Any) -> t.Any:
    """An error of ministack's in the words of AWS."""
    text = body.decode() if isinstance(body, bytes) else str(body)
    for theirs, ours in _WORDS:
        text = re.sub(theirs, ours, text)
    return text.encode()
