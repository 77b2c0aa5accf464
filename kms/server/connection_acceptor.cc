#include "kms/server/connection_acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/log.h"
#include "base/log_throttle.h"
#include "base/mutex.h"
#include "base/posix_error.h"
#include "kms/server/fair_share.h"
#include "kms/server/guarded_sockets.h"
#include "kms/server/thread_pulse.h"

namespace kekd {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::chrono::milliseconds kPauseWithoutDescriptors(100);
constexpr std::chrono::seconds kSweepInterval(5);
constexpr std::chrono::seconds kAfterwards(1);
constexpr int kSweepsAfterwards = 3;
constexpr int kMaxAcceptsAtOnce = 64;

// A GOAWAY frame (RFC 9113, section 6.8) that promises to answer every stream: open no more of them
// here. Length 8, type 7, no flags, stream 0; last stream 2^31-1, NO_ERROR.
constexpr std::array<char, 17> kGoAway = {0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, -1, -1, -1, 0, 0, 0, 0};
// What a client has left unread, by the kernel's count with its overhead.
constexpr int kMuchUnread = 32 * 1024;

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
    if (!loop->Watch(loop->wake_.get(), kWakeId, EPOLLIN)) return PosixError(errno, "epoll_ctl");
    for (size_t i = 0; i < loop->listeners_.size(); ++i) {
      if (!loop->Watch(loop->listeners_[i]->socket.fd, i, EPOLLIN)) {
        return PosixError(errno, "epoll_ctl");
      }
    }
    return loop;
  }

  void Run() {
    std::array<epoll_event, 64> events;
    while (!stop_.load()) {
      const int n =
          epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), TimeoutMillis());
      for (int i = 0; i < n; ++i) Dispatch(events[static_cast<size_t>(i)]);
      DropOverdue();
    }
    Drain();
    SendAway();
    // Adopted connections live on in gRPC; only our duplicates of their descriptors close.
    while (!peers_.empty()) Forget(peers_.begin());
  }

  void Stop() {
    stop_.store(true);
    Wake();
  }

  void SetPolicies(std::vector<PeerPolicy> policies) {
    {
      MutexLock lock(&policies_mu_);
      policies_ = std::move(policies);
    }
    policies_changed_.store(true);
    Wake();
  }

  absl::Duration CheckPulse() {
    return pulse_.Check([this] { Wake(); });
  }

  Stats GetStats(size_t index) const {
    const Listener& listener = *listeners_[index];
    return {listener.adopted.load(), listener.refused.load()};
  }

 private:
  struct Listener {
    size_t index = 0;
    Socket socket;
    std::atomic<uint64_t> adopted{0};
    std::atomic<uint64_t> refused{0};
    std::list<uint64_t> pending;  // ids, the oldest first
    LogThrottle refusal_log;
  };
  struct Peer {
    Listener* listener = nullptr;
    UniqueFd fd;  // the connection while pending; a duplicate of it once adopted
    PeerCredentials credentials;
    bool adopted = false;
    bool leaving = false;  // shut down, to make room
    SteadyTime connect_time;
    std::list<uint64_t>::iterator pending_position;
  };
  // What epoll tells an event by. Never a descriptor: those recur, and an event of one that was
  // closed in this round would hit its successor. Listeners have their index, peers what is above.
  static constexpr uint64_t kFirstPeerId = uint64_t{1} << 32;
  static constexpr uint64_t kWakeId = kFirstPeerId - 1;

  explicit Loop(std::vector<Socket> sockets) {
    std::vector<PeerPolicy> policies;
    for (Socket& socket : sockets) {
      policies.push_back(std::move(socket.policy));
      listeners_.push_back(std::make_unique<Listener>());
      listeners_.back()->index = listeners_.size() - 1;
      listeners_.back()->socket = std::move(socket);
    }
    MutexLock lock(&policies_mu_);
    policies_ = std::move(policies);
  }

  void Wake() {
    const uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof(one));
  }

  void OnWake() {
    uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof(count));
    pulse_.Answer();
    if (policies_changed_.exchange(false)) CloseDisallowed();
  }

  bool Allows(const Listener& listener, const PeerCredentials& peer) {
    MutexLock lock(&policies_mu_);
    return policies_[listener.index].Allows(peer.uid, peer.gid);
  }

  // Ends the connections that the policies no longer allow. Those in gRPC are shut down by our
  // duplicates of their descriptors: gRPC then finds them ended, and so do we.
  void CloseDisallowed() {
    for (auto it = peers_.begin(); it != peers_.end();) {
      const auto peer = it++;
      if (Allows(*peer->second.listener, peer->second.credentials)) continue;
      Refuse(*peer->second.listener,
             absl::StrCat(peer->second.credentials.ToString(), " is no longer allowed"));
      if (peer->second.adopted) {
        shutdown(peer->second.fd.get(), SHUT_RDWR);
      } else {
        Forget(peer);
      }
    }
  }

  // Has the clients leave by themselves, and waits for it. gRPC's own shutdown tells them too, but
  // cancels each call that a client began before it had read that: some calls a restart. So we tell
  // them first, on our duplicates of the connections, while gRPC still answers. Its writes are
  // whole frames as long as the socket takes them; a client that does not read gets nothing from
  // us.
  void SendAway() {
    for (const auto& [id, peer] : peers_) {
      int unread = 0;
      if (ioctl(peer.fd.get(), SIOCOUTQ, &unread) != 0 || unread > kMuchUnread) continue;
      (void)!send(peer.fd.get(), kGoAway.data(), kGoAway.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    const SteadyTime deadline =
        std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(kLeaveTimeout);
    std::array<epoll_event, 64> events;
    while (!peers_.empty()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return;
      const int n = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                               static_cast<int>(left.count()));
      for (int i = 0; i < n; ++i) Dispatch(events[static_cast<size_t>(i)]);
    }
  }

  // Who has connected shall not find the connection broken in the middle of its beginning: all who
  // wait are accepted and have a moment for their preface. gRPC then tells them to go elsewhere.
  void Drain() {
    preface_timeout_ = absl::ToChronoMilliseconds(kStopGrace);
    for (const auto& listener : listeners_) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener->socket.fd, nullptr);
      Accept(*listener);
    }
    paused_until_ = SteadyTime::max();
    DropOverdue();
    std::array<epoll_event, 64> events;
    for (;;) {
      const int timeout = TimeoutMillis();
      if (timeout < 0) return;  // nobody is pending
      const int n =
          epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
      for (int i = 0; i < n; ++i) Dispatch(events[static_cast<size_t>(i)]);
      DropOverdue();
    }
  }

  bool Watch(int fd, uint64_t id, uint32_t what) {
    epoll_event event = {};
    event.events = what;
    event.data.u64 = id;
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }

  // Until the next preface is overdue, accepting is resumed or connections are looked at; -1 for
  // ever.
  int TimeoutMillis() const {
    SteadyTime next = paused_until_;
    if (!stop_.load()) next = std::min(next, next_sweep_);
    for (const auto& listener : listeners_) {
      if (listener->pending.empty()) continue;
      next = std::min(next, peers_.at(listener->pending.front()).connect_time + preface_timeout_);
    }
    if (next == SteadyTime::max()) return -1;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(next - std::chrono::steady_clock::now());
    return static_cast<int>(std::max<int64_t>(0, left.count()));
  }

  void Dispatch(const epoll_event& event) {
    const uint64_t id = event.data.u64;
    if (id == kWakeId) return OnWake();
    if (id < listeners_.size()) return Accept(*listeners_[id]);
    const auto it = peers_.find(id);
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
    const absl::StatusOr<PeerCredentials> peer = PeerCredentials::OfSocket(fd.get());
    if (!peer.ok() || !Allows(listener, *peer)) {
      Refuse(listener, peer.ok() ? absl::StrCat("uid ", peer->uid, ", gid ", peer->gid, ", pid ",
                                                peer->pid, " is not allowed")
                                 : peer.status().ToString());
      return;
    }
    if (listener.pending.size() >= kMaxPending) {
      Refuse(listener, "too many peers have connected without a word");
      const auto victim = Victim(listener, *peer, Stage::kPending);
      Forget(victim != peers_.end() ? victim : peers_.find(listener.pending.front()));
    }
    const uint64_t id = next_peer_id_++;
    // Edge-triggered: bytes that are only peeked at must not wake us again and again.
    if (!Watch(fd.get(), id, EPOLLIN | EPOLLRDHUP | EPOLLET)) return;
    Peer& entry = peers_[id];
    entry.listener = &listener;
    entry.fd = std::move(fd);
    entry.credentials = *peer;
    entry.connect_time = std::chrono::steady_clock::now();
    entry.pending_position = listener.pending.insert(listener.pending.end(), id);
    Advance(peers_.find(id));
  }

  using PeerIterator = std::unordered_map<uint64_t, Peer>::iterator;

  enum class Stage { kPending, kAdopted };

  // Who makes room for a newcomer; the end if nobody does.
  PeerIterator Victim(const Listener& listener, const PeerCredentials& newcomer, Stage stage) {
    std::vector<Occupant> occupants;
    for (const auto& [id, peer] : peers_) {
      const bool counts =
          peer.listener == &listener && !peer.leaving && peer.adopted == (stage == Stage::kAdopted);
      if (counts) occupants.push_back({id, peer.credentials});
    }
    const std::optional<uint64_t> victim = ChooseVictim(occupants, newcomer);
    return victim.has_value() ? peers_.find(*victim) : peers_.end();
  }

  void Advance(PeerIterator it) {
    switch (PeekPreface(it->second.fd.get())) {
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
    UniqueFd connection = std::move(it->second.fd);
    const PeerCredentials credentials = it->second.credentials;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connection.get(), nullptr);
    Forget(it);
    if (listener.adopted.load() >= kMaxConnections) {
      const auto victim = Victim(listener, credentials, Stage::kAdopted);
      if (victim == peers_.end()) {
        Refuse(listener, absl::StrCat("there are ", kMaxConnections, " connections already"));
        return;
      }
      Refuse(listener, absl::StrCat("pid ", victim->second.credentials.pid, " has too many; pid ",
                                    credentials.pid, " gets its place"));
      victim->second.leaving = true;
      shutdown(victim->second.fd.get(), SHUT_RDWR);
    }
    UniqueFd duplicate(fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
    const uint64_t id = next_peer_id_++;
    if (!duplicate.valid() || !Watch(duplicate.get(), id, 0)) {
      Refuse(listener, "no descriptor is left");
      return;
    }
    Peer& entry = peers_[id];
    entry.listener = &listener;
    entry.fd = std::move(duplicate);
    entry.credentials = credentials;
    entry.adopted = true;
    listener.adopted.fetch_add(1);
    next_sweep_ = std::min(next_sweep_, std::chrono::steady_clock::now() + kSweepInterval);
    listener.socket.adopt(std::move(connection), credentials);
  }

  void Forget(PeerIterator it) {
    Peer& peer = it->second;
    if (peer.adopted) {
      peer.listener->adopted.fetch_sub(1);
      // Once gRPC has let go of it, which may take a while.
      sweeps_left_ = kSweepsAfterwards;
      next_sweep_ = std::min(next_sweep_, std::chrono::steady_clock::now() + kAfterwards);
      const std::string offence = GuardedSockets::Instance().End(peer.fd.get());
      if (!offence.empty()) {
        Refuse(*peer.listener, absl::StrCat(peer.credentials.ToString(), ": ", offence));
      }
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
        if (it->second.connect_time + preface_timeout_ > now) break;
        Refuse(*listener, "it sent no HTTP/2 preface in time");
        Forget(it);
      }
    }
    if (paused_until_ <= now) ResumeAccepting();
    if (now < next_sweep_) return;
    // Not after a standstill of kekd: what its peers did meanwhile is still to be read.
    if (now < next_sweep_ + kSweepInterval) GuardedSockets::Instance().Sweep();
    ReturnFreeMemory();
    if (peers_.empty() && sweeps_left_ > 0) --sweeps_left_;
    const bool more = !peers_.empty() || sweeps_left_ > 0;
    next_sweep_ = more ? now + kSweepInterval : SteadyTime::max();
  }

  // Storms leave holes in the heap that malloc(3) would keep.
  static void ReturnFreeMemory() {
    constexpr size_t kWorthTheTrouble = size_t{8} << 20;
    if (mallinfo2().fordblks > kWorthTheTrouble) malloc_trim(0);
  }

  // Out of descriptors: a level-triggered listener would spin. Peers that have said nothing are the
  // first to give theirs back.
  void PauseAccepting() {
    for (const auto& listener : listeners_) {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener->socket.fd, nullptr);
      while (!listener->pending.empty()) Forget(peers_.find(listener->pending.front()));
    }
    paused_until_ = std::chrono::steady_clock::now() + kPauseWithoutDescriptors;
    if (const std::optional<uint64_t> not_logged = pause_log_.Admit()) {
      LogWarning("out of file descriptors; accepting is paused for a moment",
                 {{"not_logged", *not_logged}});
    }
  }

  void ResumeAccepting() {
    paused_until_ = SteadyTime::max();
    for (size_t i = 0; i < listeners_.size(); ++i) {
      if (Watch(listeners_[i]->socket.fd, i, EPOLLIN) || errno == EEXIST) continue;
      paused_until_ = std::chrono::steady_clock::now() + kPauseWithoutDescriptors;  // once more
    }
  }

  static void Refuse(Listener& listener, absl::string_view why) {
    listener.refused.fetch_add(1);
    if (const std::optional<uint64_t> not_logged = listener.refusal_log.Admit()) {
      LogWarning("refused a connection",
                 {{"socket", listener.socket.name}, {"reason", why}, {"not_logged", *not_logged}});
    }
  }

  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<uint64_t, Peer> peers_;  // by id
  uint64_t next_peer_id_ = kFirstPeerId;
  LogThrottle pause_log_;
  UniqueFd epoll_;
  UniqueFd wake_;
  SteadyTime paused_until_ = SteadyTime::max();
  SteadyTime next_sweep_ = SteadyTime::max();
  int sweeps_left_ = 0;  // once nobody is connected any more
  std::chrono::milliseconds preface_timeout_ = absl::ToChronoMilliseconds(kPrefaceTimeout);
  Mutex policies_mu_;
  std::vector<PeerPolicy> policies_ ABSL_GUARDED_BY(policies_mu_);  // by the listener's index
  std::atomic<bool> policies_changed_{false};
  ThreadPulse pulse_;
  std::atomic<bool> stop_{false};
};

absl::StatusOr<std::unique_ptr<ConnectionAcceptor>> ConnectionAcceptor::Create(
    std::vector<Socket> sockets) {
  absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Create(std::move(sockets));
  if (!loop.ok()) return loop.status();
  return std::unique_ptr<ConnectionAcceptor>(new ConnectionAcceptor(*std::move(loop)));
}

ConnectionAcceptor::ConnectionAcceptor(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

ConnectionAcceptor::~ConnectionAcceptor() { Stop(); }

void ConnectionAcceptor::Start() {
  thread_ = std::thread([this] { loop_->Run(); });
  pthread_setname_np(thread_.native_handle(), "kekd-accept");
}

ConnectionAcceptor::Stats ConnectionAcceptor::GetStats(size_t index) const {
  return loop_->GetStats(index);
}

void ConnectionAcceptor::SetPolicies(std::vector<PeerPolicy> policies) {
  loop_->SetPolicies(std::move(policies));
}

absl::Duration ConnectionAcceptor::CheckPulse() { return loop_->CheckPulse(); }

void ConnectionAcceptor::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

}  // namespace kekd
