package main

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

func (a *app) channelCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "channel",
		Short:   "Make, change, move and delete channels of your community",
		Long:    "Make, change, move and delete channels of your community.\n\n" + communityHelp + "\n" + channelHelp,
		Example: `  parley community channel create "Book club" poetry --description "Verses"`,
	}, a.channelCreateCommand(), a.channelEditCommand(), a.channelMoveCommand(), a.channelDeleteCommand())
}

// channelFlags are the flags of what a channel says of itself.
type channelFlags struct {
	name, description, color, emoji, category string
	viewersReact                              bool
}

func (f *channelFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.description, "description", "", "what it is for (default: its name)")
	flags.StringVar(&f.color, "color", "", "its colour, #rrggbb (default: the community's)")
	flags.StringVar(&f.emoji, "emoji", "", "an emoji that stands for it")
	flags.StringVar(&f.category, "category", "", "the name or id of the category it is in")
	flags.BoolVar(&f.viewersReact, "viewers-react", false, "let those react who may not write")
}

func (f *channelFlags) settings(flags *pflag.FlagSet) parley.ChannelSettings {
	return parley.ChannelSettings{
		Name:         given(flags, "name", &f.name),
		Description:  given(flags, "description", &f.description),
		Color:        given(flags, "color", &f.color),
		Emoji:        given(flags, "emoji", &f.emoji),
		Category:     given(flags, "category", &f.category),
		ViewersReact: given(flags, "viewers-react", &f.viewersReact),
	}
}

func (a *app) printChannel(ch parley.Channel) error {
	return a.print(ch, func(w io.Writer) error { return table(w, channelRow(ch, "")) })
}

func (a *app) channelCreateCommand() *cobra.Command {
	var f channelFlags
	c := &cobra.Command{
		Use:               "create COMMUNITY NAME",
		Short:             "Make a channel",
		Long:              "Make a channel of your community.\n\n" + communityHelp,
		Example:           `  parley community channel create "Book club" poetry --emoji 📜`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeCommunity,
		RunE: func(cmd *cobra.Command, args []string) error {
			s := f.settings(cmd.Flags())
			s.Name = &args[1]
			made, err := a.client().CreateChannel(cmd.Context(), args[0], s)
			if err != nil {
				return err
			}
			return a.printChannel(made)
		},
	}
	f.add(c.Flags())
	return c
}

func (a *app) channelEditCommand() *cobra.Command {
	var f channelFlags
	c := &cobra.Command{
		Use:               "edit COMMUNITY CHANNEL",
		Short:             "Change what a channel says of itself",
		Long:              "Change what a channel of your community says of itself; what no flag is given for stays. An\nempty --category takes it out of its category.\n\n" + communityHelp + "\n" + channelHelp,
		Example:           `  parley community channel edit "Book club" poetry --name verses`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			after, err := a.client().EditChannel(cmd.Context(), args[0], args[1], f.settings(cmd.Flags()))
			if err != nil {
				return err
			}
			return a.printChannel(after)
		},
	}
	f.add(c.Flags())
	c.Flags().StringVar(&f.name, "name", "", "what it is called")
	c.Flags().Lookup("description").Usage, c.Flags().Lookup("color").Usage = "what it is for", "its colour, #rrggbb"
	return c
}

// place reads a position, which people count from 1.
func place(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Usage, "%q is not a place: the first is 1", text)
	}
	return n - 1, nil
}

func (a *app) channelMoveCommand() *cobra.Command {
	var category string
	c := &cobra.Command{
		Use:               "move COMMUNITY CHANNEL PLACE",
		Short:             "Put a channel at another place",
		Long:              "Put a channel of your community at a place, 1 for the first, among those without a category\nor in the one of --category.\n\n" + communityHelp + "\n" + channelHelp,
		Example:           `  parley community channel move "Book club" poetry 1 --category Arts`,
		Args:              cobra.ExactArgs(3),
		ValidArgsFunction: a.completeChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := place(args[2])
			if err != nil {
				return err
			}
			after, err := a.client().MoveChannel(cmd.Context(), args[0], args[1], category, at)
			if err != nil {
				return err
			}
			return a.printChannel(after)
		},
	}
	c.Flags().StringVar(&category, "category", "", "the name or id of a category (default: none)")
	return c
}

func (a *app) channelDeleteCommand() *cobra.Command {
	return a.communityPartVerb("delete COMMUNITY CHANNEL", "Delete a channel",
		"Delete a channel of your community. What was written there stays where it is.\n\n"+communityHelp+"\n"+channelHelp,
		`  parley community channel delete "Book club" poetry`, a.completeChannel, (*client.Client).DeleteChannel)
}

// communityPartVerb makes a command that does one thing to a part of a community,
// and shows what is left.
func (a *app) communityPartVerb(use, short, long, example string, complete cobra.CompletionFunc, do func(c *client.Client, ctx context.Context, community, part string) (parley.Community, error)) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Long:              long,
		Example:           example,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			after, err := do(a.client(), cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.printCommunity(after)
		},
	}
}

// categoryHelp tells how a category can be named.
const categoryHelp = `CATEGORY is the name of a category, or its id.`

func (a *app) categoryCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "category",
		Short:   "Make, change, move and delete categories of channels",
		Long:    "Make, change, move and delete categories, which are headings for channels of your community.\n\n" + communityHelp + "\n" + channelHelp + "\n" + categoryHelp,
		Example: `  parley community category create "Book club" Arts poetry drama`,
	},
		a.categoryVerb("create COMMUNITY NAME [CHANNEL…]", "Make a category of channels", `  parley community category create "Book club" Arts poetry drama`, cobra.MinimumNArgs(2),
			func(ctx context.Context, c *client.Client, args []string) (parley.Category, error) {
				return c.CreateCategory(ctx, args[0], args[1], args[2:])
			}),
		a.categoryVerb("rename COMMUNITY CATEGORY NAME", "Give a category another name", `  parley community category rename "Book club" Arts "Fine arts"`, cobra.ExactArgs(3),
			func(ctx context.Context, c *client.Client, args []string) (parley.Category, error) {
				return c.RenameCategory(ctx, args[0], args[1], args[2])
			}),
		a.categoryVerb("fill COMMUNITY CATEGORY [CHANNEL…]", "Say which channels are in a category, and in which order", `  parley community category fill "Book club" Arts drama poetry`, cobra.MinimumNArgs(2),
			func(ctx context.Context, c *client.Client, args []string) (parley.Category, error) {
				return c.FillCategory(ctx, args[0], args[1], args[2:])
			}),
		a.categoryVerb("move COMMUNITY CATEGORY PLACE", "Put a category at another place, 1 for the first", `  parley community category move "Book club" Arts 1`, cobra.ExactArgs(3),
			func(ctx context.Context, c *client.Client, args []string) (parley.Category, error) {
				at, err := place(args[2])
				if err != nil {
					return parley.Category{}, err
				}
				return c.MoveCategory(ctx, args[0], args[1], at)
			}),
		a.communityPartVerb("delete COMMUNITY CATEGORY", "Delete a category", "Delete a category of your community; its channels stay.\n\n"+communityHelp+"\n"+categoryHelp,
			`  parley community category delete "Book club" Arts`, a.completeCommunity, (*client.Client).DeleteCategory),
	)
}

func (a *app) categoryVerb(use, short, example string, args cobra.PositionalArgs, do func(ctx context.Context, c *client.Client, args []string) (parley.Category, error)) *cobra.Command {
	return &cobra.Command{
		Use:               use,
		Short:             short,
		Long:              short + ".\n\n" + communityHelp + "\n" + categoryHelp + "\n" + channelHelp,
		Example:           example,
		Args:              args,
		ValidArgsFunction: a.completeCommunity,
		RunE: func(cmd *cobra.Command, args []string) error {
			after, err := do(cmd.Context(), a.client(), args)
			if err != nil {
				return err
			}
			return a.print(after, func(w io.Writer) error { return table(w, []string{after.Name, after.ID}) })
		},
	}
}
