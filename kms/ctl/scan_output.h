// What a scan found, for people, scripts and Prometheus.
#ifndef KEKD_KMS_CTL_SCAN_OUTPUT_H_
#define KEKD_KMS_CTL_SCAN_OUTPUT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cluster/scan_policy.h"
#include "cluster/scan_report.h"
#include "kms/ctl/terminal.h"

namespace kekd {

// A scan with all that is to be said about it.
struct ScanOutcome {
  ScanReport report;
  absl::Time begin;
  absl::Time end;
  std::vector<std::string> keys_from;          // what it was compared with
  std::vector<std::string> foreign_providers;  // that were named: left out of what is opened
  std::optional<ScanPolicy> policy;
  PolicyResult result;  // of the policy
};

// Objects that are damaged and those that no API server could decode, where it could read them at
// all: not among what etcd remembers.
uint64_t DamagedObjects(const ScanReport& report);
// Objects of which it is not known whether they open: their key can't be used, or none has it,
// whosever it may be.
uint64_t UntriedObjects(const ScanReport& report);
// Objects that were opened; like the others not among what etcd remembers.
uint64_t OpenedObjects(const ScanReport& report);

std::string ScanTable(const ScanOutcome& outcome, Colors colors);
// Also the report's file. Field names never change; "format" names the form.
std::string ScanJson(const ScanOutcome& outcome);
// Prometheus' text format (exposition format 0.0.4), for the textfile collector.
std::string ScanMetrics(const ScanOutcome& outcome);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_SCAN_OUTPUT_H_
