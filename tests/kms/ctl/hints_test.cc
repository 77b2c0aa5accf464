#include "kms/ctl/hints.h"

#include <gtest/gtest.h>

namespace kekd {
namespace {

TEST(HintsTest, NamesTheKeyringInEachCommandThatTakesOne) {
  EXPECT_EQ(WithKeyringInHints("do 'kekctl key promote 2', or 'kekctl keyring backup'.", "prod"),
            "do 'kekctl key promote --keyring prod 2', or 'kekctl keyring backup --keyring prod'.");
  EXPECT_EQ(WithKeyringInHints("see 'kekctl status' and 'kekctl keyring new-key-file X'", "prod"),
            "see 'kekctl status' and 'kekctl keyring new-key-file X'");
  EXPECT_EQ(WithKeyringInHints("'kekctl key list --keyring dev'", "prod"),
            "'kekctl key list --keyring dev'");
  EXPECT_EQ(WithKeyringInHints("'kekctl no such' and 'kekctl keyring", "prod"),
            "'kekctl no such' and 'kekctl keyring");
}

}  // namespace
}  // namespace kekd
