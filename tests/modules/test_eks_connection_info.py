# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module eks_connection_info: whether a connection leads to the cluster that is meant."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from support.module_runs import RunModule

ENDPOINT = "https://0123.gr7.eu-west-1.eks.amazonaws.com"
CLUSTER: dict[str, t.Any] = {
    "cluster_name": "example",
    "endpoint": ENDPOINT,
    "certificate_authority": "-----BEGIN\nAAAA\n-----END\n",
}
TOKEN: dict[str, t.Any] = {"api_key": "k8s-aws-v1.secret"}


@pytest.fixture(autouse=True)
def no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for name in ("HOST", "API_KEY", "KUBECONFIG", "CONTEXT", "SSL_CA_CERT", "VERIFY_SSL"):
        monkeypatch.delenv(f"K8S_AUTH_{name}", raising=False)


def certificate(folder: pathlib.Path, text: str) -> str:
    path = folder / "ca.pem"
    path.write_text(text, encoding="ascii")
    return str(path)


def test_endpoint_of_the_cluster_matches(run_module: RunModule) -> None:
    result = run_module("eks_connection_info", **CLUSTER, **TOKEN, host=f"{ENDPOINT.upper().lower()}/")
    assert not result["failed"] and result["matches"]


def test_certificate_authority_of_the_cluster_matches(run_module: RunModule, tmp_path: pathlib.Path) -> None:
    """As through a tunnel, whose address is another one."""
    ca_cert = certificate(tmp_path, "-----BEGIN\nAAAA\n-----END")
    result = run_module("eks_connection_info", **CLUSTER, **TOKEN, host="https://127.0.0.1:8443", ca_cert=ca_cert)
    assert not result["failed"] and result["matches"]


def test_other_api_server_is_refused_without_token(run_module: RunModule, tmp_path: pathlib.Path) -> None:
    ca_cert = certificate(tmp_path, "-----BEGIN\nBBBB\n-----END")
    result = run_module("eks_connection_info", **CLUSTER, **TOKEN, host="https://127.0.0.1:8443", ca_cert=ca_cert)
    assert result["failed"] and result["msg"].startswith(
        "The connection to Kubernetes leads to https://127.0.0.1:8443, which is not the API server of cluster example "
        f"({ENDPOINT}): set host, ca_cert and api_key"
    )
    assert "k8s-aws-v1" not in str(result)


def test_current_kubeconfig_of_other_cluster_is_refused(
    run_module: RunModule, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: dict[str, t.Any] = {
        "clusters": [{"name": "other", "cluster": {"server": "https://other.example"}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "other", "context": {"cluster": "other", "user": "me"}}],
        "current-context": "other",
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(other), encoding="ascii")
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", str(path))
    result = run_module("eks_connection_info", **CLUSTER)
    assert result["failed"] and "leads to https://other.example, which is not" in result["msg"]


def test_missing_connection_is_one_sentence(
    run_module: RunModule, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K8S_AUTH_KUBECONFIG", str(tmp_path / "none"))
    result = run_module("eks_connection_info", **CLUSTER)
    assert result["failed"] and result["msg"].startswith("No connection to Kubernetes could be set up (")
