#include "kms/server/secret_message.h"

#include <gmock/gmock.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kms/v2/api.pb.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr size_t kInlinedBytes = 23;  // what gRPC keeps in a slice itself

// A request as gRPC hands it over, in pieces of memory that it has read into.
class Received {
 public:
  explicit Received(std::vector<std::string> pieces) : memory_(std::move(pieces)) {
    std::vector<grpc::Slice> slices;
    for (std::string& piece : memory_) {
      slices.emplace_back(piece.data(), piece.size(), [](void*) {});
    }
    buffer_ = grpc::ByteBuffer(slices.data(), slices.size());
  }
  grpc::ByteBuffer& buffer() { return buffer_; }
  bool IsWiped() const {
    for (const std::string& piece : memory_) {
      if (piece != std::string(piece.size(), '\0')) return false;
    }
    return true;
  }

 private:
  std::vector<std::string> memory_;
  grpc::ByteBuffer buffer_;
};

std::string SomeRequest() {
  ::v2::EncryptRequest request;
  request.set_plaintext("a seed of 32 bytes as they all are");
  request.set_uid("7c0ab9d2-5f61-4e57-9c3c-2a1b6f0e8d44");
  return request.SerializeAsString();
}

TEST(SecretMessageTest, TakesAMessageAndWipesItWhereItLay) {
  Received received({SomeRequest()});
  ::v2::EncryptRequest request;
  ASSERT_THAT(TakeMessage(received.buffer(), request), IsOk());
  EXPECT_EQ(request.SerializeAsString(), SomeRequest());
  EXPECT_TRUE(received.IsWiped());
  EXPECT_FALSE(received.buffer().Valid());
}

TEST(SecretMessageTest, TakesAMessageInPieces) {
  const std::string whole = SomeRequest();
  Received received({whole.substr(0, 10), whole.substr(10, 1), whole.substr(11)});
  ::v2::EncryptRequest request;
  ASSERT_THAT(TakeMessage(received.buffer(), request), IsOk());
  EXPECT_EQ(request.SerializeAsString(), whole);
  EXPECT_TRUE(received.IsWiped());
}

TEST(SecretMessageTest, WipesWhatIsNoMessage) {
  Received received({SomeRequest() + "\xff"});
  ::v2::EncryptRequest request;
  EXPECT_THAT(TakeMessage(received.buffer(), request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(received.IsWiped());
}

TEST(SecretMessageTest, WipesAMessageThatNobodyTakes) {
  Received received({SomeRequest()});
  WipeMessage(received.buffer());
  EXPECT_TRUE(received.IsWiped());
  WipeMessage(received.buffer());
}

TEST(SecretMessageTest, PutsAShortMessageIntoABlockOfItsOwn) {
  ::v2::DecryptResponse response;
  response.set_plaintext("short");
  const grpc::ByteBuffer buffer = PutMessage(response);
  ASSERT_LT(buffer.Length(), kInlinedBytes);
  grpc::Slice slice;
  ASSERT_TRUE(buffer.TrySingleSlice(&slice).ok());
  EXPECT_EQ(std::string(slice.begin(), slice.end()), response.SerializeAsString());
  // The bytes of one that keeps them in itself lie in it.
  const auto* const itself = reinterpret_cast<const uint8_t*>(&slice);
  EXPECT_FALSE(slice.begin() >= itself && slice.begin() < itself + sizeof(slice));
}

TEST(SecretMessageTest, PutsAnEmptyMessage) {
  EXPECT_EQ(PutMessage(::v2::DecryptResponse()).Length(), 0u);
}

}  // namespace
}  // namespace kekd
