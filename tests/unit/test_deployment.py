"""What is deployed is what there is: every queue has a worker, and every manifest is valid."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import REGISTRY

from worker.messages import QUEUES
from worker.process import BEAT
from worker.standing import metric_names
from worker.telemetry.pools import pool_metric_names

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "docs" / "kubernetes").glob("*.yaml"))
KUBERNETES = ["1.30", "1.33"]
KEDA = {"ScaledObject": {"scaleTargetRef", "triggers"}, "TriggerAuthentication": {"secretTargetRef"}}


def documents(path: Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def queues_of(arguments: list[str]) -> list[str]:
    return arguments[-1].split(",") if "--queues" in arguments else []


def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.mark.parametrize("engine", ["cpu", "gpu"])
def test_compose_gives_every_queue_one_worker_in_either_profile(engine: str) -> None:
    services = [
        service
        for service in compose()["services"].values()
        if "profiles" not in service or engine in service["profiles"]
    ]
    queues = Counter(queue for service in services for queue in queues_of(service.get("command", [])))
    assert queues == Counter([*QUEUES, BEAT])


def test_kubernetes_gives_every_queue_one_deployment() -> None:
    deployments = [d for path in MANIFESTS for d in documents(path) if d["kind"] == "Deployment"]
    arguments = [d["spec"]["template"]["spec"]["containers"][0]["args"] for d in deployments]
    assert Counter(queue for args in arguments for queue in queues_of(args)) == Counter([*QUEUES, BEAT])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_manifest_is_valid(path: Path) -> None:
    for document in documents(path):
        if document["apiVersion"].startswith("keda.sh/"):
            assert KEDA[document["kind"]] <= set(document["spec"])
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)


def test_what_scales_and_what_is_protected_exists() -> None:
    everything = [d for path in MANIFESTS for d in documents(path)]
    names = {d["metadata"]["name"] for d in everything if d["kind"] == "Deployment"}
    targets = [d["spec"]["scaleTargetRef"]["name"] for d in everything if d["kind"] == "ScaledObject"]
    budgets = [d["metadata"]["name"] for d in everything if d["kind"] == "PodDisruptionBudget"]
    assert set(targets) <= names
    assert set(budgets) <= names
    assert {"generate-gpu", "verify", "verify-code"} <= set(targets) & set(budgets)


def pod_specs() -> Iterator[tuple[str, Any]]:
    for path in MANIFESTS:
        for document in documents(path):
            if document["kind"] in {"Deployment", "Job"}:
                yield document["metadata"]["name"], document["spec"]["template"]["spec"]


@pytest.mark.parametrize(("name", "pod"), list(pod_specs()), ids=[name for name, _ in pod_specs()])
def test_no_pod_runs_as_root_or_without_limits(name: str, pod: Any) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]
    assert not any("URL" in variable["name"] for variable in container.get("env", []))


def test_compose_keeps_passwords_out_of_the_environment() -> None:
    for service in compose()["services"].values():
        for name in service.get("environment", {}):
            assert not name.endswith(("_PASSWORD", "_URL", "_KEY")) or name.startswith("OTEL_")


def test_the_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    make = [str(ROOT / "docker" / "secrets")]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert sorted(made) == ["broker_password", "broker_url", "database_url", "postgres_password"]
    assert made["postgres_password"] in made["database_url"]
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    text = (ROOT / "docs" / "grafana" / "merge-reasoner.json").read_text()
    queries = [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    asked = set(re.findall(r"\bmerge_reasoner_\w+", " ".join(queries)))
    told = (
        {sample for family in REGISTRY.collect() for sample in names_of(family)}
        | metric_names()
        | pool_metric_names()
    )
    assert asked <= told, asked - told


def names_of(family: Any) -> set[str]:
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
    return {family.name + suffix for suffix in suffixes}


def test_compose_is_valid_where_compose_is() -> None:
    command = shutil.which("docker-compose")
    if command is None:
        (pytest.fail if os.environ.get("REQUIRE_SERVICES") == "1" else pytest.skip)(
            "docker-compose is not installed"
        )
    for profile in ("cpu", "gpu"):
        done = subprocess.run(
            [command, "--profile", profile, "config", "-q"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
