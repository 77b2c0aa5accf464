// Which known name somebody meant who mistyped it.
#ifndef KEKD_BASE_NEAREST_NAME_H_
#define KEKD_BASE_NEAREST_NAME_H_

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace kekd {

// The known name that was most likely meant by the unknown one, whatever its case; empty if none is
// near. A view of the element of `known`; the first of several that are as near.
absl::string_view NearestName(absl::string_view unknown, absl::Span<const absl::string_view> known);

}  // namespace kekd

#endif  // KEKD_BASE_NEAREST_NAME_H_
