# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The HTTP applications that the API server calls: admission and authentication."""

from __future__ import annotations

import json
import logging
import typing as t

from eks_sandbox.control_plane.objects import Object
from eks_sandbox.control_plane.serving import BodyTooLargeError
from eks_sandbox.control_plane.serving import Receive
from eks_sandbox.control_plane.serving import Scope
from eks_sandbox.control_plane.serving import Send
from eks_sandbox.control_plane.serving import read_body
from eks_sandbox.control_plane.serving import respond

log = logging.getLogger(__name__)

Review = t.Callable[[Object], t.Awaitable[Object]]


class Reviews:
    """Answers POSTed reviews, one function per path."""

    def __init__(self, reviews: t.Mapping[str, Review]) -> None:
        self._reviews = dict(reviews)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI."""
        review = self._reviews.get(scope["path"])
        if scope["type"] != "http" or scope["method"] != "POST" or review is None:
            await respond(send, 404, b"404 page not found\n", "text/plain; charset=utf-8")
            return
        try:
            body = json.loads(await read_body(receive))
            if not isinstance(body, dict):
                raise ValueError("not an object")
            answer = await review(body)
        except (ValueError, KeyError, TypeError, AttributeError, BodyTooLargeError) as error:
            log.warning("a review cannot be read: %s", error)
            await respond(send, 400, b"the review cannot be read\n", "text/plain; charset=utf-8")
            return
        await respond(send, 200, json.dumps(answer).encode())
