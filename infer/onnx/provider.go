package onnx

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// The execution providers that a configuration may name, and what happens where one of them cannot be used.
const (
	TensorRT = "tensorrt"
	CUDA     = "cuda"
	CPU      = "cpu"

	FallbackFail = "fail"
	FallbackCPU  = "cpu"
)

// policy is which providers to use, in order, and what to do without them.
//
// The accelerated part has been run against libraries that lack the providers, and never on a GPU.
type policy struct {
	accelerators []string // in order; never CPU
	onCPU        bool     // nodes that no accelerator takes may run on the CPU
	forgiving    bool     // an accelerator that fails is left out
	device       int
	cuda         map[string]string // the provider's options
	tensorrt     map[string]string
}

func newPolicy(o Options) (policy, error) {
	p := policy{device: o.Accelerator, cuda: cudaOptions(o.CUDA), tensorrt: tensorRTOptions(o.TensorRT, o.Engines)}
	switch o.Fallback {
	case FallbackFail, "":
	case FallbackCPU:
		p.forgiving, p.onCPU = true, true
	default:
		return policy{}, fmt.Errorf("unknown fallback %q: use %s or %s", o.Fallback, FallbackFail, FallbackCPU)
	}
	if o.Accelerator < 0 {
		return policy{}, fmt.Errorf("accelerator %d is not a device number", o.Accelerator)
	}
	for i, name := range o.Providers {
		if slices.Contains(o.Providers[:i], name) {
			return policy{}, fmt.Errorf("provider %q is named twice", name)
		}
		switch name {
		case TensorRT, CUDA:
			if slices.Contains(o.Providers[:i], CPU) {
				return policy{}, fmt.Errorf("provider %q comes after %q and would never be used", name, CPU)
			}
			p.accelerators = append(p.accelerators, name)
		case CPU:
			p.onCPU = true
		default:
			return policy{}, fmt.Errorf("unknown provider %q: use %s, %s or %s", name, TensorRT, CUDA, CPU)
		}
	}
	if len(p.accelerators) == 0 {
		p.onCPU = true
	}
	return p, nil
}

// session makes a session by the policy: create is called with options that carry the providers. It returns the
// provider that came first, and why a better one was left out.
func (p policy) session(
	options func() (*ort.SessionOptions, error), create func(*ort.SessionOptions) error,
) (provider, degraded string, err error) {
	var reasons []string
	left := slices.Clone(p.accelerators)
	for {
		failed, err := p.attempt(left, options, create)
		if err == nil {
			break
		}
		if failed == "" {
			return "", "", err
		}
		if !p.forgiving {
			return "", "", fmt.Errorf("cannot use provider %s (fallback: %s): %w", failed, FallbackFail, err)
		}
		reasons = append(reasons, failed+": "+err.Error())
		left = slices.DeleteFunc(left, func(name string) bool { return name == failed })
	}
	provider = CPU
	if len(left) > 0 {
		provider = left[0]
	}
	return provider, strings.Join(reasons, "; "), nil
}

// attempt makes a session with these accelerators. failed is the one to blame, or "" where none is.
func (p policy) attempt(
	accelerators []string, options func() (*ort.SessionOptions, error), create func(*ort.SessionOptions) error,
) (failed string, err error) {
	o, err := options()
	if err != nil {
		return "", err
	}
	defer destroy(o)
	for _, name := range accelerators {
		if err := p.appendTo(o, name); err != nil {
			return name, explain(name, plain(err))
		}
	}
	if !p.onCPU {
		if err := o.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1"); err != nil {
			return "", plain(err)
		}
	}
	if err := create(o); err != nil {
		if len(accelerators) > 0 {
			return accelerators[0], explain(accelerators[0], plain(err))
		}
		return "", err
	}
	return "", nil
}

// appendTo adds an accelerator's provider. CPU-only libraries make the options gladly, and fail at one of the next two
// steps.
func (p policy) appendTo(o *ort.SessionOptions, name string) error {
	settings := map[string]string{"device_id": strconv.Itoa(p.device)}
	if name == TensorRT {
		trt, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		defer destroy(trt)
		maps.Copy(settings, p.tensorrt)
		if err := trt.Update(settings); err != nil {
			return err
		}
		return o.AppendExecutionProviderTensorRT(trt)
	}
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return err
	}
	defer destroy(cuda)
	maps.Copy(settings, p.cuda)
	if err := cuda.Update(settings); err != nil {
		return err
	}
	return o.AppendExecutionProviderCUDA(cuda)
}

// missingLibrary is how the dynamic loader names a library that is not there.
var missingLibrary = regexp.MustCompile(`([^\s:/]+\.so[.\d]*): cannot open shared object file`)

// explain adds the remedy to what a library without the provider, or a machine without the driver, answers.
func explain(provider string, err error) error {
	text := err.Error()
	missing := ""
	if m := missingLibrary.FindStringSubmatch(text); m != nil {
		missing = m[1]
	}
	switch {
	case strings.HasPrefix(missing, "libonnxruntime_providers_"):
		return fmt.Errorf("%s is not beside this ONNX Runtime: install one that is built with %s, or use providers: [cpu]",
			missing, provider)
	case strings.Contains(text, "not enabled in this build"), strings.Contains(text, "not supported in this build"):
		return fmt.Errorf("this ONNX Runtime is built without it: install one with %s, or use providers: [cpu]", provider)
	case strings.Contains(text, "explicitly disabled"):
		return errors.New("parts of the model cannot run on it: add cpu to the providers to allow that")
	case strings.HasPrefix(missing, "libcuda.so"), strings.Contains(text, "driver version is insufficient"),
		strings.Contains(text, "no CUDA-capable device"):
		return fmt.Errorf("there is no usable NVIDIA driver or device: %w", err)
	case missing != "":
		return fmt.Errorf("library %s is missing: install the CUDA, cuDNN or TensorRT that this ONNX Runtime is built for",
			missing)
	}
	return err
}
