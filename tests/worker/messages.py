"""The messages between the Functions host and a Python worker, as far as the worker library touches them.

Azure's proxy worker hands the library a module of protobuf classes and reads them off a gRPC stream. The classes here
are real protobuf classes too, so that a field that the library gets wrong, or a value of the wrong type, fails as it
would there. Names and types are those that the source of ``azure_functions_runtime`` 1.3.0 uses, compared with the
public FunctionRpc.proto of the host; the numbers of the fields are not those of the wire, where nothing of this goes.

Imports nothing of Realign: it runs in the worker's environment.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory

# Field to type. "map" is from string to what follows; a mapping in place of a type is a oneof of that name.
MESSAGES = {
    "StreamingMessage": {
        "request_id": "string",
        "content": {
            "worker_init_request": "WorkerInitRequest",
            "worker_init_response": "WorkerInitResponse",
            "functions_metadata_request": "FunctionsMetadataRequest",
            "function_metadata_response": "FunctionMetadataResponse",
            "function_load_request": "FunctionLoadRequest",
            "function_load_response": "FunctionLoadResponse",
            "invocation_request": "InvocationRequest",
            "invocation_response": "InvocationResponse",
        },
    },
    "WorkerInitRequest": {
        "host_version": "string",
        "capabilities": "map string",
        "worker_directory": "string",
        "function_app_directory": "string",
    },
    "WorkerInitResponse": {
        "capabilities": "map string",
        "result": "StatusResult",
        "worker_metadata": "WorkerMetadata",
    },
    "WorkerMetadata": {
        "runtime_name": "string",
        "runtime_version": "string",
        "worker_version": "string",
        "worker_bitness": "string",
        "custom_properties": "map string",
    },
    "StatusResult": {"status": "StatusResult.Status", "result": "string", "exception": "RpcException"},
    "RpcException": {"source": "string", "stack_trace": "string", "message": "string"},
    "FunctionsMetadataRequest": {"function_app_directory": "string"},
    "FunctionMetadataResponse": {
        "function_metadata_results": "repeated RpcFunctionMetadata",
        "result": "StatusResult",
        "use_default_metadata_indexing": "bool",
    },
    "RpcFunctionMetadata": {
        "name": "string",
        "function_id": "string",
        "directory": "string",
        "script_file": "string",
        "entry_point": "string",
        "language": "string",
        "is_proxy": "bool",
        "managed_dependency_enabled": "bool",
        "bindings": "map BindingInfo",
        "raw_bindings": "repeated string",
        "retry_options": "RpcRetryOptions",
        "properties": "map string",
    },
    "BindingInfo": {
        "type": "string",
        "direction": "BindingInfo.Direction",
        "data_type": "BindingInfo.DataType",
        "properties": "map string",
    },
    "RpcRetryOptions": {
        "max_retry_count": "int32",
        "delay_interval": "google.protobuf.Duration",
        "minimum_interval": "google.protobuf.Duration",
        "maximum_interval": "google.protobuf.Duration",
        "retry_strategy": "RpcRetryOptions.RetryStrategy",
    },
    "FunctionLoadRequest": {
        "function_id": "string",
        "metadata": "RpcFunctionMetadata",
        "managed_dependency_enabled": "bool",
    },
    "FunctionLoadResponse": {"function_id": "string", "result": "StatusResult"},
    "InvocationRequest": {
        "invocation_id": "string",
        "function_id": "string",
        "input_data": "repeated ParameterBinding",
        "trigger_metadata": "map TypedData",
        "trace_context": "RpcTraceContext",
        "retry_context": "RetryContext",
    },
    "RpcTraceContext": {"trace_parent": "string", "trace_state": "string", "attributes": "map string"},
    "RetryContext": {"retry_count": "int32", "max_retry_count": "int32", "exception": "RpcException"},
    "InvocationResponse": {
        "invocation_id": "string",
        "output_data": "repeated ParameterBinding",
        "return_value": "TypedData",
        "result": "StatusResult",
    },
    "ParameterBinding": {"name": "string", "rpc_data": {"data": "TypedData"}},
    "TypedData": {
        "data": {
            "string": "string",
            "json": "string",
            "bytes": "bytes",
            "stream": "bytes",
            "http": "RpcHttp",
            "int": "sint64",
            "double": "double",
        }
    },
    "RpcHttp": {
        "method": "string",
        "url": "string",
        "headers": "map string",
        "body": "TypedData",
        "params": "map string",
        "status_code": "string",
        "query": "map string",
        "enable_content_negotiation": "bool",
        "cookies": "repeated RpcHttpCookie",
    },
    "RpcHttpCookie": {"name": "string", "value": "string"},
}
ENUMS = {
    "StatusResult": {"Status": ("Failure", "Success", "Cancelled")},
    "BindingInfo": {"Direction": ("in", "out", "inout"), "DataType": ("undefined", "string", "binary", "stream")},
    "RpcRetryOptions": {"RetryStrategy": ("exponential_backoff", "fixed_delay")},
}
PACKAGE = "AzureFunctionsRpcMessages"
FIELD = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    name: getattr(FIELD, f"TYPE_{name.upper()}") for name in ("string", "bytes", "bool", "int32", "sint64", "double")
}


def _described(name: str, fields: dict) -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name=name)
    for enum, values in ENUMS.get(name, {}).items():
        described = message.enum_type.add(name=enum)
        for number, value in enumerate(values):
            described.value.add(name=value, number=number)
    for field, kind in fields.items():
        if isinstance(kind, dict):
            place = len(message.oneof_decl)
            message.oneof_decl.add(name=field)
            for choice, its_kind in kind.items():
                _add(message, choice, its_kind).oneof_index = place
        else:
            _add(message, field, kind)
    return message


def _add(message: descriptor_pb2.DescriptorProto, name: str, kind: str) -> descriptor_pb2.FieldDescriptorProto:
    how, _, of = kind.rpartition(" ")
    field = message.field.add(name=name, number=len(message.field) + 1)
    field.label = FIELD.LABEL_REPEATED if how else FIELD.LABEL_OPTIONAL
    if how == "map":
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add(entry, "key", "string")
        _add(entry, "value", of)
        field.type, field.type_name = FIELD.TYPE_MESSAGE, f".{PACKAGE}.{message.name}.{entry.name}"
    elif of in SCALARS:
        field.type = SCALARS[of]
    else:
        owner, _, enum = of.partition(".")
        field.type = FIELD.TYPE_ENUM if enum in ENUMS.get(owner, {}) else FIELD.TYPE_MESSAGE
        field.type_name = f".{of}" if owner == "google" else f".{PACKAGE}.{of}"
    return field


class _Protos:
    """Stands for the module ``protos`` of the proxy worker: one class an attribute."""

    def __init__(self) -> None:
        file = descriptor_pb2.FileDescriptorProto(name="worker_messages.proto", package=PACKAGE, syntax="proto3")
        file.dependency.append(duration_pb2.DESCRIPTOR.name)
        file.message_type.extend(_described(name, fields) for name, fields in MESSAGES.items())
        pool = descriptor_pool.Default()
        pool.AddSerializedFile(file.SerializeToString())
        for name in MESSAGES:
            found = pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
            setattr(self, name, message_factory.GetMessageClass(found))


protos = _Protos()
