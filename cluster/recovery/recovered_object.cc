#include "cluster/recovery/recovered_object.h"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/secret_builder.h"
#include "base/utf8.h"
#include "base/wire_reader.h"
#include "cluster/recovery/json_manifest.h"
#include "cluster/recovery/json_text.h"

namespace kekd {
namespace {

constexpr absl::string_view kStoragePrefix("k8s\0", 4);

// The fields with this number that have bytes. None at all if the message is no message.
using Values = std::vector<absl::string_view>;

// runtime.Unknown (k8s.io/apimachinery, pkg/runtime/generated.proto) with its TypeMeta.
struct StorageObject {
  absl::string_view api_version;
  absl::string_view kind;
  absl::string_view raw;
};

// Calls `take` for each field; false if the bytes are no message or `take` says so.
template <typename Take>
bool ForEachField(absl::string_view message, Take take) {
  WireReader reader(message);
  while (const std::optional<WireField> field = reader.Next()) {
    if (!take(*field)) return false;
  }
  return reader.ok();
}

bool IsBytes(const WireField& field, uint32_t number) {
  return field.number == number && field.type == WireField::Type::kBytes;
}

std::optional<StorageObject> ParseStorageObject(absl::string_view message) {
  StorageObject object;
  const bool whole = ForEachField(message, [&](const WireField& field) {
    if (IsBytes(field, 2)) object.raw = field.bytes;
    if (!IsBytes(field, 1)) return true;
    return ForEachField(field.bytes, [&](const WireField& type) {
      if (IsBytes(type, 1)) object.api_version = type.bytes;
      if (IsBytes(type, 2)) object.kind = type.bytes;
      return true;
    });
  });
  if (!whole) return std::nullopt;
  return object;
}

enum class ValueForm { kText, kBase64 };

// Writes JSON objects one member at a time; the first that can't be written ends it.
class ManifestWriter final {
 public:
  ManifestWriter(absl::string_view api_version, absl::string_view kind) {
    out_.Append("{\n  \"apiVersion\": ");
    Text(api_version);
    out_.Append(",\n  \"kind\": ");
    Text(kind);
  }

  // The text as it is; a manifest with bytes that are no text would be another object.
  void Text(absl::string_view text) {
    ok_ = ok_ && IsUtf8(text);
    if (ok_) AppendJsonString(text, out_);
  }

  // "name": of an object at this depth.
  void Member(absl::string_view name, absl::string_view indent) {
    out_.Append(",\n");
    out_.Append(indent);
    Text(name);
    out_.Append(": ");
  }

  // A protobuf map, of which these are the entries, in the order of the API server's encoding.
  void Map(const Values& entries, ValueForm form, absl::string_view indent) {
    out_.Append("{");
    const char* between = "\n";
    for (const absl::string_view entry : entries) {
      absl::string_view key;
      absl::string_view value;
      ok_ = ok_ && ForEachField(entry, [&](const WireField& field) {
              if (IsBytes(field, 1)) key = field.bytes;
              if (IsBytes(field, 2)) value = field.bytes;
              return true;
            });
      out_.Append(std::exchange(between, ",\n"));
      out_.Append(indent);
      out_.Append("  ");
      Text(key);
      out_.Append(": ");
      if (form == ValueForm::kText) {
        Text(value);
      } else {
        out_.Append("\"");
        out_.AppendBase64(AsBytes(value));
        out_.Append("\"");
      }
    }
    out_.Append("\n");
    out_.Append(indent);
    out_.Append("}");
  }

  void MapMember(absl::string_view name, const Values& entries, ValueForm form,
                 absl::string_view indent) {
    if (entries.empty()) return;
    Member(name, indent);
    Map(entries, form, indent);
  }

  // metav1.ObjectMeta, as far as it is not the old cluster's.
  void Metadata(absl::string_view message) {
    absl::string_view name;
    absl::string_view space;
    Values labels;
    Values annotations;
    Values finalizers;
    ok_ = ok_ && ForEachField(message, [&](const WireField& field) {
            if (IsBytes(field, 1)) name = field.bytes;
            if (IsBytes(field, 3)) space = field.bytes;
            if (IsBytes(field, 11)) labels.push_back(field.bytes);
            if (IsBytes(field, 12)) annotations.push_back(field.bytes);
            if (IsBytes(field, 14)) finalizers.push_back(field.bytes);
            return true;
          });
    // An object without a name is none that an API server has stored.
    ok_ = ok_ && !name.empty();
    constexpr absl::string_view kIndent = "    ";
    Member("metadata", "  ");
    out_.Append("{\n    \"name\": ");
    Text(name);
    if (!space.empty()) {
      Member("namespace", kIndent);
      Text(space);
    }
    MapMember("labels", labels, ValueForm::kText, kIndent);
    MapMember("annotations", annotations, ValueForm::kText, kIndent);
    if (!finalizers.empty()) {
      Member("finalizers", kIndent);
      const char* between = "[";
      for (const absl::string_view finalizer : finalizers) {
        out_.Append(std::exchange(between, ", "));
        Text(finalizer);
      }
      out_.Append("]");
    }
    out_.Append("\n  }");
  }

  void Immutable() {
    Member("immutable", "  ");
    out_.Append("true");
  }

  // None if something could not be written.
  std::optional<SecretBytes> Take() {
    out_.Append("\n}\n");
    if (!ok_) return std::nullopt;
    return out_.Take();
  }

 private:
  SecretBuilder out_;
  bool ok_ = true;
};

// The fields of core v1 Secret and ConfigMap (k8s.io/api, core/v1/generated.proto).
struct Content {
  absl::string_view metadata;
  absl::string_view type;  // of a Secret
  Values texts;            // ConfigMap's data
  Values bytes;            // Secret's data, ConfigMap's binaryData
  bool immutable = false;
};

std::optional<Content> ParseContent(absl::string_view raw, bool is_secret) {
  Content content;
  const bool whole = ForEachField(raw, [&](const WireField& field) {
    if (IsBytes(field, 1)) content.metadata = field.bytes;
    if (IsBytes(field, 2)) (is_secret ? content.bytes : content.texts).push_back(field.bytes);
    if (IsBytes(field, 3) && is_secret) content.type = field.bytes;
    if (IsBytes(field, 3) && !is_secret) content.bytes.push_back(field.bytes);
    if (field.number == (is_secret ? 5u : 4u) && field.type == WireField::Type::kVarint) {
      content.immutable = field.number_value != 0;
    }
    return true;
  });
  if (!whole) return std::nullopt;
  return content;
}

std::optional<SecretBytes> MakeManifest(const StorageObject& object) {
  const bool is_secret = object.kind == "Secret";
  if (object.api_version != "v1" || (!is_secret && object.kind != "ConfigMap")) return std::nullopt;
  const std::optional<Content> content = ParseContent(object.raw, is_secret);
  if (!content) return std::nullopt;
  constexpr absl::string_view kIndent = "  ";
  ManifestWriter writer(object.api_version, object.kind);
  writer.Metadata(content->metadata);
  if (!content->type.empty()) {
    writer.Member("type", kIndent);
    writer.Text(content->type);
  }
  if (content->immutable) writer.Immutable();
  writer.MapMember("data", content->texts, ValueForm::kText, kIndent);
  writer.MapMember(is_secret ? "data" : "binaryData", content->bytes, ValueForm::kBase64, kIndent);
  return writer.Take();
}

}  // namespace

absl::string_view FileEnding(RecoveredForm form) {
  return form == RecoveredForm::kManifest ? ".json" : ".stored";
}

RecoveredObject MakeRecovered(const SecretBytes& stored) {
  const absl::string_view bytes = AsText(stored.Reveal(SecretAccessToken()));
  if (absl::StartsWith(bytes, "{")) {
    std::optional<SecretBytes> manifest = MakeJsonManifest(bytes);
    if (manifest) return {RecoveredForm::kManifest, *std::move(manifest)};
  }
  if (absl::StartsWith(bytes, kStoragePrefix)) {
    const std::optional<StorageObject> object =
        ParseStorageObject(bytes.substr(kStoragePrefix.size()));
    std::optional<SecretBytes> manifest = object ? MakeManifest(*object) : std::nullopt;
    if (manifest) return {RecoveredForm::kManifest, std::move(*manifest)};
  }
  return {RecoveredForm::kStored, stored.Clone()};
}

}  // namespace kekd
