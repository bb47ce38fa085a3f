# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Principals of AWS as clients of a cluster."""

from __future__ import annotations

import json
import typing as t
import uuid

import kubernetes
from support.eks_tokens import eks_token
from support.eks_tokens import settings
from support.kubernetes_cluster import CLUSTER
from support.kubernetes_cluster import Cluster

POLICY = "arn:aws:eks::aws:cluster-access-policy/"
SESSION = "arn:aws:sts::111122223333:assumed-role/"


class Principal:
    """A session of a role of its own, which has an access entry."""

    def __init__(self, cluster: Cluster, **entry: t.Any) -> None:
        trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        account = cluster.account
        self.role = f"person-{uuid.uuid4().hex[:8]}"
        self.arn = account.iam.create_role(RoleName=self.role, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        keys = cluster.sandbox.client("sts").assume_role(RoleArn=self.arn, RoleSessionName="anna")["Credentials"]
        self._eks = account.eks
        self._who = {"clusterName": CLUSTER, "principalArn": self.arn}
        self._eks.create_access_entry(**self._who, **entry)
        self.access_key = keys["AccessKeyId"]
        own = settings(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        self.token = eks_token(account, CLUSTER, keys=own)
        self.core = cluster.client(self.token)

    def associate(self, policy: str, *namespaces: str) -> Principal:
        """Give the entry a policy in these namespaces, or in the whole cluster."""
        scope = {"type": "namespace", "namespaces": list(namespaces)} if namespaces else {"type": "cluster"}
        self._eks.associate_access_policy(**self._who, policyArn=f"{POLICY}{policy}", accessScope=scope)
        return self

    def disassociate(self, policy: str) -> None:
        """Take a policy away."""
        self._eks.disassociate_access_policy(**self._who, policyArn=f"{POLICY}{policy}")

    def reviewed(self, **spec: t.Any) -> t.Any:
        """The status of a SelfSubjectAccessReview."""
        reviews = kubernetes.client.AuthorizationV1Api(self.core.api_client)
        return reviews.create_self_subject_access_review({"spec": spec}).status

    def may(self, verb: str, resource: str, namespace: str = "", group: str = "") -> bool:
        """Whether the API server says that this person may; ``pods/log`` is a subresource."""
        plural, _, subresource = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": plural, "subresource": subresource, "namespace": namespace}
        return bool(self.reviewed(resourceAttributes=asked).allowed)
