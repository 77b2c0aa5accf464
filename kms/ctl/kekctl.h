// kekctl without its main.
#ifndef KEKD_KMS_CTL_KEKCTL_H_
#define KEKD_KMS_CTL_KEKCTL_H_

namespace kekd {

// Carries one command line out and returns the exit code (kms/config/exit_code.h). Results go to
// standard output, everything else ("kekctl: ...") to standard error. Nothing is printed on
// standard output by a verb that fails, except the report of a check that did not pass.
int RunKekctl(int argc, const char* const* argv);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_KEKCTL_H_
