# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lookup eks_token: what the token says, that it is made locally, and that a cluster takes it."""

from __future__ import annotations

import base64
import collections.abc
import json
import os
import ssl
import subprocess
import sys
import typing as t
import urllib.error
import urllib.parse
import urllib.request

import pytest
from support.environment import ROOT
from support.module_runs import CLUSTER_ROLE
from support.module_runs import Account
from support.module_runs import create_network
from support.module_runs import create_roles
from support.module_runs import use_environment
from support.sandbox_process import SandboxProcess

KEYS = {"access_key": "AKIAEXAMPLE", "secret_key": "secret"}
PREFIX = "k8s-aws-v1."


class Lookup(t.Protocol):
    """Runs the lookup for clusters in the environment of the test; raises LookupError with what Ansible would say."""

    def __call__(self, *names: str, **options: str) -> list[str]: ...


@pytest.fixture(scope="module")
def process() -> collections.abc.Iterator[subprocess.Popen[str]]:
    """A controller that waits for lookups to run."""
    path = ROOT / "tests" / "support" / "lookup_process.py"
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, str(path)]
    with subprocess.Popen(command, text=True, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        yield child
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(10) == 0


@pytest.fixture
def tokens(process: subprocess.Popen[str]) -> Lookup:
    """The lookup as a template runs it."""

    def run(*names: str, **options: str) -> list[str]:
        assert process.stdin is not None
        assert process.stdout is not None
        env = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        process.stdin.write(json.dumps({"env": env, "terms": names, "options": options}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        if "error" in answer:
            raise LookupError(answer["error"])
        found: list[str] = answer["tokens"]
        return found

    return run


def decoded(token: str) -> urllib.parse.SplitResult:
    """The signed URL in a token."""
    assert token.startswith(PREFIX)
    text = token.removeprefix(PREFIX)
    assert "=" not in text
    return urllib.parse.urlsplit(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())


@pytest.fixture
def no_aws_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any AWS settings."""
    use_environment(monkeypatch, {})


def test_token_is_regional_signed_url_bound_to_cluster(tokens: Lookup, no_aws_settings: None) -> None:
    [token] = tokens("example", region="eu-west-1", **KEYS)
    url = decoded(token)
    query = dict(urllib.parse.parse_qsl(url.query))
    assert (url.scheme, url.netloc, url.path) == ("https", "sts.eu-west-1.amazonaws.com", "/")
    assert query["Action"] == "GetCallerIdentity"
    assert query["X-Amz-Expires"] == "60"
    assert query["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert query["X-Amz-Credential"].startswith("AKIAEXAMPLE/")
    assert query["X-Amz-Credential"].endswith("/eu-west-1/sts/aws4_request")
    assert "secret" not in url.query


def test_each_cluster_has_its_own_signature(tokens: Lookup, no_aws_settings: None) -> None:
    queries = [urllib.parse.parse_qs(decoded(token).query) for token in tokens("a", "b", region="eu-west-1", **KEYS)]
    assert len({query["X-Amz-Signature"][0] for query in queries}) == 2


def test_session_token_is_included(tokens: Lookup, no_aws_settings: None) -> None:
    [token] = tokens("example", region="eu-west-1", session_token="session", **KEYS)
    assert dict(urllib.parse.parse_qsl(decoded(token).query))["X-Amz-Security-Token"] == "session"


def test_settings_come_from_the_environment(tokens: Lookup, monkeypatch: pytest.MonkeyPatch) -> None:
    use_environment(
        monkeypatch,
        {"AWS_DEFAULT_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "none"},
    )
    [token] = tokens("example")
    assert decoded(token).netloc == "sts.us-west-2.amazonaws.com"
    assert "AKIAENV" in decoded(token).query


def test_settings_come_from_a_profile(tokens: Lookup, monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> None:
    config = tmp_path / "config"
    config.write_text("[profile other]\nregion=eu-north-1\naws_access_key_id=AKIAPROFILE\naws_secret_access_key=none\n")
    use_environment(monkeypatch, {"AWS_CONFIG_FILE": str(config)})
    [token] = tokens("example", profile="other")
    assert decoded(token).netloc == "sts.eu-north-1.amazonaws.com"
    assert "AKIAPROFILE" in decoded(token).query


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_endpoint_follows_environment(tokens: Lookup, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    use_environment(monkeypatch, {variable: "http://aws.example:8080"})
    [token] = tokens("example", region="eu-west-1", **KEYS)
    assert decoded(token).netloc == "aws.example:8080"


def test_token_is_created_offline_and_accepted_by_sts(tokens: Lookup, account: Account) -> None:
    [token] = tokens("example")
    assert account.sandbox.calls() == {}
    request = urllib.request.Request(decoded(token).geturl(), headers={"x-k8s-aws-id": "example"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        assert b":user/" in answer.read()


@pytest.mark.parametrize(
    ("terms", "options", "sentence"),
    [
        (["example"], {**KEYS}, "No AWS region is known; set the option region"),
        (["example"], {"region": "eu-west-1"}, "No AWS credentials were found; set access_key"),
        (["no spaces"], {"region": "eu-west-1", **KEYS}, 'cluster_name "no spaces" is no name of an EKS cluster'),
        (["example"], {"region": "eu-west-1", "profile": "none"}, "The config profile (none) could not be found"),
    ],
)
def test_missing_or_invalid_setting_fails_in_one_sentence(
    tokens: Lookup, no_aws_settings: None, terms: list[str], options: dict[str, str], sentence: str
) -> None:
    with pytest.raises(LookupError) as caught:
        tokens(*terms, **options)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> collections.abc.Iterator[SandboxProcess]:
    """A sandbox whose clusters run."""
    process = SandboxProcess()
    process.start(tmp_path_factory.mktemp("kubernetes"))
    yield process
    process.stop()


def test_cluster_accepts_only_its_own_token(
    tokens: Lookup, kubernetes: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_environment(monkeypatch, kubernetes.env)
    create_roles(kubernetes.client("iam"))
    vpc_id, subnet_ids, security_group_ids = create_network(kubernetes.client("ec2"))
    account = Account(kubernetes, vpc_id, subnet_ids, security_group_ids, kubernetes.client("eks"))
    cluster = account.create_cluster(roleArn=CLUSTER_ROLE)
    authority = base64.b64decode(cluster["certificateAuthority"]["data"]).decode()
    context = ssl.create_default_context(cadata=authority)

    def namespaces(token: str) -> list[str]:
        url = f"{cluster['endpoint']}/api/v1/namespaces"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request) as answer:
            return [item["metadata"]["name"] for item in json.load(answer)["items"]]

    [good, other] = tokens("example", "another-cluster")
    assert "kube-system" in namespaces(good)
    with pytest.raises(urllib.error.HTTPError) as refused:
        namespaces(other)
    assert refused.value.code == 401
