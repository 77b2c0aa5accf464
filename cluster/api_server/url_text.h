// Parts of URLs.
#ifndef KEKD_CLUSTER_API_SERVER_URL_TEXT_H_
#define KEKD_CLUSTER_API_SERVER_URL_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace kekd {

// Everything but unreserved characters (RFC 3986, section 2.3) as %XX: a part of a path or a value
// of a query that can't be taken for anything else.
std::string EscapeUrlPart(absl::string_view text);

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_URL_TEXT_H_
