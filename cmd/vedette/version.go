package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"vedette/infer/wire"
)

// versionDocument is what `vedette version --json` prints.
type versionDocument struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source, where the build knew it
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	Protocol int    `json:"worker_protocol"` // between the service and its worker
}

func versionCommand(env env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			doc := versionDocument{
				Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
				Protocol: wire.ProtocolVersion, Revision: revision,
			}
			if info, ok := debug.ReadBuildInfo(); ok && revision == "" {
				for _, setting := range info.Settings {
					if setting.Key == "vcs.revision" {
						doc.Revision = setting.Value
					}
				}
			}
			if asJSON {
				return printJSON(env.stdout, doc)
			}
			_, err := fmt.Fprintf(env.stdout, "vedette %s (%s, %s/%s)\n", doc.Version, doc.Go, doc.OS, doc.Arch)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(document)
}
