package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/parley-im/parley/internal/fault"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages",
		Long: `Write one manual page for each command to a directory, which is made if need be.
The date on the pages is that of SOURCE_DATE_EPOCH, today's without it.`,
		Example: "  parley man ~/.local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fault.Wrap(fault.Usage, "making the directory", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			// The default is one machine's; the pages are everybody's.
			root.PersistentFlags().Lookup("data-dir").DefValue = ""
			header := &doc.GenManHeader{Title: "PARLEY", Section: "1", Source: "Parley", Manual: "Parley"}
			return fault.Wrap(fault.Internal, "writing the manual pages", doc.GenManTree(root, header, args[0]))
		},
	}
}
