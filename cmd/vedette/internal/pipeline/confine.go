package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vedette/cmd/vedette/internal/config"
	"vedette/infer"
	"vedette/infer/onnx"
	"vedette/supervisor/sandbox"
)

const (
	policyFD = ControlFD + 1 // the worker's descriptor of its policy, until it is confined

	// workerOpenFiles is far more than a stream each and a driver's handles take.
	workerOpenFiles = 1024
	// workerOOMScore lets the kernel end a worker, which comes back, before anything that the machine cannot spare.
	workerOOMScore = 500
	// WorkerTimerSlack keeps Go's monitor thread off the model's processors: while native code runs it would wake every 20 µs,
	// and each time take a processor from a thread for which the session's others wait spinning. Nothing in a worker is timed more
	// finely. On two processors it was 3 ms of CPU time a frame (docs/PERFORMANCE.md).
	WorkerTimerSlack = 5 * time.Millisecond
	// ServiceTimerSlack is what the unit sets for the service itself, which has timers that are to be finer.
	ServiceTimerSlack = time.Millisecond
)

// confined gives the arguments that make this program confine itself by the policy in a descriptor and become argv.
func confined(policy int, argv ...string) []string {
	return append([]string{"confine", fmt.Sprintf("--policy=%d", policy), "--"}, argv...)
}

// libraryFiles is what every program needs that is linked dynamically, and every one of Go's.
func libraryFiles() []string {
	return []string{
		"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib",
		"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
		"/etc/localtime", "/usr/share/zoneinfo",
		"/dev/urandom", "/dev/random", "/dev/zero",
		"/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/sys/vm",
		"/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup",
	}
}

// workerPolicy is what a worker may do: read the libraries and the model, write its cache, and talk by the descriptors
// that it is given. A camera's node and the configuration, with its secrets, are in none of these places.
func workerPolicy(cfg config.Config, modelPath string) sandbox.Policy {
	p := sandbox.Policy{
		Read:       append(libraryFiles(), modelFiles(modelPath)...),
		Write:      []string{"/dev/null", cacheFolder(cfg)},
		Keep:       []int{ControlFD},
		OpenFiles:  workerOpenFiles,
		OOMScore:   workerOOMScore,
		TimerSlack: WorkerTimerSlack,
	}
	p.Read = append(p.Read, runtimeFiles(cfg.Infer.Runtime, p.Read)...)
	if accelerated(cfg.Infer) {
		p.Read = append(p.Read, acceleratorFiles()...)
		if table := cfg.Infer.TensorRT.Calibration; table != "" {
			p.Read = append(p.Read, table)
		}
		p.Devices = acceleratorDevices()
	}
	p.Read = absolute(p.Read)
	p.Write = absolute(p.Write)
	return p
}

// cacheFolder is where a worker may keep what takes long to make: TensorRT's engines, CUDA's compiled kernels.
func cacheFolder(cfg config.Config) string { return filepath.Join(cfg.StateDir, "cache") }

// workerCache is cacheFolder, or "" where a worker has nothing to keep.
func workerCache(cfg config.Config) string {
	if !accelerated(cfg.Infer) {
		return ""
	}
	folder, err := filepath.Abs(cacheFolder(cfg))
	if err != nil { // the folder that this process is in is gone
		return ""
	}
	return folder
}

func accelerated(cfg infer.Config) bool {
	return slices.Contains(cfg.Providers, onnx.CUDA) || slices.Contains(cfg.Providers, onnx.TensorRT)
}

// runtimeFiles is what ONNX Runtime needs beyond those of known: the folders of the dynamic loader, and the libraries
// that lie beside its own. Where it cannot be found, the worker says so.
func runtimeFiles(explicit string, known []string) []string {
	search := RuntimeSearch(explicit)
	files := search.Folders()
	found, err := onnx.Find(search)
	if err != nil {
		return files
	}
	library, err := filepath.Abs(found.Library.Path)
	if err != nil {
		return files
	}
	places := []string{library}
	if target, err := filepath.EvalSymlinks(library); err == nil {
		places = append(places, target)
	}
	for _, place := range places {
		folder := filepath.Dir(place)
		if !slices.ContainsFunc(known, func(path string) bool { return strings.HasPrefix(folder+"/", path+"/") }) {
			files = append(files, filesBeside(place, func(name string) bool { return strings.Contains(name, ".so") })...)
		}
	}
	return files
}

// modelFiles is a model's file, and what lies beside it under its name: an exporter puts the weights of a large
// coco.onnx into coco.onnx.data or coco.onnx_data.
func modelFiles(path string) []string {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	return filesBeside(path, func(name string) bool { return strings.HasPrefix(name, filepath.Base(path)) })
}

// filesBeside lists the files in the folder of path, itself among them. It names them one by one, since an operator may
// keep a library or a model in a folder with other things.
func filesBeside(path string, wanted func(name string) bool) []string {
	files := []string{path}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return files
	}
	for _, entry := range entries {
		if beside := filepath.Join(filepath.Dir(path), entry.Name()); beside != path && !entry.IsDir() && wanted(entry.Name()) {
			files = append(files, beside)
		}
	}
	return files
}

// acceleratorDevices are the nodes of NVIDIA's driver, on boards and on cards. Those of a board's camera interfaces,
// such as nvhost-vi and nvhost-isp, are not among them. Never run on a GPU: taken from the drivers' documentation.
func acceleratorDevices() []string {
	return []string{
		"/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm*", "/dev/nvidia-caps/*",
		"/dev/nvmap", "/dev/nvgpu/*/*", "/dev/nvhost-ctrl", "/dev/nvhost-*gpu", "/dev/nvsciipc",
		"/dev/host1x-fence", "/dev/dri/renderD*",
	}
}

// acceleratorFiles is what CUDA and TensorRT read beside libraries. Never run on a GPU.
func acceleratorFiles() []string {
	return []string{
		"/sys", "/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/proc/version", "/proc/device-tree",
		"/etc/nvidia", "/etc/nv_tegra_release", "/usr/share/nvidia", "/opt/nvidia", "/usr/local/cuda",
	}
}

// absolute makes paths absolute; one that cannot be, since this folder is gone, is left out.
func absolute(paths []string) []string {
	var all []string
	for _, path := range paths {
		if path, err := filepath.Abs(path); err == nil {
			all = append(all, path)
		}
	}
	return all
}
