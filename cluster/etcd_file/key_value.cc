#include "cluster/etcd_file/key_value.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "base/wire_reader.h"

namespace kekd {
namespace {

int64_t BigEndian(absl::string_view bytes) {
  uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<uint8_t>(byte);
  return static_cast<int64_t>(number);
}

}  // namespace

std::optional<Revision> ParseRevision(absl::string_view key) {
  if (key.size() != 17 && key.size() != 18) return std::nullopt;
  if (key[8] != '_' || (key.size() == 18 && key[17] != 't')) return std::nullopt;
  const Revision revision = {.main = BigEndian(key.substr(0, 8)),
                             .sub = BigEndian(key.substr(9, 8)),
                             .tombstone = key.size() == 18};
  if (revision.main < 0 || revision.sub < 0) return std::nullopt;
  return revision;
}

std::optional<KeyValue> ParseKeyValue(absl::string_view message) {
  KeyValue found;
  WireReader reader(message);
  while (const std::optional<WireField> field = reader.Next()) {
    const bool is_bytes = field->type == WireField::Type::kBytes;
    if (field->number == 1 && is_bytes) found.key = field->bytes;
    if (field->number == 3 && field->type == WireField::Type::kVarint) {
      found.mod_revision = static_cast<int64_t>(field->number_value);
    }
    if (field->number == 5 && is_bytes) {
      found.value = field->bytes;
      found.has_value = true;
    }
  }
  if (!reader.ok() || found.key.empty()) return std::nullopt;
  return found;
}

bool HasPrefix(absl::string_view key, const std::vector<std::string>& prefixes) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return absl::StartsWith(key, prefix); });
}

}  // namespace kekd
