// Asks ONNX Runtime for a version of its interface that it has.
//
// The binding asks a library for the version of the header that it was compiled with, and an older library has none such.
// All that the binding and we use has been there since version 14, and a library only ever appends to the table of
// functions, so an older version of it serves as well. The linker (--wrap=dlsym) sends the binding's look-up of
// OrtGetApiBase through here; what it gets answers GetApi with min(wanted, the library's own).
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "placement.h"

// struct OrtApiBase of onnxruntime_c_api.h: part of the stable interface since ONNX Runtime 1.0.
typedef struct {
  const void *(*GetApi)(uint32_t version);
  const char *(*GetVersionString)(void);
} api_base;

// A process has one ONNX Runtime: the first that was looked up.
static const api_base *(*library_base)(void);

static const void *get_api(uint32_t wanted) {
  const api_base *base = library_base();
  const char *dot = strchr(base->GetVersionString(), '.'); // "1.16.3"
  unsigned long minor = dot ? strtoul(dot + 1, NULL, 10) : 0;
  const void *api = base->GetApi(minor > 0 && minor < wanted ? (uint32_t)minor : wanted);
  if (api) {
    vedette_hear_placements(api);
  }
  return api;
}

static const api_base *get_base(void) {
  static api_base ours;
  const api_base *base = library_base();
  if (!base) {
    return NULL;
  }
  ours = *base;
  ours.GetApi = get_api;
  return &ours;
}

void *__real_dlsym(void *handle, const char *name);

void *__wrap_dlsym(void *handle, const char *name) {
  void *found = __real_dlsym(handle, name);
  if (!found || strcmp(name, "OrtGetApiBase") != 0) {
    return found;
  }
  if (!library_base) {
    library_base = (const api_base *(*)(void))found;
  }
  return (void *)get_base;
}
