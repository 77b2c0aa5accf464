// A real module behind p11fault, in this process.
#ifndef KEKD_TESTS_HSM_PKCS11_FAULTY_TOKEN_H_
#define KEKD_TESTS_HSM_PKCS11_FAULTY_TOKEN_H_

#include <cstdint>
#include <map>
#include <string>

#include "tests/hsm/pkcs11/token_fixture.h"

namespace kekd::testing {

// A token whose module makes faults on order.
class FaultyToken : public TokenFixture {
 protected:
  // SoftHSM2's.
  void SetUp() override { MakeFaulty("softhsm2"); }
  void TearDown() override;
  // Of a script of tests/hsm/tokens.
  void MakeFaulty(const std::string& script);

  // From now on: these lines of p11fault's control file.
  void Order(const std::string& lines);
  // How many faults an order of this name ("… as NAME") has made.
  static uint64_t Faults(const std::string& name);
  // How often a function was called since the test began.
  uint64_t Calls(const std::string& function) const {
    return Count(function) - before_.at(function);
  }

 private:
  static uint64_t Count(const std::string& function);

  std::map<std::string, uint64_t> before_;
  int orders_ = 0;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_HSM_PKCS11_FAULTY_TOKEN_H_
