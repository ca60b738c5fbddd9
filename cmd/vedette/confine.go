package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"vedette/supervisor/process"
	"vedette/supervisor/sandbox"
)

// confineCommand stands between the service and a program that it starts: nobody else has a use for it.
func confineCommand() *cobra.Command {
	var descriptor int
	cmd := &cobra.Command{
		Use:    "confine --policy DESCRIPTOR -- PROGRAM [ARGUMENT...]",
		Short:  "Confine this process by the policy that it inherited, then become a program",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("confine needs a program")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			// Outside of the sandbox: the parent may have to move this process into its cgroup first.
			if err := process.AwaitGate(); err != nil {
				return err
			}
			policy, err := inheritedPolicy(descriptor)
			if err != nil {
				return err
			}
			crash, ok, err := process.CrashDescriptor()
			if err != nil {
				return err
			}
			if ok {
				policy.Keep = append(policy.Keep, crash)
			}
			return policy.Exec(args, os.Environ())
		},
	}
	cmd.Flags().IntVar(&descriptor, "policy", 0, "inherited descriptor to read the policy from")
	return cmd
}

func inheritedPolicy(descriptor int) (sandbox.Policy, error) {
	if descriptor < 3 {
		return sandbox.Policy{}, usageError{fmt.Errorf("confine is started by vedette itself: --policy is %d", descriptor)}
	}
	file := os.NewFile(uintptr(descriptor), "policy")
	defer file.Close()
	return sandbox.ReadPolicy(file)
}
