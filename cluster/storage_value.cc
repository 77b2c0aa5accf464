#include "cluster/storage_value.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/wire_reader.h"

namespace kekd {
namespace {

constexpr absl::string_view kEncrypted = "k8s:enc:";
constexpr absl::string_view kProtobufMagic = absl::string_view("k8s\0", 4);
constexpr absl::string_view kCborMagic = "\xd9\xd9\xf7";  // RFC 8949, section 3.4.6
constexpr absl::string_view kWhitespace = " \t\r\n";

constexpr size_t kGcmOverheadBytes = 12 + 16;        // nonce, tag
constexpr size_t kSecretboxOverheadBytes = 24 + 16;  // nonce, Poly1305 tag
constexpr size_t kAesBlockBytes = 16;

// The encrypted DEK of KMS v1 has its length before it in two bytes. A length from here on begins
// with what may also be a letter of a name; real ones are far shorter.
constexpr size_t kMaxUsualDekBytes = 0x2000;

bool IsPrintable(char c) { return c >= ' ' && c <= '~'; }

// IV and at least one block: PKCS#7 always pads.
bool IsCbc(absl::string_view payload) {
  return payload.size() >= 2 * kAesBlockBytes && payload.size() % kAesBlockBytes == 0;
}

bool IsGcm(absl::string_view payload) { return payload.size() >= kGcmOverheadBytes; }

bool IsSecretbox(absl::string_view payload) { return payload.size() >= kSecretboxOverheadBytes; }

// u16 big-endian length, encrypted DEK, object under it: AES-GCM from 1.25 on, AES-CBC before.
bool IsKmsV1Within(absl::string_view payload, size_t max_dek_bytes) {
  if (payload.size() < 2) return false;
  const size_t dek_bytes =
      static_cast<size_t>(static_cast<uint8_t>(payload[0])) << 8 | static_cast<uint8_t>(payload[1]);
  payload.remove_prefix(2);
  if (dek_bytes == 0 || dek_bytes >= max_dek_bytes || dek_bytes > payload.size()) return false;
  payload.remove_prefix(dek_bytes);
  return IsGcm(payload) || IsCbc(payload);
}

bool IsUsualKmsV1(absl::string_view payload) { return IsKmsV1Within(payload, kMaxUsualDekBytes); }
bool IsKmsV1(absl::string_view payload) { return IsKmsV1Within(payload, 0x10000); }

using Layout = bool (*)(absl::string_view payload);

struct Provider {
  StorageKind kind;
  absl::string_view prefix;  // after k8s:enc:
  // What must follow the name. The second one, if there is any, is tried where the first fits
  // nowhere.
  Layout layouts[2];
  absl::string_view misfit;
};

constexpr Provider kProviders[] = {
    {StorageKind::kKmsV2, "kms:v2:", {}, ""},
    {StorageKind::kAesCbc,
     "aescbc:v1:",
     {IsCbc},
     "what follows the key's name is no IV and whole AES blocks"},
    {StorageKind::kAesGcm,
     "aesgcm:v1:",
     {IsGcm},
     "what follows the key's name is too short for a nonce and a tag"},
    {StorageKind::kSecretbox,
     "secretbox:v1:",
     {IsSecretbox},
     "what follows the key's name is too short for a nonce and a tag"},
    {StorageKind::kKmsV1,
     "kms:v1:",
     {IsUsualKmsV1, IsKmsV1},
     "what follows the provider's name is no encrypted DEK and object"},
};

// The name and the rest, parted at the first ':' after which the rest has the layout.
bool SplitName(absl::string_view rest, Layout layout, StorageValue& value) {
  for (size_t i = 0; i < rest.size() && IsPrintable(rest[i]); ++i) {
    if (rest[i] != ':' || i == 0) continue;
    const absl::string_view payload = rest.substr(i + 1);
    if (!layout(payload)) continue;
    value.name = rest.substr(0, i);
    value.payload = payload;
    return true;
  }
  return false;
}

// Parts them at the first ':' whatever follows. False, with the name as far as it goes, if there is
// none.
bool SplitAtFirstColon(absl::string_view rest, StorageValue& value) {
  const size_t colon = rest.find(':');
  value.name = rest.substr(0, colon);
  if (colon == absl::string_view::npos) {
    value.payload = absl::string_view();
    value.defect = "it ends within its prefix";
    return false;
  }
  value.payload = rest.substr(colon + 1);
  if (colon == 0) value.defect = "the name in its prefix is empty";
  return true;
}

void ParseKmsV2(absl::string_view rest, StorageValue& value) {
  if (!SplitAtFirstColon(rest, value) || !value.decodable()) return;
  absl::StatusOr<EncryptedObject> object = EncryptedObject::Parse(value.payload);
  if (!object.ok()) {
    const absl::string_view rule = object.status().message();
    value.defect.assign(rule.data(), rule.size());
    return;
  }
  value.object = *std::move(object);
}

void ParseNamed(const Provider& provider, absl::string_view rest, StorageValue& value) {
  for (const Layout layout : provider.layouts) {
    if (layout != nullptr && SplitName(rest, layout, value)) return;
  }
  if (!SplitAtFirstColon(rest, value) || !value.decodable()) return;
  value.defect = std::string(provider.misfit.data(), provider.misfit.size());
}

// The first two parts of what follows k8s:enc:, as "kms:v3".
absl::string_view UnknownProviderName(absl::string_view rest) {
  const size_t first = rest.find(':');
  if (first == absl::string_view::npos) return rest;
  const size_t second = rest.find(':', first + 1);
  return rest.substr(0, second);
}

const Provider* FindProvider(absl::string_view rest) {
  const auto* const found =
      std::find_if(std::begin(kProviders), std::end(kProviders),
                   [&](const Provider& p) { return absl::StartsWith(rest, p.prefix); });
  return found == std::end(kProviders) ? nullptr : found;
}

// `rest` follows k8s:enc: and is of no known provider: of one that kube-apiserver does not have, or
// cut within the prefix of one it has.
void ParseUnknownProvider(absl::string_view rest, StorageValue& value) {
  value.kind = StorageKind::kUnknownProvider;
  value.name = UnknownProviderName(rest);
  const bool cut = std::any_of(std::begin(kProviders), std::end(kProviders),
                               [&](const Provider& p) { return absl::StartsWith(p.prefix, rest); });
  value.defect =
      cut ? "it ends within its prefix" : "kube-apiserver has no provider that writes this prefix";
}

// runtime.Unknown (k8s.io/apimachinery) follows: its few fields are walked, not read.
std::string ProtobufDefect(absl::string_view message) {
  WireReader reader(message);
  bool any = false;
  while (reader.Next()) any = true;
  return any && reader.ok() ? "" : "it is no whole protobuf object";
}

std::string JsonDefect(absl::string_view value) {
  const size_t last = value.find_last_not_of(kWhitespace);
  return value[last] == '}' && value.size() >= 2 ? "" : "it is no whole JSON object";
}

// A map (major type 5) must follow the tag; an indefinite one, as Kubernetes writes none, included.
std::string CborDefect(absl::string_view item) {
  return !item.empty() && static_cast<uint8_t>(item[0]) >> 5 == 5 ? "" : "it is no CBOR map";
}

// True, with `defect` told, if the value is an object in clear.
bool ParsePlaintext(absl::string_view value, std::string& defect) {
  if (absl::StartsWith(value, kProtobufMagic)) {
    defect = ProtobufDefect(value.substr(kProtobufMagic.size()));
    return true;
  }
  if (absl::StartsWith(value, kCborMagic)) {
    defect = CborDefect(value.substr(kCborMagic.size()));
    return true;
  }
  const size_t first = value.find_first_not_of(kWhitespace);
  if (first == absl::string_view::npos || value[first] != '{') return false;
  defect = JsonDefect(value);
  return true;
}

}  // namespace

absl::string_view ToString(StorageKind kind) {
  switch (kind) {
    case StorageKind::kPlaintext:
      return "plaintext";
    case StorageKind::kAesCbc:
      return "aescbc";
    case StorageKind::kAesGcm:
      return "aesgcm";
    case StorageKind::kSecretbox:
      return "secretbox";
    case StorageKind::kKmsV1:
      return "KMS v1";
    case StorageKind::kKmsV2:
      return "KMS v2";
    case StorageKind::kUnknownProvider:
      return "unknown provider";
    case StorageKind::kUnrecognised:
      return "unrecognised";
  }
  return "?";
}

StorageValue ClassifyValue(absl::string_view value) {
  StorageValue classified;
  classified.payload = value;
  if (absl::StartsWith(value, kEncrypted)) {
    const absl::string_view rest = value.substr(kEncrypted.size());
    const Provider* const provider = FindProvider(rest);
    if (provider == nullptr) {
      ParseUnknownProvider(rest, classified);
      return classified;
    }
    classified.kind = provider->kind;
    const absl::string_view named = rest.substr(provider->prefix.size());
    if (provider->kind == StorageKind::kKmsV2) {
      ParseKmsV2(named, classified);
    } else {
      ParseNamed(*provider, named, classified);
    }
    return classified;
  }
  if (ParsePlaintext(value, classified.defect)) {
    classified.kind = StorageKind::kPlaintext;
    return classified;
  }
  classified.defect =
      value.empty() ? "it is empty" : "it is neither encrypted nor an object in clear";
  return classified;
}

StorageValue ClassifyBeginning(absl::string_view beginning) {
  StorageValue classified;
  if (absl::StartsWith(beginning, kEncrypted)) {
    const absl::string_view rest = beginning.substr(kEncrypted.size());
    const Provider* const provider = FindProvider(rest);
    if (provider == nullptr) {
      ParseUnknownProvider(rest, classified);
      return classified;
    }
    classified.kind = provider->kind;
    SplitAtFirstColon(rest.substr(provider->prefix.size()), classified);
    classified.payload = absl::string_view();
    return classified;
  }
  // Whether the object is whole is not asked here.
  std::string defect;
  if (ParsePlaintext(beginning, defect)) {
    classified.kind = StorageKind::kPlaintext;
    return classified;
  }
  classified.defect = "too little of it is left to tell what it is";
  return classified;
}

}  // namespace kekd
