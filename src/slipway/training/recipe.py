"""The configuration of training."""

from dataclasses import dataclass, replace

from slipway.errors import ConfigError, unknown
from slipway.models import architectures, families

PRECISIONS = ("fp32", "bf16", "fp16")
DEVICES = ("auto", "cpu", "cuda")
OPTIMIZERS = ("adamw", "sgd")
CRITERIA = ("log_loss", "accuracy")
FP16_ON_CPU = "precision: 'fp16' needs a CUDA device; on the CPU use 'fp32' or 'bf16'"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How to train. What an architecture does not use is ignored: TF-IDF has no epochs."""

    family: str
    """`cv`, `defect` or `nlp`."""
    architecture: str = ""
    """A name in ARCHITECTURES, of that family; empty means the family's own."""
    pretrained: str = ""
    """hf_encoder: a local folder, `minilm`, or a name on the Hugging Face hub. Others start from random weights."""
    width: float = 1.0
    """custom_cnn, defect_small: factor on all channel counts; time goes with its square. Others come in one width."""
    epochs: int = 10
    """Passes over the training split, >= 1."""
    batch_size: int = 64
    """Items per optimizer step, >= 2 and at most the training split."""
    optimizer: str = "adamw"
    """`adamw`, or `sgd` with Nesterov momentum 0.9."""
    learning_rate: float = 0.002
    """Peak learning rate per step, > 0; one cycle of warm-up and cosine decay."""
    warmup: float = 0.2
    """Share of all steps in which the rate rises, 0 to below 1."""
    weight_decay: float = 0.01
    """Decoupled for adamw; of weight matrices and filters only, >= 0."""
    label_smoothing: float = 0.05
    """Share of the target spread evenly over the classes, 0 to below 1."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient; 0 switches clipping off."""
    augment: bool = True
    """Images: shifts and flips (cv), turns and flips (defect). Off where a mirrored item means something else: digits."""
    precision: str = "fp32"
    """Arithmetic of training: `fp32`, `bf16` or `fp16` (CUDA only). Validation is always fp32, as served."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu` or `cuda`."""
    deterministic: bool = True
    """Equal seeds give equal bits on the same processor with the same number of threads."""
    seed: int = 0
    """Of weights, order, augmentation and dropout, >= 0."""
    select_by: str = "log_loss"
    """What the best epoch has on validation: least `log_loss`, or highest `accuracy`."""
    max_tokens: int = 128
    """hf_encoder: longer texts are cut, 4 to 8192."""
    regularisation: float = 4.0
    """tfidf_logreg: scikit-learn's C, the inverse strength of the L2 penalty, > 0."""
    max_features: int = 100_000
    """tfidf_logreg: the most frequent terms kept, >= 1."""
    ngrams: int = 2
    """tfidf_logreg: 1 for words, 2 for word pairs, too."""
    threads: int = 0
    """Of torch's operators on the CPU; 0 leaves torch's choice. Part of what makes runs equal."""

    def __post_init__(self) -> None:
        family = families.find(self.family)
        entry = architectures.find(self.architecture or family.architecture, family=self.family)
        for name, low in (("epochs", 1), ("batch_size", 2), ("seed", 0), ("max_features", 1), ("threads", 0)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name}: must be at least {low}, got {getattr(self, name)}")
        for name in ("learning_rate", "regularisation"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"{name}: must be above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "clip_norm"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name}: must be at least 0, got {getattr(self, name)}")
        for name in ("label_smoothing", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name}: must be at least 0 and below 1, got {getattr(self, name)}")
        for name, known in (("precision", PRECISIONS), ("device", DEVICES), ("optimizer", OPTIMIZERS), ("select_by", CRITERIA)):
            if getattr(self, name) not in known:
                raise ConfigError(unknown(name, getattr(self, name), known))
        if self.precision == "fp16" and self.device == "cpu":
            raise ConfigError(FP16_ON_CPU)
        if not 0 < self.width <= 4:
            raise ConfigError(f"width: must be above 0 and at most 4, got {self.width}")
        if not 4 <= self.max_tokens <= 8192:
            raise ConfigError(f"max_tokens: must be 4 to 8192, got {self.max_tokens}")
        if self.ngrams not in (1, 2):
            raise ConfigError(f"ngrams: must be 1 (words) or 2 (word pairs, too), got {self.ngrams}")
        if self.pretrained and entry.input != "wordpiece":
            raise ConfigError(
                f"pretrained: only hf_encoder starts from pretrained weights, not {self.resolved_architecture}; leave it empty"
            )

    @property
    def resolved_architecture(self) -> str:
        """The architecture, the family's own when none is named."""
        return self.architecture or families.find(self.family).architecture

    def resolve(self, *, device: str) -> "TrainConfig":
        """The configuration with nothing left open: architecture and device by name.

        Raises: ConfigError: fp16, and the device turned out to be the CPU.
        """
        if self.precision == "fp16" and device == "cpu":
            raise ConfigError(FP16_ON_CPU)
        return replace(self, architecture=self.resolved_architecture, device=device)
