package doctor

import (
	"strings"
	"testing"

	"vedette/capture/v4l2"
)

func TestSharedBusesAreNamed(t *testing.T) {
	devices := []v4l2.Device{
		{Name: "A", Node: "/dev/video0", USBBus: 1, USBSpeed: 480},
		{Name: "sensor", Node: "/dev/video1"},
		{Name: "B", Node: "/dev/video2", USBBus: 2, USBSpeed: 5000},
		{Name: "C", Node: "/dev/video4", USBBus: 1, USBSpeed: 480},
		{Name: "another sensor", Node: "/dev/video5"},
	}
	checks := sharedBuses(devices)
	if len(checks) != 1 {
		t.Fatalf("got %+v", checks)
	}
	c := checks[0]
	if c.Name != "USB bus 1" || c.Verdict != Good || !strings.Contains(c.Found, "A (/dev/video0, 480 Mbit/s); C (/dev/video4, 480 Mbit/s)") || c.Remedy == "" {
		t.Errorf("got %+v", c)
	}
	if checks := sharedBuses(devices[:3]); len(checks) != 0 {
		t.Errorf("one camera on each bus: %+v", checks)
	}
}
