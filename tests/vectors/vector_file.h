// Files of published test vectors.
#ifndef KEKD_TESTS_VECTORS_VECTOR_FILE_H_
#define KEKD_TESTS_VECTORS_VECTOR_FILE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/secret_bytes.h"

namespace kekd::testing {

// One vector of a file: names and what stands behind them. A name that is not there ends the
// process: a vector that lacks something must not pass.
class PublishedVector final {
 public:
  bool Has(absl::string_view name) const { return fields_.count(std::string(name)) != 0; }
  const std::string& Text(absl::string_view name) const;
  std::string Bytes(absl::string_view name) const;  // of hexadecimal digits
  SecretBytes Secret(absl::string_view name) const;
  uint32_t Number(absl::string_view name) const;
  // Whether it is one that has to be accepted.
  bool IsValid() const;

  // What a failure says it is of.
  friend std::ostream& operator<<(std::ostream& out, const PublishedVector& vector) {
    return out << "vector '" << vector.Text("id") << "'";
  }

 private:
  friend std::vector<PublishedVector> ReadVectors(absl::string_view name, size_t count);
  std::map<std::string, std::string> fields_;
};

// The vectors of tests/vectors/<name>. Ends the process unless the file is there with exactly
// `count` of them: fewer than were meant would look like success.
std::vector<PublishedVector> ReadVectors(absl::string_view name, size_t count);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_VECTORS_VECTOR_FILE_H_
