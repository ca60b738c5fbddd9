// Hears from ONNX Runtime's log on which provider the nodes of a graph run: nothing of the interface says it.
//
// The environment that carries the log is one for the whole process, and who makes it first decides where the log goes: that is
// done here, before the binding does it. What is of no use is dropped; errors go to stderr, as they do without this.
#include "placement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// OrtLoggingLevel and OrtLoggingFunction of onnxruntime_c_api.h.
enum { level_verbose = 0, level_error = 3 };
typedef void (*logging_function)(void *param, int severity, const char *category, const char *id, const char *where,
                                 const char *message);

// CreateEnvWithCustomLogger is the fifth entry of the table of functions since ONNX Runtime 1.0; tables are only appended to.
enum { create_env_with_custom_logger = 4 };
typedef void *(*create_env)(logging_function f, void *param, int level, const char *id, void **env);

// A session is made, and says where its nodes are, on the thread that asks for it.
static _Thread_local vedette_placement placements[VEDETTE_PROVIDERS];

// "All nodes placed on [CPUExecutionProvider]. Number of nodes: 266", " Node(s) placed on [CUDAExecutionProvider]. Number of …"
static void hear(void *param, int severity, const char *category, const char *id, const char *where, const char *message)
{
	(void)param, (void)id;
	if (severity >= level_error) {
		fprintf(stderr, "[E:%s, %s] %s\n", category, where, message);
		return;
	}
	const char *name = strstr(message, "laced on ["), *number = strstr(message, "]. Number of nodes: ");
	if (!name || !number) {
		return;
	}
	name += strlen("laced on [");
	size_t length = (size_t)(number - name);
	if (number < name || length >= sizeof placements[0].provider) {
		return;
	}
	for (int i = 0; i < VEDETTE_PROVIDERS; i++) {
		if (placements[i].provider[0] == 0) {
			memcpy(placements[i].provider, name, length);
			placements[i].provider[length] = 0;
			placements[i].nodes = strtol(number + strlen("]. Number of nodes: "), NULL, 10);
			break;
		}
	}
}

void vedette_hear_placements(const void *api)
{
	static void *environment;
	if (!environment) { // an error leaves the log as it was, and the nodes uncounted
		((create_env)((void *const *)api)[create_env_with_custom_logger])(hear, NULL, level_error, "vedette", &environment);
	}
}

void vedette_forget_placements(void) { memset(placements, 0, sizeof placements); }

vedette_placement vedette_placed(int i) { return placements[i]; }
