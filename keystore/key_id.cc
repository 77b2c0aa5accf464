#include "keystore/key_id.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/hex.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/digest.h"

namespace kekd {
namespace {

constexpr size_t kMaxDnsLabelSize = 63;
constexpr size_t kKeyIdDigestBytes = 16;

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

absl::Status ValidateKeyringName(absl::string_view name) {
  bool valid = !name.empty() && name.size() <= kMaxDnsLabelSize;
  for (const char c : name) valid = valid && (IsLowerAlnum(c) || c == '-');
  valid = valid && IsLowerAlnum(name.front()) && IsLowerAlnum(name.back());
  if (valid) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", absl::CHexEscape(name.substr(0, 80)),
      "\" is not a keyring name: 1 to 63 lower-case letters, digits and '-', beginning and ending "
      "with a letter or digit"));
}

absl::StatusOr<KeyId> KeyId::Derive(const RingIdentity& ring, uint32_t version,
                                    absl::string_view backend_type, ByteView canary) {
  LengthPrefixed fields;
  fields.Add("kekd/key_id/1")
      .Add(ring.cluster_id.bytes())
      .Add(ring.ring_uuid.bytes())
      .AddU32(version)
      .Add(backend_type)
      .Add(canary);
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(AsBytes(fields.bytes())));
  return KeyId(absl::StrCat(ring.name, ".", version, ".",
                            HexEncode(ByteView(digest.data(), kKeyIdDigestBytes))));
}

}  // namespace kekd
