#include "base/yaml/yaml_document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxFields = 256;  // of one mapping; each is compared with all before it

absl::Status ErrorAt(absl::string_view origin, int line, int column, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(origin, ":", line, ":", column, ": ", what));
}

// Builds the tree from the parser's events, since yaml-cpp's own tree no longer shows aliases and
// duplicate keys. The first error wins; what comes after it is skipped.
class TreeBuilder final : public YAML::EventHandler {
 public:
  explicit TreeBuilder(absl::string_view origin) : origin_(origin) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) Fail(mark, "a second YAML document; the file must hold one");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    Add(NewNode(YamlNode::Kind::kNull, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(mark, "YAML aliases (\"*name\") are not allowed here; write the value out");
  }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    Fail(mark, "YAML anchors (\"&name\") are not allowed here; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    CheckTag(mark, tag);
    YamlNode node = NewNode(YamlNode::Kind::kScalar, mark);
    node.scalar = value;
    Add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Push(mark, NewNode(YamlNode::Kind::kSequence, mark));
  }
  void OnSequenceEnd() override { Pop(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Push(mark, NewNode(YamlNode::Kind::kMapping, mark));
  }
  void OnMapEnd() override { Pop(); }

  bool failed() const { return !status_.ok(); }
  absl::StatusOr<YamlNode> Take() && {
    if (!status_.ok()) return status_;
    if (documents_ == 0) return ErrorAt(origin_, 1, 1, "there is nothing in it");
    return std::move(root_);
  }

 private:
  static YamlNode NewNode(YamlNode::Kind kind, const YAML::Mark& mark) {
    YamlNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }

  void Fail(const YAML::Mark& mark, absl::string_view what) {
    if (status_.ok()) status_ = ErrorAt(origin_, mark.line + 1, mark.column + 1, what);
  }
  void FailAt(const YamlNode& node, absl::string_view what) {
    if (status_.ok()) status_ = ErrorAt(origin_, node.line, node.column, what);
  }

  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    // "?": plain; "!": quoted; empty: a collection.
    if (tag != "?" && tag != "!" && !tag.empty()) {
      Fail(mark, "YAML tags (\"!type\") are not allowed here; write the value alone");
    }
  }

  void Push(const YAML::Mark& mark, YamlNode node) {
    if (open_.size() >= kMaxDepth) {
      Fail(mark, absl::StrCat("more than ", kMaxDepth, " levels of nesting"));
    }
    open_.push_back(std::move(node));
  }

  void Pop() {
    YamlNode node = std::move(open_.back());
    open_.pop_back();
    Add(std::move(node));
  }

  void Add(YamlNode node) {
    if (failed()) return;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    YamlNode& parent = open_.back();
    if (parent.kind == YamlNode::Kind::kMapping && parent.keys.size() == parent.values.size()) {
      AddKey(parent, std::move(node));
      return;
    }
    parent.values.push_back(std::move(node));
  }

  void AddKey(YamlNode& parent, YamlNode key) {
    if (key.kind != YamlNode::Kind::kScalar) {
      FailAt(key, "a field's name must be a plain text");
      return;
    }
    const std::string shown = absl::Utf8SafeCHexEscape(key.scalar);
    if (key.scalar == "<<") {
      FailAt(key, "YAML merge keys (\"<<\") are not allowed here; write the fields out");
      return;
    }
    for (const YamlNode& other : parent.keys) {
      if (other.scalar != key.scalar) continue;
      FailAt(key, absl::StrCat("field \"", shown,
                               "\" is given a second time; the first is in line ", other.line));
      return;
    }
    if (parent.keys.size() >= kMaxFields) {
      FailAt(key, absl::StrCat("more than ", kMaxFields, " fields"));
      return;
    }
    parent.keys.push_back(std::move(key));
  }

  const absl::string_view origin_;
  absl::Status status_;
  int documents_ = 0;
  YamlNode root_;
  std::vector<YamlNode> open_;  // sequences and mappings that have not ended, outermost first
};

}  // namespace

absl::StatusOr<YamlNode> ParseYaml(absl::string_view yaml, absl::string_view origin) {
  // yaml-cpp throws; nothing that it throws leaves this function.
  try {
    std::istringstream in{std::string(yaml)};
    YAML::Parser parser(in);
    TreeBuilder builder(origin);
    while (!builder.failed() && parser.HandleNextDocument(builder)) {
    }
    return std::move(builder).Take();
  } catch (const YAML::Exception& e) {
    return ErrorAt(origin, e.mark.line + 1, e.mark.column + 1, absl::StrCat("not YAML: ", e.msg));
  } catch (const std::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(origin, ": not YAML: ", e.what()));
  }
}

}  // namespace kekd
