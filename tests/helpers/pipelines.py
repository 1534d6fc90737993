"""Tiny pipelines for the tests of runners and linter: real components that are compiled and run, without a model."""

from kfp import compiler, dsl, kubernetes

IMAGE = "python:3.11.9"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def make(out: dsl.Output[dsl.Dataset], run_id: str, words: int) -> None:
    import sys
    from pathlib import Path

    from slipway import settings
    from slipway.runs.record import step_record
    from slipway.store.files import atomic_dir
    from slipway.store.uri import open_store

    print(f"making {words} words", file=sys.stderr)
    known = settings.load()
    with (
        step_record(open_store(known.store), known.run_id or run_id, "make", inputs={}, parameters={"words": words}),
        atomic_dir(Path(out.path)) as scratch,
    ):
        (scratch / "words.txt").write_text("word " * words)
    out.metadata["words"] = words


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def judge(made: dsl.Input[dsl.Dataset], verdict: dsl.Output[dsl.Artifact], needed: int) -> str:
    from pathlib import Path

    Path(verdict.path).write_text("judged")
    return "pass" if len((Path(made.path) / "words.txt").read_text().split()) >= needed else "fail"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def keep(made: dsl.Input[dsl.Dataset]) -> str:
    return f"{made.metadata['words']} words kept"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fail(verdict: dsl.Input[dsl.Artifact], run_id: str, error: str) -> None:
    from slipway import errors, settings
    from slipway.runs.record import step_record
    from slipway.store.uri import open_store

    known = settings.load()
    with step_record(open_store(known.store), known.run_id or run_id, "fail", inputs={}, parameters={}):
        kind = getattr(errors, error, None) or {"KeyError": KeyError}[error]
        raise kind(f"too few words, says {error}")


def bounded(task):
    """What the linter asks of every step, the store, and a second attempt."""
    kubernetes.set_timeout(task, 60)
    kubernetes.use_config_map_as_env(task, "slipway-run", {"SLIPWAY_STORE": "SLIPWAY_STORE"})
    return task.set_caching_options(False).set_memory_limit("1Gi").set_retry(1, "0s", 1, "60s")


@dsl.pipeline(name="words")
def words_pipeline(words: int = 3, needed: int = 2, error: str = "GateRefusedError"):
    """Make words and judge whether they are enough.

    Args:
        words: how many to make.
        needed: how many are enough.
        error: class of the error when they are not.
    """
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    made = bounded(make(run_id=run_id, words=words)).outputs["out"]
    judged = bounded(judge(made=made, needed=needed))
    with dsl.If(judged.outputs["Output"] == "pass"):
        bounded(keep(made=made))
    with dsl.Else():
        bounded(fail(verdict=judged.outputs["verdict"], run_id=run_id, error=error))


def compiled(pipeline, folder):
    """Path of a pipeline compiled into `folder`."""
    path = folder / f"{pipeline.name}.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    return path
