#include <sys/random.h>

#include <algorithm>
#include <vector>

#include "tests/hsm/p11fault/module.h"

namespace kekd::p11fault {
namespace {

// A call that makes an object: `body` gets the session and returns what the module says, the handle
// in *object.
template <typename Body>
CK_RV MakeObject(Function function, CK_SESSION_HANDLE session, const CK_MECHANISM* mechanism,
                 CK_OBJECT_HANDLE* object, Body body) {
  Shim& shim = Shim::Get();
  return shim.OnSession(function, session,
                        [&](const Orders& orders, const Session& found) -> CK_RV {
                          if (orders.IsMasked(mechanism, function)) return CKR_MECHANISM_INVALID;
                          const CK_RV rv = body(orders, found);
                          if (rv == CKR_OK)
                            *object = shim.handles.OuterObject(*object, orders.renumber);
                          return rv;
                        });
}

// What a token that makes the IV itself says to a parameter. It is CKR_OK if the IV is its to make.
CK_RV CheckParameter(GcmIv who, const CK_MECHANISM& mechanism) {
  if (mechanism.pParameter == nullptr || mechanism.ulParameterLen != sizeof(CK_GCM_PARAMS)) {
    return CKR_MECHANISM_PARAM_INVALID;
  }
  const auto& gcm = *static_cast<const CK_GCM_PARAMS*>(mechanism.pParameter);
  if (who == GcmIv::kTokenAppended) {
    return gcm.pIv == nullptr && gcm.ulIvLen == 0 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
  }
  if (gcm.pIv == nullptr || gcm.ulIvLen != kShortIv) return CKR_MECHANISM_PARAM_INVALID;
  const bool zero = std::all_of(gcm.pIv, gcm.pIv + kShortIv, [](CK_BYTE b) { return b == 0; });
  return zero ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

// C_EncryptInit of such a token.
CK_RV InitWithTokenIv(const Orders& orders, CK_SESSION_HANDLE session, const Session& found,
                      const CK_MECHANISM& mechanism, CK_OBJECT_HANDLE key) {
  Shim& shim = Shim::Get();
  const CK_RV checked = CheckParameter(orders.gcm_iv, mechanism);
  if (checked != CKR_OK) return checked;
  CK_GCM_PARAMS gcm = *static_cast<const CK_GCM_PARAMS*>(mechanism.pParameter);
  TokenIv token_iv;
  token_iv.append = orders.gcm_iv == GcmIv::kTokenAppended;
  token_iv.buffer = gcm.pIv;
  const size_t size = token_iv.append ? kLongIv : kShortIv;
  if (orders.gcm_iv_repeats) {
    token_iv.iv.fill(0x42);
  } else if (getrandom(token_iv.iv.data(), size, 0) != static_cast<ssize_t>(size)) {
    return CKR_RANDOM_NO_RNG;
  }
  gcm.pIv = token_iv.iv.data();
  gcm.ulIvLen = size;
  gcm.ulIvBits = size * 8;
  CK_MECHANISM changed = {CKM_AES_GCM, &gcm, sizeof(gcm)};
  shim.Reached(Function::kEncryptInit);
  const CK_RV rv = shim.real().C_EncryptInit(found.real, &changed, key);
  if (rv == CKR_OK) shim.handles.SetTokenIv(session, token_iv);
  return rv;
}

// C_Encrypt where the IV comes after the tag.
CK_RV EncryptAndAppend(CK_SESSION_HANDLE session, const TokenIv& token_iv, CK_BYTE* in,
                       CK_ULONG in_size, CK_BYTE* out, CK_ULONG* out_size) {
  CK_FUNCTION_LIST& real = Shim::Get().real();
  if (out_size == nullptr) return CKR_ARGUMENTS_BAD;
  CK_ULONG size = 0;
  CK_RV rv = real.C_Encrypt(session, in, in_size, nullptr, &size);
  if (rv != CKR_OK) return rv;
  const CK_ULONG room = *out_size;
  *out_size = size + kLongIv;
  if (out == nullptr) return CKR_OK;
  if (room < *out_size) return CKR_BUFFER_TOO_SMALL;
  rv = real.C_Encrypt(session, in, in_size, out, &size);
  if (rv != CKR_OK) return rv;
  std::copy_n(token_iv.iv.begin(), kLongIv, out + size);
  *out_size = size + kLongIv;
  return CKR_OK;
}

}  // namespace

CK_RV SetOperationState(CK_SESSION_HANDLE session, CK_BYTE* state, CK_ULONG size,
                        CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key) {
  Shim& shim = Shim::Get();
  return shim.OnSession(
      Function::kSetOperationState, session,
      [&](const Orders& orders, const Session& found) -> CK_RV {
        const auto first = shim.handles.RealObject(encryption_key, orders.renumber);
        const auto second = shim.handles.RealObject(authentication_key, orders.renumber);
        shim.Reached(Function::kSetOperationState);
        return shim.real().C_SetOperationState(found.real, state, size, first.value_or(0),
                                               second.value_or(0));
      });
}

CK_RV CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE* attributes, CK_ULONG count,
                   CK_OBJECT_HANDLE* object) {
  Shim& shim = Shim::Get();
  return MakeObject(Function::kCreateObject, session, nullptr, object,
                    [&](const Orders&, const Session& found) {
                      shim.Reached(Function::kCreateObject);
                      return shim.real().C_CreateObject(found.real, attributes, count, object);
                    });
}

CK_RV CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE* attributes,
                 CK_ULONG count, CK_OBJECT_HANDLE* copy) {
  Shim& shim = Shim::Get();
  return MakeObject(Function::kCopyObject, session, nullptr, copy,
                    [&](const Orders& orders, const Session& found) -> CK_RV {
                      const auto real = shim.handles.RealObject(object, orders.renumber);
                      if (!real.has_value()) return CKR_OBJECT_HANDLE_INVALID;
                      shim.Reached(Function::kCopyObject);
                      return shim.real().C_CopyObject(found.real, *real, attributes, count, copy);
                    });
}

CK_RV FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE* objects, CK_ULONG most,
                  CK_ULONG* count) {
  Shim& shim = Shim::Get();
  return shim.OnSession(
      Function::kFindObjects, session, [&](const Orders& orders, const Session& found) {
        shim.Reached(Function::kFindObjects);
        const CK_RV rv = shim.real().C_FindObjects(found.real, objects, most, count);
        if (rv != CKR_OK) return rv;
        for (CK_ULONG at = 0; at < *count; ++at) {
          objects[at] = shim.handles.OuterObject(objects[at], orders.renumber);
        }
        return rv;
      });
}

CK_RV EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE key) {
  Shim& shim = Shim::Get();
  return shim.OnSession(Function::kEncryptInit, session,
                        [&](const Orders& orders, const Session& found) -> CK_RV {
                          if (orders.IsMasked(mechanism, Function::kEncryptInit))
                            return CKR_MECHANISM_INVALID;
                          const auto real_key = shim.handles.RealObject(key, orders.renumber);
                          if (!real_key.has_value()) return CKR_KEY_HANDLE_INVALID;
                          shim.handles.SetTokenIv(session, std::nullopt);
                          if (mechanism != nullptr && mechanism->mechanism == CKM_AES_GCM &&
                              orders.gcm_iv != GcmIv::kCaller) {
                            return InitWithTokenIv(orders, session, found, *mechanism, *real_key);
                          }
                          shim.Reached(Function::kEncryptInit);
                          return shim.real().C_EncryptInit(found.real, mechanism, *real_key);
                        });
}

CK_RV Encrypt(CK_SESSION_HANDLE session, CK_BYTE* in, CK_ULONG in_size, CK_BYTE* out,
              CK_ULONG* out_size) {
  Shim& shim = Shim::Get();
  return shim.OnSession(
      Function::kEncrypt, session, [&](const Orders&, const Session& found) -> CK_RV {
        shim.Reached(Function::kEncrypt);
        if (found.token_iv.has_value() && found.token_iv->append) {
          return EncryptAndAppend(found.real, *found.token_iv, in, in_size, out, out_size);
        }
        const CK_RV rv = shim.real().C_Encrypt(found.real, in, in_size, out, out_size);
        if (rv == CKR_OK && out != nullptr && found.token_iv.has_value()) {
          std::copy_n(found.token_iv->iv.begin(), kShortIv, found.token_iv->buffer);
        }
        return rv;
      });
}

CK_RV EncryptUpdate(CK_SESSION_HANDLE session, CK_BYTE* in, CK_ULONG in_size, CK_BYTE* out,
                    CK_ULONG* out_size) {
  Shim& shim = Shim::Get();
  return shim.OnSession(
      Function::kEncryptUpdate, session, [&](const Orders&, const Session& found) -> CK_RV {
        // Tokens that make the IV themselves take a message in one piece.
        if (found.token_iv.has_value()) return CKR_FUNCTION_NOT_SUPPORTED;
        shim.Reached(Function::kEncryptUpdate);
        return shim.real().C_EncryptUpdate(found.real, in, in_size, out, out_size);
      });
}

CK_RV EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE* out, CK_ULONG* out_size) {
  Shim& shim = Shim::Get();
  return shim.OnSession(Function::kEncryptFinal, session,
                        [&](const Orders&, const Session& found) -> CK_RV {
                          if (found.token_iv.has_value()) return CKR_FUNCTION_NOT_SUPPORTED;
                          shim.Reached(Function::kEncryptFinal);
                          return shim.real().C_EncryptFinal(found.real, out, out_size);
                        });
}

CK_RV DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism) {
  Shim& shim = Shim::Get();
  return shim.OnSession(Function::kDigestInit, session,
                        [&](const Orders& orders, const Session& found) -> CK_RV {
                          if (orders.IsMasked(mechanism, Function::kDigestInit))
                            return CKR_MECHANISM_INVALID;
                          shim.Reached(Function::kDigestInit);
                          return shim.real().C_DigestInit(found.real, mechanism);
                        });
}

CK_RV GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_ATTRIBUTE* attributes,
                  CK_ULONG count, CK_OBJECT_HANDLE* key) {
  Shim& shim = Shim::Get();
  return MakeObject(
      Function::kGenerateKey, session, mechanism, key, [&](const Orders&, const Session& found) {
        shim.Reached(Function::kGenerateKey);
        return shim.real().C_GenerateKey(found.real, mechanism, attributes, count, key);
      });
}

CK_RV GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism,
                      CK_ATTRIBUTE* public_attributes, CK_ULONG public_count,
                      CK_ATTRIBUTE* private_attributes, CK_ULONG private_count,
                      CK_OBJECT_HANDLE* public_key, CK_OBJECT_HANDLE* private_key) {
  Shim& shim = Shim::Get();
  return MakeObject(Function::kGenerateKeyPair, session, mechanism, public_key,
                    [&](const Orders& orders, const Session& found) {
                      shim.Reached(Function::kGenerateKeyPair);
                      const CK_RV rv = shim.real().C_GenerateKeyPair(
                          found.real, mechanism, public_attributes, public_count,
                          private_attributes, private_count, public_key, private_key);
                      if (rv == CKR_OK)
                        *private_key = shim.handles.OuterObject(*private_key, orders.renumber);
                      return rv;
                    });
}

CK_RV WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE wrapping_key,
              CK_OBJECT_HANDLE key, CK_BYTE* out, CK_ULONG* out_size) {
  Shim& shim = Shim::Get();
  return shim.OnSession(
      Function::kWrapKey, session, [&](const Orders& orders, const Session& found) -> CK_RV {
        if (orders.IsMasked(mechanism, Function::kWrapKey)) return CKR_MECHANISM_INVALID;
        const auto real_wrapping = shim.handles.RealObject(wrapping_key, orders.renumber);
        if (!real_wrapping.has_value()) return CKR_WRAPPING_KEY_HANDLE_INVALID;
        const auto real_key = shim.handles.RealObject(key, orders.renumber);
        if (!real_key.has_value()) return CKR_KEY_HANDLE_INVALID;
        shim.Reached(Function::kWrapKey);
        return shim.real().C_WrapKey(found.real, mechanism, *real_wrapping, *real_key, out,
                                     out_size);
      });
}

CK_RV UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE unwrapping_key,
                CK_BYTE* in, CK_ULONG in_size, CK_ATTRIBUTE* attributes, CK_ULONG count,
                CK_OBJECT_HANDLE* key) {
  Shim& shim = Shim::Get();
  return MakeObject(Function::kUnwrapKey, session, mechanism, key,
                    [&](const Orders& orders, const Session& found) -> CK_RV {
                      const auto real = shim.handles.RealObject(unwrapping_key, orders.renumber);
                      if (!real.has_value()) return CKR_UNWRAPPING_KEY_HANDLE_INVALID;
                      shim.Reached(Function::kUnwrapKey);
                      return shim.real().C_UnwrapKey(found.real, mechanism, *real, in, in_size,
                                                     attributes, count, key);
                    });
}

CK_RV DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE base_key,
                CK_ATTRIBUTE* attributes, CK_ULONG count, CK_OBJECT_HANDLE* key) {
  Shim& shim = Shim::Get();
  return MakeObject(Function::kDeriveKey, session, mechanism, key,
                    [&](const Orders& orders, const Session& found) -> CK_RV {
                      const auto real = shim.handles.RealObject(base_key, orders.renumber);
                      if (!real.has_value()) return CKR_KEY_HANDLE_INVALID;
                      shim.Reached(Function::kDeriveKey);
                      return shim.real().C_DeriveKey(found.real, mechanism, *real, attributes,
                                                     count, key);
                    });
}

}  // namespace kekd::p11fault
