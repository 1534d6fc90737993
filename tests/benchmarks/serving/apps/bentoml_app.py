"""BentoML: a service with a tensor and an image input."""

import bentoml
import numpy as np
from PIL import Image, ImageOps
from shared import WORKERS, answer, session


@bentoml.service(workers=WORKERS, metrics={"enabled": False})
class Onnx:
    def __init__(self):
        self.cnn, self.resnet = session("small_cnn"), session("resnet18_224")

    @bentoml.api
    def tensor(self, input: np.ndarray) -> np.ndarray:
        return answer(self.cnn, input.astype(np.float32, copy=False))

    @bentoml.api
    def image(self, image: Image.Image) -> np.ndarray:
        fitted = ImageOps.fit(image.convert("RGB"), (224, 224), Image.Resampling.BILINEAR)
        return answer(self.resnet, np.asarray(fitted)[None])
