# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# PRIVATE to the collection: no part of its interface, and it may change in any release.
"""Which identity a pod was given when it was admitted.

Source of the rules: aws/amazon-eks-pod-identity-webhook, ``pkg/handler``.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._diagnosis.reading import dig
from .._diagnosis.reading import listing
from .._diagnosis.reading import text

POD_IDENTITY, IRSA, NONE = "pod_identity", "irsa", "none"
AUDIENCE = "pods.eks.amazonaws.com"
CREDENTIALS_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#: Name of the variable with the path of the token, by mechanism.
TOKEN_VARIABLES = {POD_IDENTITY: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", IRSA: "AWS_WEB_IDENTITY_TOKEN_FILE"}
#: Variables that every AWS SDK obeys before it asks for Pod Identity.
STRONGER = ("AWS_ACCESS_KEY_ID", TOKEN_VARIABLES[IRSA])


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a container would get its AWS credentials by."""

    mechanism: str
    #: Variables of the container that make AWS SDKs take other credentials than those of Pod Identity.
    stronger: tuple[str, ...] = ()


def identity_of(pod: t.Any, container: str) -> Identity:
    """The identity of a container by its pod's object.

    It has one when the variables are there and the token that they name is in a volume which it mounts.
    """
    found = next((one for one in listing(dig(pod, "spec", "containers")) if dig(one, "name") == container), None)
    variables = {text(dig(entry, "name")): text(dig(entry, "value")) for entry in listing(dig(found, "env"))}
    tokens = tokens_of(pod, found)
    audience = tokens.get(variables.get(TOKEN_VARIABLES[POD_IDENTITY], ""))
    if CREDENTIALS_URI in variables and audience == AUDIENCE:
        return Identity(POD_IDENTITY, tuple(name for name in STRONGER if name in variables))
    # The audience of IRSA is what an annotation says, sts.amazonaws.com by default.
    if "AWS_ROLE_ARN" in variables and variables.get(TOKEN_VARIABLES[IRSA], "") in tokens:
        return Identity(IRSA)
    return Identity(NONE)


def tokens_of(pod: t.Any, container: t.Any) -> dict[str, str]:
    """Path in a container -> audience, of the service account tokens that it mounts."""
    sources = {
        text(dig(volume, "name")): [dig(source, "serviceAccountToken") for source in projected]
        for volume in listing(dig(pod, "spec", "volumes"))
        if (projected := listing(dig(volume, "projected", "sources")))
    }
    return {
        f"{text(dig(mount, 'mountPath'))}/{text(dig(token, 'path'))}": text(dig(token, "audience"))
        for mount in listing(dig(container, "volumeMounts"))
        for token in sources.get(text(dig(mount, "name")), [])
        if token
    }
