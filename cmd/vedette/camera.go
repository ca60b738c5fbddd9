package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"vedette/capture/v4l2"
)

// cameraList is what `vedette camera list --json` prints.
type cameraList struct {
	V       int           `json:"v"`
	Cameras []v4l2.Device `json:"cameras"`
}

func cameraCommand(env env) *cobra.Command {
	asJSON := false
	list := &cobra.Command{
		Use:   "list",
		Short: "List the V4L2 cameras that the kernel knows, with what they can do",
		Long: `List the V4L2 cameras that the kernel knows: the identity to name in source.v4l2.id, which stays when the node's number
changes, the node, the driver and the bus; then formats, sizes and rates, and the controls that source.v4l2.controls may set,
with their ranges. A camera that the service uses is listed as well.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			devices, err := v4l2.Discover()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.stdout, cameraList{V: 1, Cameras: append([]v4l2.Device{}, devices...)})
			}
			return printCameras(env.stdout, devices)
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd := &cobra.Command{Use: "camera", Short: "Look at the cameras of this machine", Args: cobra.NoArgs}
	cmd.AddCommand(list)
	return cmd
}

func printCameras(w io.Writer, devices []v4l2.Device) error {
	if len(devices) == 0 {
		_, err := fmt.Fprintln(w, "no V4L2 camera: plug one in, or load its driver")
		return err
	}
	var text strings.Builder
	for _, d := range devices {
		fmt.Fprintf(&text, "%s\n  id      %s\n  node    %s\n  driver  %s\n  bus     %s%s\n", cmp.Or(d.Name, d.Node), d.ID, d.Node,
			cmp.Or(d.Driver, "unknown"), cmp.Or(d.Bus, "unknown"), usbPlace(d))
		for _, name := range []struct{ what, is string }{{"by-id", d.ByID}, {"by-path", d.ByPath}, {"serial", d.Serial}, {"problem", d.Problem}} {
			if name.is != "" {
				fmt.Fprintf(&text, "  %-7s %s\n", name.what, name.is)
			}
		}
		for _, f := range d.Formats {
			fmt.Fprintf(&text, "  %s (%s)\n", f.Pixel, f.Description)
			for _, s := range f.Sizes {
				fmt.Fprintf(&text, "    %s\n", sizeLine(s))
			}
		}
		for _, c := range d.Controls {
			fmt.Fprintf(&text, "  control %s (%s): %d to %d, step %d\n", c.Name, c.Kind, c.Min, c.Max, c.Step)
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

func usbPlace(d v4l2.Device) string {
	if d.USBBus == 0 {
		return ""
	}
	return fmt.Sprintf(" (USB bus %d, %g Mbit/s)", d.USBBus, d.USBSpeed)
}

func sizeLine(s v4l2.SizeOffer) string {
	line := s.Most.String()
	if s.Least != s.Most {
		line = s.Least.String() + " to " + line
	}
	var rates []string
	for _, r := range s.Rates {
		rates = append(rates, fmt.Sprintf("%.4g", r))
	}
	if len(rates) > 0 {
		line += " at " + strings.Join(rates, ", ") + "/s"
	}
	return line
}
