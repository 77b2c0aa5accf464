// Which token and which key an operator means.
#ifndef KEKD_HSM_TOKEN_TOKEN_URI_H_
#define KEKD_HSM_TOKEN_TOKEN_URI_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

// What identifies a token (CK_TOKEN_INFO); an empty field matches any. Slot numbers are no part of
// it: modules renumber them.
struct TokenSelector {
  std::string label;  // RFC 7512's "token"
  std::string manufacturer;
  std::string model;
  std::string serial;

  friend bool operator==(const TokenSelector& a, const TokenSelector& b) {
    return a.label == b.label && a.manufacturer == b.manufacturer && a.model == b.model &&
           a.serial == b.serial;
  }
};

// What identifies a key on a token; an empty field matches any.
struct KeySelector {
  std::string label;  // CKA_LABEL; RFC 7512's "object"
  std::string id;     // CKA_ID, raw bytes

  bool empty() const { return label.empty() && id.empty(); }
  friend bool operator==(const KeySelector& a, const KeySelector& b) {
    return a.label == b.label && a.id == b.id;
  }
};

// A PKCS#11 URI (RFC 7512), parsed by p11-kit, with what p11-kit lets pass refused: attributes it
// does not know, attributes that stand twice or are empty, pin-value (a secret in a configuration),
// a pin-source that is a command, slot numbers, and types other than secret-key.
struct TokenUri {
  TokenSelector token;
  KeySelector key;
  std::string module_path;  // absolute; empty if not given
  std::string pin_file;     // absolute, from "pin-source=file:/…" or "pin-source=/…"; or empty

  friend bool operator==(const TokenUri& a, const TokenUri& b) {
    return a.token == b.token && a.key == b.key && a.module_path == b.module_path &&
           a.pin_file == b.pin_file;
  }
  // InvalidArgument that names the attribute and what to write instead; never its value, which may
  // be a secret that went astray. Needs the library hsm_uri.
  static absl::StatusOr<TokenUri> Parse(absl::string_view text);
  // The same URI in one spelling: attributes in the order of this struct, only those that are set.
  std::string ToString() const;
};

// Appends `name`=`value` to a URI, after `separator` unless `uri` ends where its path or query
// begins; nothing if the value is empty. The value percent-encoded, of CKA_ID ("id") every byte.
void AppendUriAttribute(std::string& uri, char separator, absl::string_view name,
                        absl::string_view value);

}  // namespace kekd

#endif  // KEKD_HSM_TOKEN_TOKEN_URI_H_
