#include "tests/simulation/api_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd::testing {

ApiServer::ApiServer(uint64_t index, Node* node, Served served)
    : index_(index), name_(absl::StrCat("api-", index)), node_(node), served_(std::move(served)) {}

void ApiServer::Start(absl::Duration now) {
  if (is_up_) return;
  is_up_ = true;
  Poll(now);
}

void ApiServer::Stop() {
  is_up_ = false;
  current_ = nullptr;
  lease_ = -absl::InfiniteDuration();
  next_poll_ = absl::InfiniteDuration();
  cache_.clear();
}

void ApiServer::Poll(absl::Duration now) {
  next_poll_ = now + (Check(now).ok() ? kPollInterval : kPollIntervalAfterFailure);
}

absl::Status ApiServer::Check(absl::Duration now) {
  if (!reaches_kekd) return absl::UnavailableError("kekd's socket does not answer");
  KEKD_ASSIGN_OR_RETURN(const std::string key_id, node_->StatusKeyId());
  served_(key_id);
  if (current_ != nullptr && current_->key_id == key_id) {
    lease_ = now + kWriteLease;
    return absl::OkStatus();
  }
  DekSource made;
  // Of no other server and of no other start.
  made.number = index_ * 1000000 + ++made_;
  made.plaintext = absl::StrCat("DEK source ", made_, " of ", name_);
  made.plaintext.resize(32, '.');
  KEKD_ASSIGN_OR_RETURN(EnvelopeService::Encrypted encrypted, node_->Encrypt(made.plaintext));
  served_(encrypted.key_id);
  if (encrypted.key_id != key_id) {
    return absl::InternalError("Status and Encrypt name different keys");
  }
  made.key_id = std::move(encrypted.key_id);
  made.ciphertext = std::move(encrypted.ciphertext);
  current_ = std::make_shared<const DekSource>(std::move(made));
  lease_ = now + kWriteLease;
  return absl::OkStatus();
}

absl::Status ApiServer::Write(Etcd& etcd, uint32_t object, absl::Duration now) {
  if (!is_up_ || !reaches_etcd) return absl::UnavailableError(absl::StrCat(name_, " is away"));
  if (!MayWrite(now)) return absl::InternalError("encryptedDEKSource expired");
  cache_.insert(current_->number);
  etcd.objects[object] = current_;
  return absl::OkStatus();
}

absl::Status ApiServer::Read(const Etcd& etcd, uint32_t object) {
  if (!is_up_ || !reaches_etcd) return absl::UnavailableError(absl::StrCat(name_, " is away"));
  const auto stored = etcd.objects.find(object);
  if (stored == etcd.objects.end()) return absl::NotFoundError("no such object");
  const DekSource& source = *stored->second;
  if (cache_.count(source.number) != 0) return absl::OkStatus();
  if (!reaches_kekd) return absl::UnavailableError("kekd's socket does not answer");
  KEKD_ASSIGN_OR_RETURN(const std::string plaintext,
                        node_->Decrypt(source.ciphertext, source.key_id));
  if (plaintext != source.plaintext) return absl::DataLossError("decrypted to something else");
  cache_.insert(source.number);
  return absl::OkStatus();
}

absl::Status ApiServer::Rewrite(Etcd& etcd, uint32_t object, absl::Duration now) {
  KEKD_RETURN_IF_ERROR(Read(etcd, object));
  if (current_ == nullptr) return absl::InternalError("no DEK source yet");
  if (etcd.objects.at(object)->key_id == current_->key_id) return absl::OkStatus();
  return Write(etcd, object, now);
}

}  // namespace kekd::testing
