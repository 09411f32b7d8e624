package main

import (
	"io"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
)

func (a *app) accountPasswordCommand() *cobra.Command {
	var id, oldFile, newFile string
	c := &cobra.Command{
		Use:   "password",
		Short: "Change the password of an account",
		Long: `Change the password of an account. Keys and messages stay as they are; a copy of
the account made earlier still opens with the earlier password.`,
		Example: "  parley account password\n  parley account password --password-file old.txt --new-password-file new.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if oldFile == "-" && newFile == "-" {
				return fault.New(fault.Usage, "both passwords cannot come from standard input")
			}
			store, err := a.accounts()
			if err != nil {
				return err
			}
			info, err := a.pick(store, id)
			if err != nil {
				return err
			}
			before, err := a.password(cmd.Context(), "password-file", oldFile, "password", false)
			if err != nil {
				return err
			}
			after, err := a.password(cmd.Context(), "new-password-file", newFile, "new password", true)
			if err != nil {
				return err
			}
			if err := store.ChangePassword(info.ID, before, after); err != nil {
				return accountFault("changing the password", err)
			}
			v, err := viewAccount(info)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(v)
			}
			a.say("The password of %s is changed.", v.shown())
			return nil
		},
	}
	accountFlag(c, &id)
	c.Flags().StringVar(&oldFile, "password-file", "", "file with the password (- is standard input)")
	c.Flags().StringVar(&newFile, "new-password-file", "", "file with the new password (- is standard input)")
	return c
}

// link is the share URL of an account, with its name as the preview.
func link(v accountView) string { return share.Link(v.Key, v.Name) }

// linked is the result of link and qr.
type linked struct {
	Key  string `json:"key"`
	Link string `json:"link"`
}

func (a *app) accountLinkCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:     "link",
		Short:   "Show the link by which others add you",
		Long:    "Show the share URL of an account. Opened by Status, or given to\n\"parley contact add\", it leads to you.",
		Example: "  parley account link",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, err := a.view(id)
			if err != nil {
				return err
			}
			return a.print(linked{v.ID, link(v)}, func(w io.Writer) error {
				_, err := io.WriteString(w, link(v)+"\n")
				return err
			})
		},
	}
	accountFlag(c, &id)
	return c
}

func (a *app) accountQRCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:     "qr",
		Short:   "Show the link as a QR code",
		Long:    "Show the share URL of an account as a QR code, to be scanned by Status on a phone.",
		Example: "  parley account qr",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, err := a.view(id)
			if err != nil {
				return err
			}
			return a.print(linked{v.ID, link(v)}, func(w io.Writer) error {
				qrterminal.GenerateHalfBlock(link(v), qrterminal.L, w)
				_, err := io.WriteString(w, link(v)+"\n")
				return err
			})
		},
	}
	accountFlag(c, &id)
	return c
}
