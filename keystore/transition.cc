#include "keystore/transition.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/digest.h"

namespace kekd {
namespace {

void AddWrapTo(LengthPrefixed& fields, const Wrap& wrap) {
  fields.AddU32(wrap.number).AddU32(static_cast<uint32_t>(wrap.type)).Add(wrap.reference);
  fields.Add(wrap.node).Add(wrap.blob);
}

// The fields that a digest is made over.
struct DigestFields {
  LengthPrefixed operator()(const CreateVersion& create) const {
    LengthPrefixed fields = Fields("create-version");
    fields.Add(create.backend);
    if (create.custody.has_value()) fields.Add(ToString(*create.custody));
    return fields;
  }
  LengthPrefixed operator()(const AdoptKey& adopt) const {
    LengthPrefixed fields = Fields("adopt-key");
    fields.Add(adopt.backend).Add(adopt.reference).AddU32(adopt.allow_extractable ? 1 : 0);
    return fields;
  }
  LengthPrefixed operator()(const PromoteVersion& promote) const {
    return Fields("promote-version").AddU32(promote.number);
  }
  LengthPrefixed operator()(const AddWrap& add) const {
    LengthPrefixed fields = Fields("add-wrap");
    AddWrapTo(fields, add.wrap);
    return fields;
  }
  LengthPrefixed operator()(const ReplaceRingKey& replace) const {
    LengthPrefixed fields = Fields("replace-ring-key");
    for (const uint32_t number : replace.removed) fields.AddU32(number);
    for (const Wrap& wrap : replace.wraps) AddWrapTo(fields, wrap);
    return fields;
  }
  LengthPrefixed operator()(const UpgradeFormat&) const { return Fields("upgrade-format"); }
  LengthPrefixed operator()(const BeginRotation& begin) const {
    LengthPrefixed fields = Fields("begin-rotation");
    fields.Add((*this)(begin.create).bytes()).AddU32(begin.number);
    fields.Add(begin.who).Add(begin.reason);
    for (const std::string& node : begin.nodes) fields.Add(node);
    return fields;
  }
  LengthPrefixed operator()(const AdvanceRotation& advance) const {
    LengthPrefixed fields = Fields("advance-rotation");
    fields.AddU32(advance.to).AddU32(static_cast<uint32_t>(advance.step)).Add(advance.evidence);
    return fields;
  }
  LengthPrefixed operator()(const RecordNodeProof& record) const {
    return Fields("record-node-proof").AddU32(record.to).Add(record.proof);
  }
  LengthPrefixed operator()(const AbortRotation& abort) const {
    return Fields("abort-rotation").AddU32(abort.to).Add(abort.reason);
  }
  LengthPrefixed operator()(const DestroyVersion& destroy) const {
    return Fields("destroy-version").AddU32(destroy.number).Add(destroy.evidence);
  }
  LengthPrefixed operator()(const MarkCompromised& mark) const {
    return Fields("mark-compromised").AddU32(mark.number);
  }

  static LengthPrefixed Fields(absl::string_view name) {
    LengthPrefixed fields;
    fields.Add("kekd/request/1").Add(name);
    return fields;
  }
};

struct Description {
  uint32_t version;

  std::string operator()(const CreateVersion&) const {
    return absl::StrCat("created key version ", version);
  }
  std::string operator()(const AdoptKey&) const {
    return absl::StrCat("adopted a key as key version ", version);
  }
  std::string operator()(const PromoteVersion&) const {
    return absl::StrCat("promoted key version ", version);
  }
  std::string operator()(const AddWrap& add) const {
    return absl::StrCat("added wrap ", add.wrap.number);
  }
  std::string operator()(const ReplaceRingKey& replace) const {
    return absl::StrCat("removed wraps (", absl::StrJoin(replace.removed, ", "),
                        ") and made a new ring key");
  }
  std::string operator()(const UpgradeFormat&) const { return "upgraded the record's format"; }
  std::string operator()(const BeginRotation&) const {
    return absl::StrCat("began a rotation to key version ", version);
  }
  std::string operator()(const AdvanceRotation& advance) const {
    return absl::StrCat("took the rotation to key version ", advance.to, " to ",
                        ToString(advance.step), WithEvidence(advance.evidence));
  }
  std::string operator()(const RecordNodeProof& record) const {
    return absl::StrCat("took a node's proof for key version ", record.to);
  }
  std::string operator()(const AbortRotation& abort) const {
    return absl::StrCat("aborted the rotation to key version ", abort.to,
                        WithEvidence(abort.reason));
  }
  std::string operator()(const DestroyVersion& destroy) const {
    return absl::StrCat("destroyed key version ", destroy.number, WithEvidence(destroy.evidence));
  }
  std::string operator()(const MarkCompromised& mark) const {
    return absl::StrCat("marked key version ", mark.number, " compromised");
  }

  static std::string WithEvidence(absl::string_view evidence) {
    return evidence.empty() ? "" : absl::StrCat(" (", evidence, ")");
  }
};

}  // namespace

absl::StatusOr<std::string> DigestOf(const Transition& transition) {
  const LengthPrefixed fields = std::visit(DigestFields(), transition);
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(AsBytes(fields.bytes())));
  return std::string(digest.begin(), digest.end());
}

std::string DescribeChange(const Transition& transition, uint32_t version) {
  return std::visit(Description{version}, transition);
}

}  // namespace kekd
