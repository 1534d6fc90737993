"""The configuration of training: one flat, frozen record. Every field can be set by `--set name=value` and in a preset."""

from dataclasses import dataclass, replace
from math import inf

from slipway.errors import ConfigError, unknown
from slipway.models import architectures, families

CHOICES: dict[str, tuple[str, ...]] = {
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "device": ("auto", "cpu", "cuda"),
    "optimizer": ("adamw", "sgd", "muon"),
    "schedule": ("cosine", "one_cycle", "linear", "plateau", "constant"),
    "select_by": ("log_loss", "accuracy"),
    "flip": ("auto", "none", "horizontal", "alternate", "both"),
    "tta": ("none", "mirror", "mirror_shift"),
    "pooling": ("auto", "head", "mean"),
}
"""Allowed words of the fields that take one."""
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, inf), "batch_size": (2, inf), "accumulate": (1, inf), "head_epochs": (1, inf), "patience": (0, inf),
    "seed": (0, inf), "threads": (0, inf), "workers": (1, 64), "max_features": (1, inf), "max_tokens": (4, 8192),
    "ngrams": (1, 2), "weight_decay": (0, inf), "clip_norm": (0, inf), "rotate": (0, 180), "jitter": (0, 1),
    "mixup": (0, inf), "cutmix": (0, inf), "teacher_weight": (0, 1), "momentum": (0, 0.9999), "ema": (0, 0.99999),
    "label_smoothing": (0, 0.99), "warmup": (0, 0.99), "dropout": (0, 0.99), "crop": (0, 0.5), "zoom": (0, 0.9),
    "erase": (0, 0.9), "prune_channels": (0, 0.9), "sparsity": (0, 0.99),
}  # fmt: skip
"""Lowest and highest allowed value, both included."""
ABOVE_ZERO: dict[str, float] = {
    "learning_rate": inf, "other_rate": inf, "regularisation": inf, "width": 4, "layer_decay": 1, "teacher_temperature": 100,
}  # fmt: skip
"""Highest allowed value of fields that must be above 0."""
FP16_ON_CPU = "precision: 'fp16' needs a CUDA device; on the CPU use 'fp32' or 'bf16'"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How to train. What an architecture does not use is ignored: TF-IDF has no epochs."""

    # the network
    family: str
    """`cv`, `defect` or `nlp`."""
    architecture: str = ""
    """A name in ARCHITECTURES, of that family; empty means the family's own."""
    pretrained: str = ""
    """Weights to start from: a local .safetensors file or folder, `imagenet`, `minilm`, or a name on the Hugging Face hub."""
    start: str = ""
    """A checkpoint, bundle or release (path or store URI) to go on from, of the same architecture, classes and image size; it
    keeps its width, and of texts its tokeniser and max_tokens."""
    width: float = 1.0
    """Factor on all channel counts of our own networks; time goes with its square. Others come in one width."""
    dropout: float | None = None
    """Share of activations dropped before the classifier; none leaves the architecture's own."""
    ensemble: str = ""
    """Further architectures, comma-separated: each is trained with the next seed, and all vote by their mean probability."""
    tta: str = "none"
    """Test-time augmentation, inside the graph: `none`, `mirror` (2 views), `mirror_shift` (6 views); costs that many times."""

    # what trains when
    fine_tune: str = "all"
    """`all`, the `head` alone, `top:N` layer groups, `two_phase` (head, then all), `progressive` (one group more a phase)."""
    head_epochs: int = 1
    """two_phase: epochs of the first phase, the head alone."""
    layer_decay: float = 1.0
    """Discriminative learning rates: each layer group's rate is that of the group above it times this, above 0 to 1."""

    # optimisation
    epochs: int = 10
    """Passes over the training split, all phases together."""
    batch_size: int = 64
    """Items per optimizer step and at most the training split; split among workers."""
    accumulate: int = 1
    """Parts into which a batch is split, for batches that do not fit into memory: gradients are summed over them."""
    optimizer: str = "adamw"
    """`adamw`, `sgd` with Nesterov momentum, `muon`: orthogonalised momentum for filters and matrices, adamw for the rest."""
    learning_rate: float = 0.002
    """Peak learning rate per step."""
    other_rate: float | None = None
    """muon: peak rate of what it does not orthogonalise (biases, norms, first and last layer); none means learning_rate."""
    schedule: str = "cosine"
    """After the warm-up: `cosine` to 0, `one_cycle` (the same, momentum cycled against it), `linear`, `plateau`, `constant`."""
    warmup: float = 0.2
    """Share of a phase's steps in which the rate rises."""
    momentum: float = 0.9
    """sgd, muon: Nesterov momentum."""
    weight_decay: float = 0.01
    """Decoupled for adamw and muon; of weight matrices and filters only."""
    label_smoothing: float = 0.05
    """Share of the target spread evenly over the classes."""
    class_weights: bool = False
    """Weigh each item's loss by the inverse frequency of its class."""
    clip_norm: float = 1.0
    """Largest norm of the whole gradient; 0 switches clipping off."""
    ema: float = 0.0
    """Decay per step of an exponential moving average of the weights, which is then validated and kept; 0 switches it off."""
    patience: int = 0
    """Stop after so many epochs without a better one; 0 trains all. plateau: the rate falls to a tenth after half of it."""

    # augmentation of images; a `none` is the family's own
    augment: bool = True
    """Switches all of it, mixing included. Off where a mirrored item means something else: digits."""
    crop: float | None = None
    """Shift by up to this share of the side, edges reflected."""
    flip: str = "auto"
    """Mirror: `none`, `horizontal` (half of the images, at random), `alternate` (the other half in each epoch, so that two
    epochs show each image both ways), `both` ways, or the family's own."""
    quarter_turns: bool | None = None
    """Turn by multiples of 90 degrees: for surfaces, which have no up."""
    rotate: float = 0.0
    """Turn by up to so many degrees either way."""
    zoom: float = 0.0
    """Scale by up to this share either way."""
    jitter: float = 0.0
    """Strength of brightness, contrast and (of colour) saturation changes."""
    erase: float = 0.0
    """Cutout: side of an erased square as a share of the image's."""
    mixup: float = 0.0
    """alpha of the Beta distribution that blends pairs of images and their labels; 0 switches it off."""
    cutmix: float = 0.0
    """alpha of the Beta distribution that pastes a box of one image into another; with mixup, either has even odds."""

    # pruning, before the first epoch
    prune_channels: float = 0.0
    """Share of the channels taken out of every layer of `start`, the weakest first: a smaller and faster network."""
    sparsity: float = 0.0
    """Share of the weights of convolutions and linear layers that is set to zero and stays so, the smallest of all layers
    together; of `start`, or of pretrained weights. No engine of ours computes faster for it."""

    # distillation
    teacher: str = ""
    """A bundle or release (path or store URI) whose probabilities are learnt besides the labels."""
    teacher_weight: float = 0.5
    """Share of the loss that follows the teacher."""
    teacher_temperature: float = 2.0
    """Both sides' probabilities are softened by it."""

    # precision, device, reproducibility
    precision: str = "fp32"
    """Arithmetic of training: `fp32`, `bf16`, `fp16` (CUDA only, with loss scaling), or `auto`: bf16 where the device
    multiplies it, else fp32. Validation is always fp32, as served."""
    device: str = "auto"
    """`auto` (CUDA where there is one), `cpu` or `cuda`."""
    compile: bool = False
    """torch.compile: pays on a GPU and in long runs; on the CPU it needs a C++ compiler."""
    workers: int = 1
    """Processes that share each batch, one per GPU, by torchrun."""
    deterministic: bool = True
    """Equal seeds give equal bits on the same processor with the same number of threads."""
    seed: int = 0
    """Of weights, order, augmentation and dropout."""
    threads: int = 0
    """Of torch's operators on the CPU; 0 leaves torch's choice. Part of what makes runs equal."""
    select_by: str = "log_loss"
    """What the best epoch has on validation: least `log_loss`, or highest `accuracy`."""
    tensorboard: str = ""
    """Folder for TensorBoard's event files; needs slipway[tensorboard]."""

    # texts
    max_tokens: int = 128
    """hf_encoder: longer texts are cut."""
    pooling: str = "auto"
    """hf_encoder: what is classified: the encoder's own `head` (often the first token), the `mean` of all tokens, or what its
    folder says it was trained with."""
    regularisation: float = 4.0
    """tfidf_logreg: scikit-learn's C, the inverse strength of the L2 penalty."""
    max_features: int = 100_000
    """tfidf_logreg: the most frequent terms kept."""
    ngrams: int = 2
    """tfidf_logreg: 1 for words, 2 for word pairs, too."""

    def __post_init__(self) -> None:
        families.find(self.family)
        entry = architectures.find(self.resolved_architecture, family=self.family)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ConfigError(unknown(name, getattr(self, name), known))
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not (low <= value <= high and value < inf):
                allowed = f"at least {low:g}" if high == inf else f"{low:g} to {high:g}"
                raise ConfigError(f"{name}: must be {allowed}, got {value}")
        for name, high in ABOVE_ZERO.items():
            value = getattr(self, name)
            if value is not None and not (0 < value <= high and value < inf):
                raise ConfigError(f"{name}: must be above 0{'' if high == inf else f' and at most {high:g}'}, got {value}")
        self._check_combinations(entry.input)

    def _check_combinations(self, kind: str) -> None:
        if self.precision == "fp16" and self.device == "cpu":
            raise ConfigError(FP16_ON_CPU)
        if kind == "tfidf":
            for name in ("pretrained", "ensemble", "start", "sparsity"):
                if getattr(self, name):
                    raise ConfigError(f"{name}: tfidf_logreg has no use for it; leave it out, or choose hf_encoder")
        if self.tta != "none" and kind != "image":
            raise ConfigError(f"tta: only images have other views, not the texts of {self.resolved_architecture}")
        if self.start and (other := "pretrained" if self.pretrained else "ensemble" if self.ensemble else ""):
            raise ConfigError(f"start: holds all weights of one network, so {other} has no use; leave one of them out")
        if self.prune_channels and kind != "image":
            raise ConfigError(f"prune_channels: only of convolutions, not of {self.resolved_architecture}; use sparsity")
        for name in ("prune_channels", "sparsity"):
            if getattr(self, name) and not (self.start or (name == "sparsity" and self.pretrained)):
                raise ConfigError(f"{name}: random weights do not tell which matter; set start to a trained model")
        if self.accumulate > self.batch_size:
            raise ConfigError(f"accumulate: must be at most batch_size {self.batch_size}, got {self.accumulate}")
        for name in self.members[1:]:
            if architectures.find(name, family=self.family).input != kind:
                raise ConfigError(f"ensemble: {name} reads other inputs than {self.resolved_architecture}; vote among equals")
        word, _, number = self.fine_tune.partition(":")
        if word == "top":
            if not number.isdigit() or int(number) < 1:
                raise ConfigError(f"fine_tune: top needs a number of layer groups, such as top:2, got '{self.fine_tune}'")
        elif self.fine_tune not in ("all", "head", "two_phase", "progressive"):
            raise ConfigError(unknown("fine_tune", self.fine_tune, ("all", "head", "top:N", "two_phase", "progressive")))
        if self.schedule == "plateau" and not self.patience:
            raise ConfigError("schedule: 'plateau' drops the rate after half of patience; set patience, such as patience=6")
        if self.fine_tune == "two_phase" and self.head_epochs >= self.epochs:
            raise ConfigError(f"head_epochs: must be below epochs {self.epochs}, got {self.head_epochs}; raise epochs")
        if self.fine_tune in ("head", "progressive") and not (self.pretrained or self.start):
            raise ConfigError(
                f"fine_tune: '{self.fine_tune}' leaves random weights frozen; set pretrained or start, or use 'all'"
            )

    @property
    def resolved_architecture(self) -> str:
        """The architecture, the family's own when none is named."""
        return self.architecture or families.find(self.family).architecture

    @property
    def members(self) -> list[str]:
        """Architectures of the ensemble; one when there is none."""
        return [self.resolved_architecture, *(name.strip() for name in self.ensemble.split(",") if name.strip())]

    def resolve(self, *, device: str, precision: str) -> "TrainConfig":
        """The configuration with nothing left open: architecture, device and precision by name.

        Raises: ConfigError: fp16, and the device turned out to be the CPU.
        """
        if precision == "fp16" and device == "cpu":
            raise ConfigError(FP16_ON_CPU)
        return replace(self, architecture=self.resolved_architecture, device=device, precision=precision)
