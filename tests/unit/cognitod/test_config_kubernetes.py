"""How the API server is found: configured, from the environment, or as any container of a cluster finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnix.cognitod import config as settings
from linnix.cognitod.config import ConfigError, Kubernetes, load

SERVICE = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(settings, "SERVICE_ACCOUNT", tmp_path / "account")
    path = tmp_path / "linnix.toml"
    path.write_text("")
    return path


def test_without_a_word_about_it_nobody_is_asked(empty: Path) -> None:
    assert load(empty, {})[0].kubernetes == Kubernetes()
    assert load(empty, SERVICE)[0].kubernetes == Kubernetes()  # no service account


@pytest.mark.parametrize(
    ("host", "url"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_a_container_with_a_service_account_finds_it(empty: Path, host: str, url: str) -> None:
    account = settings.SERVICE_ACCOUNT
    account.mkdir()
    (account / "token").write_text("t")
    environ = SERVICE | {"KUBERNETES_SERVICE_HOST": host, "NODE_NAME": "worker-1"}

    assert load(empty, environ)[0].kubernetes == Kubernetes(
        api_url=url, token_file=str(account / "token"), ca_file=str(account / "ca.crt"), node="worker-1"
    )
    named = load(empty, environ | {"K8S_API_URL": "http://127.0.0.1:8001", "K8S_TOKEN": "x"})[0].kubernetes
    assert named == Kubernetes(api_url="http://127.0.0.1:8001", token="x", node="worker-1")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("10.0.0.1:6443", "expected http:// or https:// and a host, found '10.0.0.1:6443'"),
        ("https://", "expected http:// or https:// and a host, found 'https://'"),
        ("https://h:port", "expected http:// or https:// and a host, found 'https://h:port'"),
        ("http://10.0.0.1", "http://10.0.0.1 would send the token unencrypted: use https://"),
    ],
)
def test_an_address_that_will_not_do_is_refused(empty: Path, url: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(empty, {"K8S_API_URL": url, "K8S_TOKEN": "t"})
    assert refused.value.problems == (f"kubernetes.api_url: {problem}",)
