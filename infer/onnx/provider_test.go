package onnx

import (
	"errors"
	"strings"
	"testing"
)

func TestProviderNames(t *testing.T) {
	cases := []struct {
		providers []string
		fallback  string
		want      string // part of the error; "" for none
	}{
		{nil, "", ""},
		{[]string{CPU}, FallbackFail, ""},
		{[]string{TensorRT, CUDA, CPU}, FallbackCPU, ""},
		{[]string{"CUDA"}, FallbackFail, `unknown provider "CUDA": use tensorrt, cuda or cpu`},
		{[]string{CUDA, CUDA}, FallbackFail, "named twice"},
		{[]string{CPU, CUDA}, FallbackFail, "would never be used"},
		{[]string{CPU}, "maybe", `unknown fallback "maybe"`},
	}
	for _, c := range cases {
		_, err := newPolicy(Options{Providers: c.providers, Fallback: c.fallback})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%v with %q is refused: %v", c.providers, c.fallback, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%v with %q answers %v: want %q", c.providers, c.fallback, err, c.want)
		}
	}
}

func TestOnlyWhatIsNamedMayRunOnTheCPU(t *testing.T) {
	for _, c := range []struct {
		providers []string
		fallback  string
		want      bool
	}{
		{[]string{CUDA}, FallbackFail, false},
		{[]string{CUDA, CPU}, FallbackFail, true},
		{[]string{CUDA}, FallbackCPU, true},
		{nil, FallbackFail, true},
	} {
		p, err := newPolicy(Options{Providers: c.providers, Fallback: c.fallback})
		if err != nil || p.onCPU != c.want {
			t.Errorf("%v with %s: CPU allowed %v (%v): want %v", c.providers, c.fallback, p.onCPU, err, c.want)
		}
	}
}

// The library of these tests has no GPU provider, as an operator's may not.
func TestProviderThatIsMissing(t *testing.T) {
	for _, providers := range [][]string{{CUDA}, {CUDA, CPU}, {TensorRT}, {TensorRT, CUDA, CPU}} {
		o := Options{Runtime: library(t), Model: "testdata/free_batch.onnx", Providers: providers, Fallback: FallbackFail}
		s, err := Open(o)
		if err == nil {
			s.Close()
			t.Skipf("this ONNX Runtime has %v", providers)
		}
		if text := err.Error(); !strings.Contains(text, "provider "+providers[0]) ||
			!strings.Contains(text, "install") || strings.Contains(text, "\n") {
			t.Errorf("%v: error %q: want one line with the provider and the remedy", providers, err)
		}

		o.Fallback = FallbackCPU
		s = open(t, o)
		if s.Provider() != CPU || !strings.Contains(s.Degraded(), providers[0]+": ") {
			t.Errorf("%v: provider %q, degraded %q: want the CPU and the reason", providers, s.Provider(), s.Degraded())
		}
		if err := s.Run(); err != nil {
			t.Error(err)
		}
	}
}

func TestProviderErrorsAreExplained(t *testing.T) {
	cases := map[string]string{
		"Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.12: " +
			"cannot open shared object file: No such file or directory": "library libcublasLt.so.12 is missing",
		"x.so with error: /opt/ort/libonnxruntime_providers_shared.so: " +
			"cannot open shared object file: No such file or directory": "libonnxruntime_providers_shared.so is not beside",
		"CUDA execution provider is not enabled in this build.":                         "built without it",
		"CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version": "no usable NVIDIA driver",
		"This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been " +
			"explicitly disabled by the user.": "add cpu to the providers",
		"something else": "something else",
	}
	for text, want := range cases {
		if err := explain(CUDA, errors.New(text)); !strings.Contains(err.Error(), want) {
			t.Errorf("%q becomes %q: want %q", text, err, want)
		}
	}
}
