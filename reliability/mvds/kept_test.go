package mvds

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// What is forgotten is not offered again, and an offer of it that is under way
// comes to nothing; all else stays, other peers' copies too.
func TestForgetKept(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	var all []MessageID
	for _, body := range []string{"stays", "goes", strings.Repeat("goes, too", longBody)} {
		for _, peer := range k[1:3] {
			id := p.append(to(k[0], peer, body), peer)
			p.receive(peer, &Payload{Acks: []MessageID{id}})
			if peer == k[1] {
				all = append(all, id)
			}
		}
	}
	if err := p.sync.Reoffer(p.st, p.now, k[1]); err != nil {
		t.Fatal(err)
	}
	var seen []string
	gone := func(body []byte) (bool, error) {
		seen = append(seen, string(body[:4]))
		return strings.HasPrefix(string(body), "goes"), nil
	}
	if err := p.sync.ForgetKept(p.st, k[1], gone); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(seen); !slices.Equal(seen, []string{"goes", "goes", "stay"}) {
		t.Errorf("asked about %q", seen)
	}
	p.now = p.now.Add(p.sync.Epoch)
	p.receive(k[1], &Payload{Requests: all})
	p.now = p.now.Add(p.sync.Epoch)
	var bodies []string
	for _, o := range p.due() {
		for _, m := range o.Payload.Messages {
			bodies = append(bodies, string(m.Body))
		}
	}
	if !slices.Equal(bodies, []string{"stays"}) {
		t.Errorf("given again: %.20q", bodies)
	}
	p.check()
	seen = nil
	if err := p.sync.ForgetKept(p.st, k[2], gone); err != nil || len(seen) != 3 {
		t.Errorf("of the other peer %q are kept, %v", seen, err)
	}

	failed := errors.New("failed")
	if err := p.sync.ForgetKept(p.st, k[1], func([]byte) (bool, error) { return true, failed }); !errors.Is(err, failed) {
		t.Errorf("%v", err)
	}
	if err := p.st.Put(keyKept+compressed(k[1])+"short", []byte("short")); err != nil {
		t.Fatal(err)
	}
	if err := p.sync.ForgetKept(p.st, k[1], gone); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a damaged store: %v", err)
	}
}
