// The version of this build.
#ifndef KEKD_KMS_CONFIG_VERSION_H_
#define KEKD_KMS_CONFIG_VERSION_H_

namespace kekd {

// "0.1.0", from the project's CMakeLists.txt.
inline constexpr char kKekdVersion[] = KEKD_VERSION;

}  // namespace kekd

#endif  // KEKD_KMS_CONFIG_VERSION_H_
