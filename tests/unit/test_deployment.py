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


def test_every_role_can_be_evicted_when_it_is_scaled_down() -> None:
    everything = [d for path in MANIFESTS for d in documents(path)]
    least = {d["metadata"]["name"]: d["spec"]["replicas"] for d in everything if d["kind"] == "Deployment"}
    for scaled in [d for d in everything if d["kind"] == "ScaledObject"]:
        least[scaled["spec"]["scaleTargetRef"]["name"]] = scaled["spec"]["minReplicaCount"]
    for budget in [d for d in everything if d["kind"] == "PodDisruptionBudget"]:
        name, spec = budget["metadata"]["name"], budget["spec"]
        assert spec.get("maxUnavailable", 0) > 0 or least[name] > spec["minAvailable"], name


def test_no_two_pods_share_the_folder_that_they_report_in() -> None:
    for name, pod in pod_specs():
        shared = {volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume}
        mounts = {m["mountPath"]: m["name"] for m in pod["containers"][0]["volumeMounts"]}
        assert mounts.get("/var/lib/merge-reasoner") not in shared, name
        assert {path for path, volume in mounts.items() if volume in shared} <= {
            "/var/lib/merge-reasoner/models"
        }


def test_the_sandboxes_role_may_mount_in_its_namespaces_under_either_runtime() -> None:
    assert "apparmor:unconfined" in compose()["services"]["verify-code"]["security_opt"]
    (container,) = dict(pod_specs())["verify-code"]["containers"]
    assert container["securityContext"]["appArmorProfile"] == {"type": "Unconfined"}


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
            is_address = name.startswith("OTEL_") or name == "MERGEREASONER_BASE_URL"
            assert not name.endswith(("_PASSWORD", "_URL", "_KEY")) or is_address


def test_the_cpu_profile_has_its_weights_before_the_worker_that_loads_them() -> None:
    services = compose()["services"]
    fetching, generating = services["models"], services["generate-cpu"]
    assert generating["depends_on"]["models"] == {"condition": "service_completed_successfully"}
    assert set(generating["depends_on"]) >= {"migrate", "broker"}
    assert fetching["command"] == ["models", "pull"]
    assert fetching["depends_on"] == {}  # where an address of the database is the only thing that is there
    for what in ("environment", "volumes", "profiles"):
        assert fetching[what] == generating[what], what
    assert "models:/var/lib/merge-reasoner/models" in fetching["volumes"]


def test_compose_hands_on_all_that_an_endpoint_needs() -> None:
    service = compose()["services"]["generate-cpu"]
    assert {"MERGEREASONER_ENGINE", "MERGEREASONER_MODEL", "MERGEREASONER_BASE_URL"} <= set(
        service["environment"]
    )
    key = Path(service["environment"]["OPENAI_API_KEY_FILE"]).name
    assert key in service["secrets"]
    assert compose()["secrets"][key] == {"file": f"./secrets/{key}"}


def test_the_tests_overlay_knows_every_service_and_secret() -> None:
    overlay = yaml.safe_load((ROOT / "tests" / "containers" / "overlay.yaml").read_text())
    assert set(compose()["secrets"]) == set(overlay["secrets"])
    here = {name for name, service in overlay["services"].items() if service.get("network_mode") == "host"}
    assert set(compose()["services"]) - here == {"generate-gpu"}


def test_the_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    make = [str(ROOT / "docker" / "secrets")]
    environment = {**os.environ, "OPENAI_API_KEY": "a key"}
    subprocess.run(make, cwd=tmp_path, env=environment, check=True, capture_output=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    names = ["broker_password", "broker_url", "database_url", "openai_api_key", "postgres_password"]
    assert sorted(made) == names
    assert made["openai_api_key"] == "a key"
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


def test_the_dashboard_adds_up_no_number_that_every_sweeper_tells_of_the_whole_queue() -> None:
    text = (ROOT / "docs" / "grafana" / "merge-reasoner.json").read_text()
    queries = [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    of_the_queue = [
        query for query in queries if set(re.findall(r"\bmerge_reasoner_\w+", query)) & metric_names()
    ]
    assert of_the_queue
    assert [query for query in of_the_queue if not query.startswith(("max", "min"))] == []


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
