// Package identity tells which device this is, which boot, how far its clock is to be trusted.
package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// applicationID is Vedette's own 128-bit id: device names made with it tell nothing of the machine id.
const applicationID = "5d0f8c6a3b1e4f7f9a27c4e0d1b86e35"

// Device gives the machine's name: its machine id hashed with the application's, as sd_id128_get_machine_app_specific(3)
// does (HMAC-SHA256, keyed by the machine id, cut to 16 bytes, marked as UUID version 4). Root is "/" but in tests. A
// machine without an id gets a random name that lasts as long as the process, and ok is false.
func Device(root string) (name string, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(root, "etc/machine-id"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("cannot read the machine id: %w", err)
	}
	machine, decodeErr := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || decodeErr != nil || len(machine) != 16 {
		random := make([]byte, 16)
		_, _ = rand.Read(random) // crypto/rand.Read never fails
		return hex.EncodeToString(random), false, nil
	}
	application, err := hex.DecodeString(applicationID)
	if err != nil {
		return "", false, fmt.Errorf("cannot read the application id: %w", err)
	}
	mac := hmac.New(sha256.New, machine)
	mac.Write(application)
	id := mac.Sum(nil)[:16]
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id), true, nil
}

// BootID is the kernel's id of this boot.
func BootID(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/random/boot_id"))
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// ClockSynced tells whether the kernel's wall clock is disciplined by NTP or the like (adjtimex(2): STA_UNSYNC is clear).
// Boards without a battery boot in the past.
func ClockSynced() bool {
	var state unix.Timex
	_, err := unix.Adjtimex(&state)
	return err == nil && state.Status&unix.STA_UNSYNC == 0
}
