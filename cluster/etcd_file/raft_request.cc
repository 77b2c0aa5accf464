#include "cluster/etcd_file/raft_request.h"

#include <algorithm>
#include <array>

#include "base/status_macros.h"
#include "base/wire_reader.h"

namespace kekd {
namespace {

using PutVisitor = absl::FunctionRef<absl::Status(absl::string_view, absl::string_view)>;

// Transactions in transactions; Kubernetes has none.
constexpr int kMaxTxnDepth = 32;

// The methods that begin a request of the second API, where a newer one has a message.
constexpr std::array<absl::string_view, 7> kOldMethods = {"DELETE", "GET",  "HEAD", "POST",
                                                          "PUT",    "QGET", "SYNC"};

absl::Status NoRequest() { return absl::DataLossError("it is no request"); }

absl::Status VisitPut(absl::string_view put, PutVisitor visit) {
  absl::string_view key;
  absl::string_view value;
  WireReader reader(put);
  while (const std::optional<WireField> field = reader.Next()) {
    if (field->number == 1) key = field->bytes;
    if (field->number == 2) value = field->bytes;
  }
  return reader.ok() ? visit(key, value) : NoRequest();
}

absl::Status VisitTxn(absl::string_view txn, int depth, PutVisitor visit) {
  if (depth == kMaxTxnDepth) return absl::DataLossError("its transactions are too deep");
  WireReader reader(txn);
  while (const std::optional<WireField> branch = reader.Next()) {
    if (branch->number != 2 && branch->number != 3) continue;
    WireReader operation(branch->bytes);
    while (const std::optional<WireField> field = operation.Next()) {
      if (field->number == 2) KEKD_RETURN_IF_ERROR(VisitPut(field->bytes, visit));
      if (field->number == 4) KEKD_RETURN_IF_ERROR(VisitTxn(field->bytes, depth + 1, visit));
    }
    if (!operation.ok()) return NoRequest();
  }
  return reader.ok() ? absl::OkStatus() : NoRequest();
}

}  // namespace

std::optional<RaftEntry> ParseRaftEntry(absl::string_view message) {
  RaftEntry entry;
  WireReader reader(message);
  while (const std::optional<WireField> field = reader.Next()) {
    if (field->number == 1) entry.is_normal = field->number_value == 0;
    if (field->number == 3) entry.index = field->number_value;
    if (field->number == 4) entry.data = field->bytes;
  }
  if (!reader.ok()) return std::nullopt;
  return entry;
}

absl::Status ForEachPut(absl::string_view data, PutVisitor visit) {
  WireReader reader(data);
  while (const std::optional<WireField> field = reader.Next()) {
    const bool is_old = field->number == 2 && std::find(kOldMethods.begin(), kOldMethods.end(),
                                                        field->bytes) != kOldMethods.end();
    if (is_old) return absl::OkStatus();
    if (field->number == 4) KEKD_RETURN_IF_ERROR(VisitPut(field->bytes, visit));
    if (field->number == 6) KEKD_RETURN_IF_ERROR(VisitTxn(field->bytes, 0, visit));
  }
  return reader.ok() ? absl::OkStatus() : NoRequest();
}

}  // namespace kekd
