// Asks NVIDIA's driver what the device is, through its own interface (cuda.h), whose functions keep their names and types.
#include "device.h"

#include <dlfcn.h>
#include <stdio.h>

// CUdevice_attribute in cuda.h.
enum { compute_capability_major = 75, compute_capability_minor = 76 };

const char *vedette_device(const char *library, int number, vedette_device_info *out)
{
	static _Thread_local char why[200];
	void *driver = dlopen(library, RTLD_NOW | RTLD_LOCAL); // stays: the provider uses it next
	if (!driver) {
		return dlerror();
	}
	int (*init)(unsigned) = (int (*)(unsigned))dlsym(driver, "cuInit");
	int (*version)(int *) = (int (*)(int *))dlsym(driver, "cuDriverGetVersion");
	int (*get)(int *, int) = (int (*)(int *, int))dlsym(driver, "cuDeviceGet");
	int (*name)(char *, int, int) = (int (*)(char *, int, int))dlsym(driver, "cuDeviceGetName");
	int (*attribute)(int *, int, int) = (int (*)(int *, int, int))dlsym(driver, "cuDeviceGetAttribute");
	if (!init || !version || !get || !name || !attribute) {
		return "it is not NVIDIA's driver";
	}
	int device = 0, failed = init(0);
	if (!failed)
		failed = version(&out->driver);
	if (!failed)
		failed = get(&device, number);
	if (!failed)
		failed = name(out->name, sizeof out->name - 1, device);
	if (!failed)
		failed = attribute(&out->major, compute_capability_major, device);
	if (!failed)
		failed = attribute(&out->minor, compute_capability_minor, device);
	if (failed) {
		snprintf(why, sizeof why, "CUDA's driver answers error %d", failed);
		return why;
	}
	return NULL;
}
