package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/server/client"
)

func (a *app) contactVerifyCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "verify",
		Short: "Make sure that a contact is who they say",
		Long: `Make sure that a contact is who they say: ask them something that only they can answer,
read the answer, and mark them as trusted or not. Nobody is told of the mark.

` + whoHelp,
		Example: `  parley contact verify ask "Ada Lovelace" "Where did we meet?"
  parley contact verify list "Ada Lovelace"
  parley contact verify trust "Ada Lovelace"`,
	},
		a.verifyListCommand(),
		a.verifyTextVerb("ask", "QUESTION", "Ask a contact something", "Ask a contact something that only they can answer. Two people have one open question at a\ntime.", "Where did we meet?", (*client.Client).AskVerification),
		a.verifyTextVerb("answer", "ANSWER", "Answer what a contact asked", "Answer what a contact asked last.", "In London", (*client.Client).AnswerVerification),
		a.verifyVerb("decline", "Decline to answer", "Decline to answer what a contact asked last. They are told.", (*client.Client).DeclineVerification),
		a.verifyVerb("cancel", "Take your question back", "Take your question to a contact back.", (*client.Client).CancelVerification),
		a.trustVerb("trust", "trusted", "Mark somebody as trusted", "Mark somebody as trusted. If they have answered your question, it is the verdict on\nthat."),
		a.trustVerb("distrust", "untrustworthy", "Mark somebody as untrustworthy", "Mark somebody as untrustworthy. If they have answered your question, it is the verdict on\nthat."),
		a.trustVerb("forget", "unknown", "Take such a mark back", "Mark somebody as neither trusted nor untrustworthy."),
	)
}

// verificationRow shows a question in words.
func verificationRow(v parley.Verification) []string {
	who := "they ask"
	if v.Own {
		who = "you ask"
	}
	response := ""
	if v.Response != "" {
		response = "→ " + v.Response
	}
	return []string{localTime(time.UnixMilli(int64(v.AskedClock)), time.Now()), who, v.Challenge, response, v.State}
}

func (a *app) printVerification(v parley.Verification) error {
	return a.print(v, func(w io.Writer) error { return table(w, verificationRow(v)) })
}

func (a *app) verifyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "list KEY",
		Short:             "Show the questions between you and a contact",
		Long:              "Show the questions between you and a contact, oldest first, with their answers.\n\n" + whoHelp,
		Example:           "  parley contact verify list \"Ada Lovelace\"",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeContact,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := a.client().Verifications(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printList(a, all, verificationRow, "Nobody has asked anything yet.")
		},
	}
}

func (a *app) verifyTextVerb(verb, what, short, long, example string, do func(c *client.Client, ctx context.Context, who, text string) (parley.Verification, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " KEY " + what,
		Short:             short,
		Long:              long + "\n\n" + whoHelp,
		Example:           fmt.Sprintf("  parley contact verify %s \"Ada Lovelace\" %q", verb, example),
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeContact,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] == "" {
				return fault.New(fault.Usage, "the %s is empty", strings.ToLower(what))
			}
			v, err := do(a.client(), cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return a.printVerification(v)
		},
	}
}

func (a *app) verifyVerb(verb, short, long string, do func(c *client.Client, ctx context.Context, who string) (parley.Verification, error)) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " KEY",
		Short:             short,
		Long:              long + "\n\n" + whoHelp,
		Example:           fmt.Sprintf("  parley contact verify %s \"Ada Lovelace\"", verb),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeContact,
		RunE:              onOne(a, do, a.printVerification),
	}
}

// trustVerb makes a command that marks somebody.
func (a *app) trustVerb(verb, mark, short, long string) *cobra.Command {
	c := a.contactVerb(verb, short, long+" Nobody is told.", func(c *client.Client, ctx context.Context, who string) (parley.Contact, error) {
		return c.Trust(ctx, who, mark)
	})
	c.Example = fmt.Sprintf("  parley contact verify %s \"Ada Lovelace\"", verb)
	return c
}

func (a *app) contactOnlyCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "only [on|off]",
		Short:     "Refuse messages of those who are no contacts",
		Long:      "Refuse messages of those who are no contacts, or no longer; without an argument show how it\nis. Contact requests come all the same.",
		Example:   "  parley contact only on\n  parley contact only",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: []cobra.Completion{"on", "off"},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, c := cmd.Context(), a.client()
			var s parley.Settings
			var err error
			switch {
			case len(args) == 0:
				s, err = c.Settings(ctx)
			case args[0] == "on", args[0] == "off":
				s, err = c.SetContactsOnly(ctx, args[0] == "on")
			default:
				err = fault.New(fault.Usage, "%q is neither on nor off", args[0])
			}
			if err != nil {
				return err
			}
			return a.print(s, func(w io.Writer) error {
				text := "off: everybody can write"
				if s.ContactsOnly {
					text = "on: contacts alone can write"
				}
				_, err := fmt.Fprintln(w, text)
				return err
			})
		},
	}
}
