// kms_latency: measures servers that run already, or the start of one, and prints JSON. bench/run
// calls it with everything in place.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "bench/latency.h"
#include "bench/measurement.h"
#include "bench/start_up.h"

namespace kekd::bench {
namespace {

using Json = nlohmann::ordered_json;

// To hundredths: more would be noise.
double Rounded(double value) { return std::round(value * 100) / 100; }

std::vector<double> Column(const Series& series, double Round::*field) {
  std::vector<double> values(series.rounds.size());
  std::transform(series.rounds.begin(), series.rounds.end(), values.begin(),
                 [field](const Round& round) { return round.*field; });
  return values;
}

const Series& Find(const LatencyReport& report, absl::string_view name, absl::string_view client) {
  return *std::find_if(report.series.begin(), report.series.end(), [&](const Series& series) {
    return series.name == name && series.client == client;
  });
}

// The ratio of the medians over all rounds, and the least and greatest of a single round, which
// tell how far to trust it.
Json RatioOf(const Series& series, const Series& base) {
  const std::vector<double> numerators = Column(series, &Round::p50);
  const std::vector<double> denominators = Column(base, &Round::p50);
  std::vector<double> ratios;
  for (size_t i = 0; i < numerators.size(); ++i) ratios.push_back(numerators[i] / denominators[i]);
  const auto [least, greatest] = std::minmax_element(ratios.begin(), ratios.end());
  return {{"ratio", Rounded(Median(numerators) / Median(denominators))},
          {"least", Rounded(*least)},
          {"greatest", Rounded(*greatest)}};
}

Json ToJson(const LatencyReport& report) {
  const Series& ping_pong = Find(report, "ping-pong", "raw");
  Json list = Json::array();
  for (const Series& series : report.series) {
    Json entry = {{"name", series.name},
                  {"client", series.client},
                  {"p50Micros", Rounded(Median(Column(series, &Round::p50)))},
                  {"p99Micros", Rounded(Median(Column(series, &Round::p99)))},
                  {"serverCpuMicros", Rounded(Median(Column(series, &Round::server_cpu)))},
                  {"toPingPong", RatioOf(series, ping_pong)}};
    if (series.client != ping_pong.client) {
      entry["toEmpty"] = RatioOf(series, Find(report, "empty Encrypt", series.client));
    }
    for (const Round& round : series.rounds) {
      entry["roundsP50Micros"].push_back(Rounded(round.p50));
    }
    list.push_back(std::move(entry));
  }
  return {{"series", std::move(list)},
          {"memory",
           {{"calls", report.memory.calls},
            {"residentKibBefore", report.memory.resident_kib_before},
            {"residentKibAfter", report.memory.resident_kib_after}}}};
}

Json ToJson(const std::vector<StartUp>& starts) {
  std::vector<double> micros;
  std::vector<double> kib;
  for (const StartUp& start : starts) {
    micros.push_back(start.micros);
    kib.push_back(static_cast<double>(start.resident_kib));
  }
  return {{"starts", starts.size()},
          {"medianMicros", Rounded(Median(micros))},
          {"leastMicros", Rounded(*std::min_element(micros.begin(), micros.end()))},
          {"greatestMicros", Rounded(*std::max_element(micros.begin(), micros.end()))},
          {"residentKib", Median(kib)}};
}

template <typename T>
int Print(const absl::StatusOr<T>& result) {
  if (!result.ok()) {
    fprintf(stderr, "kms_latency: %s\n", result.status().ToString().c_str());
    return 1;
  }
  printf("%s\n", ToJson(*result).dump(2).c_str());
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Measures KMS v2 servers on unix sockets; prints JSON.", "kms_latency");
  app.require_subcommand(1);

  LatencyOptions latency;
  CLI::App* calls = app.add_subcommand("calls", "calls to servers that run, in turn");
  calls->add_option("--ping-pong", latency.ping_pong, "socket of 'ping_pong serve'")->required();
  calls->add_option("--empty", latency.empty, "socket of empty_server")->required();
  calls->add_option("--kekd", latency.kekd, "socket of kekd's keyring")->required();
  calls->add_option("--rounds", latency.rounds, "rounds")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  calls->add_option("--calls", latency.calls, "calls of each kind in each round")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  calls->add_flag("!--no-stub", latency.stub, "leave gRPC C++'s own client out");
  calls->add_option("--memory-after", latency.calls_for_memory,
                    "read kekd's memory after this many calls");

  StartUpOptions start_up;
  CLI::App* starts = app.add_subcommand("starts", "starts of one server, one after the other");
  starts->add_option("--count", start_up.starts, "starts")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  starts->add_option("--socket", start_up.socket, "socket that it will serve")->required();
  starts->add_option("--log", start_up.log, "file for its output")->required();
  starts->add_option("command", start_up.command, "the server and its arguments, after --")
      ->required();

  CLI11_PARSE(app, argc, argv);
  return calls->parsed() ? Print(MeasureLatency(latency)) : Print(MeasureStartUps(start_up));
}

}  // namespace
}  // namespace kekd::bench

int main(int argc, char** argv) { return kekd::bench::Main(argc, argv); }
