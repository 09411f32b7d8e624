package main

import (
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/stack/inspect"
)

func (a *app) inspectURLCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "url URL",
		Short: "A share URL of a person, community or channel",
		Long: `Show what a share URL leads to: its kind, the key, and under "data" the preview
it carries. Only the key says who is meant: the preview is unsigned, and whoever
made the link wrote it.`,
		Example: `  parley inspect url 'https://status.app/u/CwSACgcKBWFsaWNlAw==#zQ3shuKb2nzoiBgTtu9USEk16k6gkUvP2iSU6D1qJUFCwdAeG'`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := a.input(args, inspect.MaxText)
			if err != nil {
				return err
			}
			u, err := inspect.ParseURL(text)
			if err != nil {
				return err
			}
			return a.showInspected(u)
		},
	}
}

func (a *app) inspectENRCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "enr ENR",
		Short: "A node record: addresses, shards and protocols",
		Long: `Show a node record (31/WAKU2-ENR) and whether it is valid, that is, decodes and is
signed by its own key. For one that is not, the exit code is 1.`,
		Example: `  parley inspect enr enr:-QEkuE… --json`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := a.input(args, inspect.MaxText)
			if err != nil {
				return err
			}
			r, err := inspect.ParseENR(text)
			return a.showJudged(r, err)
		},
	}
}

func (a *app) inspectMultiaddrCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "multiaddr M",
		Short:   "A multiaddr in its parts",
		Long:    `Show a multiaddr in its parts, and whether it is valid. For one that is not, the exit code is 1.`,
		Example: `  parley inspect multiaddr /dns4/node.example/tcp/443/wss/p2p/16Uiu2HAmDCp8XJ9z1ev18zuv8NHekAsjNyezAvmMfFEJkiharitG`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := a.input(args, inspect.MaxText)
			if err != nil {
				return err
			}
			m, err := inspect.ParseMultiaddr(text)
			return a.showJudged(m, err)
		},
	}
}
