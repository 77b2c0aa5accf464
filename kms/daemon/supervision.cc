#include "kms/daemon/supervision.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace kekd {
namespace {

// Of the watchdog's period: a hung thread is noticed one part later, and one late wake-up of ours
// still leaves room.
constexpr int kPartsOfPeriod = 4;

}  // namespace

Supervision::Supervision(ServiceManager& manager, Daemon& daemon,
                         std::function<absl::StatusOr<Config>()> load)
    : manager_(manager), daemon_(daemon), load_(std::move(load)) {}

int Supervision::Run(const sigset_t& signals) {
  Ready();
  if (manager_.watchdog_period() > absl::ZeroDuration()) {
    interval_ = std::min(interval_, manager_.watchdog_period() / kPartsOfPeriod);
  }
  const timespec timeout = absl::ToTimespec(interval_);
  // With nobody to tell, nothing is due between two signals.
  const bool tick = manager_.present();
  for (;;) {
    const int signal =
        tick ? sigtimedwait(&signals, nullptr, &timeout) : sigwaitinfo(&signals, nullptr);
    if (signal == SIGTERM || signal == SIGINT) {
      manager_.Stopping();
      return signal;
    }
    if (signal == SIGHUP) Reload();
    if (tick) Tick();
  }
}

void Supervision::Ready() {
  if (manager_.present()) {
    // Kept by the manager, connections wait for the next kekd instead of being refused.
    manager_.ForgetKept();
    for (const int listener : daemon_.OwnListeners()) manager_.Keep(listener);
    daemon_.KeepListeners();
  }
  status_ = daemon_.StatusText();
  manager_.Ready(status_);
}

void Supervision::Reload() {
  manager_.Reloading();
  (void)daemon_.Reload(load_());  // it logs, and its status text tells
  status_ = daemon_.StatusText();
  manager_.Ready(status_);
}

void Supervision::Tick() {
  const absl::Status turning = daemon_.CheckThreads(interval_ / 2);
  if (turning.ok()) {
    if (manager_.watchdog_period() > absl::ZeroDuration()) manager_.Watchdog();
  } else if (!hang_logged_) {
    LogError("no watchdog message is sent", {{"error", turning.message()}});
  }
  hang_logged_ = !turning.ok();
  std::string status =
      turning.ok() ? daemon_.StatusText() : "degraded: " + std::string(turning.message());
  if (status == status_) return;
  status_ = std::move(status);
  manager_.Status(status_);
}

}  // namespace kekd
