#!/usr/bin/env python3
"""import_key.py MODULE TOKEN_LABEL PIN KEY_LABEL KEY_ID_HEX < 32_BYTES: puts an AES-256 key on a token by C_CreateObject.

The key may encrypt and decrypt and nothing else, is private, sensitive, not extractable and not modifiable. The tools that
there are for it (softhsm2-util, pkcs11-tool) name no usage, and so SoftHSM lets theirs wrap and unwrap other keys too.
"""

import ctypes
import sys

ULONG = ctypes.c_ulong
CKF_SERIAL_RW_SESSION = 6
CKU_USER = 1
CKO_SECRET_KEY = 4
CKK_AES = 0x1f
CKA = {"CLASS": 0, "TOKEN": 1, "PRIVATE": 2, "LABEL": 3, "VALUE": 0x11, "KEY_TYPE": 0x100, "ID": 0x102, "SENSITIVE": 0x103,
       "ENCRYPT": 0x104, "DECRYPT": 0x105, "WRAP": 0x106, "UNWRAP": 0x107, "SIGN": 0x108, "VERIFY": 0x10a, "DERIVE": 0x10c,
       "EXTRACTABLE": 0x162, "MODIFIABLE": 0x170, "COPYABLE": 0x171}


class Attribute(ctypes.Structure):
    _fields_ = [("type", ULONG), ("value", ctypes.c_void_p), ("size", ULONG)]


class TokenInfo(ctypes.Structure):
    _fields_ = [("label", ctypes.c_char * 32), ("rest", ctypes.c_char * 512)]


def check(name, rv):
    if rv != 0:
        sys.exit(f"import_key: {name}: {rv:#x}")


def find_slot(module, label):
    slots = (ULONG * 64)()
    count = ULONG(64)
    check("C_GetSlotList", module.C_GetSlotList(ctypes.c_ubyte(1), slots, ctypes.byref(count)))
    for slot in slots[:count.value]:
        info = TokenInfo()
        check("C_GetTokenInfo", module.C_GetTokenInfo(ULONG(slot), ctypes.byref(info)))
        if ctypes.string_at(ctypes.byref(info), 32).decode().rstrip() == label:
            return ULONG(slot)
    sys.exit(f"import_key: there is no token '{label}'")


def template(values):
    """The attributes, and what they point at."""
    buffers = []
    attributes = (Attribute * len(values))()
    for attribute, (name, value) in zip(attributes, values.items()):
        if isinstance(value, bool):
            value = bytes([value])
        elif isinstance(value, int):
            value = bytes(ULONG(value))
        buffers.append(ctypes.create_string_buffer(value, len(value)))
        attribute.type, attribute.value, attribute.size = CKA[name], ctypes.addressof(buffers[-1]), len(value)
    return attributes, buffers


def main():
    path, token, pin, label, key_id = sys.argv[1:]
    key = sys.stdin.buffer.read()
    if len(key) != 32:
        sys.exit(f"import_key: the key has {len(key)} bytes and not 32")
    module = ctypes.CDLL(path)
    check("C_Initialize", module.C_Initialize(None))
    session = ULONG()
    check("C_OpenSession", module.C_OpenSession(find_slot(module, token), ULONG(CKF_SERIAL_RW_SESSION), None, None,
                                                ctypes.byref(session)))
    check("C_Login", module.C_Login(session, ULONG(CKU_USER), pin.encode(), ULONG(len(pin))))
    attributes, buffers = template({
        "CLASS": CKO_SECRET_KEY, "KEY_TYPE": CKK_AES, "VALUE": key, "LABEL": label.encode(), "ID": bytes.fromhex(key_id),
        "TOKEN": True, "PRIVATE": True, "SENSITIVE": True, "EXTRACTABLE": False, "ENCRYPT": True, "DECRYPT": True,
        "WRAP": False, "UNWRAP": False, "SIGN": False, "VERIFY": False, "DERIVE": False, "MODIFIABLE": False,
        "COPYABLE": False})
    made = ULONG()
    check("C_CreateObject", module.C_CreateObject(session, attributes, ULONG(len(attributes)), ctypes.byref(made)))
    del buffers
    check("C_Finalize", module.C_Finalize(None))


if __name__ == "__main__":
    main()
