"""A reader of what the API server's KMS v2 envelope writes to etcd, made from the wire format and nothing of ours."""

import dataclasses

PREFIX = b"k8s:enc:kms:v2:"

SOURCE_TYPE_AES_GCM_KEY = 0
SOURCE_TYPE_HKDF_SEED = 1

_VARINT, _LENGTH_DELIMITED = 0, 2


@dataclasses.dataclass
class EncryptedObject:
    provider: str
    encrypted_data: bytes = b""
    key_id: str = ""
    encrypted_dek_source: bytes = b""
    annotations: dict = dataclasses.field(default_factory=dict)
    source_type: int = SOURCE_TYPE_AES_GCM_KEY


def parse(value):
    """Reads an etcd value; raises ValueError if it is not one of KMS v2's."""
    if not value.startswith(PREFIX):
        raise ValueError(f"does not begin with {PREFIX.decode()}: {value[:40]!r}")
    provider, colon, message = value[len(PREFIX):].partition(b":")
    if not colon:
        raise ValueError("no ':' after the provider's name")
    result = EncryptedObject(provider.decode())
    for number, field in _fields(message):
        if number == 1:
            result.encrypted_data = field
        elif number == 2:
            result.key_id = field.decode("utf-8")
        elif number == 3:
            result.encrypted_dek_source = field
        elif number == 4:
            entry = dict(_fields(field))
            result.annotations[entry.get(1, b"").decode("utf-8")] = entry.get(2, b"")
        elif number == 5:
            result.source_type = field
        else:
            raise ValueError(f"unknown field {number}")
    return result


def _fields(message):
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind == _LENGTH_DELIMITED:
            length, at = _varint(message, at)
            value, at = message[at:at + length], at + length
            if at > len(message):
                raise ValueError(f"field {number} is cut short")
        else:
            raise ValueError(f"field {number} has unexpected wire type {kind}")
        yield number, value


def _varint(message, at):
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a varint is cut short or too long")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
