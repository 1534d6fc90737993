"""MLServer: a custom runtime over its own codecs, REST and gRPC."""

from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from shared import answer, pixels, session


class Onnx(MLModel):
    async def load(self) -> bool:
        self.session = session(self.name)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = payload.inputs[0]
        batch = pixels(Base64Codec.decode_input(given)[0]) if given.datatype == "BYTES" else NumpyCodec.decode_input(given)
        output = NumpyCodec.encode_output("probabilities", answer(self.session, batch))
        return InferenceResponse(model_name=self.name, outputs=[output])
