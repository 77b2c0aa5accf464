# The manual pages, completions and schema that 'cmake --install' puts beside the programs
# (manifests/CMakeLists.txt). The programs that were built print them, so they can't differ.

include(GNUInstallDirs)

set(_share "${CMAKE_BINARY_DIR}/share")
file(MAKE_DIRECTORY "${_share}")

# _kekd_printed(<file> <depends> <command>...): what the command prints.
function(_kekd_printed file depends)
  add_custom_command(OUTPUT "${_share}/${file}"
    COMMAND ${CMAKE_COMMAND} -E env ${KEKD_TEST_ENVIRONMENT} ${ARGN} > "${_share}/${file}"
    DEPENDS ${depends})
endfunction()

_kekd_printed(kekctl.1 kekctl $<TARGET_FILE:kekctl> man)
_kekd_printed(kekd.txt kekd $<TARGET_FILE:kekd> --help)
_kekd_printed(kekd.8 "write_manual;${_share}/kekd.txt"
  $<TARGET_FILE:write_manual> kekd "${_share}/kekd.txt")
_kekd_printed(kekd.yaml.5 "write_manual;${CMAKE_SOURCE_DIR}/docs/configuration.md"
  $<TARGET_FILE:write_manual> kekd.yaml "${CMAKE_SOURCE_DIR}/docs/configuration.md")
foreach(shell bash zsh fish)
  _kekd_printed(kekctl.${shell} kekctl $<TARGET_FILE:kekctl> completion ${shell})
endforeach()

add_custom_target(manuals ALL DEPENDS
  "${_share}/kekctl.1" "${_share}/kekd.8" "${_share}/kekd.yaml.5"
  "${_share}/kekctl.bash" "${_share}/kekctl.zsh" "${_share}/kekctl.fish")

install(FILES "${_share}/kekctl.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT kekd)
install(FILES "${_share}/kekd.yaml.5" DESTINATION "${CMAKE_INSTALL_MANDIR}/man5" COMPONENT kekd)
install(FILES "${_share}/kekd.8" DESTINATION "${CMAKE_INSTALL_MANDIR}/man8" COMPONENT kekd)
install(FILES "${_share}/kekctl.bash" RENAME kekctl
  DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" COMPONENT kekd)
install(FILES "${_share}/kekctl.zsh" RENAME _kekctl
  DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" COMPONENT kekd)
install(FILES "${_share}/kekctl.fish"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" COMPONENT kekd)
install(FILES "${CMAKE_SOURCE_DIR}/manifests/kekd.schema.json"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/kekd" COMPONENT kekd)
