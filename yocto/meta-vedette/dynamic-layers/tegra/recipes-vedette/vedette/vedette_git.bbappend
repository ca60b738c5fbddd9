# meta-tegra's nv_update_verifier marks the running slot as good at multi-user.target: let it wait until Vedette does its work.
# Not run on a Jetson.
do_install:append:tegra() {
    install -D -m 0644 ${S}/src/${GO_IMPORT}/packaging/ota/tegra/nv_update_verifier.conf \
        ${D}${systemd_system_unitdir}/nv_update_verifier.service.d/50-vedette.conf
}
FILES:${PN}:append:tegra = " ${systemd_system_unitdir}/nv_update_verifier.service.d"
