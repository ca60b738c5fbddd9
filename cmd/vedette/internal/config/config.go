// Package config reads the configuration: its layers, its defaults, its mistakes.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"vedette/capture"
	"vedette/infer"
	"vedette/mqtt"
	"vedette/supervisor/cgroup"
	"vedette/track"
	"vedette/web"
)

// Where the service's layers are. A later one wins; one that is missing is silent.
const (
	ImageFile    = "/usr/lib/vedette/vedette.yaml"
	OperatorFile = "/etc/vedette/vedette.yaml"
	// OverridesFile is in the state directory: what tools and pages change, as the service cannot write /etc.
	OverridesFile = "overrides.yaml"
)

// A configuration larger than this is a mistake.
const maxFile = 1 << 20

// A percentage of memory is right or wrong on a machine of any size.
const anyMemory = 1 << 40

// Config is the whole configuration.
type Config struct {
	Device   string           `yaml:"device"`
	StateDir string           `yaml:"state_dir"`
	Cameras  []capture.Camera `yaml:"cameras"`
	Infer    infer.Config     `yaml:"infer"`
	Track    track.Config     `yaml:"track"`
	MQTT     mqtt.Config      `yaml:"mqtt"`
	Web      web.Config       `yaml:"web"`
	Log      Log              `yaml:"log"`
}

// Log is the `log` section.
type Log struct {
	Level string `yaml:"level"` // debug, info, warn or error
}

// Default is what holds where the configuration is silent.
func Default() Config {
	return Config{
		StateDir: "/var/lib/vedette",
		Infer:    infer.DefaultConfig(),
		Track:    track.DefaultConfig(),
		MQTT:     mqtt.DefaultConfig(),
		Web:      web.DefaultConfig(),
		Log:      Log{Level: "info"},
	}
}

// Load reads the layers in order over the defaults and validates the result. Its error has one line for each mistake,
// with file, line and column.
func Load(paths ...string) (Config, error) {
	config := Default()
	layers, err := readLayers(paths)
	if err != nil {
		return Config{}, err
	}
	err = config.apply(layers)
	return config, err
}

func readLayers(paths []string) ([]layer, error) {
	var layers []layer
	for _, path := range paths {
		text, err := readBounded(path)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer{path, text})
	}
	return layers, nil
}

// Parse reads one text as Load reads a file; name stands for the file in errors.
func Parse(name string, text []byte) (Config, error) {
	config := Default()
	err := config.apply([]layer{{name, text}})
	return config, err
}

type layer struct {
	name string
	text []byte
}

func (c *Config) apply(layers []layer) error {
	_, err := c.lay(layers)
	return err
}

// lay lays one layer after the other over what is there, and validates the whole. It gives what the layers say.
func (c *Config) lay(layers []layer) ([]*ast.File, error) {
	var files []*ast.File
	for _, l := range layers {
		file, err := c.read(l)
		if err != nil {
			return nil, err
		}
		if file != nil {
			files = append(files, file)
		}
	}
	var mistakes []error
	c.validate(func(path, problem string) {
		mistakes = append(mistakes, locate(files, path, problem))
	})
	return files, errors.Join(mistakes...)
}

// read lays a layer over what is there. It gives nil for one that says nothing.
func (c *Config) read(l layer) (file *ast.File, err error) {
	defer func() { // the YAML library has panicked over input before, and this comes from outside
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: cannot be read as YAML: %v", l.name, p)
		}
	}()
	if file, err = parser.ParseBytes(l.text, 0); err != nil {
		return nil, describe(l.name, err)
	}
	if len(file.Docs) > 1 {
		return nil, fmt.Errorf("%s: a second YAML document follows the first: keep one", l.name)
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil { // decoding nothing would clear what is there
		return nil, nil
	}
	file.Name = l.name
	if l.amends() {
		return file, c.amend(l.name, file)
	}
	if err := yaml.UnmarshalWithOptions(l.text, c, yaml.DisallowUnknownField()); err != nil {
		return nil, describe(l.name, err)
	}
	return file, nil
}

func (c *Config) validate(report func(path, problem string)) {
	below := func(prefix string) func(path, problem string) {
		return func(path, problem string) { report(prefix+path, problem) }
	}
	if c.Device != "" {
		if err := capture.ValidateName(c.Device); err != nil {
			report("device", err.Error())
		}
	}
	if c.StateDir == "" {
		report("state_dir", "a folder is needed, such as /var/lib/vedette")
	}
	capture.ValidateCameras(c.Cameras, below("cameras"))
	c.Infer.Validate(below("infer."))
	cgroup.ParseLimits(cgroup.Text(c.Infer.Limits), anyMemory, below("infer.limits."))
	c.Track.Validate(below("track."))
	c.MQTT.Validate(below("mqtt."))
	c.Web.Validate(below("web."))
	if _, err := c.Log.SlogLevel(); err != nil {
		report("log.level", err.Error())
	}
}

// SlogLevel is the level for slog.
func (l Log) SlogLevel() (slog.Level, error) {
	var level slog.Level
	names := []string{"debug", "info", "warn", "error"}
	if !slices.Contains(names, l.Level) {
		return 0, fmt.Errorf("%q is none of %v", l.Level, names)
	}
	return level, level.UnmarshalText([]byte(l.Level))
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("cannot read the configuration: %s has more than %d bytes", path, maxFile)
	}
	return text, nil
}

// Text gives a configuration as YAML.
func (c Config) Text() ([]byte, error) {
	text, err := yaml.MarshalWithOptions(c, yaml.Indent(2), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("cannot write the configuration: %w", err)
	}
	return text, nil
}
