package main

import (
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vedette/cmd/vedette/internal/pipeline"
	"vedette/mqtt/outbox"
)

func outboxCommand(env env) *cobra.Command {
	var file, folder string
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "Look at the events that wait for the broker",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("outbox needs one of inspect and verify")}
		},
	}
	cmd.PersistentFlags().StringVar(&file, "config", "", "configuration file, whose state_dir has the outbox")
	cmd.PersistentFlags().StringVar(&folder, "folder", "", "the outbox's folder, without a configuration")
	_ = cmd.MarkPersistentFlagFilename("config", "yaml", "yml")
	find := func() (string, error) {
		if folder != "" {
			return folder, nil
		}
		cfg, err := loadConfig(file)
		return pipeline.OutboxFolder(cfg.StateDir), err
	}
	cmd.AddCommand(inspectCommand(env, find), verifyCommand(env, find))
	return cmd
}

func inspectCommand(env env, find func() (string, error)) *cobra.Command {
	var asJSON, messages bool
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "Show each segment, and with --messages each event that waits",
		Long: `Show what each segment of the outbox holds, oldest first. It changes nothing, and may be used while the service runs.
docs/OUTBOX.md describes the files.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := find()
			if err != nil {
				return err
			}
			var visit func(file string, seq uint64, topic, payload []byte)
			if messages {
				visit = func(_ string, _ uint64, topic, payload []byte) { fmt.Fprintf(env.stdout, "%s %s\n", topic, payload) }
			}
			report, err := readOutbox(path, visit)
			if err != nil || messages {
				return err
			}
			if asJSON {
				return printJSON(env.stdout, report)
			}
			table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "SEGMENT\tBYTES\tEPOCH\tMADE\tEVENTS\tSEQ\tWAITING\tDAMAGED")
			for _, s := range report.Segments {
				made := s.Made.Format(time.RFC3339)
				if !s.Synced {
					made += " (clock not set)"
				}
				fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%d\t%d-%d\t%d\t%d\n",
					s.File, s.Bytes, s.Epoch, made, s.Messages, s.First, s.Last, s.Waiting, s.Damaged)
			}
			if err := table.Flush(); err != nil {
				return err
			}
			_, err = fmt.Fprintf(env.stdout, "%d events wait\n", report.Waiting)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&messages, "messages", false, "print the topic and payload of each event that waits")
	cmd.MarkFlagsMutuallyExclusive("json", "messages")
	return cmd
}

func verifyCommand(env env, find func() (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Fail where a segment is damaged, and say which",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := find()
			if err != nil {
				return err
			}
			report, err := readOutbox(path, nil)
			if err != nil {
				return err
			}
			for _, s := range report.Segments {
				if s.Damaged > 0 {
					fmt.Fprintf(env.stdout, "%s: %d of %d bytes are damaged, in %d places; %d events are good\n",
						s.File, s.Lost, s.Bytes, s.Damaged, s.Messages)
				}
			}
			if report.Damaged > 0 {
				return errSaid
			}
			_, err = fmt.Fprintf(env.stdout, "good, %d segments, %d events wait\n", len(report.Segments), report.Waiting)
			return err
		},
	}
}

func readOutbox(path string, visit func(file string, seq uint64, topic, payload []byte)) (outbox.Report, error) {
	report, err := outbox.Inspect(path, visit)
	if errors.Is(err, fs.ErrNotExist) {
		return report, fmt.Errorf("there is no outbox in %s: the service makes it at its first start", path)
	}
	if err != nil {
		err = fmt.Errorf("cannot read the outbox: %w", err)
	}
	return report, err
}
