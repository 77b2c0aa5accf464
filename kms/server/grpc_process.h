// What a process that serves gRPC sets once for all of it.
#ifndef KEKD_KMS_SERVER_GRPC_PROCESS_H_
#define KEKD_KMS_SERVER_GRPC_PROCESS_H_

namespace kekd {

// To be called in main before any thread exists:
//   - GRPC_TRACE and GRPC_VERBOSITY are taken out of the environment: with them gRPC would write
//   the
//     bytes of every message, plaintexts among them, to the log.
//   - gRPC's errors go to our log, and protobuf's, throttled.
//   - Polling is by poll(2), unless GRPC_POLL_STRATEGY says otherwise. Of gRPC's epoll there is one
//     poller in a process: the idle thread of one server takes the events of another and hands them
//     over, which costs a call a third more than it would by itself (docs/performance.md).
//   - abseil's deadlock detector is off. It is on in the distribution's build, looks at every lock
//     inside gRPC, and ends the process on a mere suspicion.
void PrepareGrpc();

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_GRPC_PROCESS_H_
