#include "tests/fakes/fake_random_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace kekd::testing {

void FakeRandomSource::Queue(absl::string_view bytes) {
  MutexLock lock(&mu_);
  queue_.push_back({false, std::string(bytes)});
}

void FakeRandomSource::QueueFailure() {
  MutexLock lock(&mu_);
  queue_.push_back({true, ""});
}

absl::Status FakeRandomSource::Fill(absl::Span<uint8_t> out) const {
  MutexLock lock(&mu_);
  if (!queue_.empty()) {
    const Queued queued = std::move(queue_.front());
    queue_.pop_front();
    if (queued.fails) return absl::InternalError("the fake random source was told to fail");
    if (queued.bytes.size() != out.size()) {
      return absl::InternalError(absl::StrCat("the fake random source has ", queued.bytes.size(),
                                              " bytes queued, not ", out.size()));
    }
    std::copy(queued.bytes.begin(), queued.bytes.end(), out.begin());
    return absl::OkStatus();
  }
  for (uint8_t& byte : out) {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    byte = static_cast<uint8_t>(z ^ (z >> 31));
  }
  return absl::OkStatus();
}

}  // namespace kekd::testing
