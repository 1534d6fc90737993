"""Stock KServe: its model server with a custom model, as its documentation has it."""

import base64

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from shared import GRPC_PORT, PORT, WORKERS, answer, pixels, session


class Onnx(Model):
    def __init__(self, name):
        super().__init__(name)
        self.session = None  # with several workers the model is pickled to each
        self.ready = True

    def predict(self, payload: InferRequest, *_, **__) -> InferResponse:
        self.session = self.session or session(self.name)
        values = payload.inputs[0].as_numpy()
        if self.name == "resnet18_224":
            (file,) = values.ravel()
            values = pixels(base64.b64decode(file))
        found = answer(self.session, values)
        output = InferOutput("probabilities", [*found.shape], "FP32")
        output.set_data_from_numpy(found, binary_data=bool(payload.from_grpc))
        return InferResponse(payload.id or "", self.name, [output])


if __name__ == "__main__":
    server = ModelServer(http_port=PORT, grpc_port=GRPC_PORT, workers=WORKERS, enable_grpc=True, enable_latency_logging=False)
    server.start([Onnx("small_cnn"), Onnx("resnet18_224")])
