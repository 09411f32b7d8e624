package main

import (
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack/inspect"
)

func (a *app) inspectTopicCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "topic NAME",
		Short: "The content topic and symmetric key of a name",
		Long: `Derive the content topic of a name, and the symmetric key that its messages are
encrypted with. NAME is a public chat, a chat id, or another name of the
specification; parley inspect topics lists those of a person or community.`,
		Example: `  parley inspect topic status
  parley inspect topic 0x039673031c53256dfcf768df13f9207fc1c49672fc8bbd649f30d62c4420ac0ede --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name, err := a.input(args, inspect.MaxText+1)
			if err != nil {
				return err
			}
			if name == "" && len(args) == 0 { // "" as an argument is a name
				return fault.New(fault.Usage, "%w", inspect.ErrEmpty).WithHint("give the name of a topic, such as status")
			}
			t, err := inspect.DescribeTopic(withoutBreak(name))
			if err != nil {
				return err
			}
			return a.showInspected(t)
		},
	}
}

func (a *app) inspectTopicsCommand() *cobra.Command {
	var who string
	var community bool
	c := &cobra.Command{
		Use:   "topics --for KEY",
		Short: "The content topics of a person or a community",
		Long: `List the content topics on which a person is reached (personal, partitioned,
contact_code), or with --community those of a community (community, universal,
shard_info, ping, magnetlinks, control). The share URL of a community needs no
--community, that of a channel adds the channel's own topic.

A topic has a symmetric key when it comes from the topic's name. Messages on the
others (personal, partitioned, control) are encrypted to the key itself.

With --json the result is one array.`,
		Example: `  parley inspect topics --for zQ3shuKb2nzoiBgTtu9USEk16k6gkUvP2iSU6D1qJUFCwdAeG
  parley inspect topics --community --for zQ3shSCKEx2Vw2DzBv118JQnuGyyRCNQgxrYSL2S5mAScYYte --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("for") {
				if len(args) > 0 {
					return fault.New(fault.Usage, "two keys, one of them with --for")
				}
				args = []string{who}
			}
			text, err := a.input(args, inspect.MaxText)
			if err != nil {
				return err
			}
			subject, err := inspect.ParseSubject(text)
			if err != nil {
				return err
			}
			topics, err := inspect.Topics(subject, community)
			if err != nil {
				return err
			}
			return a.showInspected(topics)
		},
	}
	c.Flags().StringVar(&who, "for", "", "whose topics: a public key or share URL")
	c.Flags().BoolVar(&community, "community", false, "the key is a community's")
	return c
}
