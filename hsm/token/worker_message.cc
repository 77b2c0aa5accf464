#include "hsm/token/worker_message.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/token/field_codec.h"

namespace kekd {
namespace {

// The first byte of every message.
constexpr uint8_t kProtocol = 2;
constexpr auto kLastVerb = static_cast<uint8_t>(WorkerVerb::kAttest);
// absl::StatusCode::kUnauthenticated.
constexpr uint8_t kLastStatusCode = 16;

// The flags of a KeyDescription, in the order of their bits.
constexpr bool KeyDescription::*kKeyFlags[] = {
    &KeyDescription::token,       &KeyDescription::is_private,
    &KeyDescription::sensitive,   &KeyDescription::always_sensitive,
    &KeyDescription::extractable, &KeyDescription::never_extractable,
    &KeyDescription::modifiable,  &KeyDescription::local,
    &KeyDescription::encrypt,     &KeyDescription::decrypt,
    &KeyDescription::wrap,        &KeyDescription::unwrap,
    &KeyDescription::sign,        &KeyDescription::verify};

constexpr std::optional<bool> KeyClaims::*kClaims[] = {
    &KeyClaims::local,       &KeyClaims::sensitive,         &KeyClaims::always_sensitive,
    &KeyClaims::extractable, &KeyClaims::never_extractable, &KeyClaims::modifiable};

// Each pair below mirrors the other, field by field.
void Write(FieldWriter& out, const TokenSelector& token) {
  out.Text(token.label);
  out.Text(token.manufacturer);
  out.Text(token.model);
  out.Text(token.serial);
}

void Read(FieldReader& in, TokenSelector& token) {
  token.label = in.Text();
  token.manufacturer = in.Text();
  token.model = in.Text();
  token.serial = in.Text();
}

void Write(FieldWriter& out, const KeySelector& key) {
  out.Text(key.label);
  out.Text(key.id);
}

void Read(FieldReader& in, KeySelector& key) {
  key.label = in.Text();
  key.id = in.Text();
}

void Write(FieldWriter& out, const KeyReference& key) {
  Write(out, key.token);
  Write(out, key.key);
  out.U8(static_cast<uint8_t>(key.mechanism));
  out.Text(key.mechanism_reason);
  out.Text(key.public_key);
}

void Read(FieldReader& in, KeyReference& key) {
  Read(in, key.token);
  Read(in, key.key);
  key.mechanism = static_cast<KeyMechanism>(in.Enum(kLastKeyMechanism));
  key.mechanism_reason = in.Text();
  key.public_key = in.Text();
  if (IsRsa(key.mechanism) == key.public_key.empty()) in.Fail();
}

void Write(FieldWriter& out, const WorkerConfig& config) {
  out.Text(config.module_path);
  out.Text(config.init_arguments);
  Write(out, config.token);
  out.Text(config.pin_file);
  out.Bool(config.pin_is_credential);
  out.Bool(config.file_owner.has_value());
  out.U32(config.file_owner.value_or(0));
  out.Text(config.pin_log_directory);
  out.U32(config.sessions);
  out.Bool(config.session_copy);
}

void Read(FieldReader& in, WorkerConfig& config) {
  config.module_path = in.Text();
  config.init_arguments = in.Text();
  Read(in, config.token);
  config.pin_file = in.Text();
  config.pin_is_credential = in.Bool();
  const bool has_owner = in.Bool();
  const uint32_t owner = in.U32();
  if (has_owner) config.file_owner = owner;
  if (!has_owner && owner != 0) in.Fail();
  config.pin_log_directory = in.Text();
  config.sessions = in.U32();
  config.session_copy = in.Bool();
}

void Write(FieldWriter& out, const NewKey& key) {
  Write(out, key.selector);
  out.Bool(key.allow_extractable);
  out.Bool(key.modifiable);
}

void Read(FieldReader& in, NewKey& key) {
  Read(in, key.selector);
  key.allow_extractable = in.Bool();
  key.modifiable = in.Bool();
}

void Write(FieldWriter& out, const TokenDescription& token) {
  Write(out, token.token);
  out.Text(token.module);
  out.Text(token.cryptoki);
  out.Text(token.hardware);
  out.U64(token.flags);
  out.U64(static_cast<uint64_t>(token.max_sessions));
  out.U64(static_cast<uint64_t>(token.open_sessions));
  out.Text(token.pin_state);
  out.Text(token.pin_problem);
  out.U32(static_cast<uint32_t>(token.mechanisms.size()));
  for (const std::string& mechanism : token.mechanisms) out.Text(mechanism);
}

void Read(FieldReader& in, TokenDescription& token) {
  Read(in, token.token);
  token.module = in.Text();
  token.cryptoki = in.Text();
  token.hardware = in.Text();
  token.flags = in.U64();
  token.max_sessions = static_cast<int64_t>(in.U64());
  token.open_sessions = static_cast<int64_t>(in.U64());
  token.pin_state = in.Text();
  token.pin_problem = in.Text();
  // No room is made in advance: the number is only believed as far as there are fields.
  for (uint32_t left = in.U32(); left > 0 && in.ok(); --left) {
    token.mechanisms.push_back(in.Text());
  }
}

void Write(FieldWriter& out, const KeyClaims& claims) {
  for (const auto claim : kClaims) {
    out.Bool((claims.*claim).has_value());
    if ((claims.*claim).has_value()) out.Bool(*(claims.*claim));
  }
  out.Bool(claims.generated_by.has_value());
  if (claims.generated_by.has_value()) out.Text(*claims.generated_by);
  out.U32(static_cast<uint32_t>(claims.allowed_mechanisms.size()));
  for (const std::string& mechanism : claims.allowed_mechanisms) out.Text(mechanism);
  out.Bool(claims.bits.has_value());
  if (claims.bits.has_value()) out.U32(*claims.bits);
}

void Read(FieldReader& in, KeyClaims& claims) {
  for (const auto claim : kClaims) {
    if (in.Bool()) claims.*claim = in.Bool();
  }
  if (in.Bool()) claims.generated_by = in.Text();
  for (uint32_t left = in.U32(); left > 0 && in.ok(); --left) {
    claims.allowed_mechanisms.push_back(in.Text());
  }
  if (in.Bool()) claims.bits = in.U32();
}

void Write(FieldWriter& out, const KeyDescription& key) {
  Write(out, key.selector);
  out.Text(key.type);
  uint32_t flags = 0;
  for (size_t bit = 0; bit < std::size(kKeyFlags); ++bit) {
    if (key.*kKeyFlags[bit]) flags |= uint32_t{1} << bit;
  }
  out.U32(flags);
  out.Text(key.belongs_to);
  out.Text(key.problem);
  Write(out, key.claims);
}

void Read(FieldReader& in, KeyDescription& key) {
  Read(in, key.selector);
  key.type = in.Text();
  const uint32_t flags = in.U32();
  if (flags >> std::size(kKeyFlags) != 0) in.Fail();
  for (size_t bit = 0; bit < std::size(kKeyFlags); ++bit) {
    key.*kKeyFlags[bit] = (flags >> bit & 1) != 0;
  }
  key.belongs_to = in.Text();
  key.problem = in.Text();
  Read(in, key.claims);
}

void Write(FieldWriter& out, const std::vector<KeyDescription>& keys) {
  out.U32(static_cast<uint32_t>(keys.size()));
  for (const KeyDescription& key : keys) Write(out, key);
}

void Read(FieldReader& in, std::vector<KeyDescription>& keys) {
  for (uint32_t left = in.U32(); left > 0 && in.ok(); --left) Read(in, keys.emplace_back());
}

void Write(FieldWriter& out, const std::vector<Measurement>& measurements) {
  out.U32(static_cast<uint32_t>(measurements.size()));
  for (const Measurement& measurement : measurements) {
    out.Text(measurement.what);
    out.U64(measurement.p50);
    out.U64(measurement.p99);
  }
}

void Read(FieldReader& in, std::vector<Measurement>& measurements) {
  for (uint32_t left = in.U32(); left > 0 && in.ok(); --left) {
    Measurement& measurement = measurements.emplace_back();
    measurement.what = in.Text();
    measurement.p50 = in.U64();
    measurement.p99 = in.U64();
  }
}

void Write(FieldWriter& out, const std::vector<MechanismTrial>& trials) {
  out.U32(static_cast<uint32_t>(trials.size()));
  for (const MechanismTrial& trial : trials) {
    out.U8(static_cast<uint8_t>(trial.mechanism));
    out.Bool(trial.listed);
    out.Text(trial.problem);
  }
}

void Read(FieldReader& in, std::vector<MechanismTrial>& trials) {
  for (uint32_t left = in.U32(); left > 0 && in.ok(); --left) {
    MechanismTrial& trial = trials.emplace_back();
    trial.mechanism = static_cast<KeyMechanism>(in.Enum(kLastKeyMechanism));
    trial.listed = in.Bool();
    trial.problem = in.Text();
  }
}

void Write(FieldWriter& out, absl::Duration timeout) {
  const int64_t nanoseconds = std::max<int64_t>(absl::ToInt64Nanoseconds(timeout), 0);
  out.U64(static_cast<uint64_t>(nanoseconds));
}

void Read(FieldReader& in, absl::Duration& timeout) {
  const uint64_t nanoseconds = in.U64();
  constexpr auto kInfinite = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (nanoseconds > kInfinite) in.Fail();
  timeout = nanoseconds == kInfinite ? absl::InfiniteDuration()
                                     : absl::Nanoseconds(static_cast<int64_t>(nanoseconds));
}

// At the border of a character, so that it stays text.
absl::string_view Cut(absl::string_view message) {
  if (message.size() <= kMaxMessageBytes) return message;
  size_t size = kMaxMessageBytes;
  while (size > 0 && (static_cast<uint8_t>(message[size]) & 0xc0) == 0x80) --size;
  return message.substr(0, size);
}

// Whether a message that lives in two processes of two releases can be read at all.
absl::Status CheckProtocol(FieldReader& in) {
  const uint8_t protocol = in.U8();
  if (!in.ok()) return in.Finish();
  if (protocol == kProtocol) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("kekd speaks version ", kProtocol, " of its protocol with kekd-hsm-worker, not ",
                   protocol, ": kekd and kekd-hsm-worker must be of the same release"));
}

absl::Status CheckSecret(bool expected, const SecretBytes& secret) {
  if (expected || secret.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("a message with a secret that it can't have");
}

bool HasToken(WorkerVerb verb) {
  return verb == WorkerVerb::kStart || verb == WorkerVerb::kDescribe;
}
bool HasKeys(WorkerVerb verb) { return verb == WorkerVerb::kList || verb == WorkerVerb::kAttest; }
bool MakesKey(WorkerVerb verb) {
  return verb == WorkerVerb::kGenerate || verb == WorkerVerb::kAdopt;
}

}  // namespace

WorkerFrame Encode(const WorkerRequest& request) {
  FieldWriter out;
  out.U8(kProtocol);
  out.U8(static_cast<uint8_t>(request.verb));
  Write(out, request.timeout);
  WorkerFrame frame;
  switch (request.verb) {
    case WorkerVerb::kStart:
      Write(out, request.config);
      break;
    case WorkerVerb::kEncrypt:
      Write(out, request.key);
      out.Text(request.associated_data);
      frame.secret = request.secret.Clone();
      break;
    case WorkerVerb::kDecrypt:
      Write(out, request.key);
      out.Text(request.associated_data);
      out.Text(request.bytes);
      break;
    case WorkerVerb::kGenerate:
    case WorkerVerb::kAdopt:
      Write(out, request.new_key);
      break;
    case WorkerVerb::kDestroy:
    case WorkerVerb::kProbe:
    case WorkerVerb::kAttest:
      Write(out, request.key);
      break;
    case WorkerVerb::kMeasure:
      Write(out, request.key);
      out.U32(request.count);
      break;
    case WorkerVerb::kList:
    case WorkerVerb::kDescribe:
    case WorkerVerb::kTry:
      break;
  }
  frame.fields = out.Take();
  return frame;
}

absl::StatusOr<WorkerRequest> DecodeRequest(WorkerFrame frame) {
  FieldReader in(frame.fields);
  KEKD_RETURN_IF_ERROR(CheckProtocol(in));
  WorkerRequest request;
  request.verb = static_cast<WorkerVerb>(in.Enum(kLastVerb));
  Read(in, request.timeout);
  switch (request.verb) {
    case WorkerVerb::kStart:
      Read(in, request.config);
      break;
    case WorkerVerb::kEncrypt:
      Read(in, request.key);
      request.associated_data = in.Text();
      break;
    case WorkerVerb::kDecrypt:
      Read(in, request.key);
      request.associated_data = in.Text();
      request.bytes = in.Text();
      break;
    case WorkerVerb::kGenerate:
    case WorkerVerb::kAdopt:
      Read(in, request.new_key);
      break;
    case WorkerVerb::kDestroy:
    case WorkerVerb::kProbe:
    case WorkerVerb::kAttest:
      Read(in, request.key);
      break;
    case WorkerVerb::kMeasure:
      Read(in, request.key);
      request.count = in.U32();
      break;
    case WorkerVerb::kList:
    case WorkerVerb::kDescribe:
    case WorkerVerb::kTry:
      break;
  }
  KEKD_RETURN_IF_ERROR(in.Finish());
  KEKD_RETURN_IF_ERROR(CheckSecret(request.verb == WorkerVerb::kEncrypt, frame.secret));
  request.secret = std::move(frame.secret);
  return request;
}

WorkerFrame Encode(WorkerVerb verb, WorkerResponse response) {
  FieldWriter out;
  out.U8(kProtocol);
  out.U8(static_cast<uint8_t>(response.status.code()));
  out.Text(Cut(absl::string_view(response.status.message())));
  out.Bool(response.restart);
  if (HasToken(verb)) Write(out, response.token);
  WorkerFrame frame;
  if (response.status.ok()) {
    if (verb == WorkerVerb::kEncrypt) out.Text(response.bytes);
    if (verb == WorkerVerb::kDecrypt) frame.secret = std::move(response.secret);
    if (HasKeys(verb) || MakesKey(verb)) Write(out, response.keys);
    if (MakesKey(verb)) Write(out, response.reference);
    if (verb == WorkerVerb::kMeasure) Write(out, response.measurements);
    if (verb == WorkerVerb::kTry) Write(out, response.trials);
  }
  frame.fields = out.Take();
  return frame;
}

absl::StatusOr<WorkerResponse> DecodeResponse(WorkerVerb verb, WorkerFrame frame) {
  FieldReader in(frame.fields);
  KEKD_RETURN_IF_ERROR(CheckProtocol(in));
  WorkerResponse response;
  const uint8_t code = in.U8();
  const std::string message = in.Text();
  if (code > kLastStatusCode || message.size() > kMaxMessageBytes) in.Fail();
  response.status = absl::Status(static_cast<absl::StatusCode>(code), message);
  if (response.status.ok() && !message.empty()) in.Fail();
  response.restart = in.Bool();
  if (HasToken(verb)) Read(in, response.token);
  if (response.status.ok()) {
    if (verb == WorkerVerb::kEncrypt) response.bytes = in.Text();
    if (HasKeys(verb) || MakesKey(verb)) Read(in, response.keys);
    if (MakesKey(verb)) Read(in, response.reference);
    if (MakesKey(verb) && response.keys.size() != 1) in.Fail();
    if (verb == WorkerVerb::kAttest && response.keys.empty()) in.Fail();
    if (verb == WorkerVerb::kMeasure) Read(in, response.measurements);
    if (verb == WorkerVerb::kTry) Read(in, response.trials);
  }
  KEKD_RETURN_IF_ERROR(in.Finish());
  KEKD_RETURN_IF_ERROR(
      CheckSecret(verb == WorkerVerb::kDecrypt && response.status.ok(), frame.secret));
  response.secret = std::move(frame.secret);
  return response;
}

}  // namespace kekd
