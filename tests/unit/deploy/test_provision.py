"""What is provisioned, as plans and policies; with a real store in tests/integration/deploy/test_provision.py."""

from pathlib import Path

import pytest
import yaml

from slipway.deploy import provision
from slipway.errors import ConfigError, ConflictError, StoreError
from slipway.store.grants import Grant, policy

GRANT = {"user": "bucket_a_run", "prefix": "teams/a", "write": True, "namespace": "a", "secret": "s", "account": "x"}
PLAN = {"endpoint": "http://127.0.0.1:9", "region": "r", "bucket": "bucket", "grants": [GRANT]}


def write(folder: Path, plan: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(plan))
    return path


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({**PLAN, "bucke": "b"}, "did you mean 'bucket'"),
        ({k: v for k, v in PLAN.items() if k != "region"}, "region is missing; needed are endpoint, region, bucket, grants"),
        ({**PLAN, "grants": [{**GRANT, "secrit": "s"}]}, r"grants\[0\]: unknown 'secrit'"),
        ({**PLAN, "grants": [{k: v for k, v in GRANT.items() if k != "user"}]}, r"grants\[0\]: user is missing"),
        ({**PLAN, "grants": [{**GRANT, "prefix": "teams/../b"}]}, "part '..' is not allowed"),
        ({**PLAN, "grants": [{**GRANT, "write": "yes, please"}]}, r"grants\[0\]\.write"),
        ("no mapping", "must be a table of names and values, got 'no mapping'"),
        ({**PLAN, "grants": GRANT}, "grants: must be a list"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_is_done(tmp_path, plan, said):
    with pytest.raises(ConfigError, match=said):
        provision.read_plan(write(tmp_path, plan))


def test_a_policy_covers_the_prefix_and_nothing_beside_it():
    reader = policy(Grant(user="u", prefix="teams/a/models/cv", write=False), "b")
    location, listing, objects = reader["Statement"]
    assert location["Action"] == ["s3:GetBucketLocation", "s3:HeadBucket"]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["teams/a/models/cv", "teams/a/models/cv/*"]}}
    assert objects == {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::b/teams/a/models/cv/*"]}


def test_a_foreign_secret_is_left_alone():
    plan = provision.Credential(**GRANT)
    with pytest.raises(ConflictError, match=r"Secret a/s: is there and not ours; remove it"):
        provision._key({"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}, plan)


def test_the_command_says_in_one_line_what_is_wrong(tmp_path, capsys, monkeypatch):
    plan = write(tmp_path, PLAN)
    config = {"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}
    config |= {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}], "users": [{"name": "u", "user": {}}]}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    read = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"  # from KUBECONFIG at import
    monkeypatch.setattr(read, str(tmp_path / "kubeconfig"))
    assert provision.main([f"--plan={plan}", f"--root={tmp_path}"]) == 2
    assert "rootUser" in capsys.readouterr().err
    for name in ("rootUser", "rootPassword"):
        (tmp_path / name).write_text("slipway-root")
    assert provision.main([f"--plan={plan}", f"--root={tmp_path}", "--wait-s=0"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: http://127.0.0.1:9: unreachable")


def test_a_store_that_starts_is_waited_for_and_one_that_refuses_is_not(monkeypatch):
    monkeypatch.setattr(provision, "PAUSE_S", 0.001)
    away, refused = StoreError("away"), StoreError("refused")
    refused.retryable = False

    class Starting:
        def __init__(self, *answers: Exception | bool):
            self.answers = list(answers)

        def ensure_bucket(self, _bucket):
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    said: list[str] = []
    provision._make_bucket(Starting(away, away, True), "b", 60, said.append)
    assert said == ["waiting: away", "waiting: away", "bucket b: made"]
    with pytest.raises(StoreError, match="refused"):
        provision._make_bucket(Starting(refused, True), "b", 60, said.append)
