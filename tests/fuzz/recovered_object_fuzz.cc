// What kube-apiserver stored, or somebody else, made a manifest: JSON that another program reads,
// and otherwise what was stored, byte for byte.
#include <nlohmann/json.hpp>
#include <string>

#include "base/bytes.h"
#include "base/utf8.h"
#include "cluster/recovery/json_manifest.h"
#include "cluster/recovery/recovered_object.h"
#include "tests/fuzz/choices.h"
#include "tests/support/secrets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using kekd::testing::Require;
  const kekd::SecretBytes stored = kekd::SecretBytes::CopyOf(kekd::ByteView(data, size));
  const kekd::RecoveredObject object = kekd::MakeRecovered(stored);
  if (object.form == kekd::RecoveredForm::kStored) {
    Require(kekd::SecretBytes::ConstantTimeEquals(object.content, stored));
    return 0;
  }
  const std::string text = kekd::testing::RevealedText(object.content);
  const absl::string_view input = kekd::AsText(kekd::ByteView(data, size));
  const bool is_json = input.substr(0, 4) != absl::string_view("k8s\0", 4);
  // What is stored as JSON is taken apart by its brackets and strings alone.
  if (is_json && !nlohmann::json::accept(input.begin(), input.end())) return 0;
  Require(kekd::IsUtf8(text));
  const nlohmann::json manifest = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  Require(manifest.is_object() && manifest.contains("metadata") &&
          manifest["metadata"].is_object());
  // A name may be written with escapes, which nobody does.
  const bool is_escaped = text.find("\\u") != std::string::npos;
  for (const char* const name : {"uid", "resourceVersion", "generation", "creationTimestamp",
                                 "selfLink", "managedFields", "ownerReferences"}) {
    Require(is_escaped || !manifest["metadata"].contains(name));
  }
  // A manifest has nothing more to leave out, and one that was read has one form.
  const std::optional<kekd::SecretBytes> again = kekd::MakeJsonManifest(text);
  Require(again.has_value());
  const std::string compact = kekd::testing::RevealedText(*again);
  Require(nlohmann::json::parse(compact, nullptr, /*allow_exceptions=*/false) == manifest);
  const std::optional<kekd::SecretBytes> third = kekd::MakeJsonManifest(compact);
  Require(third.has_value() && kekd::testing::RevealedText(*third) == compact);
  return 0;
}
