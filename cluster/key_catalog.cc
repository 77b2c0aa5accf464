#include "cluster/key_catalog.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "keystore/key_id.h"

namespace kekd {
namespace {

constexpr size_t kKeyIdDigits = 32;

}  // namespace

void KeyCatalog::Add(const Keyring& keyring) {
  for (const KeyVersion& version : keyring.versions()) {
    AddKey(version.key_id.text(), {.keyring = keyring.identity().name,
                                   .version = version.number,
                                   .state = version.state,
                                   .primary = keyring.Primary() == &version,
                                   .compromised = version.IsCompromised()});
  }
}

void KeyCatalog::AddKey(absl::string_view key_id, CatalogKey key) {
  names_.insert(key.keyring);
  keys_.insert_or_assign(key_id, std::move(key));
}

std::vector<std::string> KeyCatalog::PrimaryKeyIds() const {
  std::vector<std::string> ids;
  for (const auto& [key_id, key] : keys_) {
    if (key.primary) ids.push_back(key_id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::vector<std::string> KeyCatalog::KeyIdsOf(absl::string_view keyring) const {
  std::vector<std::string> ids;
  for (const auto& [key_id, key] : keys_) {
    if (key.keyring == keyring) ids.push_back(key_id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

const CatalogKey* KeyCatalog::Find(absl::string_view key_id) const {
  const auto found = keys_.find(key_id);
  return found == keys_.end() ? nullptr : &found->second;
}

bool KeyCatalog::LooksLikeOurs(absl::string_view key_id) const {
  const std::vector<absl::string_view> parts = absl::StrSplit(key_id, '.');
  return parts.size() == 3 && names_.contains(parts[0]) && !parts[1].empty() &&
         std::all_of(parts[1].begin(), parts[1].end(), absl::ascii_isdigit) &&
         parts[2].size() == kKeyIdDigits &&
         std::all_of(parts[2].begin(), parts[2].end(), absl::ascii_isxdigit);
}

}  // namespace kekd
