"""gRPC's messages of the protocol, from a table of their fields: what its published .proto file says, without generated code.

The messages live in a pool of their own, so that a process may also load another library's copy of the same names.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_TENSOR = "name:1:string datatype:2:string shape:3:int64* parameters:4:InferParameter%"
_METADATA = "name:1:string datatype:2:string shape:3:int64*"
_MODEL = "name:1:string version:2:string"
_REPOSITORY = "repository_name:1:string model_name:2:string parameters:3:ModelRepositoryParameter%"

MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:1:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:1:bool",
    "ModelReadyRequest": _MODEL,
    "ModelReadyResponse": "ready:1:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:1:string version:2:string extensions:3:string*",
    "ModelMetadataRequest": _MODEL,
    "TensorMetadata": _METADATA,
    "ModelMetadataResponse": (
        "name:1:string versions:2:string* platform:3:string inputs:4:TensorMetadata* outputs:5:TensorMetadata*"
    ),
    "InferParameter": (
        "bool_param:1:bool| int64_param:2:int64| string_param:3:string| double_param:4:double| uint64_param:5:uint64|"
    ),
    "InferTensorContents": (
        "bool_contents:1:bool* int_contents:2:int32* int64_contents:3:int64* uint_contents:4:uint32* "
        "uint64_contents:5:uint64* fp32_contents:6:float* fp64_contents:7:double* bytes_contents:8:bytes*"
    ),
    "InferInputTensor": f"{_TENSOR} contents:5:InferTensorContents",
    "InferRequestedOutputTensor": "name:1:string parameters:2:InferParameter%",
    "InferOutputTensor": f"{_TENSOR} contents:5:InferTensorContents",
    "ModelInferRequest": (
        "model_name:1:string model_version:2:string id:3:string parameters:4:InferParameter% "
        "inputs:5:InferInputTensor* outputs:6:InferRequestedOutputTensor* raw_input_contents:7:bytes*"
    ),
    "ModelInferResponse": (
        "model_name:1:string model_version:2:string id:3:string parameters:4:InferParameter% "
        "outputs:5:InferOutputTensor* raw_output_contents:6:bytes*"
    ),
    "ModelRepositoryParameter": "bool_param:1:bool| int64_param:2:int64| string_param:3:string| bytes_param:4:bytes|",
    "RepositoryIndexRequest": "repository_name:1:string ready:2:bool",
    "ModelIndex": "name:1:string version:2:string state:3:string reason:4:string",
    "RepositoryIndexResponse": "models:1:ModelIndex*",
    "RepositoryModelLoadRequest": _REPOSITORY,
    "RepositoryModelLoadResponse": "",
    "RepositoryModelUnloadRequest": _REPOSITORY,
    "RepositoryModelUnloadResponse": "",
}
"""Name -> its fields, `name:number:type`. Behind the type `*`: repeated; `|`: one of all such; `%`: a map from strings to
it."""
METHODS = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
)
"""Each takes the message <name>Request and gives <name>Response."""
_SCALARS = {
    name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}
_CHOICE = "parameter_choice"


def message(name: str) -> Any:
    """The class of a message of MESSAGES."""
    return _classes()[name]


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        described = file.message_type.add(name=name)
        for spec in fields.split():
            _add_field(described, *spec.split(":"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


def _add_field(described: Any, name: str, number: str, kind: str) -> None:
    field = described.field.add(name=name, number=int(number), label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
    mark = kind[-1] if kind[-1] in "*|%" else ""
    kind = kind.removesuffix(mark) if mark else kind
    if mark == "%":  # on the wire a map is a list of pairs
        entry = described.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", "1", "string")
        _add_field(entry, "value", "2", kind)
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{described.name}.{entry.name}"
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    if mark in ("*", "%"):
        field.label = field.LABEL_REPEATED
    elif mark == "|":
        if not described.oneof_decl:
            described.oneof_decl.add(name=_CHOICE)
        field.oneof_index = 0
