package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/server/client"
)

// deviceHelp tells how a device can be named.
const deviceHelp = `DEVICE is the id of a device, the first four characters of it or more, or its name.`

func (a *app) deviceCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "device",
		Short: "Name, list and pair the devices of your account",
		Long: `Name, list and pair the devices of your account. A device is known to the others once both
have been online with the same account. Two devices that are paired write to each other:
what you say and do on one shows on the other, and your contacts are kept in step. Pair
them on both, and unpair them on both.

At most three devices besides this one are written to, those that were seen last; the list
says which.

` + deviceHelp,
		Example: "  parley device name \"Ada's laptop\"\n  parley device list\n  parley device pair 7b1f",
	},
		a.deviceListCommand(), a.deviceNameCommand(),
		a.deviceVerb("pair", "Let this device write to another one of yours", `Let this device write to another one of yours from now on, and tell it about your contacts.
Do the same there, so that it writes to this one.`, (*client.Client).PairDevice),
		a.deviceVerb("unpair", "Let this device write to another one of yours no more", `Let this device write to another one of yours no more. Do the same there, so that it does not
write to this one. What is there stays there.`, (*client.Client).UnpairDevice),
	)
}

// deviceRow shows a device in words.
func deviceRow(d parley.Device) []string {
	state := "not paired"
	switch {
	case d.This:
		state = "this device"
	case d.Paired && !d.Written:
		state = "paired, not written to: three others were seen later"
	case d.Paired:
		state = "paired"
	case d.Asks:
		state = "has paired this device; pair it here, too"
	}
	seen := ""
	if d.Seen != 0 {
		seen = "seen " + localTime(time.UnixMilli(d.Seen), time.Now())
	}
	return []string{shownName(d.Name, "(no name yet)"), d.Type, state, seen, d.ID}
}

func (a *app) printDevice(d parley.Device) error {
	return a.print(d, func(w io.Writer) error { return table(w, deviceRow(d)) })
}

func (a *app) deviceListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the devices of your account",
		Long:    "List the devices of your account that are known, this one first.",
		Example: "  parley device list\n  parley device list --json | jq -r 'select(.written) | .name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.client().Devices(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, all, deviceRow, "")
		},
	}
}

func (a *app) deviceNameCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "name NAME",
		Short:             "Give this device a name",
		Long:              "Give this device a name. Your other devices are told, and nobody else.",
		Example:           "  parley device name \"Ada's laptop\"",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              onOne(a, (*client.Client).NameDevice, a.printDevice),
	}
}

func (a *app) deviceVerb(verb, short, long string, do func(*client.Client, context.Context, string) (parley.Device, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " DEVICE",
		Short:             short,
		Long:              long + "\n\n" + deviceHelp,
		Example:           "  parley device " + verb + " \"Ada's laptop\"",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeDevice,
		RunE:              onOne(a, do, a.printDevice),
	}
}

// completeDevice offers the other devices of the running daemon, by id.
func (a *app) completeDevice(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 || a.settle(cmd) != nil {
		return nil, done
	}
	all, err := a.client().Devices(cmd.Context())
	if err != nil {
		return nil, done
	}
	var ids []cobra.Completion
	for _, d := range all {
		if !d.This {
			ids = append(ids, cobra.CompletionWithDesc(d.ID, plain(d.Name)))
		}
	}
	return ids, done
}
