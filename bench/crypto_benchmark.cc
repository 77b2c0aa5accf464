// What the cipher costs, and the whole of Encrypt and Decrypt without a socket.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/process.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "keystore/aead.h"
#include "keystore/canary.h"
#include "keystore/ciphertext.h"
#include "keystore/open_keyring.h"
#include "keystore/ring_key.h"
#include "keystore/software_key_backend.h"
#include "kms/service/envelope_service.h"

namespace kekd::bench {
namespace {

constexpr size_t kSeedBytes = 32;  // all that an API server ever encrypts
constexpr absl::string_view kUid = "6f6b1c5e-8d1f-4c39-9d52-0c7a3ce5b1aa";

absl::StatusOr<SecretBytes> RandomSecret(size_t size) {
  SecretBytes secret(size);
  KEKD_RETURN_IF_ERROR(RandomSource::System().Fill(secret.RevealMutable(SecretAccessToken())));
  return secret;
}

absl::StatusOr<RingIdentity> NewIdentity() {
  RingIdentity identity{.name = "bench", .cluster_id = {}, .ring_uuid = {}};
  KEKD_ASSIGN_OR_RETURN(identity.cluster_id, Uuid::Random(RandomSource::System()));
  KEKD_ASSIGN_OR_RETURN(identity.ring_uuid, Uuid::Random(RandomSource::System()));
  return identity;
}

// A cipher under a key of its own, with associated data as long as kekd's.
struct Cipher {
  static absl::StatusOr<Cipher> Create(Algorithm algorithm) {
    Cipher cipher;
    KEKD_ASSIGN_OR_RETURN(SecretBytes key, RandomSecret(kAes256KeyBytes));
    KEKD_ASSIGN_OR_RETURN(cipher.aead,
                          CreateAead(algorithm, std::move(key), RandomSource::System()));
    KEKD_ASSIGN_OR_RETURN(cipher.seed, RandomSecret(kSeedBytes));
    KEKD_ASSIGN_OR_RETURN(const RingIdentity identity, NewIdentity());
    KEKD_ASSIGN_OR_RETURN(const KeyId key_id,
                          KeyId::Derive(identity, 1, kSoftwareBackend, AsBytes("canary")));
    cipher.associated_data = CiphertextAssociatedData(identity, algorithm, key_id);
    KEKD_ASSIGN_OR_RETURN(cipher.sealed,
                          cipher.aead->Encrypt(cipher.seed, AsBytes(cipher.associated_data)));
    return cipher;
  }

  std::unique_ptr<const Aead> aead;
  SecretBytes seed;
  std::string associated_data;
  std::string sealed;
};

// Runs `one` once an iteration; what it returns must be OK.
template <typename Operation>
void Repeat(benchmark::State& state, const Operation& one) {
  while (state.KeepRunning()) {
    const auto result = one();
    if (!result.ok()) {
      state.SkipWithError(result.status().ToString().c_str());
      return;
    }
    benchmark::DoNotOptimize(result);
  }
}

template <typename T, typename Operation>
void RepeatOn(benchmark::State& state, const absl::StatusOr<T>& subject,
              const Operation& operation) {
  if (!subject.ok()) {
    state.SkipWithError(subject.status().ToString().c_str());
    return;
  }
  Repeat(state, [&] { return operation(*subject); });
}

absl::StatusOr<std::string> Seal(const Cipher& cipher) {
  return cipher.aead->Encrypt(cipher.seed, AsBytes(cipher.associated_data));
}

absl::StatusOr<SecretBytes> Open(const Cipher& cipher) {
  return cipher.aead->Decrypt(AsBytes(cipher.sealed), AsBytes(cipher.associated_data));
}

absl::StatusOr<SecretBytes> SealAndOpen(const Cipher& cipher) {
  KEKD_ASSIGN_OR_RETURN(const std::string sealed, Seal(cipher));
  return cipher.aead->Decrypt(AsBytes(sealed), AsBytes(cipher.associated_data));
}

void BM_Seal(benchmark::State& state, Algorithm algorithm) {
  RepeatOn(state, Cipher::Create(algorithm), Seal);
}
void BM_Open(benchmark::State& state, Algorithm algorithm) {
  RepeatOn(state, Cipher::Create(algorithm), Open);
}
void BM_SealAndOpen(benchmark::State& state, Algorithm algorithm) {
  RepeatOn(state, Cipher::Create(algorithm), SealAndOpen);
}
BENCHMARK_CAPTURE(BM_Seal, XAES_256_GCM, Algorithm::kXaes256Gcm);
BENCHMARK_CAPTURE(BM_Seal, AES_256_GCM, Algorithm::kAes256Gcm);
BENCHMARK_CAPTURE(BM_Open, XAES_256_GCM, Algorithm::kXaes256Gcm);
BENCHMARK_CAPTURE(BM_Open, AES_256_GCM, Algorithm::kAes256Gcm);
BENCHMARK_CAPTURE(BM_SealAndOpen, XAES_256_GCM, Algorithm::kXaes256Gcm);
BENCHMARK_CAPTURE(BM_SealAndOpen, AES_256_GCM, Algorithm::kAes256Gcm);

// A nonce of XAES-256-GCM.
void BM_RandomBytes(benchmark::State& state) {
  std::string nonce(NonceSize(Algorithm::kXaes256Gcm), '\0');
  while (state.KeepRunning()) {
    if (!RandomSource::System().Fill(AsWritableBytes(nonce)).ok()) {
      state.SkipWithError("no random bytes");
      return;
    }
    benchmark::DoNotOptimize(nonce);
  }
}
BENCHMARK(BM_RandomBytes);

// Locked memory for one seed, as each call takes and wipes it several times.
void BM_SecretBytes(benchmark::State& state) {
  while (state.KeepRunning()) {
    SecretBytes secret(kSeedBytes);
    benchmark::DoNotOptimize(secret);
  }
}
BENCHMARK(BM_SecretBytes);

// The service on a ring with one active version, in memory.
struct Service {
  static absl::StatusOr<Service> Create() {
    const RandomSource& random = RandomSource::System();
    const absl::Time now = absl::Now();
    KEKD_ASSIGN_OR_RETURN(const RingIdentity identity, NewIdentity());
    KEKD_ASSIGN_OR_RETURN(std::shared_ptr<const RingKey> ring_key,
                          RingKey::Generate(identity.ring_uuid, random));
    BackendSet backends;
    backends.Add(CreateSoftwareKeyBackend(std::move(ring_key), random));
    KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, backends.Find(kSoftwareBackend));
    KEKD_ASSIGN_OR_RETURN(KeyVersion version, MakeKeyVersion({identity, 1}, *backend, random, now,
                                                             absl::InfiniteFuture()));
    Keyring::Parts parts;
    parts.identity = identity;
    parts.creation_time = now;
    KEKD_ASSIGN_OR_RETURN(const Keyring empty, Keyring::Create(std::move(parts)));
    KEKD_ASSIGN_OR_RETURN(const Keyring created, empty.WithNewVersion(std::move(version)));
    KEKD_ASSIGN_OR_RETURN(Keyring promoted, created.WithPromoted(1, now));
    const auto current = std::make_shared<CurrentKeyring>(
        OpenKeyring::Open(std::make_shared<const Keyring>(std::move(promoted)), backends, nullptr,
                          absl::InfiniteFuture()));
    Service service;
    service.service = std::make_unique<EnvelopeService>(current, std::make_shared<KeyringHealth>());
    KEKD_ASSIGN_OR_RETURN(service.seed, RandomSecret(kSeedBytes));
    KEKD_ASSIGN_OR_RETURN(service.encrypted, service.Encrypt());
    return service;
  }

  absl::StatusOr<EnvelopeService::Encrypted> Encrypt() const {
    return service->Encrypt(seed, kUid, absl::InfiniteFuture());
  }

  absl::StatusOr<SecretBytes> Decrypt() const {
    return service->Decrypt(
        {.ciphertext = encrypted.ciphertext, .key_id = encrypted.key_id, .uid = kUid},
        absl::InfiniteFuture());
  }

  std::unique_ptr<EnvelopeService> service;
  SecretBytes seed;
  EnvelopeService::Encrypted encrypted;
};

void BM_ServiceEncrypt(benchmark::State& state) {
  RepeatOn(state, Service::Create(), [](const Service& service) { return service.Encrypt(); });
}
void BM_ServiceDecrypt(benchmark::State& state) {
  RepeatOn(state, Service::Create(), [](const Service& service) { return service.Decrypt(); });
}
void BM_ServiceStatus(benchmark::State& state) {
  RepeatOn(state, Service::Create(),
           [](const Service& service) { return service.service->Status(); });
}
BENCHMARK(BM_ServiceEncrypt);
BENCHMARK(BM_ServiceDecrypt);
BENCHMARK(BM_ServiceStatus);

int Main(int argc, char** argv) {
  // As in kekd: libcrypto's own allocations come from locked memory too, which is part of the cost.
  const absl::Status hardened = HardenProcess();
  if (!hardened.ok()) {
    fprintf(stderr, "crypto_benchmark: %s\n", hardened.ToString().c_str());
    return 1;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace kekd::bench

int main(int argc, char** argv) { return kekd::bench::Main(argc, argv); }
