# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tokens of EKS and the settings of clients."""

from __future__ import annotations

import base64
import typing as t

from support.boto3_account import Account


def settings(key: str, secret: str, token: str) -> dict[str, str]:
    """Client settings of a session."""
    return {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}


def eks_token(account: Account, cluster: str = "one", seconds: int = 60, keys: dict[str, str] | None = None) -> str:
    """A token as ``aws eks get-token`` makes it."""
    client = account.sandbox.client("sts", **(keys or {}))

    def name_cluster(request: t.Any, **_more: t.Any) -> None:
        request.headers["x-k8s-aws-id"] = cluster

    client.meta.events.register("before-sign.sts.GetCallerIdentity", name_cluster)
    url = client.generate_presigned_url("get_caller_identity", ExpiresIn=seconds, HttpMethod="GET")
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
