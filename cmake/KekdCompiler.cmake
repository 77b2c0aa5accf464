# Compiler, warnings, sanitizers and hardening: what every target of ours is built with.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_CXX_SCAN_FOR_MODULES OFF)

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -g1")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# Assertions of the standard library stay on in every build: an out-of-range index must stop a key
# daemon, not read on.
add_compile_definitions(_GLIBCXX_ASSERTIONS)
# A path of the build machine in __FILE__ would make the build irreproducible.
add_compile_options("-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=")

find_program(KEKD_CCACHE ccache)
if(KEKD_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER "${KEKD_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${KEKD_CCACHE}")
endif()

# The warnings are for our code only: generated code and bench/'s foreign parts do not link this.
add_library(kekd_warnings INTERFACE)
target_compile_options(kekd_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Wcast-qual
  -Wimplicit-fallthrough -Wformat=2 -Wundef -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports the value of a checked absl::StatusOr<std::string> as maybe uninitialised, and
  # some joined std::strings as overlapping copies (its own bugs 105562 and 105651). The
  # sanitizers and clang-tidy look for the real ones.
  target_compile_options(kekd_warnings INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
endif()
if(KEKD_WERROR)
  target_compile_options(kekd_warnings INTERFACE -Werror)
endif()
if(KEKD_THREAD_SAFETY)
  target_compile_options(kekd_warnings INTERFACE -Wthread-safety -Wthread-safety-beta)
endif()

if(KEKD_SANITIZE)
  add_compile_options(-fsanitize=${KEKD_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${KEKD_SANITIZE})
  if(KEKD_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()
set(KEKD_TEST_ENVIRONMENT "")
if(KEKD_SANITIZE STREQUAL "thread")
  # gRPC's own libraries are not instrumented; without this a race-free program is full of reports.
  set(KEKD_TEST_ENVIRONMENT "TSAN_OPTIONS=ignore_noninstrumented_modules=1")
endif()
if(KEKD_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(KEKD_COVERAGE)
  add_compile_options(--coverage -O0)
  add_link_options(--coverage)
endif()

include(CheckPIESupported)
check_pie_supported()
if(KEKD_HARDENING)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -fcf-protection=full)
  add_compile_definitions($<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()
add_compile_options(-ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections)

if(KEKD_TIDY)
  find_program(KEKD_CLANG_TIDY NAMES clang-tidy-16 REQUIRED)
endif()
