#include "cluster/encrypted_object.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/utf8.h"
#include "base/wire_reader.h"

namespace kekd {
namespace {

constexpr size_t kMaxSubdomainBytes = 253;
constexpr size_t kMaxLabelBytes = 63;

bool IsAlphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// RFC 1123, section 2.1, in lower case only, as Kubernetes has it.
bool IsDnsLabel(absl::string_view label) {
  if (label.empty() || label.size() > kMaxLabelBytes) return false;
  if (!IsAlphanumeric(label.front()) || !IsAlphanumeric(label.back())) return false;
  return std::all_of(label.begin(), label.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-'; });
}

// IsFullyQualifiedDomainName of k8s.io/apimachinery: two labels or more, one dot at the end is
// fine.
bool IsDomainName(absl::string_view name) {
  if (absl::EndsWith(name, ".")) name.remove_suffix(1);
  if (name.size() > kMaxSubdomainBytes) return false;
  size_t labels = 0;
  for (bool last = false; !last; ++labels) {
    const size_t dot = name.find('.');
    last = dot == absl::string_view::npos;
    if (!IsDnsLabel(name.substr(0, dot))) return false;
    if (!last) name.remove_prefix(dot + 1);
  }
  return labels >= 2;
}

absl::Status NotProtobuf(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, " is no whole protobuf message"));
}

absl::Status NotUtf8(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, " is not UTF-8"));
}

absl::StatusOr<EncryptedObject::Annotation> ParseAnnotation(absl::string_view entry) {
  EncryptedObject::Annotation annotation;
  WireReader reader(entry);
  while (const std::optional<WireField> field = reader.Next()) {
    if (field->type != WireField::Type::kBytes) continue;
    if (field->number == 1) annotation.key = field->bytes;
    if (field->number == 2) annotation.value = field->bytes;
  }
  if (!reader.ok()) return NotProtobuf("an annotation");
  if (!IsUtf8(annotation.key)) return NotUtf8("the name of an annotation");
  return annotation;
}

// A protobuf map: of a key given twice the last counts.
void KeepLastOfEachKey(std::vector<EncryptedObject::Annotation>& annotations) {
  const auto before = [](const EncryptedObject::Annotation& a,
                         const EncryptedObject::Annotation& b) { return a.key < b.key; };
  const auto same = [](const EncryptedObject::Annotation& a, const EncryptedObject::Annotation& b) {
    return a.key == b.key;
  };
  std::reverse(annotations.begin(), annotations.end());
  std::stable_sort(annotations.begin(), annotations.end(), before);
  annotations.erase(std::unique(annotations.begin(), annotations.end(), same), annotations.end());
}

absl::Status CheckSize(absl::string_view bytes, size_t max, absl::string_view what) {
  if (!bytes.empty() && bytes.size() <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " has ", bytes.size(), " bytes, not 1 to ", max));
}

absl::Status CheckAnnotations(const std::vector<EncryptedObject::Annotation>& annotations) {
  size_t bytes = 0;
  for (const EncryptedObject::Annotation& annotation : annotations) {
    if (!IsDomainName(annotation.key)) {
      return absl::InvalidArgumentError("the name of an annotation is no domain name");
    }
    bytes += annotation.key.size() + annotation.value.size();
  }
  if (bytes <= EncryptedObject::kMaxAnnotationsBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the annotations have ", bytes, " bytes, more than ", EncryptedObject::kMaxAnnotationsBytes));
}

}  // namespace

absl::StatusOr<EncryptedObject> EncryptedObject::Parse(absl::string_view message) {
  EncryptedObject object;
  int32_t type = 0;
  WireReader reader(message);
  while (const std::optional<WireField> field = reader.Next()) {
    // A known number with another type than the field's is an unknown field.
    if (field->type == WireField::Type::kVarint) {
      // An enum takes the low 32 bits.
      if (field->number == 5) type = static_cast<int32_t>(field->number_value);
      continue;
    }
    if (field->type != WireField::Type::kBytes) continue;
    switch (field->number) {
      case 1:
        object.encrypted_data = field->bytes;
        break;
      case 2:
        if (!IsUtf8(field->bytes)) return NotUtf8("the key id");
        object.key_id = field->bytes;
        break;
      case 3:
        object.encrypted_dek_source = field->bytes;
        break;
      case 4: {
        KEKD_ASSIGN_OR_RETURN(const Annotation annotation, ParseAnnotation(field->bytes));
        object.annotations.push_back(annotation);
        break;
      }
      default:
        break;
    }
  }
  if (!reader.ok()) return NotProtobuf("what follows the prefix");
  if (type != 0 && type != 1) {
    return absl::InvalidArgumentError(absl::StrCat("DEK source type ", type, " is not known"));
  }
  object.dek_source_type = static_cast<DekSourceType>(type);
  if (object.encrypted_data.empty()) {
    return absl::InvalidArgumentError("the encrypted data is empty");
  }
  KEKD_RETURN_IF_ERROR(
      CheckSize(object.encrypted_dek_source, kMaxDekSourceBytes, "the encrypted DEK source"));
  KEKD_RETURN_IF_ERROR(CheckSize(object.key_id, kMaxKeyIdBytes, "the key id"));
  if (object.annotations.size() > 1) KeepLastOfEachKey(object.annotations);
  KEKD_RETURN_IF_ERROR(CheckAnnotations(object.annotations));
  return object;
}

}  // namespace kekd
