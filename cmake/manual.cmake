# The manual pages and the completion for bash. The program itself prints them, from the tables that
# its --help comes from. Pages are compressed as Debian wants them, the same octets in every build.
# A program with a sanitizer in it does not run everywhere, and is not installed.
if(RAIL_SANITIZE)
  return()
endif()
include(GNUInstallDirs)

set(RAIL_MANUAL_DIR ${CMAKE_BINARY_DIR}/manual)
file(MAKE_DIRECTORY ${RAIL_MANUAL_DIR})
find_program(GZIP gzip REQUIRED)

set(RAIL_MANUALS "")
foreach(file railmq.1 railmq.yaml.5 railmq.bash)
  set(shrink "")
  set(product ${RAIL_MANUAL_DIR}/${file})
  if(NOT file MATCHES "bash$")
    set(shrink COMMAND ${GZIP} -9nf ${file})
    string(APPEND product .gz)
  endif()
  add_custom_command(
    OUTPUT ${product}
    COMMAND railmq help ${file} > ${file}
    ${shrink}
    DEPENDS railmq
    WORKING_DIRECTORY ${RAIL_MANUAL_DIR}
    COMMENT "Printing ${file}"
    VERBATIM)
  list(APPEND RAIL_MANUALS ${product})
endforeach()
add_custom_target(manual ALL DEPENDS ${RAIL_MANUALS})
install(FILES ${RAIL_MANUAL_DIR}/railmq.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${RAIL_MANUAL_DIR}/railmq.yaml.5.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES ${RAIL_MANUAL_DIR}/railmq.bash
        DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/bash-completion/completions RENAME railmq)
