package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/app/picture"
	"github.com/parley-im/parley/internal/fault"
)

func (a *app) profileCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "profile",
		Short:   "Show and change what others are told about you",
		Long:    "Show and change what others are told about you: name, a word about yourself, picture, and\nwhether you are there.",
		Example: "  parley profile show\n  parley profile set --bio \"Counting engines\"\n  parley profile picture me.jpg --show-to contacts",
	}, a.profileShowCommand(), a.profileSetCommand(), a.profilePictureCommand(), a.profilePresenceCommand())
}

func (a *app) printProfile(p parley.Profile) error {
	return a.print(p, func(w io.Writer) error {
		seen := map[picture.ShowTo]string{
			picture.Everyone: "seen by everyone", picture.ContactsOnly: "seen by your contacts", picture.Nobody: "seen by nobody", "": "none",
		}[p.Picture]
		rows := [][]string{{"Name", shownName(p.Name, p.Alias)}, {"Key", p.Key.String()}, {"Picture", seen}}
		for _, row := range [][]string{
			{"Bio", p.Bio}, {"Color", p.Color}, {"ENS name", p.ENSName}, {"Link", p.Link},
			{"Presence", strings.TrimSpace(strings.ReplaceAll(string(p.Presence), "_", " ") + " " + p.PresenceText)},
		} {
			if row[1] != "" {
				rows = append(rows, row)
			}
		}
		return table(w, rows...)
	})
}

func (a *app) profileShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show",
		Short:   "Show what others are told about you",
		Long:    "Show what others are told about you. For your key without a daemon see\n\"parley account show\".",
		Example: "  parley profile show",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.client().Profile(cmd.Context())
			if err != nil {
				return err
			}
			return a.printProfile(p)
		},
	}
}

func (a *app) profileSetCommand() *cobra.Command {
	var name, bio, color string
	c := &cobra.Command{
		Use:     "set",
		Short:   "Change your name, the word about yourself, your colour",
		Long:    "Change your name, the word about yourself, or the colour of your profile; the rest stays.\nOthers are told at once. An empty value takes it away.",
		Example: "  parley profile set --name \"Ada Lovelace\" --bio \"Counting engines\" --color magenta",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var change parley.ProfileChange
			for flag, field := range map[string]struct {
				value *string
				to    **string
			}{"name": {&name, &change.Name}, "bio": {&bio, &change.Bio}, "color": {&color, &change.Color}} {
				if cmd.Flags().Changed(flag) {
					*field.to = field.value
				}
			}
			if change == (parley.ProfileChange{}) {
				return fault.New(fault.Usage, "nothing is to be changed").WithHint("give --name, --bio or --color")
			}
			p, err := a.client().SetProfile(cmd.Context(), change)
			if err != nil {
				return err
			}
			return a.printProfile(p)
		},
	}
	flags := c.Flags()
	flags.StringVar(&name, "name", "", "your name")
	flags.StringVar(&bio, "bio", "", "a word about yourself")
	flags.StringVar(&color, "color", "", "the colour of your profile, by its name")
	return c
}

func (a *app) profilePictureCommand() *cobra.Command {
	var showTo string
	c := &cobra.Command{
		Use:     "picture [FILE]",
		Short:   "Give your profile a picture, or take it away",
		Long:    "Give your profile a picture, PNG, JPEG, WebP or GIF, of which the middle is shown, without\nmetadata; without FILE the picture is taken away. What only your contacts may see is\nencrypted for them.",
		Example: "  parley profile picture me.jpg --show-to contacts\n  parley profile picture",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			if _, err := picture.ParseShowTo(showTo); err != nil {
				return fault.New(fault.Usage, "--show-to %q is not everyone, contacts or nobody", showTo)
			}
			if len(args) == 0 {
				p, err := c.ClearPicture(ctx)
				if err != nil {
					return err
				}
				return a.printProfile(p)
			}
			data, err := readPicture(args[0])
			if err != nil {
				return fault.Wrap(fault.Usage, "reading the picture", err)
			}
			p, err := c.SetPicture(ctx, data, showTo)
			if err != nil {
				return err
			}
			return a.printProfile(p)
		},
	}
	c.Flags().StringVar(&showTo, "show-to", string(picture.Everyone), "who may see it: everyone, contacts or nobody")
	return c
}

func (a *app) profilePresenceCommand() *cobra.Command {
	presences := []cobra.Completion{"automatic", "do-not-disturb", "always-online", "inactive"}
	return &cobra.Command{
		Use:       "presence WHAT [TEXT]",
		Short:     "Tell others whether you are there",
		Long:      "Tell all who listen, once, whether you are there: automatic, do-not-disturb, always-online or\ninactive, and a word about it.",
		Example:   "  parley profile presence do-not-disturb \"Writing\"",
		Args:      cobra.RangeArgs(1, 2),
		ValidArgs: presences,
		RunE: func(cmd *cobra.Command, args []string) error {
			known := false
			for _, p := range presences {
				known = known || p == args[0]
			}
			if !known {
				return fault.New(fault.Usage, "%q is not %s", args[0], fmt.Sprint(presences))
			}
			p, err := a.client().SetPresence(cmd.Context(), strings.ReplaceAll(args[0], "-", "_"), strings.Join(args[1:], ""))
			if err != nil {
				return err
			}
			return a.printProfile(p)
		},
	}
}
