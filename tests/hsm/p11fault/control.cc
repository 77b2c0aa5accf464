#include "tests/hsm/p11fault/control.h"

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

namespace kekd::p11fault {
namespace {

// What every call says while the control file can't be understood: no real module's value.
constexpr CK_RV kBadOrders = CKR_VENDOR_DEFINED | 0xbad;

// An entry of the file "calls": the name in four words, then the numbers.
constexpr size_t kNameWords = 4;
constexpr size_t kEntryWords = kNameWords + 3;
enum Column : size_t { kCalls = kNameWords, kReached, kFailed };

size_t At(Function function, Column column) {
  return static_cast<size_t>(function) * kEntryWords + column;
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
         a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

}  // namespace

Control::Control(std::string path) : path_(std::move(path)), folder_(path_ + ".counters") {}

std::string Control::Start() {
  if (mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) {
    return folder_ + ": " + std::strerror(errno);
  }
  calls_ = SharedWords::Map(folder_ + "/calls", kFunctions * kEntryWords);
  if (calls_ == nullptr) return folder_ + "/calls: " + std::strerror(errno);
  for (size_t at = 0; at < kFunctions; ++at) {
    std::strncpy(reinterpret_cast<char*>(calls_->words() + at * kEntryWords),
                 NameOf(static_cast<Function>(at)), kNameWords * sizeof(uint64_t));
  }
  return Current()->error;
}

std::shared_ptr<const Control::Snapshot> Control::Read(const Snapshot* before) const {
  auto snapshot = std::make_shared<Snapshot>();
  std::ifstream file(path_);
  std::stringstream text;
  text << file.rdbuf();
  ParsedOrders parsed = Parse(text.str());
  if (!file) parsed.error = std::strerror(errno);
  std::map<std::string, std::shared_ptr<Count>> old;
  if (before != nullptr) {
    for (const Standing& standing : before->standing) {
      old[standing.order.identity] = standing.count;
    }
  }
  for (const Order& order : parsed.orders.orders) {
    std::shared_ptr<Count> count = old[order.identity];
    if (count == nullptr) {
      count = std::make_shared<Count>();
      if (!order.name.empty()) {
        count->everywhere = SharedWords::Map(folder_ + "/order-" + order.name, 2);
        if (count->everywhere == nullptr) parsed.error = order.name + ": " + std::strerror(errno);
      }
    }
    snapshot->standing.push_back({order, std::move(count)});
  }
  snapshot->orders = std::make_shared<const Orders>(std::move(parsed.orders));
  if (!parsed.error.empty()) {
    snapshot->error = path_ + ": " + parsed.error;
    std::fprintf(stderr, "p11fault: %s\n", snapshot->error.c_str());
  }
  return snapshot;
}

std::shared_ptr<const Control::Snapshot> Control::Current() {
  const std::lock_guard<std::mutex> lock(mu_);
  struct stat now = {};
  // A file that is away for a moment (a test renames) changes nothing.
  if (stat(path_.c_str(), &now) != 0 && snapshot_ != nullptr) return snapshot_;
  if (snapshot_ == nullptr || !SameFile(now, seen_)) {
    snapshot_ = Read(snapshot_.get());
    seen_ = now;
  }
  return snapshot_;
}

bool Control::Stands(const std::string& identity) {
  const std::shared_ptr<const Snapshot> current = Current();
  for (const Standing& standing : current->standing) {
    if (standing.order.identity == identity) return true;
  }
  return false;
}

bool Control::IsDue(const Standing& standing) const {
  Count& count = *standing.count;
  uint64_t number = ++count.here;
  if (count.everywhere != nullptr) {
    const uint64_t in_all = count.everywhere->Add(0);
    if (standing.order.in_all) number = in_all;
  }
  const Order& order = standing.order;
  if (number < order.at) return false;
  if (order.times != 0 && number - order.at >= order.times) return false;
  if (count.everywhere != nullptr) count.everywhere->Add(1);
  return true;
}

void Control::Hang(const Order& order) {
  const auto begin = std::chrono::steady_clock::now();
  while (Stands(order.identity)) {
    if (order.value != 0 &&
        std::chrono::steady_clock::now() - begin >= std::chrono::seconds(order.value)) {
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Control::Act(const Order& order, Verdict& verdict) {
  switch (order.action) {
    case Action::kReturn:
      if (!verdict.instead.has_value()) verdict.instead = order.value;
      return;
    case Action::kReturnAfter:
      if (!verdict.afterwards.has_value()) verdict.afterwards = order.value;
      return;
    case Action::kKillSessions:
      verdict.kill_sessions = true;
      return;
    case Action::kHang:
      Hang(order);
      return;
    case Action::kDelay:
      std::this_thread::sleep_for(std::chrono::microseconds(order.value));
      return;
    case Action::kCrash:
      // No handler of a sanitizer in between: the process dies as others' modules make it die.
      std::signal(SIGSEGV, SIG_DFL);
      std::raise(SIGSEGV);
      return;
    case Action::kAbort:
      std::signal(SIGABRT, SIG_DFL);
      std::abort();
    case Action::kExit:
      std::exit(static_cast<int>(order.value));
  }
}

Control::Verdict Control::Begin(Function function) {
  const std::shared_ptr<const Snapshot> current = Current();
  calls_->Add(At(function, kCalls));
  Verdict verdict;
  verdict.orders = current->orders;
  if (!current->error.empty()) {
    verdict.instead = kBadOrders;
    return verdict;
  }
  for (const Standing& standing : current->standing) {
    const Order& order = standing.order;
    if (order.function.has_value() && *order.function != function) continue;
    if (!IsDue(standing)) continue;
    Act(order, verdict);
    verdict.orders = Current()->orders;  // it may have taken a while
  }
  return verdict;
}

void Control::Reached(Function function) { calls_->Add(At(function, kReached)); }

void Control::End(Function function, CK_RV rv) {
  if (rv != CKR_OK) calls_->Add(At(function, kFailed));
}

}  // namespace kekd::p11fault
