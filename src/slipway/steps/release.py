"""The steps that bring a bundle to its users: the release with its entry in the registry, and the service."""

from pathlib import Path

from slipway import bundle as bundles
from slipway import settings as settings_
from slipway.errors import ConflictError
from slipway.runs.step import name_of, recorded, scratch
from slipway.steps import names
from slipway.store import files
from slipway.store.uri import fetch, open_store


def register_model(*, bundle: Path, scores: Path, verdict: Path, model_name: str, promote: bool, run_id: str) -> str:
    """Write the release to the store, signed where there is a key, and a version with the alias `challenger` to the registry.

    Scores and verdict go to the store as well, below the bundle's digest. Doing it twice changes nothing.

    Args:
        promote: also move the alias `champion`, as the quick presets do.
    Returns: the release's URI, immutable.
    Raises: ConflictError: the champion is no longer the one the gate compared with.
    """
    from slipway.tracking import registry
    from slipway.tracking.runs import finish

    settings = settings_.load()
    judged = files.read_json(verdict / "verdict.json")
    inputs = {
        name: files.read_manifest(path).digest
        for name, path in {"bundle": bundle, "scores": scores, "verdict": verdict}.items()
    }
    with recorded("register_model", run_id, inputs, {"model_name": model_name, "promote": promote}) as record:
        if judged["verdict"] != "pass" or judged["bundle"] != inputs["bundle"] or judged["scores"] != inputs["scores"]:
            raise ConflictError(
                "register_model: the verdict is not a pass for this bundle and these scores; run the gate again"
            )
        store = open_store(settings.store)
        name = model_name or names.of_bundle(bundles.load(bundle))
        with scratch(settings) as folder:
            release = folder / "release"
            about = inputs | {key: judged[key] for key in ("variant", "order")}
            card = verdict / bundles.CARD if (verdict / bundles.CARD).exists() else None  # a verdict of before has none
            bundles.write_release(bundle, release, about, card=card, private_key=settings.model_private_key)
            digest = files.read_manifest(release).digest
            below = f"evaluations/{inputs['bundle']}"
            parts = {
                f"models/{name}/{digest}": release,
                f"{below}/scores-{inputs['scores']}": scores,
                f"{below}/verdict-{inputs['verdict']}": verdict,
            }
            uri, *_ = [store.put_dir(path, key) for key, path in parts.items()]
            version = registry.register(
                name,
                release_uri=uri,
                release_digest=digest,
                bundle_digest=inputs["bundle"],
                run_id=name_of(run_id),
                accuracy=files.read_json(scores / "metrics.json")["accuracy"],
                expected_champion=judged["champion"] or None,
            )
            for key, path in parts.items():  # gc may just have taken what was old and not yet registered
                store.put_dir(path, key)
        if promote:
            version = registry.promote(name, version.version)
        finish(name_of(run_id))
        record.outputs["release"] = digest
        record.results.update({"model": name, "version": version.version, "uri": uri, "aliases": list(version.aliases)})
        return uri


def deploy_model(*, release: str, dataset: Path, scores: Path, model_name: str, namespace: str, run_id: str) -> str:
    """Launch a release and see that it answers as it was scored.

    Always: serve it on this machine, send at least 200 test items over HTTP and compare with the stored scores.
    Of a release in a store: render its InferenceService into the run record; with a namespace, apply it there and wait
    until it serves, with a route where the settings name a gateway.

    Returns: URL of the v2 endpoint: the cluster's, or the one `slipway serve` gives it.
    Raises: ConflictError: the model's service there is not ours, or a rollout of it is under way.
    """
    from slipway.data.dataset import Dataset
    from slipway.deploy import service as services
    from slipway.deploy.check import serve_and_compare
    from slipway.deploy.kube import Kube
    from slipway.deploy.route import parse_gateway
    from slipway.evaluation import scores as scores_
    from slipway.tracking import registry

    settings = settings_.load()
    gateway = parse_gateway(settings.gateway, settings.gateway_domain, settings.gateway_timeout_s)
    path = fetch(release, settings.home / "cache")
    loaded = bundles.load(path, public_key=settings.model_public_key)
    name, digest = model_name or names.of_bundle(loaded), files.read_manifest(path).digest
    with recorded("deploy_model", run_id, {"release": digest}, {"namespace": namespace}) as record:
        expected = scores_.load(scores).probabilities_NK
        report = serve_and_compare(str(path), name, Dataset.load(dataset).raw("test"), expected)
        endpoint = f"http://127.0.0.1:8080/v2/models/{name}/infer"  # where `slipway serve` has it
        if namespace or "://" in release:  # pods cannot reach a directory of this machine
            served = services.Release(
                model=name, version=registry.version_of(name, digest, settings=settings), uri=release, digest=digest
            )
            record.results["inference_service"] = services.rendered(served, namespace or "default", image=settings.serve_image)
            if namespace:
                endpoint = services.deploy(Kube(), served, namespace, image=settings.serve_image, gateway=gateway)
        outputs = {o["name"]: o["data"] for o in report.pop("sample")["response"]["outputs"]}
        answer = f"{outputs['label'][0]} ({max(outputs['probabilities']):.2f}), {report['n']} equal to the scores"
        record.results.update({"endpoint": endpoint, "answer": answer, "served": report})
        return endpoint
