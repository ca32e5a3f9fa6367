# Where things go, for `cmake --install` and for the Debian package (`cpack -G DEB` in the build
# directory). The configuration is in /etc and the data in /var whatever the prefix is; the unit
# finds the program in /usr/local/bin as in /usr/bin.
include(GNUInstallDirs)

install(TARGETS railmq RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES packaging/railmq.service DESTINATION lib/systemd/system)
install(FILES packaging/railmq.sysusers DESTINATION lib/sysusers.d RENAME railmq.conf)
install(FILES docs/OPERATIONS.md docs/CONFIGURATION.md docs/FEATURES.md README.md DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/railmq)
install(FILES packaging/copyright DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/railmq)
# A configuration that is there stays: it is somebody's.
install(CODE "
  set(configuration \"\$ENV{DESTDIR}/etc/railmq/broker.yaml\")
  if(NOT EXISTS \"\${configuration}\")
    file(INSTALL \"${CMAKE_SOURCE_DIR}/packaging/broker.yaml\" DESTINATION \"/etc/railmq\"
         PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ)
  endif()")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME railmq)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_VENDOR "Rail")
set(CPACK_PACKAGE_CONTACT "Rail <rail@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "message broker that speaks AMQP 0-9-1")
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "Programs that speak to RabbitMQ connect to it unchanged (AMQP 0-9-1 and\nRabbitMQ's extensions to it). Confirmed messages survive crashes and losses of\npower.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    ${CMAKE_SOURCE_DIR}/packaging/postinst ${CMAKE_SOURCE_DIR}/packaging/prerm
    ${CMAKE_SOURCE_DIR}/packaging/postrm ${CMAKE_SOURCE_DIR}/packaging/conffiles)
include(CPack)
