#include "kms/server/connection_acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <list>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/posix_error.h"

namespace kekd {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::chrono::milliseconds kPauseWithoutDescriptors(100);
constexpr std::chrono::seconds kRefusalLogInterval(1);
constexpr int kMaxAcceptsAtOnce = 64;

enum class PrefaceState { kIncomplete, kComplete, kWrong };

PrefaceState PeekPreface(int fd) {
  std::array<char, kPreface.size()> buffer;
  const ssize_t n = recv(fd, buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
  if (n < 0) {
    return errno == EAGAIN || errno == EINTR ? PrefaceState::kIncomplete : PrefaceState::kWrong;
  }
  if (n == 0) return PrefaceState::kWrong;  // gone
  const absl::string_view got(buffer.data(), static_cast<size_t>(n));
  if (got != kPreface.substr(0, got.size())) return PrefaceState::kWrong;
  return got.size() == kPreface.size() ? PrefaceState::kComplete : PrefaceState::kIncomplete;
}

}  // namespace

bool PeerPolicy::Allows(uid_t uid, gid_t gid) const {
  return std::find(users.begin(), users.end(), uid) != users.end() ||
         std::find(groups.begin(), groups.end(), gid) != groups.end();
}

// What the acceptor's thread owns; the counters alone are read by others.
class ConnectionAcceptor::Loop final {
 public:
  static absl::StatusOr<std::unique_ptr<Loop>> Create(std::vector<Socket> sockets) {
    std::unique_ptr<Loop> loop(new Loop(std::move(sockets)));
    loop->epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
    loop->wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!loop->epoll_.valid() || !loop->wake_.valid()) return PosixError(errno, "epoll");
    if (!loop->Watch(loop->wake_.get(), EPOLLIN)) return PosixError(errno, "epoll_ctl");
    for (const auto& listener : loop->listeners_) {
      if (!loop->Watch(listener->socket.fd, EPOLLIN)) return PosixError(errno, "epoll_ctl");
    }
    return loop;
  }

  void Run() {
    std::array<epoll_event, 64> events;
    while (!stop_.load()) {
      const int n =
          epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), TimeoutMillis());
      for (int i = 0; i < n; ++i) Dispatch(events[static_cast<size_t>(i)].data.fd);
      DropOverdue();
    }
    // Adopted connections live on in gRPC; only our duplicates of their descriptors close.
    peers_.clear();
  }

  void Stop() {
    stop_.store(true);
    const uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof(one));
  }

  Stats GetStats(size_t index) const {
    const Listener& listener = *listeners_[index];
    return {listener.adopted.load(), listener.refused.load()};
  }

 private:
  struct Listener {
    Socket socket;
    std::atomic<uint64_t> adopted{0};
    std::atomic<uint64_t> refused{0};
    std::list<int> pending;  // descriptors, the oldest first
    SteadyTime next_refusal_log = SteadyTime::min();
    uint64_t refusals_not_logged = 0;
  };
  struct Peer {
    Listener* listener = nullptr;
    UniqueFd fd;  // the connection while pending; a duplicate of it once adopted
    bool adopted = false;
    SteadyTime preface_deadline;
    std::list<int>::iterator pending_position;
  };
  explicit Loop(std::vector<Socket> sockets) {
    for (Socket& socket : sockets) {
      listeners_.push_back(std::make_unique<Listener>());
      listeners_.back()->socket = std::move(socket);
    }
  }

  bool Watch(int fd, uint32_t what) {
    epoll_event event = {};
    event.events = what;
    event.data.fd = fd;
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }

  // Until the next preface is overdue or accepting is resumed; -1 for ever.
  int TimeoutMillis() const {
    SteadyTime next = paused_until_;
    for (const auto& listener : listeners_) {
      if (listener->pending.empty()) continue;
      next = std::min(next, peers_.at(listener->pending.front()).preface_deadline);
    }
    if (next == SteadyTime::max()) return -1;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(next - std::chrono::steady_clock::now());
    return static_cast<int>(std::max<int64_t>(0, left.count()));
  }

  void Dispatch(int fd) {
    if (fd == wake_.get()) return;
    for (const auto& listener : listeners_) {
      if (listener->socket.fd == fd) return Accept(*listener);
    }
    const auto it = peers_.find(fd);
    if (it == peers_.end()) return;  // dropped earlier in this round
    if (it->second.adopted) {
      Forget(it);
    } else {
      Advance(it);
    }
  }

  void Accept(Listener& listener) {
    for (int i = 0; i < kMaxAcceptsAtOnce; ++i) {
      UniqueFd fd(accept4(listener.socket.fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!fd.valid()) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          PauseAccepting();
        }
        return;
      }
      AddPeer(listener, std::move(fd));
    }
  }

  void AddPeer(Listener& listener, UniqueFd fd) {
    ucred peer = {};
    socklen_t size = sizeof(peer);
    if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        !listener.socket.policy.Allows(peer.uid, peer.gid)) {
      Refuse(listener, absl::StrCat("uid ", peer.uid, ", gid ", peer.gid, ", pid ", peer.pid,
                                    " is not allowed"));
      return;
    }
    if (listener.adopted.load() >= kMaxConnections) {
      Refuse(listener, absl::StrCat("there are ", kMaxConnections, " connections already"));
      return;
    }
    if (listener.pending.size() >= kMaxPending) {
      Refuse(listener, "too many peers have connected without a word");
      Forget(peers_.find(listener.pending.front()));
    }
    const int number = fd.get();
    // Edge-triggered: bytes that are only peeked at must not wake us again and again.
    if (!Watch(number, EPOLLIN | EPOLLRDHUP | EPOLLET)) return;
    Peer& entry = peers_[number];
    entry.listener = &listener;
    entry.fd = std::move(fd);
    entry.preface_deadline =
        std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(kPrefaceTimeout);
    entry.pending_position = listener.pending.insert(listener.pending.end(), number);
    Advance(peers_.find(number));
  }

  using PeerIterator = std::unordered_map<int, Peer>::iterator;

  void Advance(PeerIterator it) {
    switch (PeekPreface(it->first)) {
      case PrefaceState::kIncomplete:
        return;
      case PrefaceState::kWrong:
        Refuse(*it->second.listener, "it does not speak HTTP/2");
        Forget(it);
        return;
      case PrefaceState::kComplete:
        Adopt(it);
        return;
    }
  }

  // Passes the connection to gRPC and keeps a duplicate of its descriptor, which tells by a hang-up
  // when the connection has ended: gRPC shuts a socket down before it closes it.
  void Adopt(PeerIterator it) {
    Listener& listener = *it->second.listener;
    UniqueFd duplicate(fcntl(it->first, F_DUPFD_CLOEXEC, 0));
    UniqueFd connection = std::move(it->second.fd);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.get(), nullptr);
    Forget(it);
    if (!duplicate.valid() || !Watch(duplicate.get(), 0)) {
      Refuse(listener, "no descriptor is left");
      return;
    }
    const int number = duplicate.get();
    Peer& entry = peers_[number];
    entry.listener = &listener;
    entry.fd = std::move(duplicate);
    entry.adopted = true;
    listener.adopted.fetch_add(1);
    listener.socket.adopt(std::move(connection));
  }

  void Forget(PeerIterator it) {
    Peer& peer = it->second;
    if (peer.adopted) {
      peer.listener->adopted.fetch_sub(1);
    } else {
      peer.listener->pending.erase(peer.pending_position);
    }
    peers_.erase(it);  // closes the descriptor, which also takes it out of epoll
  }

  void DropOverdue() {
    const SteadyTime now = std::chrono::steady_clock::now();
    for (const auto& listener : listeners_) {
      while (!listener->pending.empty()) {
        const auto it = peers_.find(listener->pending.front());
        if (it->second.preface_deadline > now) break;
        Refuse(*listener, "it sent no HTTP/2 preface in time");
        Forget(it);
      }
    }
    if (paused_until_ <= now) {
      paused_until_ = SteadyTime::max();
      for (const auto& listener : listeners_) Watch(listener->socket.fd, EPOLLIN);
    }
  }

  // Out of descriptors: a level-triggered listener would spin. Peers that have said nothing are the
  // first to give theirs back.
  void PauseAccepting() {
    for (const auto& listener : listeners_) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener->socket.fd, nullptr);
      while (!listener->pending.empty()) Forget(peers_.find(listener->pending.front()));
    }
    paused_until_ = std::chrono::steady_clock::now() + kPauseWithoutDescriptors;
    LogWarning("out of file descriptors; accepting is paused for a moment");
  }

  // Counts, and logs once a second at most: a peer must not be able to fill the disk.
  static void Refuse(Listener& listener, absl::string_view why) {
    listener.refused.fetch_add(1);
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now < listener.next_refusal_log) {
      ++listener.refusals_not_logged;
      return;
    }
    LogWarning("refused a connection", {{"socket", listener.socket.name},
                                        {"reason", why},
                                        {"not_logged", listener.refusals_not_logged}});
    listener.refusals_not_logged = 0;
    listener.next_refusal_log = now + kRefusalLogInterval;
  }

  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<int, Peer> peers_;  // by descriptor
  UniqueFd epoll_;
  UniqueFd wake_;
  SteadyTime paused_until_ = SteadyTime::max();
  std::atomic<bool> stop_{false};
};

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Start(
    std::vector<Socket> sockets) {
  absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Create(std::move(sockets));
  if (!loop.ok()) return loop.status();
  return std::unique_ptr<ConnectionAcceptor>(new ConnectionAcceptor(*std::move(loop)));
}

ConnectionAcceptor::ConnectionAcceptor(std::unique_ptr<Loop> loop)
    : loop_(std::move(loop)), thread_([this] { loop_->Run(); }) {}

ConnectionAcceptor::~ConnectionAcceptor() { Stop(); }

ConnectionAcceptor::Stats ConnectionAcceptor::GetStats(size_t index) const {
  return loop_->GetStats(index);
}

void ConnectionAcceptor::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

}  // namespace kekd
