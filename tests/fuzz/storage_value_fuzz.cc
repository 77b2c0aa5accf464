// ClassifyValue, ClassifyBeginning and the keys of a scan on bytes of an attacker who writes to
// etcd.
#include <cstdlib>

#include "base/bytes.h"
#include "cluster/object_key.h"
#include "cluster/storage_value.h"
#include "cluster/stored_object.h"

namespace {

using kekd::StorageKind;
using kekd::StorageValue;

bool IsEncrypted(StorageKind kind) {
  return kind != StorageKind::kPlaintext && kind != StorageKind::kUnrecognised;
}

void Check(absl::string_view value) {
  const StorageValue whole = kekd::ClassifyValue(value);
  const StorageValue beginning = kekd::ClassifyBeginning(value);
  // What an API server would refuse to take for plaintext is none, and the other way round.
  if (IsEncrypted(whole.kind) != (value.substr(0, 8) == "k8s:enc:")) abort();
  if (whole.kind != beginning.kind) abort();
  const bool always_defective =
      whole.kind == StorageKind::kUnknownProvider || whole.kind == StorageKind::kUnrecognised;
  if (always_defective && whole.decodable()) abort();
  if (whole.kind == StorageKind::kKmsV2 && whole.decodable() &&
      (whole.object.key_id.empty() || whole.name.empty() ||
       whole.name.find(':') != absl::string_view::npos)) {
    abort();
  }
  if (!whole.payload.empty() &&
      whole.payload.data() + whole.payload.size() != value.data() + value.size()) {
    abort();
  }
  if (!beginning.payload.empty() || !beginning.object.key_id.empty()) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::string> prefixes = kekd::ReadRange().prefixes;
  const absl::string_view value = kekd::AsText(kekd::ByteView(data, size));
  Check(value);
  const kekd::ObjectKey key = kekd::ParseObjectKey(value, prefixes);
  if (kekd::ResourceName(key).empty()) abort();
  if (key.never_encrypted && !kekd::IsNeverEncrypted(kekd::ResourceName(key))) abort();
  return 0;
}
