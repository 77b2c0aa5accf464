#include "cluster/migration/object_list.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cluster/api_server/json_fields.h"
#include "cluster/api_server/url_text.h"

namespace kekd {
namespace {

// Since Kubernetes 1.15. A server that can't do it answers 406, and never with whole objects.
constexpr char kMetadataList[] = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
constexpr char kMetadata[] = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
// RFC 7386. In contrast to an apply patch it never makes an object, nor a field's owner.
constexpr char kMergePatch[] = "application/merge-patch+json";

}  // namespace

std::string ListedObject::SortKey() const {
  return namespace_name.empty() ? name : absl::StrCat(namespace_name, "/", name);
}

HttpRequest ListRequest(const ApiResource& resource, int limit, absl::string_view continue_token) {
  HttpRequest request;
  request.path = absl::StrCat(resource.ListPath(), "?limit=", limit);
  if (!continue_token.empty()) {
    absl::StrAppend(&request.path, "&continue=", EscapeUrlPart(continue_token));
  }
  request.accept = kMetadataList;
  return request;
}

HttpRequest TouchRequest(const ApiResource& resource, const ListedObject& object) {
  HttpRequest request;
  request.method = HttpMethod::kPatch;
  request.path = absl::StrCat(resource.ObjectPath(object.namespace_name, object.name),
                              "?fieldManager=kekctl-migrate");
  request.accept = kMetadata;
  request.content_type = kMergePatch;
  request.body = FormatJson({{"metadata", {{"resourceVersion", object.resource_version}}}});
  return request;
}

absl::StatusOr<ObjectPage> ParseObjectPage(absl::string_view body) {
  const nlohmann::json list = ParseJson(body);
  if (TextField(list, {"kind"}) != "PartialObjectMetadataList") {
    return absl::InternalError("the answer is no PartialObjectMetadataList");
  }
  ObjectPage page;
  page.continue_token = TextField(list, {"metadata", "continue"});
  page.remaining = NumberField(list, {"metadata", "remainingItemCount"});
  const nlohmann::json& items = ArrayField(list, {"items"});
  page.objects.reserve(items.size());
  for (const nlohmann::json& item : items) {
    ListedObject object;
    object.namespace_name = TextField(item, {"metadata", "namespace"});
    object.name = TextField(item, {"metadata", "name"});
    object.resource_version = TextField(item, {"metadata", "resourceVersion"});
    if (object.name.empty() || object.resource_version.empty()) {
      return absl::InternalError("an object of the list has no name or no resourceVersion");
    }
    page.objects.push_back(std::move(object));
  }
  return page;
}

std::string ResourceVersionOf(absl::string_view body) {
  return TextField(ParseJson(body), {"metadata", "resourceVersion"});
}

}  // namespace kekd
