#include "tests/cluster/etcd_values.h"

#include "absl/strings/str_cat.h"
#include "tests/support/secrets.h"

namespace kekd::testing {
namespace {

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

}  // namespace

std::string BytesField(uint32_t number, absl::string_view content) {
  std::string field;
  AppendVarint(field, number << 3 | 2);
  AppendVarint(field, content.size());
  return absl::StrCat(field, content);
}

std::string VarintField(uint32_t number, uint64_t value) {
  std::string field;
  AppendVarint(field, number << 3);
  AppendVarint(field, value);
  return field;
}

std::string ObjectFields::Message() const {
  std::string message =
      absl::StrCat(BytesField(1, encrypted_data), BytesField(2, key_id), BytesField(3, dek_source));
  for (const auto& [key, value] : annotations) {
    absl::StrAppend(&message,
                    BytesField(4, absl::StrCat(BytesField(1, key), BytesField(2, value))));
  }
  if (type != 0) absl::StrAppend(&message, VarintField(5, type));
  return message;
}

std::string ObjectFields::Value(absl::string_view provider) const {
  return absl::StrCat("k8s:enc:kms:v2:", provider, ":", Message());
}

std::string PlaintextProtobuf() {
  const std::string type = absl::StrCat(BytesField(1, "v1"), BytesField(2, "Secret"));
  return absl::StrCat(absl::string_view("k8s\0", 4), BytesField(1, type),
                      BytesField(2, "\x0a\x04test"), BytesField(3, ""), BytesField(4, ""));
}

std::string SeedVector() {
  return "k8s:enc:kms:v2:test:" + FromHex(
                                      "0a41202122232425262728292a2b2c2d2e2f303132333435363738393a3b"
                                      "3c3d3e3f404142434445464748"
                                      "494a4b6f6547cdc0b97e6ec027ff2c24c7c4ffd2eff171ba12056b656b2d"
                                      "311a0c777261707065642d7365"
                                      "656422100a0b6578616d706c652e636f6d1201762801");
}

std::string AesKeyVector() {
  return "k8s:enc:kms:v2:test:" + FromHex(
                                      "0a21404142434445464748494a4b8adcc24f496f181c7b0482cd06b9ca07"
                                      "071b2f90e412056b656b2d311a"
                                      "0b777261707065642d6b6579");
}

}  // namespace kekd::testing
