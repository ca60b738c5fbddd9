package onnx

/*
#include <stdlib.h>
#include "device.h"
*/
import "C"

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"vedette/infer"
	"vedette/whole"
)

// driverLibrary is NVIDIA's driver, as its package installs it.
const driverLibrary = "libcuda.so.1"

// Engine is what one of TensorRT's engines is good for: with anything of it changed, another is built. Never run on a GPU.
type Engine struct {
	Model       string             `json:"model"`  // SHA-256 of the file, or of what was made of it
	Shapes      map[string][]int64 `json:"shapes"` // of free inputs
	Settings    infer.TensorRT     `json:"settings"`
	Calibration string             `json:"calibration"` // SHA-256 of the table
	Runtime     string             `json:"runtime"`     // versions
	TensorRT    string             `json:"tensorrt"`
	L4T         string             `json:"l4t"`
	Driver      int                `json:"driver"`
	Device      string             `json:"device"`
	Compute     string             `json:"compute"` // capability, such as "8.7"
}

// engineNote is a file in an engine's folder: it says what the engine is for, and that it was built to the end.
const engineNote = "engine.json"

// Engine tells which engine of TensorRT's the model would run on. shapes are as for Open. The error says that there is no device
// to ask.
func (f *File) Engine(modelSHA256 string, shapes map[string][]int64) (Engine, error) {
	e := Engine{
		Model: modelSHA256, Shapes: shapes, Settings: f.options.TensorRT, Runtime: f.RuntimeVersion(),
		TensorRT: tensorRTVersion(), L4T: l4t("/"),
	}
	if path := f.options.TensorRT.Calibration; path != "" {
		table, err := os.ReadFile(path)
		if err != nil {
			return Engine{}, fmt.Errorf("cannot read the calibration table: %w", err)
		}
		sum := sha256.Sum256(table)
		e.Calibration = hex.EncodeToString(sum[:])
	}
	err := e.askDevice(driverLibrary, f.options.Accelerator)
	return e, err
}

func (e *Engine) askDevice(library string, number int) error {
	path := C.CString(library)
	defer C.free(unsafe.Pointer(path))
	runtime.LockOSThread() // the text is the thread's
	defer runtime.UnlockOSThread()
	var info C.vedette_device_info
	if why := C.vedette_device(path, C.int(number), &info); why != nil {
		return fmt.Errorf("there is no usable NVIDIA driver or device: %s", C.GoString(why))
	}
	e.Device, e.Driver = C.GoString(&info.name[0]), int(info.driver)
	e.Compute = fmt.Sprintf("%d.%d", info.major, info.minor)
	return nil
}

// tensorRTVersion is that of the library which the dynamic loader takes, from its file's name (libnvinfer.so.10.3.0); "" where it is
// not found.
func tensorRTVersion() string {
	search := Search{Root: "/", LoaderPath: os.Getenv("LD_LIBRARY_PATH"), Arch: runtime.GOARCH}
	for _, folder := range search.Folders() {
		if files, _ := filepath.Glob(filepath.Join(folder, "libnvinfer.so.*")); len(files) > 0 { // the pattern is good
			if version := versionOfName(files[0]); version != "" {
				return version
			}
		}
	}
	return ""
}

// l4t is the release of a board's system, as its own file says; "" on other machines.
func l4t(root string) string {
	text, err := os.ReadFile(filepath.Join(root, jetson))
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line)
}

// Folder is where the engine lies among others.
func (e Engine) Folder(all string) string {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and numbers always have a form
	}
	sum := sha256.Sum256(text)
	return filepath.Join(all, hex.EncodeToString(sum[:8]))
}

// KeepEngines says before Open where TensorRT's engine is kept.
func (f *File) KeepEngines(folder string) (err error) {
	f.options.Engines = folder
	f.policy, err = newPolicy(f.options)
	return err
}

// Built tells whether the folder holds an engine that was built to the end.
func (e Engine) Built(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, engineNote))
	return err == nil
}

// Prepare makes the folder, and puts the calibration table into it, where the provider looks for it.
func (e Engine) Prepare(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("cannot make the engine's folder: %w", err)
	}
	if e.Settings.Calibration == "" {
		return nil
	}
	table, err := os.ReadFile(e.Settings.Calibration)
	if err != nil {
		return fmt.Errorf("cannot read the calibration table: %w", err)
	}
	if err := whole.Write(filepath.Join(folder, calibrationName), 0o600, table); err != nil {
		return fmt.Errorf("cannot copy the calibration table: %w", err)
	}
	return nil
}

// Note says on the disk that the engine is whole, after its first run.
func (e Engine) Note(folder string) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot note the engine: %w", err)
	}
	if err := whole.Write(filepath.Join(folder, engineNote), 0o600, append(text, '\n')); err != nil {
		return fmt.Errorf("cannot note the engine: %w", err)
	}
	return nil
}
