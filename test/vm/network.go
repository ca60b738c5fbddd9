package vm

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
)

// The address that QEMU's user network gives its only guest.
const guestAddress = "10.0.2.15"

var forwarded = regexp.MustCompile(`TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+` +
	regexp.QuoteMeta(guestAddress) + `\s+(\d+)`)

// Forward gives an address of the host's that leads to a TCP port of the guest, on which somebody there has to listen at
// every address. The guest reaches nothing by it.
func (g *Guest) Forward(ctx context.Context, port int) (string, error) {
	if _, err := g.Succeed(ctx, "sh", "-c", "ip link set eth0 up && ip addr replace "+guestAddress+"/24 dev eth0"); err != nil {
		return "", err
	}
	g.monitorMu.Lock() // held while QEMU answers, which it does at once; nobody but another Forward waits
	defer g.monitorMu.Unlock()
	if g.monitor == nil {
		var err error
		if g.monitor, err = openMonitor(ctx, g.qemu.monitor); err != nil {
			return "", err
		}
	}
	if err := g.monitor.command(ctx, fmt.Sprintf("hostfwd_add net tcp:127.0.0.1:0-%s:%d", guestAddress, port)); err != nil {
		return "", err
	}
	said, err := g.monitor.ask(ctx, "info usernet")
	if err != nil {
		return "", err
	}
	for _, found := range forwarded.FindAllStringSubmatch(said, -1) {
		if found[2] == strconv.Itoa(port) {
			return net.JoinHostPort("127.0.0.1", found[1]), nil
		}
	}
	return "", fmt.Errorf("cannot find the forwarded port %d in what QEMU says:\n%s", port, said)
}
