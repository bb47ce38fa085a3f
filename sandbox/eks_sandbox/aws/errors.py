# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors as an AWS service answers them."""

from __future__ import annotations

import typing as t


class ServiceError(Exception):
    """An error answer: ``code`` as the service's model names it, ``message`` for people.

    The HTTP status follows from the model; ``status`` is for errors that are common to all services and not modelled.
    """

    def __init__(
        self, code: str, message: str, members: t.Mapping[str, str] | None = None, *, status: int | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        #: Further members of the error's shape, such as ``clusterName``.
        self.members = dict(members or {})


def access_denied(message: str) -> ServiceError:
    """The caller lacks a permission; 403 unless the model of the service has a different status."""
    return ServiceError("AccessDeniedException", message, status=403)


def not_found(message: str, **members: str) -> ServiceError:
    """ResourceNotFoundException of EKS, 404."""
    return ServiceError("ResourceNotFoundException", message, members)


def in_use(message: str, **members: str) -> ServiceError:
    """ResourceInUseException of EKS, 409."""
    return ServiceError("ResourceInUseException", message, members)


def invalid_parameter(message: str, **members: str) -> ServiceError:
    """InvalidParameterException of EKS, 400: the request is wrong in every state."""
    return ServiceError("InvalidParameterException", message, members)


def invalid_request(message: str, **members: str) -> ServiceError:
    """InvalidRequestException of EKS, 400: the request does not fit the resource's state."""
    return ServiceError("InvalidRequestException", message, members)


def invalid_state(message: str, **members: str) -> ServiceError:
    """InvalidStateException of EKS, 400: what the resource holds is not ready for the request."""
    return ServiceError("InvalidStateException", message, members)


def limit_exceeded(message: str, **members: str) -> ServiceError:
    """ResourceLimitExceededException of EKS, 400."""
    return ServiceError("ResourceLimitExceededException", message, members)
