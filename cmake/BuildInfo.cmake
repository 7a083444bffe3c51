# Writes OUTPUT, the definitions of node/build_info.h; leaves it alone where nothing changed, so that nothing is built again.
# cmake -DSOURCE=DIR -DOUTPUT=FILE -DVERSION=V -DBUILD_TYPE=T -DCOMPILER=C -P BuildInfo.cmake
set(commit "")
find_program(GIT git)
if(GIT)
  execute_process(COMMAND ${GIT} --no-optional-locks -C ${SOURCE} describe --always --dirty --abbrev=12
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(commit STREQUAL "")
  set(commit "unknown")
endif()
set(content "#include \"node/build_info.h\"

namespace gregor {

const BuildInfo& GetBuildInfo() {
  static constexpr BuildInfo kInfo = {\"${VERSION}\", \"${commit}\", \"${BUILD_TYPE}\", \"${COMPILER}\"};
  return kInfo;
}

std::string ShowBuildInfo() {
  const BuildInfo& info = GetBuildInfo();
  std::string text = \"gregor \";
  text += info.version;
  text.append(\" (commit \").append(info.commit);
  text.append(\", \").append(info.build_type);
  text.append(\", \").append(info.compiler).append(\")\");
  return text;
}

}  // namespace gregor
")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT old STREQUAL content)
  file(WRITE ${OUTPUT} "${content}")
endif()
