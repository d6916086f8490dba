"""deploy/: containers cannot be started in a test, so each file is held against its schema and the rest."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from common.places import ROOT
from common.version import VERSION
from loadgen.live.instruments import INSTRUMENTS
from tests.support.loadparser import load_parser
from tests.support.prometheus import program

DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OURS = f"tokenswarm:{VERSION}"
IN_IMAGE = re.compile(r"^COPY (\w+) \1$", re.MULTILINE)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def objects() -> list[dict[str, Any]]:
    """Everything in deploy/kubernetes/."""
    return [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in objects() if each["kind"] == kind}


def test_compose_is_what_the_compose_specification_says() -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.validate(read(DEPLOY / "compose.yaml"), json.loads(vendored.read_text()))


def test_compose_names_files_services_and_volumes_that_exist() -> None:
    compose = read(DEPLOY / "compose.yaml")
    services = compose["services"]
    assert services.keys() == {"master", "worker", "prometheus", "grafana"}
    for service in services.values():
        assert set(service.get("depends_on", [])) <= services.keys()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            known = source in compose["volumes"] or (DEPLOY / source).exists() or source == "../results"
            assert known, volume
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "nothing is offered to the network unasked"
    words = shlex.split(services["worker"]["command"])
    assert words[words.index("--master-host") + 1] in services


def test_images_are_pinned_or_ours() -> None:
    composed = [each["image"] for each in read(DEPLOY / "compose.yaml")["services"].values()]
    pods = [each["spec"]["template"]["spec"] for each in of_kind("Deployment").values()]
    named = composed + [container["image"] for pod in pods for container in pod["containers"]]
    assert len(named) == 6
    operated = read(DEPLOY / "kubernetes/operator/locusttest.yaml")["spec"]["image"]
    base = re.findall(r"^FROM (\S+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    pinned = re.compile(r"[\w/]+:v?\d+\.\d+\.\d+(-slim-bookworm)?")
    assert all(pinned.fullmatch(image) for image in [*named, *base]), named
    assert operated == OURS and named.count(OURS) == 4


def test_prometheus_accepts_its_configuration() -> None:
    checked = subprocess.run(
        [program("promtool"), "check", "config", str(DEPLOY / "prometheus.yml")],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr
    (job,) = read(DEPLOY / "prometheus.yml")["scrape_configs"]
    services = read(DEPLOY / "compose.yaml")["services"]
    for target in job["static_configs"][0]["targets"]:
        host, port = target.split(":")
        assert host in services and f"127.0.0.1:{port}:{port}" in services[host]["ports"]


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_manifests_are_what_kubernetes_accepts(version: str) -> None:
    assert len(objects()) == 7
    for each in objects():
        kubernetes_validate.validate(each, version, strict=True)


def test_manifests_refer_to_each_other() -> None:
    (service,) = of_kind("Service").values()
    deployments = of_kind("Deployment")
    master = deployments["tokenswarm-master"]["spec"]["template"]
    assert service["spec"]["selector"].items() <= master["metadata"]["labels"].items()
    opened = {each["name"]: each["containerPort"] for each in master["spec"]["containers"][0]["ports"]}
    assert {each["targetPort"]: each["port"] for each in service["spec"]["ports"]} == opened
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]
        assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
        for source in pod["spec"]["containers"][0]["envFrom"]:
            if "configMapRef" in source:
                assert source["configMapRef"]["name"] in of_kind("ConfigMap")
        for volume in pod["spec"].get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim in of_kind("PersistentVolumeClaim") or "emptyDir" in volume
    args = deployments["tokenswarm-worker"]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[args.index("--master-host") + 1] == service["metadata"]["name"]


def test_pods_may_do_no_more_than_they_must() -> None:
    """What `make lint-deploy` asks as well, with checkov; here it is part of each test run."""
    for deployment in of_kind("Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True and context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]
        written = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/tmp" in written and written <= {"/tmp", "/results"}
    master = of_kind("Deployment")["tokenswarm-master"]["spec"]["template"]["spec"]["containers"][0]
    assert master["livenessProbe"]["httpGet"]["port"] == master["ports"][1]["name"]


def test_the_network_s_rules_are_about_our_pods_and_ports() -> None:
    rules, deployments = of_kind("NetworkPolicy"), of_kind("Deployment")
    assert rules.keys() == deployments.keys()
    for name, rule in rules.items():
        labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
        assert rule["spec"]["podSelector"]["matchLabels"] == labels
    assert rules["tokenswarm-worker"]["spec"]["ingress"] == [], "nobody connects to a worker"
    opened = {
        each["port"] for part in rules["tokenswarm-master"]["spec"]["ingress"] for each in part["ports"]
    }
    (service,) = of_kind("Service").values()
    assert opened == {each["port"] for each in service["spec"]["ports"]}
    port = urlsplit(of_kind("ConfigMap")["tokenswarm"]["data"]["LOCUST_HOST"]).port
    assert all({"ports": [{"port": port}]} in rule["spec"]["egress"] for rule in rules.values())


def test_composed_services_may_do_no_more_than_they_must() -> None:
    for name, service in read(DEPLOY / "compose.yaml")["services"].items():
        assert service["read_only"] is True and service["tmpfs"] == ["/tmp"], name
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
        assert service["deploy"]["resources"]["limits"]["memory"] and service["pids_limit"]


def test_the_operator_s_resource_is_what_its_definition_says() -> None:
    schema = json.loads((ROOT / "tests/data/locusttest.schema.json").read_text())
    resource = read(DEPLOY / "kubernetes/operator/locusttest.yaml")
    jsonschema.validate(resource, schema)
    resource["spec"]["worker"]["replicas"] = 2
    with pytest.raises(jsonschema.ValidationError, match="replicas"):
        jsonschema.validate(resource, schema)


def commands() -> list[list[str]]:
    """Every Locust command line in deploy/, its ${VARIABLE:-default} replaced."""
    composed = read(DEPLOY / "compose.yaml")["services"]
    lines = [composed[name]["command"] for name in ("master", "worker")]
    shared = read(DEPLOY / "kubernetes/operator/locusttest.yaml")["spec"]["args"]
    lines += [f"--master {shared}", f"--worker --master-host tokenswarm-master {shared}"]
    found = [shlex.split(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", line)) for line in lines]
    pods = [each["spec"]["template"]["spec"] for each in of_kind("Deployment").values()]
    return found + [container["args"] for pod in pods for container in pod["containers"]]


def test_every_command_line_is_one_that_locust_takes() -> None:
    parser = load_parser()
    given = [parser.parse_args(["-f", "locustfiles/chat.py", *words]) for words in commands()]
    assert [each.master for each in given].count(True) == [each.worker for each in given].count(True) == 3
    assert all(each.scenario == "chat-medium" for each in given)


def test_the_image_holds_all_that_a_run_needs(tmp_path: Path) -> None:
    folders = IN_IMAGE.findall((DEPLOY / "Dockerfile").read_text())
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{folder}" for folder in [*folders, "requirements.txt"]} == {
        line for line in ignored if line.startswith("!")
    }
    for folder in folders:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys, locustfiles.chat, tokenswarm.__main__, reports.verdict.judge, reports.commands.compare\n"
        "for each in list(sys.modules.values()): print(getattr(each, '__file__', None) or '')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    strays = [
        line
        for line in done.stdout.splitlines()
        if line.startswith(f"{ROOT}/") and "/site-packages/" not in line
    ]
    assert not strays, "a folder is missing in the image"


def test_grafana_finds_what_compose_mounts() -> None:
    (source,) = read(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090" and source["type"] == "prometheus"
    (provider,) = read(DEPLOY / "grafana/provisioning/dashboards/tokenswarm.yaml")["providers"]
    grafana = read(DEPLOY / "compose.yaml")["services"]["grafana"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARDS[0].name}"


def test_the_dashboard_asks_only_for_what_is_exported() -> None:
    endings = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
    exported = {each.prometheus + ending for each in INSTRUMENTS for ending in endings[each.kind]}
    (path,) = DASHBOARDS
    dashboard = json.loads(path.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [each["definition"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    for query in queries:
        names = set(re.findall(r"\b(?:gen_ai|tokenswarm)_\w+", query)) - {"gen_ai_token_type"}
        assert names and names <= exported, query
    assert {
        name.rsplit("_", 1)[0] for name in exported if name.startswith("gen_ai") and name.endswith("_bucket")
    } - {"gen_ai_client_token_usage", "gen_ai_client_operation_time_to_first_chunk_seconds"} <= {
        name.removesuffix("_bucket") for query in queries for name in re.findall(r"gen_ai_\w+_bucket", query)
    }


def test_the_dashboard_s_panels_have_places_and_numbers_of_their_own() -> None:
    panels = json.loads(DASHBOARDS[0].read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)
