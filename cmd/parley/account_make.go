package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/internal/fault"
)

func (a *app) accountCreateCommand() *cobra.Command {
	var words int
	var made newAccount
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a new account",
		Long: `Make a new account and show its recovery phrase, this once.

The phrase is the account: who has it can be you, and with it the account can be
recovered anywhere, by Status too. The password only protects this copy.`,
		Example: `  parley account create --name "Ada Lovelace"
  parley account create --password-file secret.txt --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := checkName(made.name)
			if err != nil {
				return err
			}
			phrase, err := account.NewMnemonic(words, rand.Reader)
			if err != nil {
				return fault.Wrap(fault.Usage, "--words", err)
			}
			password, err := a.password(cmd.Context(), "password-file", made.passwordFile, "new password", true)
			if err != nil {
				return err
			}
			return a.create(account.Spec{Name: name, Mnemonic: phrase}, password, true)
		},
	}
	made.flags(c)
	c.Flags().IntVar(&words, "words", account.DefaultWords, "length of the recovery phrase: 12, 15, 18, 21 or 24 words")
	return c
}

func (a *app) accountRecoverCommand() *cobra.Command {
	var made newAccount
	var passphraseFile string
	c := &cobra.Command{
		Use:   "recover",
		Short: "Make an account from its recovery phrase",
		Long: `Make an account from a recovery phrase: one of Parley's, of Status, or any other
BIP-39 phrase in English. The words are read from standard input, or asked for
on a terminal.`,
		Example: `  parley account recover --name "Ada Lovelace"
  parley account recover --password-file secret.txt < words.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := checkName(made.name)
			if err != nil {
				return err
			}
			if slices.Contains([]string{made.passwordFile, passphraseFile}, "-") {
				return fault.New(fault.Usage, "standard input is where the recovery phrase comes from").WithHint("keep the password in a file")
			}
			spec := account.Spec{Name: name}
			if spec.Mnemonic, err = a.phrase(cmd); err != nil {
				return err
			}
			if spec.Mnemonic, err = account.ParseMnemonic(spec.Mnemonic); err != nil {
				return accountFault("reading the recovery phrase", err)
			}
			if passphraseFile != "" {
				if spec.Passphrase, err = a.secretFile("passphrase-file", passphraseFile); err != nil {
					return err
				}
			}
			password, err := a.password(cmd.Context(), "password-file", made.passwordFile, "new password", true)
			if err != nil {
				return err
			}
			return a.create(spec, password, false)
		},
	}
	made.flags(c)
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the BIP-39 passphrase, for phrases that have one")
	return c
}

// phrase reads a recovery phrase from standard input, unseen on a terminal.
func (a *app) phrase(cmd *cobra.Command) (string, error) {
	if _, ok := a.terminal(); ok {
		return a.prompt(cmd.Context(), "recovery phrase")
	}
	phrase, err := readSecret(a.in)
	return phrase, fault.Wrap(fault.Usage, "reading the recovery phrase from standard input", err)
}

func (a *app) accountExportCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write an account to a file",
		Long: `Write an account to a file, for "parley account import" elsewhere; - is standard
output. The file is encrypted with the account's password. It holds the keys and
the recovery phrase, not the messages.`,
		Example: "  parley account export ada.parley",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			store, err := a.accounts()
			if err != nil {
				return err
			}
			info, err := a.pick(store, id)
			if err != nil {
				return err
			}
			if args[0] == "-" {
				return accountFault("", store.Export(info.ID, a.out))
			}
			if err := writeNew(args[0], func(w io.Writer) error { return store.Export(info.ID, w) }); err != nil {
				return err
			}
			v, err := viewAccount(info)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(v)
			}
			a.say("%s is in %s.", v.shown(), args[0])
			return nil
		},
	}
	accountFlag(c, &id)
	return c
}

func (a *app) accountImportCommand() *cobra.Command {
	var made newAccount
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Read an account from a file, of Parley or of status-go",
		Long: `Read an account from a file that "parley account export" wrote, or from a file of
the key store of a Status application. - is standard input.

An exported account keeps its name and its password. A password is not needed to
import it; if one is given, the file must open with it.

Of a Status key store, take the file of the master key or of the chat key. Its
password is needed, and protects the account here too.`,
		Example: `  parley account import ada.parley
  parley account import --name "Ada Lovelace" keystore/0xd1…/UTC--2024-…`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := a.readFile(args[0], made.passwordFile)
			if err != nil {
				return err
			}
			if isKeystore(raw) {
				return a.importKeystore(cmd, raw, made)
			}
			if made.name != "" {
				return fault.New(fault.Usage, "an exported account has its own name").WithHint("leave --name out")
			}
			password := ""
			if made.passwordFile != "" {
				if password, err = a.secretFile("password-file", made.passwordFile); err != nil {
					return err
				}
			}
			store, err := a.accounts()
			if err != nil {
				return err
			}
			info, err := store.Import(bytes.NewReader(raw), password)
			if err != nil {
				return accountFault("importing the account", err)
			}
			v, err := viewAccount(info)
			if err != nil {
				return err
			}
			return a.print(v, func(w io.Writer) error {
				return table(w, []string{"Account", v.shown()}, []string{"Key", v.ID})
			})
		},
	}
	made.flags(c)
	return c
}

// readFile reads an account file of either kind; - is standard input, unless
// the password comes from there.
func (a *app) readFile(path, passwordFile string) ([]byte, error) {
	const most = max(account.MaxFileSize, account.MaxKeystoreFileSize)
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fault.Wrap(fault.NotFound, "importing the account", err)
		}
		if err != nil {
			return nil, fault.Wrap(fault.Usage, "importing the account", err)
		}
		defer f.Close()
		in = f
	} else if passwordFile == "-" {
		return nil, fault.New(fault.Usage, "account and password cannot both come from standard input")
	}
	raw, err := io.ReadAll(io.LimitReader(in, most+1))
	return raw, fault.Wrap(fault.Usage, "importing the account", err)
}

// isKeystore tells a Web3 Secret Storage file from an account file.
func isKeystore(raw []byte) bool {
	var f struct {
		Crypto json.RawMessage `json:"crypto"`
	}
	return json.Unmarshal(raw, &f) == nil && f.Crypto != nil
}

func (a *app) importKeystore(cmd *cobra.Command, raw []byte, made newAccount) error {
	name, err := checkName(made.name)
	if err != nil {
		return err
	}
	password, err := a.password(cmd.Context(), "password-file", made.passwordFile, "password of the key store", false)
	if err != nil {
		return err
	}
	imported, err := account.ReadKeystore(raw, password)
	if err != nil {
		return accountFault("reading the key store file", err)
	}
	spec := account.Spec{Name: name}
	if keys, err := account.DeriveMaster(imported.Node); err == nil {
		spec.Keys = keys
	} else {
		spec.Chat = imported.Private
		a.say("This is not a master key, so it is taken for a chat key: the account is %s.", strings.TrimSpace(imported.Private.Public().String()))
	}
	return a.create(spec, password, false)
}
