# What every folder's CMakeLists.txt uses: gregor_library(), gregor_test(), and the project's compile flags.

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
include_directories(${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/gen)
# Third-party headers must not be subject to our warnings.
include_directories(SYSTEM /usr/include)

# gregor_library(NAME [PCH std|grpc] DEPS lib...): one library of all *.cc in the calling folder.
function(gregor_library name)
  cmake_parse_arguments(arg "" "PCH" "DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${arg_DEPS})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC ${arg_DEPS} Threads::Threads)
  gregor_pch(${name} "${arg_PCH}")
endfunction()

# Precompiled headers: `std` (the default) and `grpc` for what speaks gRPC; shared by all targets.
function(gregor_pch name kind)
  if(NOT kind)
    set(kind std)
  endif()
  if(NOT TARGET gregor_pch_${kind})
    file(WRITE ${CMAKE_BINARY_DIR}/pch_${kind}.cc "")
    add_library(gregor_pch_${kind} OBJECT ${CMAKE_BINARY_DIR}/pch_${kind}.cc)
    target_precompile_headers(gregor_pch_${kind} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch_${kind}.h)
  endif()
  target_precompile_headers(${name} REUSE_FROM gregor_pch_${kind})
endfunction()

# gregor_test(NAME [PCH std|grpc] [LABELS l...] DEPS lib...): one test binary of all *_test.cc of the calling folder.
function(gregor_test name)
  cmake_parse_arguments(arg "" "PCH" "DEPS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_(fuzz|main)\\.cc$")
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${arg_DEPS} gmock gtest gtest_main Threads::Threads)
  gregor_pch(${name} "${arg_PCH}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} --gtest_brief=1 WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}")
endfunction()
