#ifndef VEDETTE_DEVICE_H
#define VEDETTE_DEVICE_H

typedef struct {
	char name[128];
	int major, minor; // compute capability
	int driver;       // version, 12060 for 12.6
} vedette_device_info;

// Fills out, and gives NULL or why it could not; the text is valid until the next call.
const char *vedette_device(const char *library, int number, vedette_device_info *out);

#endif
