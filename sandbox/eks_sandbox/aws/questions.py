# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes ministack check the permissions for EC2 and IAM that AWS checks, instead of one check with its own resource."""

from __future__ import annotations

import typing as t

from eks_sandbox.aws.ec2_permissions import Ec2Permissions
from eks_sandbox.aws.iam_permissions import IamPermissions
from eks_sandbox.aws.permissions import Question

#: Carries a request's checks among its condition keys, from where ministack reads them to where it does them.
QUESTIONS = "eks-sandbox:questions"


def check_as_aws(
    evaluator: t.Any,
    actions: t.Any,
    of_ec2: Ec2Permissions,
    of_iam: IamPermissions,
    remember: t.Callable[[str, Question, bool], None],
) -> None:
    """Put all questions into ministack's authorisation; ``remember`` gets access key, question and answer."""
    request_keys, enforce = actions.request_tag_context, evaluator.enforce

    def keys(service: str, action: str, body: bytes, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        found: dict[str, t.Any] = request_keys(service, action, body, parameters)
        operation = action.partition(":")[2]
        flat = {name: value[0] if isinstance(value, list) else value for name, value in parameters.items()}
        if service == "ec2":
            found[QUESTIONS] = of_ec2.questions(operation, flat)
        elif service == "iam":
            found[QUESTIONS] = of_iam.questions(operation, flat, dict(found))
        return found

    def ask(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, t.Any] | None = None,
    ) -> t.Any:
        context = dict(service_context or {})
        questions = context.pop(QUESTIONS, [Question(iam_action, resource_arn, context)])
        for question in questions:
            answer = enforce(access_key_id, question.action, service, region, question.resource, dict(question.keys))
            remember(access_key_id, question, answer is None)
            if answer is not None:
                return answer
        return None

    actions.request_tag_context, evaluator.enforce = keys, ask
