package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vedette/web/access"
)

func webCommand(env env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Make what the web page's configuration needs",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("web needs the command password")}
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "password",
		Short: "Read a password, print the hash that belongs into a password file",
		Long: `Read a password from standard input, a line, and print its bcrypt hash: what belongs into the file that
web.admin.password_file or web.viewer.password_file names. The file may be readable by the service alone:

  vedette web password | install -m 0640 -g vedette /dev/stdin /etc/vedette/web-admin`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := readPassword(cmd.InOrStdin(), env.stderr)
			if err != nil {
				return err
			}
			hash, err := access.HashPassword(password)
			if err != nil {
				return fmt.Errorf("cannot hash it: %w", err)
			}
			_, err = fmt.Fprintln(env.stdout, hash)
			return err
		},
	})
	return cmd
}

// readPassword reads a line; a terminal does not show what is typed.
func readPassword(in io.Reader, prompt io.Writer) (string, error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(prompt, "Password: ")
		defer fmt.Fprintln(prompt)
		text, err := term.ReadPassword(int(file.Fd()))
		return string(text), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, 1<<10)).ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", fmt.Errorf("cannot read a password from standard input: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
