package parley

import (
	"testing"

	"github.com/parley-im/parley/account"
	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/storage"
)

// TestMentionByName: names are typed and offered, keys are sent.
//
// Proves: AP-132, AP-133, AP-134.
func TestMentionByName(t *testing.T) {
	t.Parallel()
	c, ctx, bob := memoryClient(t), t.Context(), strangerKey(t)
	known, err := c.stack.Contact(bob)
	if err != nil {
		t.Fatal(err)
	}
	known.ENSName, known.ENSVerified, known.DisplayName = "bob.stateofus.eth", true, "Bob the Builder"
	if err := c.db.Update(func(tx *storage.Tx) error { return tx.PutContact(known) }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bob.stateofus.eth", "Bob the Builder", account.Alias(bob), bob.String()} {
		m, err := c.Send(ctx, bob.String(), "hi @"+name+"!", SendOptions{Mention: true})
		if want := "hi " + chat.Mention(bob) + "!"; err != nil || m.Text != want || len(m.Mentions) != 1 || m.Mentions[0].Key != bob {
			t.Errorf("@%s: %q, %v, %v", name, m.Text, m.Mentions, err)
		}
	}
	m, err := c.Send(ctx, bob.String(), "hi @bob.stateofus.eth", SendOptions{})
	if err != nil || m.Text != "hi @bob.stateofus.eth" {
		t.Errorf("unasked: %q, %v", m.Text, err)
	}
	if m, err = c.Edit(ctx, m.ID.String(), m.Text, EditOptions{Mention: true}); err != nil || m.Text != "hi "+chat.Mention(bob) {
		t.Errorf("edited: %q, %v", m.Text, err)
	}
	found, err := c.Mentionable(ctx, bob.String(), "hi @build")
	if err != nil || len(found) != 1 || found[0].Key != bob || found[0].Insert != "@Bob the Builder" {
		t.Errorf("offered %+v, %v", found, err)
	}
	if found, err = c.Mentionable(ctx, bob.String(), "hi @nobody"); err != nil || len(found) != 0 {
		t.Errorf("offered %+v, %v", found, err)
	}
	if _, err := c.Mentionable(ctx, "nobody", "@"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("in no chat: %v", err)
	}

	// In a group with two of one name neither can be called by it.
	twin := strangerKey(t)
	second, err := c.stack.Contact(twin)
	if err != nil {
		t.Fatal(err)
	}
	second.DisplayName = known.DisplayName
	err = c.db.Update(func(tx *storage.Tx) error {
		for _, k := range []contact.Contact{known, second} {
			k.Local, k.Remote = contact.Sent, contact.Received // to be added
			if err := tx.PutContact(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := c.stack.CreateGroup("two Bobs", "", []key.Public{bob, twin})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(ctx, g.ID, "@Bob the Builder", SendOptions{Mention: true}); fault.KindOf(err) != fault.Conflict {
		t.Errorf("of two: %v", err)
	}
	if found, err = c.Mentionable(ctx, g.ID, "@bob the"); err != nil || len(found) != 2 || found[0].Insert != chat.Mention(found[0].Key) {
		t.Errorf("offered %+v, %v", found, err)
	}
	if m, err = c.Send(ctx, g.ID, "@bob.stateofus.eth @everyone", SendOptions{Mention: true}); err != nil || !m.MentionsAll || len(m.Mentions) != 1 {
		t.Errorf("in a group: %+v, %v", m, err)
	}
}
