package onnx

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ErrDeviceLost reports that the GPU's context is gone (CUDA errors 700 to 719): no further call of this process can
// succeed, so it must end.
var ErrDeviceLost = errors.New("the accelerator's context is lost")

// The texts in which ONNX Runtime 1.16 to 1.30 wrap a CUDA status: "CUDA failure 700: …", "CUDA error 719 …",
// "cudaErrorIllegalAddress:…".
var (
	cudaNumber = regexp.MustCompile(`(?i)\bcuda (?:error|failure)[ :=(]{1,3}(\d{1,4})\b`)
	cudaName   = regexp.MustCompile(`\bcudaError(?:IllegalAddress|LaunchOutOfResources|LaunchTimeout|` +
		`LaunchIncompatibleTexturing|ContextIsDestroyed|Assert|HardwareStackError|IllegalInstruction|` +
		`MisalignedAddress|InvalidAddressSpace|InvalidPc|LaunchFailure)\b`)
)

// The texts in which ONNX Runtime refuses a model that is newer than itself.
var versionComplaint = regexp.MustCompile(
	`Unsupported model IR version: \d+, max supported IR version: \d+|Opset \d+ is under development`)

// runError classifies what a run answered; ONNX Runtime's errors are text alone.
func runError(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	lost := cudaName.MatchString(text)
	for _, m := range cudaNumber.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1]) // digits by the expression
		lost = lost || n >= 700 && n <= 719
	}
	if lost {
		return fmt.Errorf("cannot run the model: %w: %w", ErrDeviceLost, plain(err))
	}
	return fmt.Errorf("cannot run the model: %w", plain(err))
}

// plain turns an error of the binding into one line without its layers' prefixes: what ONNX Runtime or the dynamic
// loader said.
func plain(err error) error {
	const most = 400 // bytes: a log line that a person reads
	text := oneLine(err)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return errors.New(text)
}

func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	for _, prefix := range []string{
		"Platform-specific initialization failed: ", "Error loading temporary session: ",
		"Error creating C session from file: ", "Error running network: ",
	} {
		text = strings.TrimPrefix(text, prefix)
	}
	if rest, ok := strings.CutPrefix(text, "Error loading ONNX shared library "); ok {
		_, text, _ = strings.Cut(rest, `": `)
	}
	// "/src/provider_bridge.cc:1539 Function() [ONNXRuntimeError] : 1 : FAIL : what happened"
	if i := strings.LastIndex(text, "[ONNXRuntimeError] : "); i >= 0 {
		if parts := strings.SplitN(text[i:], " : ", 4); len(parts) == 4 {
			text = parts[3]
		}
	}
	return text
}

// modelError says in the operator's words why a model file cannot be loaded.
func modelError(path string, err error) error {
	text := oneLine(err)
	if strings.Contains(text, "rotobuf parsing failed") || strings.Contains(text, "does not have a graph") {
		return fmt.Errorf("cannot load model %s: it is not an ONNX model, or it is cut short", path)
	}
	if version := versionComplaint.FindString(text); version != "" {
		return fmt.Errorf("cannot load model %s: it is newer than this ONNX Runtime (%s): "+
			"export it with an older opset, or install a newer runtime", path, version)
	}
	text = strings.TrimPrefix(text, "Load model from "+path+" failed:")
	return fmt.Errorf("cannot load model %s: %w", path, plain(errors.New(text)))
}
