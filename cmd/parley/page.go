package main

import (
	"github.com/spf13/cobra"

	"github.com/parley-im/parley/internal/fault"
)

// pageHelp tells how a list is shown in parts.
const pageHelp = `With --limit a part of the list is shown, and on standard error what --next has to be for
the part that follows.`

// listPage is which part of a list is to be shown.
type listPage struct {
	limit int
	next  string
}

func (p *listPage) flags(c *cobra.Command) {
	c.Flags().IntVar(&p.limit, "limit", 0, "at most so many; 0 is all")
	c.Flags().StringVar(&p.next, "next", "", "the part that follows another")
}

// onePage reads all of a list, or the part that is wanted and where the next
// one begins.
func onePage[T any](p listPage, all func() ([]T, error), page func() ([]T, string, error)) (list []T, next string, err error) {
	switch {
	case p.limit < 0:
		return nil, "", fault.New(fault.Usage, "--limit is below zero")
	case p == listPage{}:
		list, err = all()
		return list, "", err
	}
	return page()
}

// more tells how to see the part of a list that follows.
func (a *app) more(next string) {
	if next != "" {
		a.say("There are more: --next %s", next)
	}
}
