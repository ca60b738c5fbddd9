package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDeviceAgreesWithSystemd(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	machine := "b642b4217b34b1e8d3bd915fc65c4452"
	if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), []byte(machine+"\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	name, ok, err := Device(root)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if len(name) != 32 || name == machine || name[12] != '4' {
		t.Errorf("name %q is no UUID version 4, or is the machine id itself", name)
	}
	again, _, _ := Device(root)
	if again != name {
		t.Errorf("%q, then %q", name, again)
	}
	tool, err := exec.LookPath("systemd-id128")
	if err != nil {
		t.Skip("systemd-id128 is not here to compare with")
	}
	machineHere, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(strings.TrimSpace(string(machineHere))) != 32 {
		t.Skip("this machine has no machine id to compare with")
	}
	want, err := exec.Command(tool, "machine-id", "--app-specific="+applicationID).Output()
	if err != nil {
		t.Skipf("systemd-id128 cannot tell: %v", err)
	}
	got, _, err := Device("/")
	if err != nil || got != strings.TrimSpace(string(want)) {
		t.Errorf("got %q (%v), systemd says %q", got, err, want)
	}
}

func TestMachineWithoutAnIDGetsARandomName(t *testing.T) {
	a, ok, err := Device(t.TempDir())
	b, _, _ := Device(t.TempDir())
	if err != nil || ok || len(a) != 32 || a == b {
		t.Errorf("%q, %q, ok %v, %v", a, b, ok, err)
	}
}
