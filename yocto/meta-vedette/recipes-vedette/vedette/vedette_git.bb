SUMMARY = "Tells over MQTT what its cameras see"
DESCRIPTION = "Captures video, detects objects with ONNX Runtime in a supervised process of its own, and publishes what it sees."
SECTION = "multimedia"

GO_IMPORT = "vedette"
GO_INSTALL = "${GO_IMPORT}/cmd/vedette"

LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://src/${GO_IMPORT}/LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# The repository that this layer is in, at the commit that is checked out. A fleet names another one, and its SRCREV.
SRC_URI = "git://${VEDETTE_REPOSITORY};protocol=file;nobranch=1;destsuffix=${GO_SRCURI_DESTSUFFIX}"
SRCREV ?= "${@bb.process.run(['git', '-C', d.getVar('VEDETTE_REPOSITORY'), 'rev-parse', 'HEAD'])[0].strip()}"
PV = "0.0.0+git"

require ${BPN}-go-mods.inc
require ${BPN}-licenses.inc

inherit go-mod go-mod-update-modules systemd useradd

# libturbojpeg.a, with the headers.
DEPENDS += "libjpeg-turbo"

# The toolchain is the layer's: none is fetched. Modules come from SRC_URI alone.
export GOTOOLCHAIN = "local"
export GOFLAGS = "-mod=readonly"
GO_EXTRA_LDFLAGS = "-s -w -X main.version=${PV} -X main.revision=${SRCREV}"

# ONNX Runtime is loaded when the service starts, so it is nothing to build with. `runtime` recommends the package that some
# layer has: a CPU build of your own, or on a Jetson dynamic-layers/tegra-community does.
PACKAGECONFIG ??= ""
PACKAGECONFIG[runtime] = ",,,,onnxruntime"

SYSTEMD_PACKAGES = "${PN} ${PN}-swupdate"
SYSTEMD_SERVICE:${PN} = "vedette.service vedette-health.service"
SYSTEMD_SERVICE:${PN}-swupdate = "vedette-confirm.service"
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system video; --system render; --system vedette"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir ${localstatedir}/lib/vedette --shell ${base_sbindir}/nologin \
    --gid vedette --groups video,render vedette"
CONFFILES:${PN} = "${sysconfdir}/vedette/vedette.yaml"

do_install() {
    source=${S}/src/${GO_IMPORT}
    install -D -m 0755 ${B}/${GO_BUILD_BINDIR}/vedette ${D}${bindir}/vedette
    install -D -m 0644 $source/packaging/vedette.yaml ${D}${sysconfdir}/vedette/vedette.yaml
    install -D -m 0644 $source/packaging/systemd/vedette.service ${D}${systemd_system_unitdir}/vedette.service
    install -D -m 0644 $source/packaging/systemd/vedette-health.service ${D}${systemd_system_unitdir}/vedette-health.service
    install -D -m 0644 $source/packaging/deb/vedette/debian/vedette.udev ${D}${nonarch_base_libdir}/udev/rules.d/60-vedette.rules
    install -D -m 0644 $source/packaging/deb/vedette/debian/vedette.tmpfiles ${D}${nonarch_libdir}/tmpfiles.d/vedette.conf
    install -d ${D}${nonarch_libdir}/vedette/models

    ota=$source/packaging/ota
    install -D -m 0755 $ota/swupdate/vedette-confirm ${D}${nonarch_libdir}/vedette/vedette-confirm
    install -D -m 0644 $ota/swupdate/vedette-confirm.service ${D}${systemd_system_unitdir}/vedette-confirm.service
}

# What keeps an update only when Vedette does its work, for SWUpdate. RAUC's own unit waits for boot-complete.target, and Mender's script
# belongs into the artifact.
PACKAGES =+ "${PN}-swupdate"
FILES:${PN}-swupdate = "${nonarch_libdir}/vedette/vedette-confirm ${systemd_system_unitdir}/vedette-confirm.service"
RDEPENDS:${PN}-swupdate = "${PN} libubootenv-bin"
FILES:${PN} += "${nonarch_libdir}/vedette ${nonarch_libdir}/tmpfiles.d ${nonarch_base_libdir}/udev"

