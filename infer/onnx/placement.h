#ifndef VEDETTE_PLACEMENT_H
#define VEDETTE_PLACEMENT_H

enum { VEDETTE_PROVIDERS = 8 };

// How many nodes of the graph that this thread loaded last run on a provider; its name is "" beyond the last one.
typedef struct {
	char provider[64];
	long nodes;
} vedette_placement;

// Listens from now on; api is ONNX Runtime's table of functions.
void vedette_hear_placements(const void *api);

void vedette_forget_placements(void);
vedette_placement vedette_placed(int i);

#endif
