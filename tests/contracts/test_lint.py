"""The linter refuses what KFP's compiler lets through; every pipeline here compiles without a word."""

import pytest
from kfp import dsl, kubernetes

from slipway.errors import ConfigError
from slipway.pipelines import lint
from tests.helpers.pipelines import IMAGE, bounded, compiled, words_pipeline


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def say(text: str = "pass") -> str:
    return text


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def gate() -> str:
    return "pass"


@dsl.component(base_image="slipway-train:latest", install_kfp_package=False)
def moving() -> None:
    pass


@dsl.component(base_image="registry.example:5000/slipway-train", install_kfp_package=False)
def untagged() -> None:
    pass


@dsl.component(base_image=IMAGE, packages_to_install=["numpy"], install_kfp_package=False)
def installing() -> None:
    pass


def cycle():
    first, second = bounded(say()), bounded(say())
    first.after(second)
    second.after(first)


def bare_if():
    said = bounded(say())
    with dsl.If(said.output == "pass"):
        bounded(say())


def elif_without_else():
    said = bounded(say())
    with dsl.If(said.output == "pass"):
        bounded(say())
    with dsl.Elif(said.output == "fail"):
        bounded(say())


def cached_gate():
    bounded(gate()).set_caching_options(True)


def moving_image():
    bounded(moving())


def untagged_image():
    bounded(untagged())


def limit_without_type():
    bounded(say()).set_accelerator_limit(1)


def no_timeout():
    say().set_caching_options(False).set_memory_limit("1Gi")


def no_memory_limit():
    kubernetes.set_timeout(say(), 60)


def pip_install():
    bounded(installing())


REFUSED = {
    cycle: "root: tasks wait for each other: say, say-2",
    bare_if: "root: condition without an Else: .* == 'pass'",
    elif_without_else: "comp-condition-branches-1: condition without an Else",
    cached_gate: "gate: caching is on",
    moving_image: "exec-moving: image 'slipway-train:latest' has the tag 'latest', which can move",
    untagged_image: "has no tag, which means latest",
    limit_without_type: "exec-say: accelerator limit 1.* without a type",
    no_timeout: "exec-say: no timeout",
    no_memory_limit: "exec-say: no memory limit",
    pip_install: "exec-installing: installs packages at run time",
}


@pytest.mark.parametrize("function", REFUSED, ids=lambda f: f.__name__)
def test_the_linter_refuses_what_the_compiler_accepts(function, tmp_path):
    path = compiled(dsl.pipeline(name=function.__name__.replace("_", "-"))(function), tmp_path)
    findings = lint.lint(*lint.load(path), submitting=True)
    assert len(findings) == 1, findings
    with pytest.raises(AssertionError, match=REFUSED[function]):
        raise AssertionError(findings[0])
    assert "\n" not in findings[0]


def test_a_gpu_type_without_a_count_is_refused(tmp_path):
    """This compiler fills in a count of one; other versions, and people who edit the file, do not."""

    @dsl.pipeline(name="typed")
    def typed():
        bounded(say()).set_accelerator_type("nvidia.com/gpu")

    ir, platform = lint.load(compiled(typed, tmp_path))
    accelerator = ir["deploymentSpec"]["executors"]["exec-say"]["container"]["resources"]["accelerator"]
    accelerator.pop("count")
    accelerator.pop("resourceCount")
    assert lint.lint(ir, platform, submitting=True) == [
        "exec-say: accelerator 'nvidia.com/gpu' without a limit; `set_accelerator_limit(1)`"
    ]


def if_elif_else():
    said = bounded(say())
    with dsl.If(said.output == "pass"):
        bounded(say())
    with dsl.Elif(said.output == "maybe"):
        bounded(say())
    with dsl.Else():
        bounded(say())


@pytest.mark.parametrize("pipeline", [words_pipeline, dsl.pipeline(name="if-elif-else")(if_elif_else)], ids=lambda p: p.name)
def test_the_linter_accepts_a_sound_pipeline(pipeline, tmp_path):
    assert lint.lint(*lint.load(compiled(pipeline, tmp_path)), submitting=True) == []


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("slipway-train@sha256:" + "a" * 64, ""),
        ("registry.example:5000/team/slipway-train:1.2.0@sha256:" + "a" * 64, ""),
        ("slipway-train:1.2.0", ""),
        ("slipway-train:v1.2-cuda12", ""),
        ("slipway-train:main", "can move"),
        ("registry.example:5000/slipway-train", "no tag"),
        ("slipway-train@sha256:abc", "malformed digest"),
        ("", "is empty"),
    ],
)
def test_an_image_is_fixed_by_digest_or_version(image, problem):
    found = lint.mutable(image)
    assert problem in found
    assert bool(problem) == bool(found)


def test_what_is_no_pipeline_is_refused(tmp_path):
    path = tmp_path / "x.yaml"
    for text in ("a: 1", "", "{"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"x\.yaml: not a compiled pipeline"):
            lint.load(path)
