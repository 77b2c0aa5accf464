#include "keystore/keyring_record.h"

#include <google/protobuf/descriptor.h>
#include <openssl/crypto.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "kekd/keyring/v1/keyring.pb.h"
#include "keystore/canonical_message.h"

namespace kekd {
namespace {

namespace pb = ::kekd::keyring::v1;

constexpr absl::string_view kMagic = "kekdring";
constexpr size_t kFormatOffset = 8;
constexpr size_t kUuidOffset = 10;
constexpr size_t kGenerationOffset = 26;
constexpr size_t kBodySizeOffset = 34;
constexpr size_t kHeaderBytes = 38;
constexpr size_t kMacBytes = 32;

int64_t ToMillis(absl::Time time) {
  return time == absl::InfiniteFuture() ? 0 : absl::ToUnixMillis(time);
}

absl::Time FromMillis(int64_t millis) {
  return millis == 0 ? absl::InfiniteFuture() : absl::FromUnixMillis(millis);
}

pb::WrapType ToProto(WrapType type) {
  switch (type) {
    case WrapType::kRingKey:
      return pb::WRAP_TYPE_RING_KEY;
    case WrapType::kKeyFile:
      return pb::WRAP_TYPE_KEY_FILE;
    case WrapType::kPassphrase:
      return pb::WRAP_TYPE_PASSPHRASE;
    case WrapType::kCredential:
      return pb::WRAP_TYPE_CREDENTIAL;
    case WrapType::kPkcs11:
      return pb::WRAP_TYPE_PKCS11;
  }
  return pb::WRAP_TYPE_UNSPECIFIED;
}

pb::State ToProto(KeyState state) {
  switch (state) {
    case KeyState::kPreActivation:
      return pb::STATE_PRE_ACTIVATION;
    case KeyState::kActive:
      return pb::STATE_ACTIVE;
    case KeyState::kDeactivated:
      return pb::STATE_DEACTIVATED;
    case KeyState::kDestroyed:
      return pb::STATE_DESTROYED;
  }
  return pb::STATE_UNSPECIFIED;
}

pb::Custody ToProto(Custody custody) {
  return custody == Custody::kDevice ? pb::CUSTODY_DEVICE : pb::CUSTODY_ENVELOPE;
}

void ToProto(const Wrap& wrap, pb::Wrap* out) {
  out->set_type(ToProto(wrap.type));
  out->set_reference(wrap.reference);
  out->set_node(wrap.node);
  out->set_blob(wrap.blob);
  out->set_number(wrap.number);
  out->set_created_ms(ToMillis(wrap.creation_time));
  if (!wrap.kdf.has_value()) return;
  pb::KdfParameters* const kdf = out->mutable_kdf();
  kdf->set_function(static_cast<uint32_t>(wrap.kdf->function));
  kdf->set_log2_n(wrap.kdf->log2_n);
  kdf->set_r(wrap.kdf->r);
  kdf->set_p(wrap.kdf->p);
  kdf->set_iterations(wrap.kdf->iterations);
  kdf->set_salt(wrap.kdf->salt);
}

void ToProto(const RotationRecord& rotation, pb::Rotation* out) {
  out->set_from(rotation.from);
  out->set_to(rotation.to);
  out->set_step(static_cast<pb::RotationStep>(rotation.step));  // of the same numbers
  out->set_who(rotation.who);
  out->set_reason(rotation.reason);
  for (const std::string& node : rotation.nodes) out->add_nodes(node);
  for (const ProvedNode& one : rotation.proved) {
    pb::ProvedNode* const proved = out->add_proved();
    proved->set_node(one.node);
    proved->set_proved_ms(ToMillis(one.time));
  }
  out->set_begun_ms(ToMillis(rotation.begin_time));
  out->set_step_ms(ToMillis(rotation.step_time));
  out->set_end_reason(rotation.end_reason);
}

// Field by field what the format of the keyring has.

pb::KeyringBody ToProto(const Keyring& keyring) {
  pb::KeyringBody body;
  body.set_name(keyring.identity().name);
  const absl::string_view cluster_id = AsText(keyring.identity().cluster_id.bytes());
  body.set_cluster_id(cluster_id.data(), cluster_id.size());
  body.set_created_ms(ToMillis(keyring.creation_time()));
  for (const Wrap& wrap : keyring.ring_key_wraps()) {
    pb::Wrap* const out = body.add_ring_key_wraps();
    ToProto(wrap, out);
    if (keyring.format() == 1) out->clear_number();
  }
  for (const KeyVersion& version : keyring.versions()) {
    pb::KeyVersion* out = body.add_versions();
    out->set_number(version.number);
    out->set_key_id(version.key_id.text());
    out->set_backend(version.backend);
    out->set_key_reference(version.material.key_reference);
    out->set_custody(ToProto(version.material.custody));
    out->set_state(ToProto(version.state));
    out->set_algorithm(static_cast<uint32_t>(version.material.algorithm));
    out->set_canary(version.canary);
    for (const Wrap& wrap : version.material.wraps) ToProto(wrap, out->add_wraps());
    out->set_created_ms(ToMillis(version.creation_time));
    out->set_activated_ms(ToMillis(version.activation_time));
    out->set_deactivated_ms(ToMillis(version.deactivation_time));
    out->set_destroyed_ms(ToMillis(version.destruction_time));
    out->set_compromised_ms(ToMillis(version.compromise_time));
  }
  for (const AppliedRequest& applied : keyring.applied_requests()) {
    pb::AppliedRequest* out = body.add_applied_requests();
    const absl::string_view id = AsText(applied.request_id.bytes());
    out->set_request_id(id.data(), id.size());
    out->set_generation(applied.generation);
    out->set_version(applied.version);
    out->set_digest(applied.digest);
  }
  if (keyring.format() < 2) return body;
  body.set_next_wrap_number(keyring.next_wrap_number());
  body.set_ring_key_number(keyring.ring_key_number());
  body.set_former_ring_key(keyring.former_ring_key());
  if (keyring.rotation().has_value()) ToProto(*keyring.rotation(), body.mutable_rotation());
  return body;
}

absl::StatusOr<Wrap> FromProto(const pb::Wrap& in) {
  Wrap wrap;
  switch (in.type()) {
    case pb::WRAP_TYPE_RING_KEY:
      wrap.type = WrapType::kRingKey;
      break;
    case pb::WRAP_TYPE_KEY_FILE:
      wrap.type = WrapType::kKeyFile;
      break;
    case pb::WRAP_TYPE_PASSPHRASE:
      wrap.type = WrapType::kPassphrase;
      break;
    case pb::WRAP_TYPE_CREDENTIAL:
      wrap.type = WrapType::kCredential;
      break;
    case pb::WRAP_TYPE_PKCS11:
      wrap.type = WrapType::kPkcs11;
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat("unknown wrap type ", in.type()));
  }
  wrap.reference = in.reference();
  wrap.node = in.node();
  wrap.blob = in.blob();
  wrap.number = in.number();
  wrap.creation_time = FromMillis(in.created_ms());
  if (!in.has_kdf()) return wrap;
  KdfParameters& kdf = wrap.kdf.emplace();
  KEKD_ASSIGN_OR_RETURN(kdf.function, KdfFunctionFromNumber(in.kdf().function()));
  kdf.log2_n = in.kdf().log2_n();
  kdf.r = in.kdf().r();
  kdf.p = in.kdf().p();
  kdf.iterations = in.kdf().iterations();
  kdf.salt = in.kdf().salt();
  return wrap;
}

absl::StatusOr<KeyState> FromProto(pb::State state) {
  switch (state) {
    case pb::STATE_PRE_ACTIVATION:
      return KeyState::kPreActivation;
    case pb::STATE_ACTIVE:
      return KeyState::kActive;
    case pb::STATE_DEACTIVATED:
      return KeyState::kDeactivated;
    case pb::STATE_DESTROYED:
      return KeyState::kDestroyed;
    default:
      return absl::InvalidArgumentError(absl::StrCat("unknown key state ", state));
  }
}

absl::StatusOr<KeyVersion> FromProto(const pb::KeyVersion& in) {
  KeyVersion version;
  version.number = in.number();
  version.key_id = KeyId(in.key_id());
  version.backend = in.backend();
  version.material.key_reference = in.key_reference();
  if (in.custody() != pb::CUSTODY_DEVICE && in.custody() != pb::CUSTODY_ENVELOPE) {
    return absl::InvalidArgumentError(absl::StrCat("unknown custody ", in.custody()));
  }
  version.material.custody =
      in.custody() == pb::CUSTODY_DEVICE ? Custody::kDevice : Custody::kEnvelope;
  KEKD_ASSIGN_OR_RETURN(version.state, FromProto(in.state()));
  KEKD_ASSIGN_OR_RETURN(version.material.algorithm, AlgorithmFromNumber(in.algorithm()));
  version.canary = in.canary();
  for (const pb::Wrap& wrap : in.wraps()) {
    KEKD_ASSIGN_OR_RETURN(version.material.wraps.emplace_back(), FromProto(wrap));
  }
  version.creation_time = FromMillis(in.created_ms());
  version.activation_time = FromMillis(in.activated_ms());
  version.deactivation_time = FromMillis(in.deactivated_ms());
  version.destruction_time = FromMillis(in.destroyed_ms());
  version.compromise_time = FromMillis(in.compromised_ms());
  return version;
}

// As it stands there: what a rotation may be is for Keyring::Create to say.
RotationRecord FromProto(const pb::Rotation& in) {
  RotationRecord rotation;
  rotation.from = in.from();
  rotation.to = in.to();
  rotation.step = static_cast<RotationStep>(in.step());
  rotation.who = in.who();
  rotation.reason = in.reason();
  rotation.nodes = {in.nodes().begin(), in.nodes().end()};
  for (const pb::ProvedNode& one : in.proved()) {
    rotation.proved.push_back({one.node(), FromMillis(one.proved_ms())});
  }
  rotation.begin_time = FromMillis(in.begun_ms());
  rotation.step_time = FromMillis(in.step_ms());
  rotation.end_reason = in.end_reason();
  return rotation;
}

absl::StatusOr<Keyring> FromProto(const pb::KeyringBody& body, uint16_t format,
                                  const Uuid& ring_uuid, uint64_t generation) {
  Keyring::Parts parts;
  parts.format = format;
  parts.identity.name = body.name();
  KEKD_ASSIGN_OR_RETURN(parts.identity.cluster_id, Uuid::FromBytes(AsBytes(body.cluster_id())));
  parts.identity.ring_uuid = ring_uuid;
  parts.generation = generation;
  parts.creation_time = FromMillis(body.created_ms());
  for (const pb::Wrap& wrap : body.ring_key_wraps()) {
    KEKD_ASSIGN_OR_RETURN(parts.ring_key_wraps.emplace_back(), FromProto(wrap));
    if (format == 1) {
      parts.ring_key_wraps.back().number = static_cast<uint32_t>(parts.ring_key_wraps.size());
    }
  }
  parts.next_wrap_number = body.next_wrap_number();
  parts.ring_key_number = body.ring_key_number();
  parts.former_ring_key = body.former_ring_key();
  if (format == 1) {
    parts.next_wrap_number = static_cast<uint32_t>(parts.ring_key_wraps.size()) + 1;
    parts.ring_key_number = 1;
  }
  for (const pb::KeyVersion& version : body.versions()) {
    KEKD_ASSIGN_OR_RETURN(parts.versions.emplace_back(), FromProto(version));
  }
  for (const pb::AppliedRequest& applied : body.applied_requests()) {
    AppliedRequest& out = parts.applied_requests.emplace_back();
    KEKD_ASSIGN_OR_RETURN(out.request_id, Uuid::FromBytes(AsBytes(applied.request_id())));
    out.generation = applied.generation();
    out.version = applied.version();
    out.digest = applied.digest();
  }
  if (body.has_rotation()) parts.rotation = FromProto(body.rotation());
  return Keyring::Create(std::move(parts));
}

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the keyring record is damaged: ", what));
}

// How often a repeated field may be there.
size_t MaxCount(const google::protobuf::FieldDescriptor& field) {
  if (field.name() == "versions") return Keyring::kMaxVersions;
  if (field.name() == "applied_requests") return Keyring::kMaxAppliedRequests;
  return Keyring::kMaxWraps;
}

}  // namespace

absl::StatusOr<std::string> EncodeRecord(const Keyring& keyring, const RingKey& ring_key) {
  const std::string body = SerializeCanonical(ToProto(keyring));
  std::string record(kMagic);
  AppendU16(record, keyring.format());
  const absl::string_view uuid = AsText(keyring.identity().ring_uuid.bytes());
  record.append(uuid.data(), uuid.size());
  AppendU64(record, keyring.generation());
  AppendU32(record, static_cast<uint32_t>(body.size()));
  record.append(body);
  if (record.size() + kMacBytes > kMaxRecordBytes) {
    return absl::FailedPreconditionError("the keyring has grown too large to be stored");
  }
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, ring_key.RecordMac(AsBytes(record)));
  record.append(reinterpret_cast<const char*>(mac.data()), mac.size());
  // What could not be read again must not be written: protobuf, for one, writes text that is no
  // UTF-8 but refuses to read it.
  KEKD_RETURN_IF_ERROR(WithContext(UnverifiedRecord::Parse(record).status(),
                                   "the keyring can't be stored as it is"));
  return record;
}

std::string EncodeWrap(const Wrap& wrap) {
  pb::Wrap message;
  ToProto(wrap, &message);
  return SerializeCanonical(message);
}

absl::StatusOr<Wrap> DecodeWrap(absl::string_view bytes) {
  pb::Wrap message;
  KEKD_RETURN_IF_ERROR(WithContext(ParseCanonical(AsBytes(bytes), MaxCount, message), "the wrap"));
  KEKD_ASSIGN_OR_RETURN(Wrap wrap, FromProto(message));
  if (EncodeWrap(wrap) != bytes) {
    return absl::DataLossError("the wrap is not in the one form that kekd writes");
  }
  return wrap;
}

absl::StatusOr<UnverifiedRecord> UnverifiedRecord::Parse(std::string bytes) {
  const uint8_t* const data = AsBytes(bytes).data();
  if (absl::string_view(bytes).substr(0, kMagic.size()) != kMagic) {
    return Damaged(bytes.empty() ? "it is empty" : "it does not begin as a keyring does");
  }
  if (bytes.size() < kHeaderBytes + kMacBytes) {
    return Damaged(absl::StrCat("it is cut off after ", bytes.size(), " bytes"));
  }
  const uint16_t format = ReadU16(data + kFormatOffset);
  if (format > Keyring::kFormat) {
    return absl::UnimplementedError(
        absl::StrCat("the keyring record has format ", format, ", this kekd reads formats up to ",
                     Keyring::kFormat, ": it was written by a newer kekd; install that one again"));
  }
  if (format == 0) return Damaged("its format number is 0");
  if (bytes.size() > kMaxRecordBytes) {
    return Damaged(absl::StrCat("it has ", bytes.size(), " bytes, more than the ", kMaxRecordBytes,
                                " of the largest"));
  }
  const size_t body_size = ReadU32(data + kBodySizeOffset);
  if (bytes.size() != kHeaderBytes + body_size + kMacBytes) {
    return Damaged(absl::StrCat("it has ", bytes.size(), " bytes where its header tells of ",
                                kHeaderBytes + body_size + kMacBytes));
  }
  KEKD_ASSIGN_OR_RETURN(const Uuid ring_uuid,
                        Uuid::FromBytes(ByteView(data + kUuidOffset, Uuid::kBytes)));
  pb::KeyringBody body;
  const absl::Status parsed =
      ParseCanonical(ByteView(data + kHeaderBytes, body_size), MaxCount, body);
  if (!parsed.ok()) return Damaged(absl::StrCat("its body: ", parsed.message()));
  absl::StatusOr<Keyring> keyring =
      FromProto(body, format, ring_uuid, ReadU64(data + kGenerationOffset));
  if (!keyring.ok()) {
    if (absl::IsUnimplemented(keyring.status())) return keyring.status();
    return Damaged(keyring.status().message());
  }
  // One ring has one encoding: fields of another format are none of it.
  if (SerializeCanonical(ToProto(*keyring)) !=
      absl::string_view(bytes).substr(kHeaderBytes, body_size)) {
    return Damaged("its body is not in the one form that kekd writes");
  }
  return UnverifiedRecord(std::move(bytes), *std::move(keyring));
}

absl::StatusOr<UnverifiedRecord> UnverifiedRecord::ParseAs(std::string bytes, uint16_t format) {
  if (bytes.size() < kHeaderBytes) return Damaged("it is cut off");
  std::string number;
  AppendU16(number, format);
  bytes.replace(kFormatOffset, number.size(), number);
  return Parse(std::move(bytes));
}

absl::StatusOr<Keyring> UnverifiedRecord::Verify(const RingKey& ring_key) const {
  if (!(identity().ring_uuid == ring_key.ring_uuid())) {
    return absl::DataLossError(absl::StrCat(
        "another keyring lies in its place (ring UUID ", identity().ring_uuid.ToString(),
        ") than the one that is in use (", ring_key.ring_uuid().ToString(),
        "): put that one back, or restart kekd to serve the other"));
  }
  const ByteView all = AsBytes(bytes_);
  const size_t authenticated = all.size() - kMacBytes;
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, ring_key.RecordMac(all.first(authenticated)));
  if (CRYPTO_memcmp(mac.data(), all.data() + authenticated, kMacBytes) != 0) {
    return Damaged(
        "its HMAC does not fit: it was altered by somebody without the ring key, or by "
        "a failing disk");
  }
  return keyring_;
}

}  // namespace kekd
