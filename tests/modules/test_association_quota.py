# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""As many associations as a cluster takes, against the endpoint of the benchmark without its latency."""

from __future__ import annotations

import collections.abc
import json
import typing as t

import pytest
from bench.bench import Endpoint
from bench.bench import associations
from support.module_runs import RunModule
from support.module_runs import use_environment

MODULE = "eks_pod_identity_associations"
QUOTA = 5000


#: What a pipe holds, and so how long a result may be that a worker of ansible-core leaves unread.
PIPE_BYTES = 64 * 1024


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> collections.abc.Iterator[Endpoint]:
    """The endpoint, in the environment as a user would have it."""
    with Endpoint(latency=0) as endpoint:
        keys = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret-but-long-enough"}
        use_environment(monkeypatch, {"AWS_ENDPOINT_URL": endpoint.url, "AWS_REGION": "eu-west-1", **keys})
        yield endpoint


def test_fast_mode_handles_five_thousand_associations(endpoint: Endpoint, run_module: RunModule) -> None:
    items = associations(QUOTA)
    settings: dict[str, t.Any] = {"cluster_name": "example", "associations": items, "mode": "fast"}
    made = run_module(MODULE, **settings)
    assert len(made["created"]) == QUOTA
    assert made["api_calls"]["CreatePodIdentityAssociation"] == QUOTA
    items[0]["role_arn"] += "-v2"
    again = run_module(MODULE, **settings)
    assert (len(again["updated"]), len(again["unchanged"])) == (1, QUOTA - 1)
    assert again["api_calls"]["ListPodIdentityAssociations"] == QUOTA // 100
    assert again["api_calls"]["DescribePodIdentityAssociation"] == 1


def test_result_of_200_unchanged_associations_fits_into_a_pipe(endpoint: Endpoint, run_module: RunModule) -> None:
    settings: dict[str, t.Any] = {"cluster_name": "example", "associations": associations(200)}
    run_module(MODULE, **settings)
    again = run_module(MODULE, **settings)
    assert not again["changed"] and again["unchanged"][0] == "/".join(
        again["associations"][0][key] for key in ("namespace", "service_account")
    )
    assert len(json.dumps(again)) < PIPE_BYTES
