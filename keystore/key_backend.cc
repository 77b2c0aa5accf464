#include "keystore/key_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace kekd {

absl::string_view ToString(KeyPlace::State state) {
  switch (state) {
    case KeyPlace::State::kUp:
      return "up";
    case KeyPlace::State::kNotAsked:
      return "not asked yet";
    case KeyPlace::State::kUnfit:
      return "unfit";
    case KeyPlace::State::kLacksKey:
      return "lacks a key";
    case KeyPlace::State::kOtherKey:
      return "other key";
    case KeyPlace::State::kDown:
      break;
  }
  return "down";
}

absl::StatusOr<KeyMaterial> GenerateKeyIn(std::optional<Custody> custody, KeyBackend& backend,
                                          const KeySpec& spec, absl::Time deadline) {
  const KeyBackend::Description description = backend.Describe();
  if (custody.value_or(description.custody) == description.custody) {
    return backend.GenerateKey(spec, deadline);
  }
  if (custody == Custody::kEnvelope && backend.envelope_maker() != nullptr) {
    return backend.envelope_maker()->GenerateEnvelopeKey(spec, deadline);
  }
  return absl::FailedPreconditionError(absl::StrCat("backend \"", description.type,
                                                    "\" keeps its keys in custody \"",
                                                    ToString(description.custody), "\" only"));
}

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

std::vector<KeyPlace> BackendSet::Places() const {
  std::vector<KeyPlace> places;
  for (const std::unique_ptr<KeyBackend>& backend : backends_) {
    for (KeyPlace& place : backend->Places()) places.push_back(std::move(place));
  }
  return places;
}

}  // namespace kekd
