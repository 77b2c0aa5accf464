// What Cryptoki's functions take, of what this code has.
#ifndef KEKD_HSM_PKCS11_ATTRIBUTES_H_
#define KEKD_HSM_PKCS11_ATTRIBUTES_H_

#include <cstdint>
#include <string>

#include "hsm/pkcs11/cryptoki.h"

namespace kekd {

// Cryptoki's pointers are never const; its functions do not write through those of their input.
inline unsigned char* Unconst(const uint8_t* bytes) { return const_cast<unsigned char*>(bytes); }

// Attributes of a template. What `text` and `value` refer to outlives them.
inline CK_ATTRIBUTE TextAttribute(CK_ATTRIBUTE_TYPE type, const std::string& text) {
  return {type, const_cast<char*>(text.data()), text.size()};
}
inline CK_ATTRIBUTE FlagAttribute(CK_ATTRIBUTE_TYPE type, bool value) {
  static CK_BBOOL yes = CK_TRUE;
  static CK_BBOOL no = CK_FALSE;
  return {type, value ? &yes : &no, sizeof(CK_BBOOL)};
}
inline CK_ATTRIBUTE NumberAttribute(CK_ATTRIBUTE_TYPE type, CK_ULONG& value) {
  return {type, &value, sizeof(value)};
}

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_ATTRIBUTES_H_
