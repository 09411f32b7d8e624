package main

import (
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/inspect"
)

func (a *app) inspectKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "key PUBLIC",
		Short: "A public key in all its forms, with name, emoji and colours",
		Long: `Show a public key in all its forms, and what people tell it by: address, name of
three words, emoji, colour ring (length and colour of each segment) and colour.

PUBLIC is 0x04…, 0x02… or 0x03…, zQ3sh…, or a share URL with a key.`,
		Example: `  parley inspect key zQ3shuKb2nzoiBgTtu9USEk16k6gkUvP2iSU6D1qJUFCwdAeG
  parley inspect key https://status.app/u#zQ3shuKb2nzoiBgTtu9USEk16k6gkUvP2iSU6D1qJUFCwdAeG --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := a.input(args, inspect.MaxText)
			if err != nil {
				return err
			}
			subject, err := inspect.ParseSubject(text)
			if err != nil {
				return err
			}
			return a.showInspected(inspect.DescribeKey(subject.Key))
		},
	}
}

func (a *app) inspectMnemonicCommand() *cobra.Command {
	var passphraseFile string
	var secrets bool
	c := &cobra.Command{
		Use:   "mnemonic",
		Short: "The keys that a recovery phrase leads to",
		Long: `Derive the keys of a recovery phrase: the chat key in all its forms, the wallet's
addresses, the key UID, and under "paths" address and public key at each
derivation path that clients use. --secrets adds the private keys there.

The words are read from standard input, or asked for on a terminal; never give
them as arguments, where other programs and the shell's history see them.`,
		Example: `  parley inspect mnemonic < phrase.txt
  parley inspect mnemonic --passphrase-file passphrase.txt --secrets --json < phrase.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 && (len(args) > 1 || args[0] != "-") {
				return fault.New(fault.Usage, "the words of a recovery phrase are not arguments").
					WithHint("write them to standard input: parley inspect mnemonic < phrase.txt; and clear your shell's history")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			var passphrase string
			if passphraseFile != "" {
				if passphraseFile == "-" {
					return fault.New(fault.Usage, "standard input is where the recovery phrase comes from").WithHint("keep the passphrase in a file")
				}
				var err error
				if passphrase, err = a.secretFile("passphrase-file", passphraseFile); err != nil {
					return err
				}
			}
			phrase, err := a.phrase(cmd)
			if err != nil {
				return err
			}
			m, err := inspect.DescribeMnemonic(phrase, passphrase, secrets)
			if err != nil {
				return err
			}
			return a.showInspected(m)
		},
	}
	c.Flags().StringVar(&passphraseFile, "passphrase-file", "", "file with the BIP-39 passphrase, if the phrase has one")
	c.Flags().BoolVar(&secrets, "secrets", false, "show the private keys too")
	return c
}
