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
  void operator()(const BeginRotation& begin) const {
    pb::BeginRotation* const out = request.mutable_begin_rotation();
    out->set_backend(begin.create.backend);
    if (begin.create.custody.has_value()) {
      const absl::string_view custody = ToString(*begin.create.custody);
      out->set_custody(custody.data(), custody.size());
    }
    out->set_number(begin.number);
    out->set_who(begin.who);
    out->set_reason(begin.reason);
    for (const std::string& node : begin.nodes) out->add_nodes(node);
  }
  void operator()(const AdvanceRotation& advance) const {
    pb::AdvanceRotation* const out = request.mutable_advance_rotation();
    out->set_to(advance.to);
    const absl::string_view step = ToString(advance.step);
    out->set_step(step.data(), step.size());
    out->set_evidence(advance.evidence);
  }
  void operator()(const RecordNodeProof& record) const {
    request.mutable_record_node_proof()->set_to(record.to);
    request.mutable_record_node_proof()->set_proof(record.proof);
  }
  void operator()(const AbortRotation& abort) const {
    request.mutable_abort_rotation()->set_to(abort.to);
    request.mutable_abort_rotation()->set_reason(abort.reason);
  }
  void operator()(const DestroyVersion& destroy) const {
    request.mutable_destroy_version()->set_number(destroy.number);
    request.mutable_destroy_version()->set_evidence(destroy.evidence);
  }
  void operator()(const MarkCompromised& mark) const {
    request.mutable_mark_compromised()->set_number(mark.number);
  }
};

absl::StatusOr<Transition> ReplacementOf(const pb::ReplaceRingKey& message) {
  ReplaceRingKey replace{.removed = {message.removed().begin(), message.removed().end()},
                         .wraps = {}};
  for (const std::string& bytes : message.wraps()) {
    KEKD_ASSIGN_OR_RETURN(replace.wraps.emplace_back(), DecodeWrap(bytes));
  }
  return replace;
}

absl::StatusOr<CreateVersion> CreationOf(const std::string& backend, absl::string_view custody) {
  CreateVersion create{.backend = backend, .custody = CustodyFromText(custody)};
  if (create.custody.has_value()) return create;
  return absl::UnimplementedError(
      "this kekd does not know the custody that was asked for: kekctl is newer than kekd");
}

absl::StatusOr<Transition> BeginningOf(const pb::BeginRotation& message) {
  BeginRotation begin{.create = {.backend = message.backend()},
                      .number = message.number(),
                      .who = message.who(),
                      .reason = message.reason(),
                      .nodes = {message.nodes().begin(), message.nodes().end()}};
  if (!message.custody().empty()) {
    KEKD_ASSIGN_OR_RETURN(begin.create, CreationOf(message.backend(), message.custody()));
  }
  return begin;
}

absl::StatusOr<Transition> AdvanceOf(const pb::AdvanceRotation& message) {
  const std::optional<RotationStep> step = RotationStepFromText(message.step());
  if (!step.has_value()) {
    return absl::UnimplementedError(
        "this kekd does not know the step that was asked for: kekctl is newer than kekd");
  }
  return AdvanceRotation{.to = message.to(), .step = *step, .evidence = message.evidence()};
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
      return CreationOf(request.create_version_in_custody().backend(),
                        request.create_version_in_custody().custody());
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
    case pb::ApplyRequest::kBeginRotation:
      return BeginningOf(request.begin_rotation());
    case pb::ApplyRequest::kAdvanceRotation:
      return AdvanceOf(request.advance_rotation());
    case pb::ApplyRequest::kRecordNodeProof:
      return RecordNodeProof{.to = request.record_node_proof().to(),
                             .proof = request.record_node_proof().proof()};
    case pb::ApplyRequest::kAbortRotation:
      return AbortRotation{.to = request.abort_rotation().to(),
                           .reason = request.abort_rotation().reason()};
    case pb::ApplyRequest::kDestroyVersion:
      return DestroyVersion{.number = request.destroy_version().number(),
                            .evidence = request.destroy_version().evidence()};
    case pb::ApplyRequest::kMarkCompromised:
      return MarkCompromised{request.mark_compromised().number()};
    case pb::ApplyRequest::TRANSITION_NOT_SET:
      break;
  }
  return absl::UnimplementedError(
      "this kekd does not know the change that was asked for: kekctl is newer than kekd");
}

}  // namespace kekd
