package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/parley-im/parley"
	groups "github.com/parley-im/parley/app/group"
)

// entry writes an entry of a group's history.
func (p *messagePrinter) entry(ctx context.Context, m parley.Message) error {
	by, err := p.someone(ctx, m.FromKey, m.From.String())
	if err != nil {
		return err
	}
	var about []string
	for _, member := range m.GroupChange.Members {
		name, err := p.someone(ctx, member.PublicKey, member.Key.String())
		if err != nil {
			return err
		}
		about = append(about, name)
	}
	if by == "you" {
		by = "You"
	}
	text := by + " " + entryText(*m.GroupChange, about)
	if !p.one {
		where, err := p.group(ctx, m.Chat)
		if err != nil {
			return err
		}
		text += " in " + where
	}
	_, err = fmt.Fprintf(p.app.out, "%s  %s\n", localTime(time.UnixMilli(int64(m.Timestamp)), time.Now()), plain(text))
	return err
}

// someone is what somebody is called in a sentence.
func (p *messagePrinter) someone(ctx context.Context, publicKey, shown string) (string, error) {
	if shown == p.self {
		return "you", nil
	}
	return p.name(ctx, publicKey)
}

// entryText tells what somebody did to a group, behind their name.
func entryText(c parley.GroupEntry, about []string) string {
	who := strings.Join(about, ", ")
	switch groups.ChangeKind(c.Kind) {
	case groups.GroupWasCreated:
		return "made the group “" + c.Text + "”"
	case groups.MemberWasAdded:
		return "added " + who
	case groups.MemberHasJoined:
		return "joined"
	case groups.MemberHasLeft:
		return "left"
	case groups.MemberWasRemoved:
		return "removed " + who
	case groups.AdminWasAdded:
		return "made " + who + " admin"
	case groups.AdminWasRemoved:
		return "stepped down as admin"
	case groups.Renamed:
		return "named the group “" + c.Text + "”"
	case groups.Recolored:
		return "changed the colour to " + c.Text
	case groups.Repictured:
		return "changed the picture"
	}
	return strings.ReplaceAll(c.Kind, "_", " ")
}
