#include "keystore/key_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace kekd {

void BackendSet::Add(std::unique_ptr<KeyBackend> backend) {
  backends_.push_back(std::move(backend));
}

absl::StatusOr<KeyBackend*> BackendSet::Find(absl::string_view type) const {
  std::string known;
  for (const std::unique_ptr<KeyBackend>& backend : backends_) {
    const std::string name = backend->Describe().type;
    if (name == type) return backend.get();
    absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no backend \"", type, "\" is configured (there is: ", known, ")"));
}

}  // namespace kekd
