#include "tests/cluster/api_server/fake_api_server.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cluster/api_server/json_fields.h"

namespace kekd::testing {
namespace {

std::string Unescape(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    int byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        absl::SimpleHexAtoi(text.substr(i + 1, 2), &byte)) {
      plain.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      plain.push_back(text[i]);
    }
  }
  return plain;
}

std::string QueryValue(const std::string& query, absl::string_view name) {
  for (const absl::string_view part : absl::StrSplit(query, '&')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (pair.first == name) return Unescape(pair.second);
  }
  return "";
}

nlohmann::json Metadata(const std::string& key, uint64_t version) {
  const std::vector<std::string> parts = absl::StrSplit(key, absl::MaxSplits('/', 1));
  nlohmann::json metadata = {{"name", parts.back()}, {"resourceVersion", absl::StrCat(version)}};
  if (parts.size() == 2) metadata["namespace"] = parts[0];
  return {{"kind", "PartialObjectMetadata"}, {"metadata", metadata}};
}

// "/api/v1/namespaces/a/secrets/b": the list's path and the object's key.
std::pair<std::string, std::string> TakeApart(const std::string& path) {
  std::vector<std::string> parts = absl::StrSplit(path, '/');
  const std::string name = Unescape(parts.back());
  parts.pop_back();
  const std::string resource = parts.back();
  parts.pop_back();
  if (parts.size() >= 2 && parts[parts.size() - 2] == "namespaces") {
    const std::string namespace_name = Unescape(parts.back());
    parts.resize(parts.size() - 2);
    return {absl::StrCat(absl::StrJoin(parts, "/"), "/", resource),
            absl::StrCat(namespace_name, "/", name)};
  }
  return {absl::StrCat(absl::StrJoin(parts, "/"), "/", resource), name};
}

}  // namespace

HttpResponse StatusResponse(int http_status, absl::string_view reason, absl::string_view message,
                            absl::string_view about) {
  nlohmann::json status = {{"kind", "Status"},
                           {"status", "Failure"},
                           {"message", std::string(message)},
                           {"reason", std::string(reason)},
                           {"metadata", nlohmann::json::object()},
                           {"code", http_status}};
  if (!about.empty()) status["details"]["name"] = std::string(about);
  HttpResponse response = JsonResponse(FormatJson(status));
  response.status = http_status;
  return response;
}

HttpResponse JsonResponse(absl::string_view json) {
  HttpResponse response;
  response.status = 200;
  response.content_type = "application/json";
  response.body = std::string(json);
  return response;
}

void FakeApiServer::Add(const ApiResource& resource, const std::vector<std::string>& keys) {
  const MutexLock lock(&mu_);
  Objects& objects = lists_[resource.ListPath()];
  for (const std::string& key : keys) objects[key] = {.version = ++revision_, .stale = true};
}

void FakeApiServer::Remove(const ApiResource& resource, const std::string& key) {
  const MutexLock lock(&mu_);
  lists_[resource.ListPath()].erase(key);
}

void FakeApiServer::WriteByOther(const ApiResource& resource, const std::string& key) {
  const MutexLock lock(&mu_);
  lists_[resource.ListPath()][key] = {.version = ++revision_, .stale = false};
}

void FakeApiServer::MakeAllStale() {
  const MutexLock lock(&mu_);
  for (auto& [path, objects] : lists_) {
    for (auto& [key, object] : objects) object.stale = true;
  }
}

std::vector<std::string> FakeApiServer::Stale() const {
  const MutexLock lock(&mu_);
  std::vector<std::string> keys;
  for (const auto& [path, objects] : lists_) {
    for (const auto& [key, object] : objects) {
      if (object.stale) keys.push_back(key);
    }
  }
  return keys;
}

std::map<std::string, int> FakeApiServer::patches() const {
  const MutexLock lock(&mu_);
  return patches_;
}

int FakeApiServer::lists() const {
  const MutexLock lock(&mu_);
  return list_count_;
}

void FakeApiServer::FailNext(HttpMethod method, int times, absl::StatusOr<HttpResponse> answer) {
  const MutexLock lock(&mu_);
  for (int i = 0; i < times; ++i) faults_[method].push_back(answer);
}

void FakeApiServer::Refuse(const std::string& key, HttpResponse answer) {
  const MutexLock lock(&mu_);
  refusals_[key] = std::move(answer);
}

void FakeApiServer::ExpireTokens(bool with_another) {
  const MutexLock lock(&mu_);
  oldest_ = ++revision_;
  gives_another_token_ = with_another;
}

void FakeApiServer::Answer(const std::string& path, HttpResponse answer) {
  const MutexLock lock(&mu_);
  answers_[path] = std::move(answer);
}

void FakeApiServer::Deny(const std::string& verb_and_resource) {
  const MutexLock lock(&mu_);
  denied_.insert(verb_and_resource);
}

void FakeApiServer::OnPatch(std::function<void(int count)> hook) {
  const MutexLock lock(&mu_);
  on_patch_ = std::move(hook);
}

void FakeApiServer::Unsort() {
  const MutexLock lock(&mu_);
  sorted_ = false;
}

absl::StatusOr<HttpResponse> FakeApiServer::Send(const HttpRequest& request, absl::Time) {
  std::function<void(int)> hook;
  int count = 0;
  absl::StatusOr<HttpResponse> answer;
  {
    const MutexLock lock(&mu_);
    if (auto& faults = faults_[request.method]; !faults.empty()) {
      answer = faults.front();
      faults.pop_front();
      return answer;
    }
    const std::pair<std::string, std::string> url =
        absl::StrSplit(request.path, absl::MaxSplits('?', 1));
    if (request.method == HttpMethod::kPost) return Review(request);
    if (request.method == HttpMethod::kGet) {
      if (const auto found = answers_.find(url.first); found != answers_.end()) {
        return found->second;
      }
      return List(url.first, url.second);
    }
    answer = Patch(request);
    count = ++patch_count_;
    hook = on_patch_;
  }
  if (hook) hook(count);
  return answer;
}

HttpResponse FakeApiServer::List(const std::string& path, const std::string& query) {
  const auto found = lists_.find(path);
  if (found == lists_.end()) {
    return StatusResponse(404, "NotFound", "the server could not find the requested resource");
  }
  ++list_count_;
  std::vector<std::pair<std::string, Object>> all(found->second.begin(), found->second.end());
  if (!sorted_) std::reverse(all.begin(), all.end());

  // A token is "REVISION INDEX-OF-THE-LAST-KEY's key".
  const std::string token = QueryValue(query, "continue");
  std::string after;
  uint64_t revision = revision_;
  if (!token.empty()) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(token, absl::MaxSplits(' ', 1));
    if (!absl::SimpleAtoi(parts.first, &revision)) {
      return StatusResponse(400, "BadRequest", "continue key is not valid");
    }
    after = parts.second;
    if (revision < oldest_) {
      HttpResponse expired =
          StatusResponse(410, "Expired", "The provided continue parameter is too old");
      if (gives_another_token_) {
        nlohmann::json status = ParseJson(expired.body);
        status["metadata"]["continue"] = absl::StrCat(revision_, " ", after);
        expired.body = FormatJson(status);
      }
      return expired;
    }
  }
  size_t limit = 0;
  if (!absl::SimpleAtoi(QueryValue(query, "limit"), &limit)) limit = all.size();
  auto begin = all.begin();
  if (!after.empty()) {
    begin = std::find_if(all.begin(), all.end(), [&](const auto& one) {
      return sorted_ ? one.first > after : one.first < after;
    });
  }
  nlohmann::json list = {{"kind", "PartialObjectMetadataList"},
                         {"metadata", {{"resourceVersion", absl::StrCat(revision)}}},
                         {"items", nlohmann::json::array()}};
  for (; begin != all.end() && list["items"].size() < limit; ++begin) {
    list["items"].push_back(Metadata(begin->first, begin->second.version));
  }
  if (begin != all.end()) {
    list["metadata"]["continue"] = absl::StrCat(revision, " ", std::prev(begin)->first);
    list["metadata"]["remainingItemCount"] = all.end() - begin;
  }
  return JsonResponse(FormatJson(list));
}

HttpResponse FakeApiServer::Patch(const HttpRequest& request) {
  const auto [list, key] = TakeApart(request.path.substr(0, request.path.find('?')));
  ++patches_[key];
  if (const auto refused = refusals_.find(key); refused != refusals_.end()) return refused->second;
  const std::string name = key.substr(key.find('/') == std::string::npos ? 0 : key.find('/') + 1);
  Objects& objects = lists_[list];
  const auto found = objects.find(key);
  if (found == objects.end()) {
    return StatusResponse(404, "NotFound", absl::StrCat(name, " not found"), name);
  }
  Object& object = found->second;
  if (TextField(ParseJson(request.body), {"metadata", "resourceVersion"}) !=
      absl::StrCat(object.version)) {
    return StatusResponse(409, "Conflict", "the object has been modified", name);
  }
  if (object.stale) object = {.version = ++revision_, .stale = false};
  return JsonResponse(FormatJson(Metadata(key, object.version)));
}

HttpResponse FakeApiServer::Review(const HttpRequest& request) const {
  const nlohmann::json review = ParseJson(request.body);
  const std::string asked =
      absl::StrCat(TextField(review, {"spec", "resourceAttributes", "verb"}), " ",
                   TextField(review, {"spec", "resourceAttributes", "resource"}));
  return JsonResponse(
      FormatJson({{"kind", "SelfSubjectAccessReview"},
                  {"status", {{"allowed", denied_.find(asked) == denied_.end()}}}}));
}

}  // namespace kekd::testing
