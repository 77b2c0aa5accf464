#include "tests/hsm/p11fault/shim.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace kekd::p11fault {
namespace {

// The function list of the library; null after a word about why.
CK_FUNCTION_LIST* FindList(void* library, const std::string& path) {
  const auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* list = nullptr;
  if (get_list == nullptr || get_list(&list) != CKR_OK || list == nullptr) {
    std::fprintf(stderr, "p11fault: %s is no PKCS#11 module\n", path.c_str());
    return nullptr;
  }
  return list;
}

// Its list of PKCS#11 3.x; null if it has none.
FunctionList3* FindList3(void* library) {
  const auto get = reinterpret_cast<decltype(FunctionList3::C_GetInterfaceList)>(
      dlsym(library, "C_GetInterfaceList"));
  CK_ULONG count = 0;
  if (get == nullptr || get(nullptr, &count) != CKR_OK) return nullptr;
  std::vector<Interface> interfaces(count);
  if (get(interfaces.data(), &count) != CKR_OK) return nullptr;
  for (const Interface& interface : interfaces) {
    auto* const list = static_cast<FunctionList3*>(interface.functions);
    const bool standard = std::strcmp(interface.name, kStandardInterface) == 0;
    if (standard && list->base.version.major == 3) return list;
  }
  return nullptr;
}

}  // namespace

Shim& Shim::Get() {
  static Shim* const shim = new Shim;  // never destroyed: modules are called until the very end
  return *shim;
}

bool Shim::Start() {
  std::call_once(started_, [this] {
    const char* path = std::getenv("P11FAULT_CONTROL");
    if (path == nullptr) {
      std::fprintf(stderr, "p11fault: P11FAULT_CONTROL is not set\n");
      return;
    }
    control_ = std::make_unique<Control>(path);
    const std::string error = control_->Start();
    if (!error.empty()) {
      std::fprintf(stderr, "p11fault: %s\n", error.c_str());
      return;
    }
    const std::string module = control_->module();
    void* const library = dlopen(module.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      std::fprintf(stderr, "p11fault: %s\n", dlerror());
      return;
    }
    real_ = FindList(library, module);
    real3_ = FindList3(library);
  });
  return real_ != nullptr;
}

void Shim::Initialised(bool now) {
  handles.Reset();
  initialised = now;
  if (now) needs_reinit_ = false;
}

void Shim::KillSessions() {
  const std::unique_lock<std::shared_mutex> lock(in_module_);
  // The login goes with the last of them.
  for (const CK_SESSION_HANDLE session : handles.RemoveAll()) real_->C_CloseSession(session);
}

void Shim::WatchToken(const Orders& orders) {
  if (orders.token_gone && orders.until_reinit) needs_reinit_ = true;
  const bool gone = orders.token_gone || needs_reinit_;
  if (gone_.exchange(gone) == gone || !gone) return;
  KillSessions();
}

}  // namespace kekd::p11fault
