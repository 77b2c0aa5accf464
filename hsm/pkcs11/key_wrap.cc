#include "hsm/pkcs11/key_wrap.h"

#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki3.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

constexpr size_t kWrappedBytes = 40;
constexpr size_t kPaddedWrappedBytes = 48;

CK_MECHANISM MechanismOf(KeyMechanism mechanism) {
  switch (mechanism) {
    case KeyMechanism::kAesKwp:
      return {kCkmAesKeyWrapKwp, nullptr, 0};
    case KeyMechanism::kAesKwPad:
      return {CKM_AES_KEY_WRAP_PAD, nullptr, 0};
    default:
      return {CKM_AES_KEY_WRAP, nullptr, 0};
  }
}

bool FitsWrapped(KeyMechanism mechanism, size_t size) {
  return size == kWrappedBytes ||
         (mechanism == KeyMechanism::kAesKwPad && size == kPaddedWrappedBytes);
}

// An object of the session that ends with its scope.
class TemporaryObject final {
 public:
  TemporaryObject(const Module& module, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
      : module_(module), session_(session), object_(object) {}
  TemporaryObject(const TemporaryObject&) = delete;
  TemporaryObject& operator=(const TemporaryObject&) = delete;
  ~TemporaryObject() {
    if (object_ != 0) module_->C_DestroyObject(session_, object_);
  }
  CK_OBJECT_HANDLE handle() const { return object_; }
  absl::Status Destroy() {
    return CheckRv(module_->C_DestroyObject(session_, std::exchange(object_, 0)),
                   "C_DestroyObject");
  }

 private:
  const Module& module_;
  const CK_SESSION_HANDLE session_;
  CK_OBJECT_HANDLE object_;
};

// A secret that can be read, for C_CreateObject and C_UnwrapKey: as a secret of no kind, or as an
// AES key where a token knows no others; private (CKA_PRIVATE) wherever it can be. `make` gets the
// attributes that both need.
using MakeObject = absl::FunctionRef<CK_RV(std::vector<CK_ATTRIBUTE>, CK_OBJECT_HANDLE*)>;
absl::StatusOr<CK_OBJECT_HANDLE> MakeReadable(absl::string_view function, MakeObject make) {
  CK_ULONG secret_key = CKO_SECRET_KEY;
  CK_RV rv = CKR_OK;
  for (const bool hidden : {true, false}) {
    for (CK_ULONG type : {CK_ULONG{CKK_GENERIC_SECRET}, CK_ULONG{CKK_AES}}) {
      std::vector<CK_ATTRIBUTE> attributes = {
          NumberAttribute(CKA_CLASS, secret_key), NumberAttribute(CKA_KEY_TYPE, type),
          FlagAttribute(CKA_TOKEN, false), FlagAttribute(CKA_SENSITIVE, false),
          FlagAttribute(CKA_EXTRACTABLE, true)};
      if (hidden) attributes.push_back(FlagAttribute(CKA_PRIVATE, true));
      CK_OBJECT_HANDLE object = 0;
      rv = make(std::move(attributes), &object);
      if (rv == CKR_OK) return object;
      // A token without a login has no private objects.
      if (hidden && rv == CKR_USER_NOT_LOGGED_IN) break;
      if (rv != CKR_ATTRIBUTE_VALUE_INVALID && rv != CKR_TEMPLATE_INCONSISTENT &&
          rv != CKR_TEMPLATE_INCOMPLETE && rv != CKR_ATTRIBUTE_TYPE_INVALID) {
        return CkRvError(rv, function);
      }
    }
  }
  return CkRvError(rv, function);
}

}  // namespace

absl::StatusOr<std::string> WrapOneTimeKey(const Module& module, CK_SESSION_HANDLE session,
                                           CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                           const SecretBytes& one_time_key) {
  const ByteView value = one_time_key.Reveal(SecretAccessToken());
  const auto create = [&](std::vector<CK_ATTRIBUTE> attributes, CK_OBJECT_HANDLE* object) {
    attributes.push_back({CKA_VALUE, Unconst(value.data()), value.size()});
    return module->C_CreateObject(session, attributes.data(), attributes.size(), object);
  };
  KEKD_ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE created, MakeReadable("C_CreateObject", create));
  TemporaryObject object(module, session, created);
  CK_MECHANISM with = MechanismOf(mechanism);
  std::string wrapped(2 * kPaddedWrappedBytes, '\0');
  CK_ULONG size = wrapped.size();
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_WrapKey(session, &with, key, object.handle(),
                                                 AsWritableBytes(wrapped).data(), &size),
                               "C_WrapKey"));
  KEKD_RETURN_IF_ERROR(object.Destroy());
  if (!FitsWrapped(mechanism, size)) {
    return absl::UnavailableError(absl::StrCat("C_WrapKey gave ", size, " bytes"));
  }
  wrapped.resize(size);
  return wrapped;
}

absl::StatusOr<SecretBytes> UnwrapOneTimeKey(const Module& module, CK_SESSION_HANDLE session,
                                             CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                             ByteView wrapped) {
  if (!FitsWrapped(mechanism, wrapped.size())) {
    return absl::InvalidArgumentError("the ciphertext has no size that one can have");
  }
  CK_MECHANISM with = MechanismOf(mechanism);
  const auto unwrap = [&](std::vector<CK_ATTRIBUTE> attributes, CK_OBJECT_HANDLE* object) {
    return module->C_UnwrapKey(session, &with, key, Unconst(wrapped.data()), wrapped.size(),
                               attributes.data(), attributes.size(), object);
  };
  KEKD_ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE unwrapped, MakeReadable("C_UnwrapKey", unwrap));
  TemporaryObject object(module, session, unwrapped);
  // What is not of this size was not wrapped here.
  SecretBytes value(kPaddedWrappedBytes);
  CK_ATTRIBUTE read = {CKA_VALUE, value.RevealMutable(SecretAccessToken()).data(), value.size()};
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_GetAttributeValue(session, object.handle(), &read, 1),
                               "C_GetAttributeValue"));
  KEKD_RETURN_IF_ERROR(object.Destroy());
  if (read.ulValueLen != kOneTimeKeyBytes) {
    return CkRvError(CKR_WRAPPED_KEY_INVALID, "C_UnwrapKey", "a key of another size came out");
  }
  value.Truncate(kOneTimeKeyBytes);
  return value;
}

}  // namespace kekd
