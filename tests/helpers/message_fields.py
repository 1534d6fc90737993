"""A protobuf message's fields as plain values; no import of ours, since the conversation runs it where Slipway is not."""


def described(message_type):
    """Name -> number, type, whether it is repeated, the group it is one of, and its own fields."""
    return {
        field.name: [
            field.number, field.type, field.is_repeated,
            field.containing_oneof.name if field.containing_oneof else None,
            described(field.message_type) if field.message_type else None,
        ]
        for field in message_type.fields
    }  # fmt: skip
