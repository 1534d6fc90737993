"""What Triton's own clients say and hear: run by an interpreter that has them, and nothing of ours.

Stdin: one JSON object {"http": address, "grpc": address, "image": base64, "texts": [...]}. Stdout: one, by transport, and the
fields of the messages that the library was generated with.
"""

import base64
import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from message_fields import described  # beside this file
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

VALUES = {
    "BOOL": np.array([True, False]),
    "FP16": np.array([-65504, 0.5], np.float16),
    "FP32": np.array([-3.4e38, 0.1], np.float32),
    "FP64": np.array([-1.7e308, 0.1]),
    "BYTES": np.array(["ünï".encode(), b""], np.object_),
    **{f"{sign}INT{bits}": np.array([0, 100], f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)},
}


def tensor(library, name, values, **how):
    made = library.InferInput(name, [*values.shape], np_to_triton_dtype(values.dtype))
    made.set_data_from_numpy(values, **how)
    return made


def plain(values):
    return [v.decode() if isinstance(v, bytes) else v for v in values.ravel().tolist()]


def refused(call):
    try:
        call()
    except InferenceServerException as exc:
        return [exc.status(), exc.message()]
    return ["not refused"]


def conversation(library, client, asked, forms):
    image = np.array([base64.b64decode(asked["image"])], np.object_)
    texts = np.array([text.encode() for text in asked["texts"]], np.object_)
    heard = {
        "health": [client.is_server_live(), client.is_server_ready(), client.is_model_ready("cv")],
        "image": {}, "text": {}, "echo": {},
    }  # fmt: skip
    for form, (how, wanted) in forms.items():
        if form != "json":  # files are no text; in JSON they would be base64
            answer = client.infer("cv", [tensor(library, "image", image, **how)], request_id="7")
            about = answer.get_response()
            request_id = about["id"] if isinstance(about, dict) else about.id
            heard["image"][form] = [request_id, plain(answer.as_numpy("probabilities"))]
        outputs = [library.InferRequestedOutput(name, **wanted) for name in ("label", "probabilities")]
        answer = client.infer("nlp", [tensor(library, "text", texts, **how)], outputs=outputs, model_version="3")
        heard["text"][form] = [plain(answer.as_numpy("label")), plain(answer.as_numpy("probabilities"))]
        if form != "json":  # its JSON has no FP16
            answer = client.infer("echo", [tensor(library, f"in_{name}", v, **how) for name, v in VALUES.items()])
            heard["echo"][form] = {
                name: bool(np.array_equal(answer.as_numpy(f"out_{name}"), values)) for name, values in VALUES.items()
            }
    wrong = tensor(library, "tex", texts)
    heard["refused"] = [
        refused(lambda: client.infer("nlp", [wrong])),
        refused(lambda: client.infer("nl", [wrong])),
        refused(lambda: client.load_model("nlp")),
        refused(lambda: client.unload_model("nlp")),
    ]
    return heard


def main():
    asked = json.load(sys.stdin)
    http = tritonclient.http.InferenceServerClient(asked["http"], concurrency=2)
    grpc = tritonclient.grpc.InferenceServerClient(asked["grpc"])
    both, text = {"binary_data": True}, {"binary_data": False}
    told = {
        "http": conversation(tritonclient.http, http, asked, {"binary": (both, both), "json": (text, text)}),
        "grpc": conversation(tritonclient.grpc, grpc, asked, {"raw": ({}, {})}),
    }
    inputs = [tensor(tritonclient.http, name, np.ones((1, 2), np.float32)) for name in "ab"]
    waiting = [http.async_infer("sums", inputs) for _ in range(3)]
    told["http"]["async"] = [plain(w.get_result().as_numpy("sum")) for w in waiting]
    told["http"]["compressed"] = refused(lambda: http.infer("sums", inputs, request_compression_algorithm="gzip"))
    told["http"]["metadata"] = [http.get_server_metadata(), http.get_model_metadata("cv"), http.get_model_repository_index()]
    inputs = [tensor(tritonclient.grpc, name, np.ones((1, 2), np.float32)) for name in "ab"]
    told["grpc"]["compressed"] = plain(grpc.infer("sums", inputs, compression_algorithm="gzip").as_numpy("sum"))
    heavy = tensor(tritonclient.grpc, "image", np.array([base64.b64decode(asked["heavy"])] * 8, np.object_))
    told["grpc"]["late"] = refused(lambda: grpc.infer("cv", [heavy], client_timeout=0.02))
    told["grpc"]["metadata"] = [
        grpc.get_server_metadata(as_json=True),
        grpc.get_model_metadata("cv", as_json=True),
        grpc.get_model_repository_index(as_json=True),
    ]
    types = service_pb2.DESCRIPTOR.message_types_by_name
    told["messages"] = {name: described(types[name]) for name in asked["messages"]}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
