# The distribution's libraries as imported targets of our own.
#
# gRPC, protobuf and abseil are linked from their static archives: a quarter less CPU a call, a third
# of the start-up time, and no fifty shared objects to load (SECURITY.md says how a flaw in them
# reaches users). Debian's own CMake targets name the shared objects only. libcrypto and libssl stay
# shared so that the distribution's security updates and its FIPS provider reach a running kekd.

find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(spdlog REQUIRED)
find_package(yaml-cpp REQUIRED)
find_path(KEKD_JSON_INCLUDE nlohmann/json.hpp REQUIRED)
find_path(KEKD_RAPIDJSON_INCLUDE rapidjson/schema.h REQUIRED)
find_program(KEKD_PROTOC protoc REQUIRED)
find_program(KEKD_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

if(KEKD_SHARED_GRPC)
  set(_suffix ".so")
else()
  set(_suffix ".a")
endif()

# Sets out to the archives (or shared objects) of the named libraries.
function(_kekd_find_archives out)
  set(found "")
  foreach(name IN LISTS ARGN)
    string(MAKE_C_IDENTIFIER "KEKD_LIB_${name}${_suffix}" var)
    find_library(${var} NAMES "lib${name}${_suffix}" REQUIRED)
    list(APPEND found "${${var}}")
  endforeach()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

_kekd_find_archives(_protobuf protobuf)
_kekd_find_archives(_grpc grpc++ grpc gpr address_sorting re2 upb cares z)
get_filename_component(_libdir "${KEKD_LIB_protobuf_a}${KEKD_LIB_protobuf_so}" DIRECTORY)
file(GLOB _absl "${_libdir}/libabsl_*${_suffix}")
# Test-only parts of abseil that drag in gtest are no part of a group that everything links.
list(FILTER _absl EXCLUDE REGEX "(scoped_mock_log|scoped_set_env|test|mock)")

# One group, since the archives need each other in a circle, and as one word: CMake drops what is
# repeated on a command line, a second "--start-group" or an archive that an earlier group has too.
function(_kekd_group name)
  add_library(${name} INTERFACE)
  if(KEKD_SHARED_GRPC)
    target_link_libraries(${name} INTERFACE ${ARGN})
  else()
    list(JOIN ARGN "," archives)
    target_link_libraries(${name} INTERFACE "-Wl,--start-group,${archives},--end-group")
  endif()
  target_link_libraries(${name} INTERFACE Threads::Threads)
endfunction()

_kekd_group(kekd_absl ${_absl})
_kekd_group(kekd_protobuf ${_protobuf} ${_absl})
_kekd_group(kekd_grpc ${_grpc} ${_protobuf} ${_absl})
target_link_libraries(kekd_grpc INTERFACE OpenSSL::SSL OpenSSL::Crypto ${CMAKE_DL_LIBS} rt)

add_library(kekd_crypto INTERFACE)
target_link_libraries(kekd_crypto INTERFACE OpenSSL::Crypto)

add_library(kekd_zlib INTERFACE)
target_link_libraries(kekd_zlib INTERFACE "${KEKD_LIB_z_a}${KEKD_LIB_z_so}")

add_library(kekd_spdlog INTERFACE)
target_link_libraries(kekd_spdlog INTERFACE spdlog::spdlog)

find_path(KEKD_SECCOMP_INCLUDE seccomp.h REQUIRED)
find_library(KEKD_SECCOMP_LIBRARY seccomp REQUIRED)
add_library(kekd_seccomp INTERFACE)
target_include_directories(kekd_seccomp SYSTEM INTERFACE "${KEKD_SECCOMP_INCLUDE}")
target_link_libraries(kekd_seccomp INTERFACE "${KEKD_SECCOMP_LIBRARY}")

# p11-kit's header of Cryptoki 2.40 and its parser of PKCS#11 URIs.
find_path(KEKD_P11_KIT_INCLUDE p11-kit/uri.h PATH_SUFFIXES p11-kit-1 REQUIRED)
find_library(KEKD_P11_KIT_LIBRARY p11-kit REQUIRED)
add_library(kekd_p11_kit INTERFACE)
target_include_directories(kekd_p11_kit SYSTEM INTERFACE "${KEKD_P11_KIT_INCLUDE}")
target_link_libraries(kekd_p11_kit INTERFACE "${KEKD_P11_KIT_LIBRARY}")
# For the module's side: no code of p11-kit, its header only.
add_library(kekd_cryptoki INTERFACE)
target_include_directories(kekd_cryptoki SYSTEM INTERFACE "${KEKD_P11_KIT_INCLUDE}")

# Shared: a library that speaks to a network gets the distribution's security updates. The flavour that uses OpenSSL, as
# all else here does.
find_package(CURL 7.77 REQUIRED)
add_library(kekd_curl INTERFACE)
target_link_libraries(kekd_curl INTERFACE CURL::libcurl)

find_package(GTest)
find_package(benchmark)
if(GTest_FOUND)
  set(KEKD_HAVE_TEST_LIBRARIES ON)
else()
  set(KEKD_HAVE_TEST_LIBRARIES OFF)
  message(STATUS "GoogleTest is not installed: tests are not built (./test installs what they need)")
endif()
