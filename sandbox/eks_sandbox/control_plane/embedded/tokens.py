# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service account tokens: RS256, bound to a pod, with the claims that Kubernetes gives them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import time
import typing as t
import uuid

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa

from eks_sandbox.control_plane.embedded.resources import NODES
from eks_sandbox.control_plane.embedded.resources import PODS
from eks_sandbox.control_plane.embedded.resources import SERVICE_ACCOUNTS
from eks_sandbox.control_plane.embedded.store import Store
from eks_sandbox.control_plane.objects import Object

#: With the issuer, the audiences of a token that requests none.
API_AUDIENCE = "https://kubernetes.default.svc"
DEFAULT_LIFETIME = 3600
SHORTEST_LIFETIME, LONGEST_LIFETIME = 600, 1 << 32


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _number(value: int) -> str:
    return _encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


class Tokens:
    """Issues and checks the tokens of one cluster."""

    def __init__(self, store: Store, issuer: str, key: rsa.RSAPrivateKey) -> None:
        self._store = store
        self._key = key
        self.issuer = issuer
        self.audiences = (API_AUDIENCE, issuer)
        der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._key_id = _encode(hashlib.sha256(der).digest())

    @classmethod
    async def create(cls, store: Store, issuer: str) -> Tokens:
        """With a new key, which takes about a tenth of a second to find."""
        key = await asyncio.to_thread(rsa.generate_private_key, public_exponent=65537, key_size=2048)
        return cls(store, issuer, key)

    def issue(
        self, account: Object, audiences: t.Sequence[str], lifetime: int, pod: Object | None = None
    ) -> tuple[str, int]:
        """A signed token for a service account, and when it expires (seconds since 1970)."""
        now = int(time.time())
        metadata = account["metadata"]
        private: Object = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        if pod is not None:
            private["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
            private |= self._node(pod)
        claims = {
            "aud": list(audiences),
            "exp": now + lifetime,
            "iat": now,
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        head = {"alg": "RS256", "kid": self._key_id}
        signed = ".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (head, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encode(signature)}", now + lifetime

    def _node(self, pod: Object) -> Object:
        name = pod["spec"].get("nodeName", "")
        node = self._store.find(NODES, "", name)
        return {"node": {"name": name, "uid": node["metadata"]["uid"]}} if node else {}

    def review(self, token: str, audiences: t.Sequence[str] = ()) -> Object | None:
        """The token's claims, or None when it does not hold: signature, times, audience, service account, pod."""
        claims = self._verified(token)
        if claims is None:
            return None
        now = time.time()
        if not claims["nbf"] <= now < claims["exp"] or claims["iss"] != self.issuer:
            return None
        if not set(claims["aud"]) & set(audiences or self.audiences):
            return None
        return claims if self._still_bound(claims["kubernetes.io"]) else None

    def has_signed(self, token: str) -> bool:
        """Whether this server issued the token, valid or not."""
        return self._verified(token) is not None

    def _verified(self, token: str) -> Object | None:
        try:
            head, body, signature = token.split(".")
            if json.loads(_decode(head)).get("alg") != "RS256":
                return None
            self._key.public_key().verify(
                _decode(signature), f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
            claims = json.loads(_decode(body))
        except (ValueError, AttributeError, binascii.Error, InvalidSignature):
            return None
        return t.cast(Object, claims)

    def _still_bound(self, private: Object) -> bool:
        namespace, account = private["namespace"], private["serviceaccount"]
        found = self._store.find(SERVICE_ACCOUNTS, namespace, account["name"])
        if found is None or found["metadata"]["uid"] != account["uid"]:
            return False
        pod = private.get("pod")
        if pod is None:
            return True
        found = self._store.find(PODS, namespace, pod["name"])
        return found is not None and found["metadata"]["uid"] == pod["uid"]

    def key_set(self) -> Object:
        """The public key as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self._key_id,
            "alg": "RS256",
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }
        return {"keys": [key]}

    def discovery(self) -> Object:
        """The OpenID discovery document; EKS serves the keys at the issuer's own address."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }
