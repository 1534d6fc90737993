"""LitServe: one API a model, JSON in and out."""

import base64

import litserve
import numpy as np
from shared import PORT, WORKERS, answer, pixels, session


class Cnn(litserve.LitAPI):
    def setup(self, _device):
        self.session = session("small_cnn")

    def decode_request(self, request):
        return np.asarray(request["input"], np.float32)

    def predict(self, x):
        return answer(self.session, x)

    def encode_response(self, output):
        return {"probabilities": output[0].tolist()}


class Resnet(Cnn):
    def setup(self, _device):
        self.session = session("resnet18_224")

    def decode_request(self, request):
        return pixels(base64.b64decode(request["image"]))


if __name__ == "__main__":
    apis = [Cnn(api_path="/json"), Resnet(api_path="/image")]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=WORKERS)
    server.run(port=PORT, log_level="warning", generate_client_file=False)
