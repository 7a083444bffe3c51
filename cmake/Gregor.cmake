# What every folder's CMakeLists.txt uses: gregor_library(), gregor_test(), gregor_fuzzer(), gregor_bench(), and the
# project's compile flags.

find_package(Threads REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wno-unused-parameter -Werror -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12's false positives on std::string and std::vector in optimized builds.
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds
                      -Wno-stringop-overread -fpch-preprocess)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # No time in a precompiled header: ccache would not know it again.
  add_compile_options(-Wthread-safety "SHELL:-Xclang -fno-pch-timestamp")
endif()
if(GREGOR_MERGED AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A source that is included is no header. The compiler collects its garbage less often, which took a tenth of its time.
  add_compile_options(-Wno-subobject-linkage "SHELL:--param ggc-min-expand=1000" "SHELL:--param ggc-min-heapsize=1000000")
endif()
include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
# Third-party headers must not be subject to our warnings.
include_directories(SYSTEM /usr/include)

if(GREGOR_FUZZERS)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
# What `./dev fuzz` and `./dev bench` build.
add_custom_target(fuzzers)
add_custom_target(benchmarks)

# gregor_batches(RESULT argument...): what tools/unity_batches.py makes of the arguments, a list of lists. A batch of so many
# lines takes a minute and 2 GB to compile at most. g++ takes a third less for tests in larger ones; clang does not.
set(GREGOR_BATCH_LINES 3000)
set(GREGOR_TEST_BATCH_LINES 3000)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(GREGOR_TEST_BATCH_LINES 7000)
endif()
function(gregor_batches result)
  execute_process(COMMAND python3 ${CMAKE_SOURCE_DIR}/tools/unity_batches.py ${ARGN}
                  OUTPUT_VARIABLE batches OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  # Which files go together depends on what is in them.
  set(sources ${ARGN})
  list(FILTER sources INCLUDE REGEX "\\.cc$")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tools/unity_batches.py ${sources})
  string(REPLACE ";" "\\;" batches "${batches}")
  string(REPLACE "\n" ";" batches "${batches}")
  set(${result} "${batches}" PARENT_SCOPE)
endfunction()

# gregor_sources(NAME RESULT source...): what the library NAME is compiled from. Where GREGOR_MERGED says so, several files are
# compiled as one, so that the headers that they share are parsed once, and what they share is compiled once: less than half
# the time. Not where one changed file has to be rebuilt in seconds (dev), nor where each is looked at by itself (lint).
function(gregor_sources name result)
  set(${result} ${ARGN} PARENT_SCOPE)
  if(NOT GREGOR_MERGED)
    return()
  endif()
  gregor_batches(batches ${GREGOR_BATCH_LINES} ${ARGN})
  set(number 0)
  set(merged)
  foreach(batch IN LISTS batches)
    list(LENGTH batch size)
    if(size EQUAL 1)
      list(APPEND merged ${batch})
      continue()
    endif()
    # By their names in the tree: another checkout compiles the same text, which the compiler's cache has then.
    list(TRANSFORM batch REPLACE "^(${CMAKE_BINARY_DIR}/gen/|${CMAKE_SOURCE_DIR}/)" "")
    list(TRANSFORM batch REPLACE "(.+)" "#include \"\\1\"\n")
    list(JOIN batch "" text)
    set(output ${CMAKE_CURRENT_BINARY_DIR}/${name}_${number}.cc)
    math(EXPR number "${number} + 1")
    file(CONFIGURE OUTPUT ${output} CONTENT "${text}" @ONLY)
    list(APPEND merged ${output})
  endforeach()
  set(${result} ${merged} PARENT_SCOPE)
endfunction()

# gregor_test_sources(NAME RESULT source...): the same of the test NAME, where GREGOR_MERGED_TESTS says so. In the files that hold
# tests (*_test.cc) what each keeps to itself gets a namespace of its own, as helpers of tests often have the same names.
function(gregor_test_sources name result)
  set(tests ${ARGN})
  set(rest ${ARGN})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER rest EXCLUDE REGEX "_test\\.cc$")
  if(NOT GREGOR_MERGED_TESTS)
    set(${result} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  set(number 0)
  set(outputs)
  if(tests)
    gregor_batches(batches --any-names ${GREGOR_TEST_BATCH_LINES} ${tests})
  endif()
  foreach(batch IN LISTS batches)
    list(LENGTH batch size)
    if(size EQUAL 1)
      list(APPEND rest ${batch})
      continue()
    endif()
    set(output ${CMAKE_CURRENT_BINARY_DIR}/merged_${number}_test.cc)
    math(EXPR number "${number} + 1")
    list(TRANSFORM batch REPLACE "^${CMAKE_SOURCE_DIR}/" "" OUTPUT_VARIABLE names)
    add_custom_command(
      OUTPUT ${output}
      COMMAND python3 ${CMAKE_SOURCE_DIR}/tools/merge_tests.py ${output} ${names}
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR}
      DEPENDS ${CMAKE_SOURCE_DIR}/tools/merge_tests.py ${batch}
      COMMENT "Merging ${output}")
    list(APPEND outputs ${output})
  endforeach()
  if(rest)
    gregor_sources(${name}_rest rest ${rest})
  endif()
  # So that merging does not wait for the libraries that the test is linked with.
  if(outputs)
    add_custom_target(${name}_sources DEPENDS ${outputs})
  endif()
  set(${result} ${rest} ${outputs} PARENT_SCOPE)
endfunction()

# Libraries of folders that are not there yet are left out, so that folders can come in any order.
function(gregor_existing result)
  set(libraries)
  foreach(library ${ARGN})
    if(library MATCHES "^gregor_")
      list(APPEND libraries "$<$<TARGET_EXISTS:${library}>:${library}>")
    else()
      list(APPEND libraries ${library})
    endif()
  endforeach()
  set(${result} ${libraries} PARENT_SCOPE)
endfunction()

# gregor_library(NAME [PCH kind] DEPS lib...): one library of all *.cc in the calling folder.
function(gregor_library name)
  cmake_parse_arguments(arg "" "PCH" "DEPS" ${ARGN})
  gregor_existing(arg_DEPS ${arg_DEPS})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${arg_DEPS})
    return()
  endif()
  gregor_sources(${name} sources ${sources})
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC ${arg_DEPS} Threads::Threads)
  gregor_pch(${name} "${arg_PCH}")
endfunction()

# The tests' own code is not optimized, which took longer to build than the product. What it tests is, save what speaks gRPC,
# commands and the node's set-up, which only are in release (docs/adr/0022-two-compilers.md).
function(gregor_kind_options target kind)
  if(kind MATCHES "test$")
    target_compile_options(${target} PRIVATE -O0 $<$<CONFIG:Release>:-g0>)
  elseif(kind MATCHES "^(cli|grpc)$")
    target_compile_options(${target} PRIVATE $<$<CONFIG:Debug>:-O0>)
  endif()
endfunction()

# In release a target that is used by people, or once, is optimized less: that takes three quarters of the time to build.
# (A precompiled header of another level is taken, but not one of -O0 with another, nor the other way round.)
function(gregor_cold_options target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# Precompiled headers, shared by all targets: `std` (the default), `proto` for messages and what uses them, `grpc` for what speaks
# gRPC, `cli` for what has a command line, `test` and `grpc_test` for tests.
function(gregor_pch name kind)
  if(NOT kind)
    set(kind std)
  elseif(kind STREQUAL "cli" AND GREGOR_MERGED)
    set(kind grpc)  # Of a few merged sources only: no gain.
  endif()
  if(NOT TARGET gregor_pch_${kind})
    file(WRITE ${CMAKE_BINARY_DIR}/pch_${kind}.cc "")
    add_library(gregor_pch_${kind} OBJECT ${CMAKE_BINARY_DIR}/pch_${kind}.cc)
    target_precompile_headers(gregor_pch_${kind} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch_${kind}.h)
    gregor_kind_options(gregor_pch_${kind} ${kind})
  endif()
  gregor_kind_options(${name} ${kind})
  target_precompile_headers(${name} REUSE_FROM gregor_pch_${kind})
endfunction()

# gregor_program(NAME [PCH kind] DEPS lib...): the program <build>/NAME, from main.cc of the calling folder; with jemalloc
# where GREGOR_JEMALLOC says so. The one program is `gregor`, in build/release/gregor.
function(gregor_program name)
  cmake_parse_arguments(arg "" "PCH" "DEPS" ${ARGN})
  gregor_existing(arg_DEPS ${arg_DEPS})
  add_executable(${name} ${CMAKE_CURRENT_SOURCE_DIR}/main.cc)
  target_link_libraries(${name} PRIVATE ${arg_DEPS} Threads::Threads)
  if(GREGOR_JEMALLOC)
    # First in the link, so that malloc() is its from the start.
    target_link_options(${name} PRIVATE -Wl,--no-as-needed -ljemalloc -Wl,--as-needed)
  endif()
  gregor_link_grpc_in(${name})
  gregor_pch(${name} "${arg_PCH}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endfunction()

# gregor_link_grpc_in(NAME): gRPC, Protobuf, RE2 and what they need become part of the program NAME: it starts in half the time and
# takes 4 MB less (docs/adr/0025-grpc-in-the-program.md). mold takes archives in any order, and of an archive and a shared library
# the one that comes first; those that the targets name behind are not needed any more. With another linker they stay shared.
function(gregor_link_grpc_in name)
  if(NOT MOLD)
    return()
  endif()
  set(archives)
  foreach(library grpc++_reflection grpcpp_channelz grpc++ grpc gpr upb address_sorting cares re2 protobuf)
    find_library(GREGOR_ARCHIVE_${library} lib${library}.a REQUIRED)
    list(APPEND archives ${GREGOR_ARCHIVE_${library}})
  endforeach()
  get_filename_component(folder ${GREGOR_ARCHIVE_grpc} DIRECTORY)
  file(GLOB abseil ${folder}/libabsl_*.a)
  target_link_options(${name} PRIVATE -Wl,--as-needed ${archives} ${abseil})
  target_link_libraries(${name} PRIVATE ssl)
endfunction()

# gregor_test(NAME [PCH kind] [LABELS l...] [COST seconds] DEPS lib...): one test binary of all *.cc of the calling folder, save
# *_fuzz.cc and *_main.cc. Those that take longest (COST) begin first. Its cases are counted from the JSON that it leaves in
# <build>/results (tools/run_tests.py).
function(gregor_test name)
  cmake_parse_arguments(arg "" "PCH;COST" "DEPS;LABELS" ${ARGN})
  gregor_existing(arg_DEPS ${arg_DEPS})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_(fuzz|main)\\.cc$")
  if(NOT sources)
    return()
  endif()
  gregor_test_sources(${name} sources ${sources})
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} gmock gtest gtest_main Threads::Threads)
  if(arg_PCH STREQUAL "grpc")
    gregor_pch(${name} grpc_test)
  else()
    gregor_pch(${name} test)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1 --gtest_output=json:${CMAKE_BINARY_DIR}/results/${name}.json
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}")
  if(arg_COST)
    set_tests_properties(${name} PROPERTIES COST ${arg_COST})
  endif()
endfunction()

# gregor_fuzzer(NAME DEPS lib...): NAME_fuzz.cc of the calling folder, which defines LLVMFuzzerTestOneInput(). With
# GREGOR_FUZZERS (the lint preset) it becomes the libFuzzer binary <build>/fuzz/NAME that `./dev fuzz NAME` runs; in every
# other preset a program that replays the committed corpus, tests/fuzz/corpus/NAME/*, as the test fuzz_NAME.
function(gregor_fuzzer name)
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  add_executable(fuzz_${name} ${CMAKE_CURRENT_SOURCE_DIR}/${name}_fuzz.cc)
  target_link_libraries(fuzz_${name} PRIVATE ${arg_DEPS} Threads::Threads)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz OUTPUT_NAME ${name})
  gregor_pch(fuzz_${name} std)
  gregor_cold_options(fuzz_${name})
  set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(GREGOR_FUZZERS)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzzers fuzz_${name})
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} -runs=0 ${corpus})
  else()
    if(NOT TARGET gregor_replay)
      add_library(gregor_replay OBJECT ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
    endif()
    target_sources(fuzz_${name} PRIVATE $<TARGET_OBJECTS:gregor_replay>)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${corpus})
  endif()
  set_tests_properties(fuzz_${name} PROPERTIES LABELS "unit;fuzz")
endfunction()

# gregor_bench(NAME [PCH kind] DEPS lib...): NAME_bench.cc of the calling folder, a Google Benchmark program that
# `./dev bench NAME` builds and runs from <build>/bench/NAME.
function(gregor_bench name)
  cmake_parse_arguments(arg "" "PCH" "DEPS" ${ARGN})
  add_executable(bench_${name} EXCLUDE_FROM_ALL ${CMAKE_CURRENT_SOURCE_DIR}/${name}_bench.cc)
  target_link_libraries(bench_${name} PRIVATE ${arg_DEPS} benchmark benchmark_main Threads::Threads)
  gregor_pch(bench_${name} "${arg_PCH}")
  set_target_properties(bench_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench OUTPUT_NAME ${name})
  add_dependencies(benchmarks bench_${name})
endfunction()

# gregor_pytest(NAME [LABELS l...] [TIMEOUT seconds] [NEEDS target...] FILES path...): a test of pytest files, with the
# system's python3 (Debian's packages of gRPC, Protobuf and pytest belong to it). Their cases are counted from the report that
# they leave in <build>/results. In the environment: GREGOR_BINARY, the `gregor` to test; GREGOR_PYTHON_GENERATED, the folder
# of the generated Python modules.
function(gregor_pytest name)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;NEEDS;FILES" ${ARGN})
  set(needs "")
  foreach(target ${arg_NEEDS})
    if(TARGET ${target})
      string(APPEND needs " ${target}")
    endif()
  endforeach()
  add_test(NAME ${name} COMMAND /usr/bin/python3 -m pytest -q -p no:cacheprovider
           --junitxml=${CMAKE_BINARY_DIR}/results/${name}.xml ${arg_FILES}
           WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" ENVIRONMENT
    "PYTHONDONTWRITEBYTECODE=1;GREGOR_BINARY=${CMAKE_BINARY_DIR}/gregor;GREGOR_PYTHON_GENERATED=${CMAKE_BINARY_DIR}/gen/python;GREGOR_NEEDS=${needs}")
  if(arg_TIMEOUT)
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
  endif()
endfunction()
