package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
)

func (a *app) searchCommand() *cobra.Command {
	var q parley.SearchQuery
	c := &cobra.Command{
		Use:   "search WORD…",
		Short: "Find messages by their words",
		Long: `Find messages by their words, in all chats, the newest first. All words must be there; a word
is found where a word begins with it, and what stands in double quotes as it is. Case and
accents do not count.`,
		Example: `  parley search lunch thursday
  parley search '"see you there"' --chat "Book club" --limit 10 --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Limit < 0 {
				return fault.New(fault.Usage, "--limit is below zero")
			}
			q.Text = strings.Join(args, " ")
			if strings.TrimSpace(q.Text) == "" {
				return fault.New(fault.Usage, "there is no word to search for")
			}
			return a.search(cmd.Context(), q)
		},
	}
	flags := c.Flags()
	flags.StringVar(&q.Chat, "chat", "", "only this chat: a key, a share URL, or the name of a contact or group")
	flags.StringVar(&q.From, "from", "", "only what somebody wrote: a key, a share URL, or a name")
	flags.IntVar(&q.Limit, "limit", 20, "at most so many; 0 is all")
	return c
}

// search shows what is found, page by page.
func (a *app) search(ctx context.Context, q parley.SearchQuery) error {
	c := a.client()
	p := &messagePrinter{app: a, client: c}
	if !a.json {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		p.self = s.Account
	}
	left, found := q.Limit, 0
	for {
		q.Limit = left
		page, err := c.Search(ctx, limited(q))
		if err != nil {
			return err
		}
		for _, m := range page.Messages {
			if err := p.print(ctx, m); err != nil {
				return err
			}
		}
		found += len(page.Messages)
		if left > 0 {
			left -= len(page.Messages)
		}
		if page.Next == "" || q.Limit > 0 && left <= 0 {
			break
		}
		q.Next = page.Next
	}
	if found == 0 && !a.json {
		a.say("Nothing is found.")
	}
	return nil
}

// limited asks for no more than a page.
func limited(q parley.SearchQuery) parley.SearchQuery {
	if q.Limit == 0 || q.Limit > maxPage {
		q.Limit = maxPage
	}
	return q
}

// maxPage is how much the daemon gives at a time.
const maxPage = 500
