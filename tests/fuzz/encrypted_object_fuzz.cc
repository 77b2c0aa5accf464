// EncryptedObject::Parse on bytes of an attacker who writes to etcd.
#include <cstdlib>

#include "base/bytes.h"
#include "cluster/encrypted_object.h"

namespace {

bool LiesIn(absl::string_view part, absl::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::EncryptedObject;
  const absl::string_view message = kekd::AsText(kekd::ByteView(data, size));
  const absl::StatusOr<EncryptedObject> object = EncryptedObject::Parse(message);
  if (!object.ok()) {
    if (!absl::IsInvalidArgument(object.status()) || object.status().message().empty()) abort();
    return 0;
  }
  const auto within = [&](absl::string_view part, size_t max) {
    if (part.empty() || part.size() > max || !LiesIn(part, message)) abort();
  };
  within(object->encrypted_data, size);
  within(object->key_id, EncryptedObject::kMaxKeyIdBytes);
  within(object->encrypted_dek_source, EncryptedObject::kMaxDekSourceBytes);
  absl::string_view before;
  for (const EncryptedObject::Annotation& annotation : object->annotations) {
    within(annotation.key, 254);
    if (!LiesIn(annotation.value, message) || annotation.key <= before) abort();
    before = annotation.key;
  }
  return 0;
}
