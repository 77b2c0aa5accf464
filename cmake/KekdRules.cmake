# One function per kind of target. A layer's headers are reachable only through the include path of
# its own target ("build/layers/<target>/<folder>" is a link to the folder), so a file cannot include
# what its target does not link: the arrows base <- keystore <- kms hold by construction.

define_property(GLOBAL PROPERTY KEKD_SOURCES BRIEF_DOCS "Every source file that some target builds")

function(_kekd_note_sources)
  foreach(source IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    set_property(GLOBAL APPEND PROPERTY KEKD_SOURCES "${source}")
  endforeach()
endfunction()

function(_kekd_ours target)
  target_link_libraries(${target} PRIVATE kekd_warnings)
  if(KEKD_TIDY)
    set_target_properties(${target} PROPERTIES CXX_CLANG_TIDY "${KEKD_CLANG_TIDY};--quiet")
  endif()
endfunction()

# Makes "#include "<folder>/x.h"" work for whoever links target, and for nobody else.
function(_kekd_layer target folder)
  set(root "${CMAKE_BINARY_DIR}/layers/${target}")
  cmake_path(GET folder PARENT_PATH parent)
  file(MAKE_DIRECTORY "${root}/${parent}")
  file(CREATE_LINK "${CMAKE_SOURCE_DIR}/${folder}" "${root}/${folder}" SYMBOLIC)
  target_include_directories(${target} PUBLIC "${root}")
endfunction()

# kekd_cc_library(NAME kms_service SRCS a.cc HDRS a.h DEPS keystore PRIVATE_DEPS x [TESTONLY])
# One library per folder. Every header must compile alone: each gets a source file that includes
# nothing else.
function(kekd_cc_library)
  cmake_parse_arguments(arg "TESTONLY" "NAME" "SRCS;HDRS;DEPS;PRIVATE_DEPS" ${ARGN})
  cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY "${CMAKE_SOURCE_DIR}"
    OUTPUT_VARIABLE folder)
  add_library(${arg_NAME} STATIC ${arg_SRCS})
  _kekd_layer(${arg_NAME} "${folder}")
  target_link_libraries(${arg_NAME} PUBLIC ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
  _kekd_ours(${arg_NAME})
  _kekd_note_sources(${arg_SRCS} ${arg_HDRS})

  set(alone "")
  foreach(header IN LISTS arg_HDRS)
    set(source "${CMAKE_BINARY_DIR}/alone/${folder}/${header}.cc")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"${folder}/${header}\"\n" @ONLY)
    list(APPEND alone "${source}")
  endforeach()
  if(alone)
    add_library(${arg_NAME}_headers OBJECT EXCLUDE_FROM_ALL ${alone})
    target_link_libraries(${arg_NAME}_headers PRIVATE ${arg_NAME} ${arg_PRIVATE_DEPS} kekd_warnings)
    set_property(GLOBAL APPEND PROPERTY KEKD_HEADER_TARGETS ${arg_NAME}_headers)
  endif()
endfunction()

# kekd_cc_binary(NAME kekd SRCS main.cc DEPS kms_daemon)
function(kekd_cc_binary)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${arg_NAME} ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_DEPS})
  _kekd_ours(${arg_NAME})
  _kekd_note_sources(${arg_SRCS})
endfunction()

# kekd_cc_test(NAME keystore_test SRCS x_test.cc DEPS keystore [LABELS slow])
# One binary per folder (a static link each is dear); every TEST is its own ctest test.
function(kekd_cc_test)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS;LABELS" ${ARGN})
  add_executable(${arg_NAME} ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_DEPS} GTest::gmock_main)
  _kekd_ours(${arg_NAME})
  _kekd_note_sources(${arg_SRCS})
  gtest_discover_tests(${arg_NAME}
    TEST_PREFIX "${KEKD_PRESET}/"
    DISCOVERY_MODE PRE_TEST
    PROPERTIES TIMEOUT 120 LABELS "unit;${arg_LABELS}" ENVIRONMENT "${KEKD_TEST_ENVIRONMENT}")
endfunction()

# kekd_cc_benchmark(NAME crypto_benchmark SRCS x_benchmark.cc DEPS keystore)
function(kekd_cc_benchmark)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  _kekd_note_sources(${arg_SRCS})
  add_executable(${arg_NAME} EXCLUDE_FROM_ALL ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_DEPS})
  _kekd_ours(${arg_NAME})
endfunction()

# kekd_cc_fuzz(NAME ciphertext_fuzz SRCS ciphertext_fuzz.cc DEPS keystore)
# Its corpus is corpus/<NAME> beside it.
function(kekd_cc_fuzz)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  _kekd_note_sources(${arg_SRCS})
  if(NOT KEKD_BUILD_FUZZERS)
    return()
  endif()
  add_executable(${arg_NAME} ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE ${arg_DEPS})
  _kekd_ours(${arg_NAME})
  set_property(GLOBAL APPEND PROPERTY KEKD_FUZZERS ${arg_NAME})
  set(corpus "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${arg_NAME}")
  if(NOT KEKD_FUZZ)
    target_link_libraries(${arg_NAME} PRIVATE fuzz_short_run)
    add_test(NAME "${KEKD_PRESET}/${arg_NAME}" COMMAND ${arg_NAME} "${corpus}" 2)
    set_tests_properties("${KEKD_PRESET}/${arg_NAME}" PROPERTIES LABELS "unit;fuzz" TIMEOUT 120
      ENVIRONMENT "ASAN_OPTIONS=abort_on_error=1;UBSAN_OPTIONS=abort_on_error=1;${KEKD_TEST_ENVIRONMENT}")
    return()
  endif()
  target_link_options(${arg_NAME} PRIVATE -fsanitize=fuzzer)
  add_test(NAME "${KEKD_PRESET}/${arg_NAME}"
    COMMAND ${arg_NAME} -max_total_time=20 -timeout=5 -rss_limit_mb=2048
      "${CMAKE_CURRENT_BINARY_DIR}/corpus/${arg_NAME}" "${corpus}")
  # What it finds goes to the first folder: the one in the tree holds the seeds only.
  file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/corpus/${arg_NAME}")
endfunction()

# kekd_cc_proto(NAME keyring_proto PROTO kekd/keyring/v1/keyring.proto [GRPC])
# Generated code is a system include without our warnings. Paths are relative to proto/.
function(kekd_cc_proto)
  cmake_parse_arguments(arg "GRPC" "NAME;PROTO" "" ${ARGN})
  set(root "${CMAKE_SOURCE_DIR}/proto")
  set(out "${CMAKE_BINARY_DIR}/proto_gen/${arg_NAME}")
  file(MAKE_DIRECTORY "${out}")
  string(REGEX REPLACE "\\.proto$" "" stem "${arg_PROTO}")
  set(outputs "${out}/${stem}.pb.cc" "${out}/${stem}.pb.h")
  set(flags "--cpp_out=${out}")
  if(arg_GRPC)
    list(APPEND outputs "${out}/${stem}.grpc.pb.cc" "${out}/${stem}.grpc.pb.h")
    list(APPEND flags "--grpc_out=${out}" "--plugin=protoc-gen-grpc=${KEKD_GRPC_CPP_PLUGIN}")
  endif()
  add_custom_command(OUTPUT ${outputs}
    COMMAND "${KEKD_PROTOC}" "-I${root}" ${flags} "${root}/${arg_PROTO}"
    DEPENDS "${root}/${arg_PROTO}" VERBATIM)
  set(sources ${outputs})
  list(FILTER sources INCLUDE REGEX "\\.cc$")
  add_library(${arg_NAME} STATIC ${sources})
  target_include_directories(${arg_NAME} SYSTEM PUBLIC "${out}")
  if(arg_GRPC)
    target_link_libraries(${arg_NAME} PUBLIC kekd_grpc)
  else()
    target_link_libraries(${arg_NAME} PUBLIC kekd_protobuf)
  endif()
endfunction()

# Fails the configuration when a source, header or test lies in the tree but in no target: a file
# that nobody compiles is worse than none.
function(kekd_check_every_source_is_built)
  get_property(built GLOBAL PROPERTY KEKD_SOURCES)
  set(found "")
  foreach(folder base keystore hsm cluster kms tests bench)
    file(GLOB_RECURSE some CONFIGURE_DEPENDS
      "${CMAKE_SOURCE_DIR}/${folder}/*.cc" "${CMAKE_SOURCE_DIR}/${folder}/*.h")
    if(folder MATCHES "^(tests|bench)$" AND NOT KEKD_HAVE_TEST_LIBRARIES)
      continue()
    endif()
    list(APPEND found ${some})
  endforeach()
  list(REMOVE_ITEM found ${built} "")
  if(found)
    list(JOIN found "\n  " names)
    message(FATAL_ERROR "these files are in no target; add them to a CMakeLists.txt:\n  ${names}")
  endif()
  get_property(headers GLOBAL PROPERTY KEKD_HEADER_TARGETS)
  add_custom_target(headers_compile_alone DEPENDS ${headers})
endfunction()
