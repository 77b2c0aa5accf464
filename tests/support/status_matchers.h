// gMock matchers and assertions for absl::Status and absl::StatusOr; this abseil has none.
#ifndef KEKD_TESTS_SUPPORT_STATUS_MATCHERS_H_
#define KEKD_TESTS_SUPPORT_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kekd::testing {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

class IsOkMatcher {
 public:
  using is_gtest_matcher = void;
  template <typename T>
  bool MatchAndExplain(const T& actual, std::ostream* explanation) const {
    const absl::Status& status = StatusOf(actual);
    if (explanation != nullptr && !status.ok()) *explanation << "which is " << status;
    return status.ok();
  }
  void DescribeTo(std::ostream* out) const { *out << "is OK"; }
  void DescribeNegationTo(std::ostream* out) const { *out << "is an error"; }
};

class StatusIsMatcher {
 public:
  using is_gtest_matcher = void;
  StatusIsMatcher(absl::StatusCode code, ::testing::Matcher<std::string> message)
      : code_(code), message_(std::move(message)) {}

  template <typename T>
  bool MatchAndExplain(const T& actual, std::ostream* explanation) const {
    const absl::Status& status = StatusOf(actual);
    if (explanation != nullptr) *explanation << "which is " << status;
    return status.code() == code_ && message_.Matches(std::string(status.message()));
  }
  void DescribeTo(std::ostream* out) const {
    *out << "has code " << absl::StatusCodeToString(code_) << " and a message that ";
    message_.DescribeTo(out);
  }
  void DescribeNegationTo(std::ostream* out) const {
    *out << "has another code than " << absl::StatusCodeToString(code_) << " or a message that ";
    message_.DescribeNegationTo(out);
  }

 private:
  const absl::StatusCode code_;
  const ::testing::Matcher<std::string> message_;
};

// Converts to a matcher of StatusOr<T> once T is known.
template <typename InnerMatcher>
class IsOkAndHoldsMatcher {
 public:
  explicit IsOkAndHoldsMatcher(InnerMatcher inner) : inner_(std::move(inner)) {}

  template <typename StatusOrT>
  operator ::testing::Matcher<StatusOrT>() const {
    return ::testing::Matcher<StatusOrT>(new Impl<StatusOrT>(inner_));
  }

 private:
  template <typename StatusOrT>
  class Impl : public ::testing::MatcherInterface<StatusOrT> {
   public:
    using Value = typename std::remove_cv_t<std::remove_reference_t<StatusOrT>>::value_type;

    explicit Impl(const InnerMatcher& inner)
        : inner_(::testing::SafeMatcherCast<const Value&>(inner)) {}
    bool MatchAndExplain(StatusOrT actual,
                         ::testing::MatchResultListener* listener) const override {
      if (!actual.ok()) {
        *listener << "which is " << actual.status();
        return false;
      }
      return inner_.MatchAndExplain(*actual, listener);
    }
    void DescribeTo(std::ostream* out) const override {
      *out << "is OK and holds a value that ";
      inner_.DescribeTo(out);
    }
    void DescribeNegationTo(std::ostream* out) const override {
      *out << "is an error or holds a value that ";
      inner_.DescribeNegationTo(out);
    }

   private:
    const ::testing::Matcher<const Value&> inner_;
  };

  InnerMatcher inner_;
};

inline IsOkMatcher IsOk() { return {}; }

inline StatusIsMatcher StatusIs(absl::StatusCode code) {
  return StatusIsMatcher(code, ::testing::A<std::string>());
}
inline StatusIsMatcher StatusIs(absl::StatusCode code, ::testing::Matcher<std::string> message) {
  return StatusIsMatcher(code, std::move(message));
}

template <typename InnerMatcher>
IsOkAndHoldsMatcher<std::decay_t<InnerMatcher>> IsOkAndHolds(InnerMatcher&& inner) {
  return IsOkAndHoldsMatcher<std::decay_t<InnerMatcher>>(std::forward<InnerMatcher>(inner));
}

}  // namespace kekd::testing

#define KEKD_EXPECT_OK(expression) EXPECT_THAT(expression, ::kekd::testing::IsOk())
#define KEKD_ASSERT_OK(expression) ASSERT_THAT(expression, ::kekd::testing::IsOk())

#define KEKD_TEST_JOIN_INNER_(a, b) a##b
#define KEKD_TEST_JOIN_(a, b) KEKD_TEST_JOIN_INNER_(a, b)
#define KEKD_ASSERT_OK_AND_ASSIGN_INNER_(result, declaration, expression) \
  auto result = (expression);                                             \
  ASSERT_THAT(result, ::kekd::testing::IsOk());                           \
  declaration = *std::move(result)

// Assigns the value of a StatusOr, or fails the test. For functions that return void.
#define KEKD_ASSERT_OK_AND_ASSIGN(declaration, expression)                                    \
  KEKD_ASSERT_OK_AND_ASSIGN_INNER_(KEKD_TEST_JOIN_(kekd_test_result_, __LINE__), declaration, \
                                   expression)

#endif  // KEKD_TESTS_SUPPORT_STATUS_MATCHERS_H_
