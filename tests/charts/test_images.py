"""The table of images, the Dockerfiles that it names, and the script that builds one by the other; no docker."""

import importlib.util
import os
import re

import pytest
import yaml

from tests.helpers import helm

spec = importlib.util.spec_from_file_location("images", helm.ROOT / "scripts/images.py")
images = importlib.util.module_from_spec(spec)
spec.loader.exec_module(images)

OURS = yaml.safe_load(images.TABLE.read_text(encoding="utf-8"))["ours"]
DOCKER = """#!/bin/sh
echo "$@" >>"$CALLS"
case $* in "image inspect"*) echo sha256:0123456789abcdef ;; esac
"""


@pytest.mark.parametrize("name", OURS)
def test_a_dockerfile_makes_the_image_that_the_table_names(name: str):
    dockerfile = (helm.ROOT / OURS[name]["dockerfile"]).read_text(encoding="utf-8")
    assert f'image.title="{OURS[name]["repository"]}"' in dockerfile
    for key, value in OURS[name].get("args", {}).items():
        assert re.search(rf"^ARG {key}=", dockerfile, re.MULTILINE), f"{key} would change nothing"
        dockerfile = dockerfile.replace(f"${{{key}}}", value)
    stages = re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE)
    for stage in re.findall(r"^FROM ([^$:\s]+)", dockerfile, re.MULTILINE):
        assert stage in (*stages, "scratch"), f"no stage '{stage}'"


@pytest.mark.parametrize("dockerfile", sorted({image["dockerfile"] for image in OURS.values()}))
def test_a_dockerfile_copies_what_is_in_the_repository(dockerfile: str):
    lines = re.findall(r"^COPY (?!--from)(.+)$", (helm.ROOT / dockerfile).read_text(encoding="utf-8"), re.MULTILINE)
    sources = [source for line in lines for source in line.split()[:-1]]
    assert sources
    assert [s for s in sources if not s.startswith(".cache/") and not (helm.ROOT / s).exists()] == []


def test_an_image_is_built_as_the_table_says_and_tagged_by_what_is_in_it(tmp_path, monkeypatch):
    docker, calls, lock = tmp_path / "docker", tmp_path / "calls", tmp_path / "images.lock.yaml"
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("CALLS", str(calls))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(images, "LOCK", lock)
    assert images.main(["build", "mlflow", "--build-arg", "PYTHON_IMAGE=mirror/python"]) == 0
    build = calls.read_text().splitlines()[0]
    assert "-f " + str(helm.ROOT / OURS["mlflow"]["dockerfile"]) in build
    for given in ("IMAGE=mlflow", "PYTHON_IMAGE=mirror/python"):
        assert f"--build-arg {given} " in build
    tag = yaml.safe_load(lock.read_text())["images"]["mlflow"]["tag"]
    assert tag.endswith("-0123456789ab")
    assert images.main(["build", "nothing"]) == 2
