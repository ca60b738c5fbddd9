package onnx

/*
#include "placement.h"
*/
import "C"

import (
	"runtime"
	"strings"
)

// counted makes a session, whose log must be verbose, and counts its graph's nodes by provider; it gives nothing where ONNX Runtime
// does not say. The level costs nothing later: in a run without an event ONNX Runtime 1.16 to 1.30 say nothing.
func counted(create func() error) (map[string]int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	C.vedette_forget_placements()
	if err := create(); err != nil {
		return nil, err
	}
	nodes := map[string]int{}
	for i := range C.VEDETTE_PROVIDERS {
		placed := C.vedette_placed(C.int(i))
		if name := C.GoString(&placed.provider[0]); name != "" {
			nodes[providerName(name)] += int(placed.nodes)
		}
	}
	return nodes, nil
}

// providerName is ONNX Runtime's name in the configuration's words.
func providerName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "ExecutionProvider"))
}
