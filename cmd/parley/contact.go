package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/server/client"
)

// whoHelp tells how somebody can be named.
const whoHelp = `KEY is a key in any form (zQ3sh…, 0x04…, 0x02…, 0x03…), a share URL, or the name
of a contact.`

func (a *app) contactCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "contact",
		Short: "Add, accept, list and block people",
		Long: `Add, accept, list and block people.

Two people become contacts when one sends a request and the other accepts it, or
when both send one.

` + whoHelp,
		Example: "  parley contact add zQ3sh… --message \"Ada here\"\n  parley contact list",
	},
		a.contactAddCommand(), a.contactListCommand(),
		a.contactVerb("accept", "Accept a contact request", "Accept the request that somebody has sent. They are told.", (*client.Client).AcceptContact),
		a.contactVerb("reject", "Decline a contact request", "Decline the request that somebody has sent. They are not told.", (*client.Client).RejectContact),
		a.contactVerb("remove", "End a contact or take a request back", "End a contact, or take a request back that is not answered yet. They are told.", (*client.Client).RemoveContact),
		a.contactVerb("block", "Drop everything that comes from somebody", "Drop everything that comes from somebody from now on. They are not told.", (*client.Client).BlockContact),
		a.contactVerb("unblock", "Take a block back", "Take a block back. What was dropped meanwhile does not come back.", (*client.Client).UnblockContact),
		a.contactRenameCommand(), a.contactVerifyCommand(), a.contactOnlyCommand(),
	)
}

func (a *app) printContact(c parley.Contact) error {
	return a.print(c, func(w io.Writer) error { return table(w, contactRow(c)) })
}

// contactRow shows a contact in words.
func contactRow(c parley.Contact) []string {
	state := map[string]string{
		"mutual":   "contact",
		"sent":     "request sent",
		"received": "wants to be a contact",
		"none":     "no contact",
	}[string(c.State)]
	switch {
	case c.Blocked:
		state = "blocked"
	case c.Declined:
		state = "declined"
	}
	if c.Trust != "" {
		state += ", " + c.Trust
	}
	return []string{c.Name, state, c.Key.String()}
}

func (a *app) contactAddCommand() *cobra.Command {
	var text string
	c := &cobra.Command{
		Use:   "add KEY",
		Short: "Send a contact request",
		Long: `Send a contact request with a text, or accept the request that they have already
sent. It is on its way when the command returns, and goes on its way again until
it has arrived.

` + whoHelp,
		Example: `  parley contact add zQ3sh… --message "Ada here, we met at the conference"
  parley contact add 'https://status.app/u/…#zQ3sh…'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeContact,
		RunE: func(cmd *cobra.Command, args []string) error {
			added, err := a.client().AddContact(cmd.Context(), args[0], text)
			if err != nil {
				return err
			}
			return a.printContact(added)
		},
	}
	c.Flags().StringVar(&text, "message", "Please add me to your contacts", "what the request says")
	return c
}

func (a *app) contactListCommand() *cobra.Command {
	var page listPage
	c := &cobra.Command{
		Use:     "list",
		Short:   "List everybody the account knows",
		Long:    "List everybody the account knows: contacts, requests of both sides, and who is blocked.\n\n" + pageHelp,
		Example: "  parley contact list\n  parley contact list --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, next, err := onePage(page,
				func() ([]parley.Contact, error) { return a.client().Contacts(cmd.Context()) },
				func() ([]parley.Contact, string, error) {
					p, err := a.client().ContactPage(cmd.Context(), parley.ContactQuery{Next: page.next, Limit: page.limit})
					return p.Contacts, p.Next, err
				})
			if err != nil {
				return err
			}
			defer a.more(next)
			rows := make([][]string, 0, len(all))
			for _, c := range all {
				if a.json {
					if err := a.printJSON(c); err != nil {
						return err
					}
				}
				rows = append(rows, contactRow(c))
			}
			if a.json {
				return nil
			}
			if len(rows) == 0 {
				a.say("Nobody is known yet. Give your key to others (`parley account show`), or add them with `parley contact add`.")
			}
			return table(a.out, rows...)
		},
	}
	page.flags(c)
	return c
}

// contactVerb makes a command that does one thing to one contact.
func (a *app) contactVerb(verb, short, long string, do func(*client.Client, context.Context, string) (parley.Contact, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " KEY",
		Short:             short,
		Long:              long + "\n\n" + whoHelp,
		Example:           fmt.Sprintf("  parley contact %s zQ3sh…", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeContact,
		RunE: func(cmd *cobra.Command, args []string) error {
			changed, err := do(a.client(), cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printContact(changed)
		},
	}
}

func (a *app) contactRenameCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "rename KEY [NICK]",
		Short:             "Give somebody a name of your own",
		Long:              "Give somebody a name of your own, which nobody else sees. Without NICK it is taken back.\n\n" + whoHelp,
		Example:           "  parley contact rename zQ3sh… \"Ada from work\"",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeContact,
		RunE: func(cmd *cobra.Command, args []string) error {
			nick := ""
			if len(args) == 2 {
				nick = args[1]
			}
			changed, err := a.client().RenameContact(cmd.Context(), args[0], nick)
			if err != nil {
				return err
			}
			return a.printContact(changed)
		},
	}
}

// completeContact offers the contacts of the running daemon, by name.
func (a *app) completeContact(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completePeople(cmd, args, text)
}

// completePeople offers them for every argument.
func (a *app) completePeople(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	if a.settle(cmd) != nil {
		return nil, done
	}
	all, err := a.client().Contacts(cmd.Context())
	if err != nil {
		return nil, done
	}
	var names []cobra.Completion
	for _, c := range all {
		names = append(names, cobra.CompletionWithDesc(plain(c.Name), c.Key.String()))
	}
	return names, done
}
