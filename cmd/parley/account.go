package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
)

func (a *app) accountCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "account",
		Short: "Make, recover, show and move accounts",
		Long: `Make, recover, show and move accounts.

An account is a recovery phrase and the keys derived from it. It lies in the data
directory, encrypted with a password. Recovery phrases and passwords are read
from files, standard input or a prompt, never from the command line.

The commands that work on one account take the only one there is; with several,
choose with --account.`,
		Example: "  parley account create --name \"Ada Lovelace\"\n  parley account show",
	},
		a.accountCreateCommand(), a.accountRecoverCommand(), a.accountListCommand(), a.accountShowCommand(),
		a.accountExportCommand(), a.accountImportCommand(), a.accountPasswordCommand(),
		a.accountLinkCommand(), a.accountQRCommand(), a.accountSendCommand(), a.accountReceiveCommand(),
	)
}

// accountView is the public part of an account, as the command line shows it.
type accountView struct {
	ID        string     `json:"id"`
	Key       key.Public `json:"key"`
	PublicKey string     `json:"public_key"`
	Name      string     `json:"name"`
	Alias     string     `json:"alias"`
	KeyUID    string     `json:"key_uid,omitempty"`
	Created   time.Time  `json:"created"`
}

func viewAccount(info account.Info) (accountView, error) {
	pub, err := key.ParsePublic(info.ID)
	if err != nil {
		return accountView{}, err
	}
	return accountView{
		ID: info.ID, Key: pub, PublicKey: pub.Hex(), Name: info.Name, Alias: account.Alias(pub),
		KeyUID: info.KeyUID, Created: info.Created,
	}, nil
}

// shown is the account's name, else its alias.
func (v accountView) shown() string {
	if v.Name != "" {
		return v.Name
	}
	return v.Alias
}

func (a *app) accounts() (*account.Store, error) {
	store, err := account.OpenStore(a.dataDir, account.StoreConfig{})
	return store, accountFault("opening the accounts", err)
}

// accountFlag adds --account to a command that works on one account.
func accountFlag(c *cobra.Command, id *string) {
	c.Flags().StringVar(id, "account", "", "which account: its key or its name (default: the only one)")
}

// pick finds the one account meant by a key, a name, or nothing.
func (a *app) pick(store *account.Store, id string) (info account.Info, err error) {
	all, err := store.List()
	if err != nil {
		return info, accountFault("", err)
	}
	var found []account.Info
	pub, keyErr := key.ParsePublic(id)
	for _, info := range all {
		switch {
		case id == "", keyErr == nil && info.ID == pub.String(), info.Name != "" && strings.EqualFold(info.Name, id):
			found = append(found, info)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], accountFault("the account file "+found[0].File, found[0].Err)
	case len(found) > 1 && id != "":
		return info, fault.New(fault.Conflict, "%d accounts are called %q", len(found), id).WithHint("give --account the key; see `parley account list`")
	case len(found) > 1:
		return info, fault.New(fault.Usage, "there are %d accounts", len(found)).WithHint("choose with --account; see `parley account list`")
	case len(all) == 0:
		return info, fault.New(fault.NotFound, "there is no account in %s", a.dataDir).
			WithHint("make one with `parley account create`, or bring one with `parley account recover` or `import`")
	}
	return info, fault.New(fault.NotFound, "there is no account %q", id).WithHint("see `parley account list`")
}

// accountFault gives errors of package account their kind.
func accountFault(op string, err error) error {
	f := &fault.Error{Kind: fault.Internal, Op: op, Err: err}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, account.ErrPassword):
		f.Kind = fault.Denied
	case errors.Is(err, account.ErrNotFound):
		f.Kind = fault.NotFound
		f.Hint = "see `parley account list`"
	case errors.Is(err, account.ErrExists):
		f.Kind = fault.Conflict
		f.Hint = "see `parley account list`"
	case errors.Is(err, account.ErrCorrupt), errors.Is(err, account.ErrVersion), errors.Is(err, account.ErrKeystore),
		errors.Is(err, account.ErrKeyMismatch), errors.Is(err, account.ErrKDF):
		f.Kind = fault.Invalid
	case errors.Is(err, account.ErrMnemonic), errors.Is(err, account.ErrName), errors.Is(err, account.ErrNoPassword), errors.Is(err, account.ErrSpec):
		f.Kind = fault.Usage
	}
	return f
}

// newAccount are the flags of the commands that make an account.
type newAccount struct {
	name, passwordFile string
}

func (n *newAccount) flags(c *cobra.Command) {
	c.Flags().StringVar(&n.name, "name", "", "how you are shown to others: 5 to 24 letters, digits, spaces, - and _")
	c.Flags().StringVar(&n.passwordFile, "password-file", "", "file with the password that encrypts the account (- is standard input)")
}

// create makes an account and shows it; the recovery phrase is shown when it is
// new.
func (a *app) create(spec account.Spec, password string, showPhrase bool) error {
	store, err := a.accounts()
	if err != nil {
		return err
	}
	spec.Created = time.Now()
	acc, err := store.Create(spec, password)
	if err != nil {
		return accountFault("making the account", err)
	}
	result := struct {
		accountView
		Mnemonic string `json:"mnemonic,omitempty"`
	}{}
	if result.accountView, err = viewAccount(acc.Info()); err != nil {
		return err
	}
	if showPhrase {
		result.Mnemonic = acc.Mnemonic
	}
	if err := a.print(result, func(w io.Writer) error {
		rows := [][]string{{"Account", result.shown()}, {"Key", result.ID}}
		if showPhrase {
			rows = append(rows, []string{"Recovery phrase", result.Mnemonic})
		}
		return table(w, rows...)
	}); err != nil {
		return err
	}
	if showPhrase {
		a.say("Write the recovery phrase down and keep it secret: it is the account, and it is not shown again.")
	}
	return nil
}

// checkName checks a name before a password is asked for.
func checkName(name string) (string, error) {
	name, err := contact.CheckName(name, account.IsAlias)
	return name, fault.Wrap(fault.Usage, "--name", err)
}

func (a *app) accountListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the accounts",
		Long:    "List the accounts of the data directory. No password is needed.",
		Example: "  parley account list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			store, err := a.accounts()
			if err != nil {
				return err
			}
			infos, err := store.List()
			if err != nil {
				return accountFault("", err)
			}
			var rows [][]string
			for _, info := range infos {
				if info.Err != nil {
					a.say("parley: the account file %s cannot be used: %v", info.File, info.Err)
					continue
				}
				v, err := viewAccount(info)
				if err != nil {
					return err
				}
				if a.json {
					if err := a.printJSON(v); err != nil {
						return err
					}
				}
				rows = append(rows, []string{v.shown(), v.ID, v.Created.Local().Format(time.DateOnly)})
			}
			if a.json {
				return nil
			}
			return table(a.out, rows...)
		},
	}
}

func (a *app) accountShowCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "show",
		Short: "Show an account: key, names, pictures of the key",
		Long: `Show the public part of an account: its key in all forms, the name derived from
the key, and the emoji by which two people can compare keys. No password is
needed, and nothing of it is secret.`,
		Example: "  parley account show\n  parley account show --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v, err := a.view(id)
			if err != nil {
				return err
			}
			shown := struct {
				accountView
				Compressed string   `json:"compressed"`
				EmojiHash  []string `json:"emoji_hash"`
				ColorHash  [][2]int `json:"color_hash"`
				ColorID    int      `json:"color_id"`
				Link       string   `json:"link"`
			}{v, v.Key.CompressedHex(), account.EmojiHash(v.Key), account.ColorHash(v.Key), account.ColorID(v.Key), link(v)}
			return a.print(shown, func(w io.Writer) error {
				return table(w,
					[]string{"Name", v.Name},
					[]string{"Alias", v.Alias},
					[]string{"Key", v.ID},
					[]string{"Public key", v.PublicKey},
					[]string{"Emoji", strings.Join(shown.EmojiHash, "")},
					[]string{"Link", shown.Link},
					[]string{"Created", v.Created.Local().Format(time.DateTime)},
				)
			})
		},
	}
	accountFlag(c, &id)
	return c
}

// view returns the public part of the account that is meant.
func (a *app) view(id string) (v accountView, err error) {
	store, err := a.accounts()
	if err != nil {
		return v, err
	}
	info, err := a.pick(store, id)
	if err != nil {
		return v, err
	}
	return viewAccount(info)
}

// writeNew writes a file that must not be there yet, for its owner alone.
func writeNew(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fault.New(fault.Conflict, "the file %s is already there", path)
	}
	if err != nil {
		return fault.Wrap(fault.Usage, "writing the file", err)
	}
	err = write(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
