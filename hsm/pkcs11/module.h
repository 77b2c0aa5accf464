// A PKCS#11 module: the vendor's shared object.
#ifndef KEKD_HSM_PKCS11_MODULE_H_
#define KEKD_HSM_PKCS11_MODULE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hsm/pkcs11/cryptoki3.h"
#include "hsm/token/token_uri.h"

namespace kekd {

// A slot with a token in it, as the module tells of it now.
struct TokenInfo {
  CK_SLOT_ID slot = 0;
  TokenSelector token;
  CK_TOKEN_INFO info = {};
};

// Module is a loaded module: C_Initialize and C_Finalize, and the table of its functions. There is
// one of each in a process, and it is never unloaded: what a module has left running (threads,
// exit handlers) would go on in memory that is gone. Thread-compatible; the functions of the table
// may be called from any thread while it is initialised (CKF_OS_LOCKING_OK).
class Module final {
 public:
  // Loads it (dlopen, C_GetFunctionList) and does not yet initialise it. FailedPrecondition with
  // the loader's reason if that fails, or if it lacks a function that every token needs. Those that
  // only some mechanisms call return CKR_FUNCTION_NOT_SUPPORTED if the module has them not.
  static absl::StatusOr<std::unique_ptr<Module>> Load(const std::string& path,
                                                      std::string init_arguments);
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // C_Initialize; that it is initialised already is fine: nobody else in this process uses it.
  absl::Status Initialise();
  // C_Finalize; that it is not initialised is fine.
  absl::Status Finalise();

  const CK_FUNCTION_LIST& functions() const { return functions_; }
  const CK_FUNCTION_LIST* operator->() const { return &functions_; }

  // The message functions of PKCS#11 3.0; null if the module has them not.
  const FunctionList3* messages() const { return messages_; }

  // Every token that is present, as C_GetSlotList and C_GetTokenInfo tell now. A slot that does not
  // answer is left out.
  // `unread` is set to the error of a slot whose token could not be asked.
  absl::StatusOr<std::vector<TokenInfo>> Tokens(absl::Status& unread) const;
  absl::StatusOr<TokenInfo> ReadTokenInfo(CK_SLOT_ID slot) const;
  // "library description 2.6" and "2.40"; empty if it does not tell.
  std::string Description() const;
  std::string CryptokiVersion() const;

 private:
  Module(const CK_FUNCTION_LIST& functions, const FunctionList3* messages,
         std::string init_arguments)
      : functions_(functions), messages_(messages), init_arguments_(std::move(init_arguments)) {}

  const CK_FUNCTION_LIST functions_;
  const FunctionList3* const messages_;
  std::string init_arguments_;
};

// The one token that `wanted` describes. Unavailable if there is none (it may come back), and
// FailedPrecondition if there are several; both list the candidates.
absl::StatusOr<TokenInfo> FindToken(const Module& module, const TokenSelector& wanted);

// A field of the standard's structures, without the blanks that fill it up.
std::string PaddedText(const unsigned char* field, size_t size);
std::string VersionText(const CK_VERSION& version);  // "2.40"

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_MODULE_H_
