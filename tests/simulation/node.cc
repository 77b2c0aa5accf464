#include "tests/simulation/node.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/durable_file.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/key_file.h"
#include "keystore/node_proof.h"
#include "keystore/software_key_backend.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"

namespace kekd::testing {
namespace {

constexpr absl::string_view kDirectory = "/ring";
constexpr absl::string_view kRecord = "/ring/keyring";
constexpr absl::string_view kKeyFile = "/keys/prod";
constexpr size_t kMaxRecordBytes = 1 << 20;
// All nodes have the same key file.
constexpr uint64_t kKeyFileSeed = 42;

}  // namespace

Node::Node(std::string name, std::shared_ptr<FakeKeyBackend::Device> device, uint64_t random_seed)
    : name_(std::move(name)), device_(std::move(device)), random_(random_seed) {
  LoseDisk();
}

void Node::LoseDisk() {
  Kill();
  faults_ = nullptr;
  disk_ = std::make_unique<MemoryFileSystem>(
      std::vector<std::string>{std::string(kDirectory), "/state", "/keys"});
  faults_ = std::make_unique<FaultInjectingFileSystem>(*disk_);
  if (!CreateKeyFile(*disk_, kKeyFile, std::nullopt, std::nullopt, FakeRandomSource(kKeyFileSeed))
           .ok()) {
    std::abort();
  }
}

FileKeyringStore::Options Node::StoreOptions() {
  FileKeyringStore::Options options;
  options.fs = faults_.get();
  options.random = &random_;
  options.directory = std::string(kDirectory);
  options.state_directory = "/state";
  options.wrappers.push_back(KeyFileWrapper(std::string(kKeyFile), *disk_));
  return options;
}

absl::Status Node::Init(const std::string& backend) {
  const auto initial =
      [&](const Keyring& empty,
          const std::shared_ptr<const RingKey>& ring_key) -> absl::StatusOr<Keyring> {
    BackendSet backends;
    backends.Add(CreateSoftwareKeyBackend(ring_key, random_));
    backends.Add(std::make_unique<FakeKeyBackend>(device_, "fake", random_));
    KEKD_ASSIGN_OR_RETURN(KeyBackend* const made_by, backends.Find(backend));
    KEKD_ASSIGN_OR_RETURN(KeyVersion version,
                          MakeKeyVersion({empty.identity(), 1}, *made_by, random_, clock_.Now(),
                                         absl::InfiniteFuture()));
    KEKD_ASSIGN_OR_RETURN(const Keyring one, empty.WithNewVersion(std::move(version)));
    return one.WithPromoted(1, clock_.Now());
  };
  return FileKeyringStore::Create(StoreOptions(), TestIdentity(), clock_.Now(), initial).status();
}

absl::StatusOr<std::unique_ptr<KeyringWriter>> Node::OpenWriter() {
  KEKD_ASSIGN_OR_RETURN(
      std::shared_ptr<FileKeyringStore> store,
      FileKeyringStore::Open(StoreOptions(), FileKeyringStore::Access::kExclusive));
  auto backends = std::make_shared<BackendSet>();
  backends->Add(CreateSoftwareKeyBackend(store->ring_key(), random_));
  backends->Add(std::make_unique<FakeKeyBackend>(device_, "fake", random_));
  return KeyringWriter::Create({.store = std::move(store),
                                .backends = std::move(backends),
                                .random = &random_,
                                .clock = &clock_},
                               absl::InfiniteFuture());
}

absl::Status Node::Start() {
  if (serves()) return absl::OkStatus();
  KEKD_ASSIGN_OR_RETURN(writer_, OpenWriter());
  service_ =
      std::make_unique<EnvelopeService>(writer_->current(), std::make_shared<KeyringHealth>());
  return absl::OkStatus();
}

void Node::Kill() {
  service_ = nullptr;
  writer_ = nullptr;
  if (faults_ != nullptr) faults_->Reset();
  dying_ = false;
}

void Node::CutPower(Dice& dice) {
  Kill();
  disk_->CutPower([&] { return dice.Flag(); });
}

void Node::DieSoon(Dice& dice) {
  if (dying_) return;
  dying_ = true;
  // A commit makes about 60 calls.
  faults_->Inject(
      {.call = dice.Below(70), .call_name = {}, .kind = Fault::Kind::kCrash, .error = EIO});
}

bool Node::ReapIfDead() {
  if (!dying_ || !faults_->injected_all()) return false;
  Kill();
  return true;
}

absl::StatusOr<std::string> Node::Record() { return disk_->ReadFile(kRecord, kMaxRecordBytes); }

absl::Status Node::PutRecord(const std::string& record) {
  return ReplaceFileDurably(*disk_, kRecord, AsBytes(record), {});
}

absl::Status Node::Take(const std::string& record) {
  const absl::StatusOr<std::string> before = Record();
  if (!before.ok()) {
    Kill();
    KEKD_RETURN_IF_ERROR(PutRecord(record));
    // This node has seen no generation yet.
    absl::StatusOr<std::shared_ptr<const Keyring>> joined = Stored();
    if (!joined.ok()) {
      KEKD_ASSIGN_OR_RETURN(const std::vector<FileKeyringStore::CopyReport> copies,
                            FileKeyringStore::Verify(StoreOptions()));
      KEKD_RETURN_IF_ERROR(
          FileKeyringStore::AcceptRollback(StoreOptions(), copies.front().generation.value_or(0))
              .status());
    }
    return Start();
  }
  if (*before == record) return Start();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> here, Stored());
  for (const KeyVersion& version : here->versions()) {
    if (record.find(version.key_id.text()) == std::string::npos) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the other node's keyring has no ", version.key_id.text(), ", which this node's has"));
    }
  }
  Kill();
  KEKD_RETURN_IF_ERROR(PutRecord(record));
  const absl::Status started = Start();
  if (started.ok()) return started;
  KEKD_RETURN_IF_ERROR(PutRecord(*before));
  KEKD_RETURN_IF_ERROR(Start());
  return started;
}

absl::Status Node::RollBack(const std::string& record) {
  Kill();
  KEKD_RETURN_IF_ERROR(PutRecord(record));
  KEKD_ASSIGN_OR_RETURN(const std::vector<FileKeyringStore::CopyReport> copies,
                        FileKeyringStore::Verify(StoreOptions()));
  if (!copies.front().status.ok()) {
    KEKD_RETURN_IF_ERROR(
        FileKeyringStore::AcceptRollback(StoreOptions(), copies.front().generation.value_or(0))
            .status());
  }
  return Start();
}

absl::StatusOr<std::shared_ptr<const Keyring>> Node::Stored() {
  FileKeyringStore::Options options = StoreOptions();
  options.fs = disk_.get();
  KEKD_ASSIGN_OR_RETURN(
      const std::unique_ptr<FileKeyringStore> store,
      FileKeyringStore::Open(std::move(options), FileKeyringStore::Access::kReadOnly));
  return store->Load();
}

template <typename T>
absl::StatusOr<T> Node::With(absl::FunctionRef<absl::StatusOr<T>(KeyringWriter&)> use) {
  if (writer_ != nullptr) return use(*writer_);
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<KeyringWriter> writer, OpenWriter());
  return use(*writer);
}

RingView Node::ViewOfWriter(KeyringWriter& writer) {
  absl::StatusOr<std::vector<BackupLogEntry>> backups = writer.Backups();
  if (!backups.ok()) backups = std::vector<BackupLogEntry>();
  return ViewOf(writer.current()->Get()->keyring(), *backups);
}

absl::StatusOr<RingView> Node::View() {
  return With<RingView>([&](KeyringWriter& writer) { return ViewOfWriter(writer); });
}

absl::StatusOr<RingView> Node::Apply(const Transition& transition, uint64_t generation) {
  return With<RingView>([&](KeyringWriter& writer) -> absl::StatusOr<RingView> {
    KEKD_ASSIGN_OR_RETURN(const Uuid request, Uuid::Random(random_));
    KEKD_RETURN_IF_ERROR(
        writer.Apply(transition, generation, request, absl::InfiniteFuture(), "simulation")
            .status());
    return ViewOfWriter(writer);
  });
}

absl::StatusOr<std::string> Node::Prove(uint32_t version) {
  return With<std::string>([&](KeyringWriter& writer) {
    return writer.ProveNode(version, name_, absl::InfiniteFuture());
  });
}

absl::Status Node::RecordBackup() {
  const auto record = [&](KeyringWriter& writer) -> absl::StatusOr<uint64_t> {
    const std::shared_ptr<const OpenKeyring> opened = writer.current()->Get();
    const Keyring& ring = opened->keyring();
    BackupLogEntry entry;
    KEKD_ASSIGN_OR_RETURN(entry.backup_id, Uuid::Random(random_));
    entry.creation_time = clock_.Now();
    entry.generation = ring.generation();
    entry.highest_version = static_cast<uint32_t>(ring.versions().size());
    KEKD_ASSIGN_OR_RETURN(entry.keys, KeysDigest(ring, ring.versions().size()));
    entry.ring_key_number = ring.ring_key_number();
    entry.path = "/backups/prod";
    entry.verification_time = clock_.Now();
    KEKD_RETURN_IF_ERROR(writer.store().RecordBackup(entry));
    writer.RefreshBackups();
    return ring.generation();
  };
  return With<uint64_t>(record).status();
}

absl::Status Node::Force(const std::function<absl::StatusOr<Keyring>(const Keyring&)>& change) {
  const bool served = serves();
  const auto commit = [&](KeyringWriter& writer) -> absl::StatusOr<uint64_t> {
    KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const Keyring> ring, writer.store().Load());
    KEKD_ASSIGN_OR_RETURN(const Keyring next, change(*ring));
    KEKD_RETURN_IF_ERROR(writer.store().Commit(next, ring->generation()).status());
    return ring->generation();
  };
  KEKD_RETURN_IF_ERROR(With<uint64_t>(commit).status());
  if (!served) return absl::OkStatus();
  Kill();
  return Start();
}

absl::StatusOr<std::string> Node::ForgeProof(uint32_t version, const std::string& of_node) {
  return With<std::string>([&](KeyringWriter& writer) {
    const std::shared_ptr<const OpenKeyring> opened = writer.current()->Get();
    return SignNodeProof({of_node, opened->keyring().Find(version)->key_id, clock_.Now()},
                         *writer.store().ring_key()->Get());
  });
}

absl::StatusOr<std::string> Node::StatusKeyId() const {
  if (!serves()) return absl::UnavailableError("kekd is down");
  KEKD_ASSIGN_OR_RETURN(EnvelopeService::StatusAnswer answer, service_->Status());
  return std::move(answer.key_id);
}

absl::StatusOr<EnvelopeService::Encrypted> Node::Encrypt(absl::string_view plaintext) const {
  if (!serves()) return absl::UnavailableError("kekd is down");
  return service_->Encrypt(SecretFromText(plaintext), "simulation", absl::InfiniteFuture());
}

absl::StatusOr<std::string> Node::Decrypt(absl::string_view ciphertext,
                                          absl::string_view key_id) const {
  if (!serves()) return absl::UnavailableError("kekd is down");
  KEKD_ASSIGN_OR_RETURN(
      const SecretBytes plaintext,
      service_->Decrypt({.ciphertext = ciphertext, .key_id = key_id, .uid = "simulation"},
                        absl::InfiniteFuture()));
  return RevealedText(plaintext);
}

}  // namespace kekd::testing
