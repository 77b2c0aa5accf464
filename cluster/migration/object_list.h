// A page of a list of objects, as far as their metadata goes.
#ifndef KEKD_CLUSTER_MIGRATION_OBJECT_LIST_H_
#define KEKD_CLUSTER_MIGRATION_OBJECT_LIST_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/api_server/discovery.h"
#include "cluster/api_server/http_transport.h"

namespace kekd {

struct ListedObject {
  std::string namespace_name;  // empty if it has none
  std::string name;
  std::string resource_version;

  // What etcd sorts objects of one resource by: "NAMESPACE/NAME", or the name alone.
  std::string SortKey() const;
};

struct ObjectPage {
  std::vector<ListedObject> objects;
  std::string continue_token;  // empty: it was the last
  uint64_t remaining = 0;      // after this page, if the server tells
};

// Asks for the metadata alone. Annotations are of it, and may repeat what an object contains
// (kubectl apply): the answer is not to be kept, nor logged.
HttpRequest ListRequest(const ApiResource& resource, int limit, absl::string_view continue_token);

// A write that changes nothing, on condition that nobody has written the object since it was
// listed.
HttpRequest TouchRequest(const ApiResource& resource, const ListedObject& object);

// Internal for what is no such list.
absl::StatusOr<ObjectPage> ParseObjectPage(absl::string_view body);

// Of an answer with an object's metadata; empty if it has none.
std::string ResourceVersionOf(absl::string_view body);

}  // namespace kekd

#endif  // KEKD_CLUSTER_MIGRATION_OBJECT_LIST_H_
