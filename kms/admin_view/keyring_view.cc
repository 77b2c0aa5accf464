#include "kms/admin_view/keyring_view.h"

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace kekd {
namespace {

int64_t MillisOrZero(absl::Time time) {
  return time == absl::InfiniteFuture() ? 0 : absl::ToUnixMillis(time);
}

std::string Text(absl::string_view view) { return std::string(view); }

void RotationToView(const RotationRecord& rotation, admin::v1::Rotation* out) {
  out->set_from(rotation.from);
  out->set_to(rotation.to);
  out->set_step(Text(ToString(rotation.step)));
  out->set_who(rotation.who);
  out->set_reason(rotation.reason);
  for (const std::string& node : rotation.nodes) out->add_nodes(node);
  for (const ProvedNode& one : rotation.proved) {
    admin::v1::ProvedNode* const proved = out->add_proved();
    proved->set_node(one.node);
    proved->set_proved_ms(MillisOrZero(one.time));
  }
  out->set_begun_ms(MillisOrZero(rotation.begin_time));
  out->set_step_ms(MillisOrZero(rotation.step_time));
  out->set_end_reason(rotation.end_reason);
}

admin::v1::Wrap WrapToView(const Wrap& wrap) {
  admin::v1::Wrap view;
  view.set_type(Text(ToString(wrap.type)));
  view.set_reference(wrap.reference);
  view.set_node(wrap.node);
  view.set_number(wrap.number);
  view.set_created_ms(MillisOrZero(wrap.creation_time));
  if (wrap.kdf.has_value()) view.set_kdf(Text(ToString(wrap.kdf->function)));
  return view;
}

}  // namespace

admin::v1::Keyring KeyringToView(const Keyring& keyring, const OpenKeyring* opened) {
  admin::v1::Keyring view;
  view.set_name(keyring.identity().name);
  view.set_cluster_id(keyring.identity().cluster_id.ToString());
  view.set_ring_uuid(keyring.identity().ring_uuid.ToString());
  view.set_generation(keyring.generation());
  view.set_created_ms(MillisOrZero(keyring.creation_time()));
  view.set_format(keyring.format());
  view.set_ring_key_number(keyring.ring_key_number());
  for (const Wrap& wrap : keyring.ring_key_wraps()) {
    *view.add_ring_key_wraps() = WrapToView(wrap);
  }
  for (const KeyVersion& version : keyring.versions()) {
    admin::v1::KeyVersion* const out = view.add_versions();
    out->set_number(version.number);
    out->set_key_id(version.key_id.text());
    out->set_backend(version.backend);
    out->set_key_reference(version.material.key_reference);
    out->set_custody(Text(ToString(version.material.custody)));
    out->set_state(Text(ToString(version.state)));
    out->set_algorithm(Text(ToString(version.material.algorithm)));
    out->set_created_ms(MillisOrZero(version.creation_time));
    out->set_activated_ms(MillisOrZero(version.activation_time));
    out->set_deactivated_ms(MillisOrZero(version.deactivation_time));
    out->set_destroyed_ms(MillisOrZero(version.destruction_time));
    out->set_compromised_ms(MillisOrZero(version.compromise_time));
    for (const Wrap& wrap : version.material.wraps) *out->add_wraps() = WrapToView(wrap);
    // A destroyed key is not expected to open; its state says all there is.
    if (opened == nullptr || !CanDecrypt(version.state)) continue;
    const OpenKeyring::Entry* const entry = opened->Find(version.number);
    if (entry != nullptr && !entry->status.ok()) {
      out->set_problem(Text(entry->status.message()));
    }
  }
  if (keyring.rotation().has_value()) RotationToView(*keyring.rotation(), view.mutable_rotation());
  return view;
}

}  // namespace kekd
