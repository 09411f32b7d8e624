package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/fault"
)

// given returns the value of a flag that was set, nil for another.
func given[T any](flags *pflag.FlagSet, name string, value *T) *T {
	if !flags.Changed(name) {
		return nil
	}
	return value
}

// communityFlags are the flags of what a community says of itself.
type communityFlags struct {
	name, description, color, emoji, intro, outro, access string
	picture, banner                                       string
	tags                                                  []string
	ensOnly, pinByAll                                     bool
}

func (f *communityFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.description, "description", "", "what it is about (default: its name)")
	flags.StringVar(&f.color, "color", "", "its colour, #rrggbb")
	flags.StringVar(&f.emoji, "emoji", "", "an emoji that stands for it")
	flags.StringVar(&f.intro, "intro", "", "what is shown before one asks to join")
	flags.StringVar(&f.outro, "outro", "", "what is shown to who leaves")
	flags.StringVar(&f.access, "access", "auto", "auto lets everybody in who asks, manual leaves it to you")
	flags.StringArrayVar(&f.tags, "tag", nil, "what it is about, in a word of `parley community tags`; may be repeated")
	flags.BoolVar(&f.ensOnly, "ens-only", false, "let in only who has an ENS name")
	flags.BoolVar(&f.pinByAll, "pin-by-all", false, "let every member pin messages")
	flags.StringVar(&f.picture, "picture", "", "a file with its picture, of which the middle is shown")
	flags.StringVar(&f.banner, "banner", "", "a file with a wide picture for its top")
}

// settings are what the flags say; with nothing said nothing is to change.
func (f *communityFlags) settings(flags *pflag.FlagSet) (s parley.CommunitySettings, err error) {
	s.Name = given(flags, "name", &f.name)
	s.Description = given(flags, "description", &f.description)
	s.Color = given(flags, "color", &f.color)
	s.Emoji = given(flags, "emoji", &f.emoji)
	s.Intro = given(flags, "intro", &f.intro)
	s.Outro = given(flags, "outro", &f.outro)
	s.Access = given(flags, "access", &f.access)
	s.ENSOnly = given(flags, "ens-only", &f.ensOnly)
	s.PinByAll = given(flags, "pin-by-all", &f.pinByAll)
	if flags.Changed("tag") {
		s.Tags = []string{}
		for _, tag := range f.tags {
			if tag != "" {
				s.Tags = append(s.Tags, tag)
			}
		}
	}
	for _, one := range []struct {
		flag, file string
		to         *[]byte
		none       *bool
	}{{"picture", f.picture, &s.Picture, &s.NoPicture}, {"banner", f.banner, &s.Banner, &s.NoBanner}} {
		switch {
		case one.file != "":
			if *one.to, err = readPicture(one.file); err != nil {
				return s, fault.Wrap(fault.Usage, "--"+one.flag, err)
			}
		case flags.Changed(one.flag):
			*one.none = true
		}
	}
	return s, nil
}

func (a *app) communityCreateCommand() *cobra.Command {
	var f communityFlags
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a community",
		Long: `Make a community with you as its owner and with one channel, general. This account has its
key and controls it: keep the account, or export the key with "parley community export-key".`,
		Example: `  parley community create "Book club" --description "We read" --color '#336699'
  parley community create "Film club" --access manual --picture reel.png`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.settings(cmd.Flags())
			if err != nil {
				return err
			}
			s.Name = &args[0]
			made, err := a.client().CreateCommunity(cmd.Context(), s)
			if err != nil {
				return err
			}
			return a.printCommunity(made)
		},
	}
	f.add(c.Flags())
	return c
}

func (a *app) communityEditCommand() *cobra.Command {
	var f communityFlags
	c := &cobra.Command{
		Use:   "edit COMMUNITY",
		Short: "Change what your community says of itself",
		Long: `Change what your community says of itself; what no flag is given for stays. An empty --picture,
--banner or --tag takes away what there is.

` + communityHelp,
		Example:           `  parley community edit "Book club" --description "We read, and talk" --access manual`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeCommunity,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := f.settings(cmd.Flags())
			if err != nil {
				return err
			}
			after, err := a.client().EditCommunity(cmd.Context(), args[0], s)
			if err != nil {
				return err
			}
			return a.printCommunity(after)
		},
	}
	f.add(c.Flags())
	c.Flags().Lookup("description").Usage = "what it is about"
	c.Flags().StringVar(&f.name, "name", "", "what it is called")
	return c
}

func (a *app) communityExportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export-key COMMUNITY FILE",
		Short: "Write the private key of your community to a file",
		Long: `Write the private key of your community to a new file that only you can read, or to standard
output when FILE is "-". Whoever has the key controls the community: keep it secret.

Another account that imports it controls the community, too. Two that go on at the same time
overwrite what the other does: use "parley community forget-key" on one of them.

` + communityHelp,
		Example:           `  parley community export-key "Book club" bookclub.key`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeCommunityThenFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := a.client().ExportCommunityKey(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			write := func(w io.Writer) error {
				_, err := fmt.Fprintln(w, secret.PrivateKey)
				return err
			}
			if args[1] == "-" {
				if a.json {
					return a.printJSON(secret)
				}
				return write(a.out)
			}
			if err := writeNew(args[1], write); err != nil {
				return err
			}
			return a.print(struct {
				ID   string `json:"id"`
				File string `json:"file"`
			}{secret.ID, args[1]}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "The key is in %s. Whoever has it controls the community.\n", args[1])
				return err
			})
		},
	}
}

func (a *app) completeCommunityThenFile(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeCommunity(cmd, args, text)
}

// keyFile reads a secret from a file, "-" for standard input.
func (a *app) keyFile(file string) (string, error) {
	const op = "reading the key"
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fault.Wrap(fault.Usage, op, err)
		}
		defer f.Close()
		in = f
	}
	secret, err := readSecret(in)
	return secret, fault.Wrap(fault.Usage, op, err)
}

func (a *app) communityImportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "import-key [FILE]",
		Short: "Control a community by its private key",
		Long: `Control a community by its private key, which is read from a file, or from standard input
without one. It takes a minute or two: what the community said last has to come from the
network first.`,
		Example: "  parley community import-key bookclub.key",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) == 1 {
				file = args[0]
			}
			if _, err := hex.DecodeString(strings.TrimPrefix(file, "0x")); err == nil && len(file) >= 2*key.PrivateSize {
				return fault.New(fault.Usage, "a private key is not given on the command line").WithHint("everybody on this machine can see it there: give a file, or write it to standard input")
			}
			if _, ok := a.terminal(); ok && file == "-" {
				a.say("Write the private key; end it with ctrl-d.")
			}
			secret, err := a.keyFile(file)
			if err != nil {
				return err
			}
			after, err := a.client().ImportCommunityKey(cmd.Context(), secret)
			if err != nil {
				return err
			}
			return a.printCommunity(after)
		},
	}
}
