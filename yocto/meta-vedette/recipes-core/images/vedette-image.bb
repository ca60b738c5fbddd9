SUMMARY = "A small image with Vedette"
LICENSE = "Apache-2.0"

inherit core-image

IMAGE_FEATURES += "read-only-rootfs"
IMAGE_INSTALL = "packagegroup-core-boot vedette kernel-modules ${CORE_IMAGE_EXTRA_INSTALL}"
