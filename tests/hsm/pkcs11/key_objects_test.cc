#include "hsm/pkcs11/key_objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

KeyDescription HmacKey(const std::string& type) {
  KeyDescription key;
  key.selector = {.label = "kek-mac", .id = "1-mac"};
  key.type = type;
  key.token = key.is_private = key.sensitive = key.sign = true;
  return key;
}

TEST(KeyObjectsTest, RefusesAShortHmacKey) {
  const NewKey asked = {.selector = {.label = "kek", .id = "1"}};
  for (const char* const type : {"HMAC-128", "generic secret-8", "generic secret-0"}) {
    const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("bits"));
    EXPECT_THAT(CheckAdoptedMacKey(HmacKey(type), asked), refused) << type;
    EXPECT_THAT(CheckNewMacKey(HmacKey(type), asked), refused) << type;
  }
  // A token need not tell.
  for (const char* const type : {"HMAC-256", "generic secret-256", "HMAC", "generic secret"}) {
    EXPECT_THAT(CheckAdoptedMacKey(HmacKey(type), asked), IsOk()) << type;
    EXPECT_THAT(CheckNewMacKey(HmacKey(type), asked), IsOk()) << type;
  }
  EXPECT_THAT(CheckAdoptedMacKey(HmacKey("HMAC-512"), asked), IsOk());
  EXPECT_THAT(CheckNewMacKey(HmacKey("HMAC-512"), asked),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("256 bits")));
}

}  // namespace
}  // namespace kekd
