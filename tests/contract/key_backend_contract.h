// What every key backend must do, as one suite.
#ifndef KEKD_TESTS_CONTRACT_KEY_BACKEND_CONTRACT_H_
#define KEKD_TESTS_CONTRACT_KEY_BACKEND_CONTRACT_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "keystore/key_backend.h"

namespace kekd::testing {

// The place where a backend keeps its keys, for the time of one test. Each NewBackend is what a
// restarted kekd would make: it finds the keys that earlier ones made.
class BackendWorld {
 public:
  virtual ~BackendWorld() = default;
  virtual std::unique_ptr<KeyBackend> NewBackend() = 0;
};

struct BackendContractParam {
  std::string name;  // letters and digits
  std::function<std::unique_ptr<BackendWorld>()> make_world;
  // Whether DestroyKey ends the key itself: not so where all there is of it lies in the record.
  bool destroys_keys = true;
  // Of the keys that are tried; none: the backend's own.
  std::optional<Custody> custody = std::nullopt;
};

// A backend's test file instantiates it:
//
//   INSTANTIATE_TEST_SUITE_P(Software, KeyBackendContract, ::testing::Values(param), ParamName);
class KeyBackendContract : public ::testing::TestWithParam<BackendContractParam> {
 protected:
  KeyBackendContract();

  // A key of its own for version `number` of the ring.
  void MakeKey(uint32_t number, KeyMaterial* material, std::shared_ptr<const BackendKey>* key);

  static KeySpec Spec(uint32_t number);
  static absl::Time Deadline() { return absl::InfiniteFuture(); }

  const std::unique_ptr<BackendWorld> world_;
  const std::unique_ptr<KeyBackend> backend_;
};

// For INSTANTIATE_TEST_SUITE_P: the test's name ends with the param's.
std::string ParamName(const ::testing::TestParamInfo<BackendContractParam>& info);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CONTRACT_KEY_BACKEND_CONTRACT_H_
