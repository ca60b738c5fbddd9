// Command guest starts a guest for a person: with a command it runs that and ends, without it holds the guest until
// Ctrl-C and says where its console is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"vedette/test/vm"
)

func main() {
	var options vm.Options
	flag.StringVar(&options.Arch, "arch", "", "`architecture`, amd64 or arm64; default: this machine's")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: guest [-arch ARCH] [COMMAND ARGUMENT...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code, err := run(ctx, os.Stdout, os.Stderr, options, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, stdout, stderr io.Writer, options vm.Options, command []string) (code int, err error) {
	began := time.Now()
	guest, err := vm.Boot(ctx, options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, guest.Close()) }()
	fmt.Fprintf(stderr, "up after %.1f s\n", time.Since(began).Seconds())
	if len(command) == 0 {
		fmt.Fprintf(stderr, "%s is %s in the guest.\nThe console: socat -,rawer,escape=0x1d UNIX:%s (Ctrl-] leaves it)\nCtrl-C ends the guest.\n",
			guest.HostShare(), vm.Share, guest.ConsoleSocket())
		<-ctx.Done()
		return 0, nil
	}
	result, err := guest.Run(ctx, command...)
	fmt.Fprint(stdout, result.Stdout)
	fmt.Fprint(stderr, result.Stderr)
	return result.ExitCode, err
}
