#include "kms/admin_view/transition_message.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "keystore/keyring_record.h"

namespace kekd {
namespace {

namespace pb = ::kekd::admin::v1;

struct Setter {
  pb::ApplyRequest& request;

  void operator()(const CreateVersion& create) const {
    if (!create.custody.has_value()) {
      request.mutable_create_version()->set_backend(create.backend);
      return;
    }
    pb::CreateVersionInCustody* const out = request.mutable_create_version_in_custody();
    out->set_backend(create.backend);
    const absl::string_view custody = ToString(*create.custody);
    out->set_custody(custody.data(), custody.size());
  }
  void operator()(const AdoptKey& adopt) const {
    pb::AdoptKey* const out = request.mutable_adopt_key();
    out->set_backend(adopt.backend);
    out->set_reference(adopt.reference);
    out->set_allow_extractable(adopt.allow_extractable);
  }
  void operator()(const PromoteVersion& promote) const {
    request.mutable_promote_version()->set_number(promote.number);
  }
  void operator()(const AddWrap& add) const {
    request.mutable_add_wrap()->set_wrap(EncodeWrap(add.wrap));
  }
  void operator()(const ReplaceRingKey& replace) const {
    pb::ReplaceRingKey* const out = request.mutable_replace_ring_key();
    for (const uint32_t number : replace.removed) out->add_removed(number);
    for (const Wrap& wrap : replace.wraps) out->add_wraps(EncodeWrap(wrap));
  }
  void operator()(const UpgradeFormat&) const { request.mutable_upgrade_format(); }
};

absl::StatusOr<Transition> ReplacementOf(const pb::ReplaceRingKey& message) {
  ReplaceRingKey replace{.removed = {message.removed().begin(), message.removed().end()},
                         .wraps = {}};
  for (const std::string& bytes : message.wraps()) {
    KEKD_ASSIGN_OR_RETURN(replace.wraps.emplace_back(), DecodeWrap(bytes));
  }
  return replace;
}

absl::StatusOr<Transition> CreationOf(const pb::CreateVersionInCustody& message) {
  const std::optional<Custody> custody = CustodyFromText(message.custody());
  if (!custody.has_value()) {
    return absl::UnimplementedError(
        "this kekd does not know the custody that was asked for: kekctl is newer than kekd");
  }
  return CreateVersion{.backend = message.backend(), .custody = custody};
}

}  // namespace

void SetTransition(const Transition& transition, pb::ApplyRequest& request) {
  std::visit(Setter{request}, transition);
}

absl::StatusOr<Transition> TransitionOf(const pb::ApplyRequest& request) {
  switch (request.transition_case()) {
    case pb::ApplyRequest::kCreateVersion:
      return CreateVersion{.backend = request.create_version().backend()};
    case pb::ApplyRequest::kCreateVersionInCustody:
      return CreationOf(request.create_version_in_custody());
    case pb::ApplyRequest::kAdoptKey:
      return AdoptKey{.backend = request.adopt_key().backend(),
                      .reference = request.adopt_key().reference(),
                      .allow_extractable = request.adopt_key().allow_extractable()};
    case pb::ApplyRequest::kPromoteVersion:
      return PromoteVersion{request.promote_version().number()};
    case pb::ApplyRequest::kAddWrap: {
      KEKD_ASSIGN_OR_RETURN(Wrap wrap, DecodeWrap(request.add_wrap().wrap()));
      return AddWrap{std::move(wrap)};
    }
    case pb::ApplyRequest::kReplaceRingKey:
      return ReplacementOf(request.replace_ring_key());
    case pb::ApplyRequest::kUpgradeFormat:
      return UpgradeFormat{};
    case pb::ApplyRequest::TRANSITION_NOT_SET:
      break;
  }
  return absl::UnimplementedError(
      "this kekd does not know the change that was asked for: kekctl is newer than kekd");
}

}  // namespace kekd
