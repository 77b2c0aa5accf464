#include "cluster/migration/resource_selection.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/nearest_name.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "base/yaml/yaml_document.h"

namespace kekd {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;

// "widgets.example.com" is of the group "example.com".
absl::string_view GroupOf(absl::string_view name) {
  const size_t dot = name.find('.');
  return dot == absl::string_view::npos ? "" : name.substr(dot + 1);
}

class Selector final {
 public:
  Selector(const ApiResources& there, UnknownResources unknown)
      : there_(there), unknown_(unknown) {}

  absl::Status Select(absl::string_view name) {
    // The same objects under a second name, as for kube-apiserver's own configuration.
    if (name == "events.events.k8s.io") name = "events";
    if (name == "*.*") {
      Add([](const ApiResource&) { return true; });
      AddProblems([](const DiscoveryProblem&) { return true; });
      return absl::OkStatus();
    }
    if (absl::ConsumePrefix(&name, "*.")) {
      Add([&](const ApiResource& one) { return one.group == name; });
      AddProblems([&](const DiscoveryProblem& one) {
        return GroupOf(one.what) == name || absl::StartsWith(one.what, absl::StrCat(name, "/"));
      });
      return absl::OkStatus();
    }
    return SelectOne(std::string(name));
  }

  ResourceSelection Take() && {
    absl::c_sort(selection_.resources,
                 [](const ApiResource& a, const ApiResource& b) { return a.name() < b.name(); });
    return std::move(selection_);
  }

 private:
  template <typename Wanted>
  void Add(const Wanted& wanted) {
    for (const ApiResource& one : there_.all) {
      if (wanted(one) && one.name() != "events.events.k8s.io") AddOne(one);
    }
  }

  void AddOne(const ApiResource& resource) {
    const bool has = absl::c_any_of(selection_.resources, [&](const ApiResource& one) {
      return one.name() == resource.name();
    });
    if (!has) selection_.resources.push_back(resource);
  }

  template <typename Wanted>
  void AddProblems(const Wanted& wanted) {
    for (const DiscoveryProblem& one : there_.problems) {
      if (wanted(one) && !absl::c_linear_search(selection_.problems, one)) {
        selection_.problems.push_back(one);
      }
    }
  }

  absl::Status SelectOne(const std::string& name) {
    if (const ApiResource* const found = there_.Find(name); found != nullptr) {
      AddOne(*found);
      return absl::OkStatus();
    }
    const auto problem = absl::c_find_if(
        there_.problems, [&](const DiscoveryProblem& one) { return one.what == name; });
    if (unknown_ == UnknownResources::kProblem) {
      selection_.problems.push_back(
          problem != there_.problems.end()
              ? *problem
              : DiscoveryProblem{name, "the API server has no such resource", false});
      return absl::OkStatus();
    }
    if (problem != there_.problems.end()) {
      return absl::FailedPreconditionError(absl::StrCat(name, ": ", problem->why));
    }
    return absl::NotFoundError(absl::StrCat("the API server has no resource ", name, Hint(name)));
  }

  // ", is deployments.apps meant?"
  std::string Hint(const std::string& name) const {
    std::vector<std::string> names;
    for (const ApiResource& one : there_.all) {
      if (one.resource == name) return absl::StrCat("; is ", one.name(), " meant?");
      names.push_back(one.name());
    }
    const std::vector<absl::string_view> known(names.begin(), names.end());
    const absl::string_view nearest = NearestName(name, known);
    return nearest.empty() ? "" : absl::StrCat("; is ", nearest, " meant?");
  }

  const ApiResources& there_;
  const UnknownResources unknown_;
  ResourceSelection selection_;
};

const YamlNode* FieldOf(const YamlNode& node, absl::string_view name) {
  if (node.kind != YamlNode::Kind::kMapping) return nullptr;
  for (size_t i = 0; i < node.keys.size(); ++i) {
    if (node.keys[i].scalar == name) return &node.values[i];
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<ResourceSelection> SelectResources(const ApiResources& there,
                                                  absl::Span<const std::string> names,
                                                  UnknownResources unknown) {
  Selector selector(there, unknown);
  for (const std::string& name : names) KEKD_RETURN_IF_ERROR(selector.Select(name));
  return std::move(selector).Take();
}

absl::StatusOr<std::vector<std::string>> ResourcesOfEncryptionConfig(FileSystem& fs,
                                                                     const std::string& path) {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes text, fs.ReadSecretFile(path, kMaxConfigBytes, nullptr));
  KEKD_ASSIGN_OR_RETURN(const YamlNode document,
                        ParseYaml(AsText(text.Reveal(SecretAccessToken())), path));
  const YamlNode* const kind = FieldOf(document, "kind");
  const YamlNode* const entries = FieldOf(document, "resources");
  if (kind == nullptr || kind->scalar != "EncryptionConfiguration" || entries == nullptr ||
      entries->kind != YamlNode::Kind::kSequence) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no EncryptionConfiguration"));
  }
  std::vector<std::string> names;
  for (const YamlNode& entry : entries->values) {
    const YamlNode* const resources = FieldOf(entry, "resources");
    if (resources == nullptr || resources->kind != YamlNode::Kind::kSequence) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", entry.line, ": an entry without its list of resources"));
    }
    for (const YamlNode& one : resources->values) {
      if (!absl::c_linear_search(names, one.scalar)) names.push_back(one.scalar);
    }
  }
  if (names.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " names no resources"));
  }
  return names;
}

}  // namespace kekd
