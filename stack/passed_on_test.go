package stack

import (
	"slices"
	"strings"
	"testing"

	"github.com/parley-im/parley/app/chat"
)

// Somebody who was written to passes the signed message on, as if its author
// had written it to us.
func TestPassedOn(t *testing.T) {
	t.Parallel()
	s, clock := still(t, 0)
	author, other := newForger(t, 1, clock.at), newForger(t, 2, clock.at)
	author.meet(s)
	other.meet(s)
	before, counters := content(t, s.db, lowerFamilies...), s.Counters()
	stolen := author.chat(other.key.Public(), "only for you", clock.at)
	hand(t, s, other.mail(s.Self(), other.encrypt(s.Self(), other.sync(s.Self(), stolen))))
	if changed := difference(before, content(t, s.db, lowerFamilies...)); len(changed) != 0 {
		t.Errorf("changed %v", changed)
	}
	if names := increased(counters, s.Counters()); len(names) != 1 || !strings.Contains(names[0], errPassedOn.Error()) {
		t.Errorf("counters %v", names)
	}
	// From the author it is welcome, then as before.
	hand(t, s, author.mail(s.Self(), author.encrypt(s.Self(), author.sync(s.Self(), stolen))))
	all, err := s.Messages(chat.OneToOneID(author.key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(all, func(m *chat.Message) bool { return m.Text == "only for you" && m.From == author.key.Public() }) {
		t.Error("the author is not heard")
	}
}
