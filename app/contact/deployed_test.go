package contact

import (
	"math/rand/v2"
	"testing"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// deployed is the receiving half of the state machine as deployed clients have
// it, clocks, guards and all, to compare with.
type deployed struct {
	local, remote           Relation
	localClock, remoteClock uint64
}

func (d *deployed) received(clock uint64) {
	if clock > d.remoteClock {
		d.remote, d.remoteClock = Received, clock
	}
}

func (d *deployed) retracted(clock uint64) {
	if clock <= d.remoteClock {
		return
	}
	if d.local != Dismissed {
		d.local, d.localClock = NoRelation, clock
	}
	d.remote, d.remoteClock = NoRelation, clock
}

func (d *deployed) propagated(p *apppb.ContactRequestPropagatedState) {
	if p.GetRemoteClock() > d.localClock && d.local != Dismissed && p.GetRemoteState() == 0 {
		d.local, d.localClock, d.remote = NoRelation, p.GetRemoteClock(), NoRelation
	}
	if p.GetLocalClock() > d.remoteClock {
		switch p.GetLocalState() {
		case uint64(Sent):
			d.received(p.GetLocalClock())
		case uint64(NoRelation):
			d.retracted(p.GetLocalClock())
		}
	}
}

func (d *deployed) receive(payload any) {
	switch m := payload.(type) {
	case *apppb.ChatMessage:
		d.propagated(m.GetContactRequestPropagatedState())
		if m.GetContentType() == apppb.ChatMessage_CONTACT_REQUEST && d.local != Dismissed && !(d.local == Sent && d.remote == Received) {
			d.received(m.GetClock())
		}
	case *apppb.ContactUpdate:
		d.propagated(m.GetContactRequestPropagatedState())
		d.received(m.GetContactRequestClock())
	case *apppb.AcceptContactRequest:
		d.received(m.GetClock())
	case *apppb.RetractContactRequest:
		d.retracted(m.GetClock())
	}
}

// view is what deployed would tell of itself.
func (d *deployed) view() *apppb.ContactRequestPropagatedState {
	return &apppb.ContactRequestPropagatedState{
		LocalClock: d.localClock, LocalState: uint64(d.local), RemoteClock: d.remoteClock, RemoteState: uint64(d.remote),
	}
}

// As long as every message arrives before the other acts, both machines take
// the same stances.
func TestLikeDeployedInOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, r.IntN)
		var models [2]deployed
		for range 20 {
			// Both see the same chat, so an action comes after all before it.
			w.sides[0].clock = max(w.sides[0].clock, w.sides[1].clock)
			w.sides[1].clock = w.sides[0].clock
			i := r.IntN(2)
			w.act(t, i, []int{0, 2, 3, 4, 8, 9}[r.IntN(6)])
			c := w.sides[i].contact
			models[i].local, models[i].localClock = c.Local, c.LocalClock
			if c.Local == NoRelation && c.Remote == NoRelation && c.LocalClock == c.RemoteClock {
				models[i].remote, models[i].remoteClock = NoRelation, c.RemoteClock
			}
			for len(w.sides[i].out) > 0 {
				models[1-i].receive(w.sides[i].out[0].payload)
				w.deliver(t, i, 0, false)
			}
			for j, model := range models {
				if c := w.sides[j].contact; c.Local != model.local || c.Remote != model.remote {
					t.Fatalf("seed %d: side %d is %d/%d, deployed %d/%d\n%v", seed, j, c.Local, c.Remote, model.local, model.remote, w.log)
				}
			}
		}
	}
}

// The orders of arrival for which Parley departs from deployed clients: there,
// both ends disagree, and telling their views any number of times does not
// help. Here they agree.
func TestDeployedDisagrees(t *testing.T) {
	t.Parallel()
	request := func(clock uint64, p *apppb.ContactRequestPropagatedState) *apppb.ChatMessage {
		return &apppb.ChatMessage{Clock: clock, ContentType: apppb.ChatMessage_CONTACT_REQUEST, ContactRequestPropagatedState: p}
	}
	sent := func(local, remote uint64) *apppb.ContactRequestPropagatedState {
		return &apppb.ContactRequestPropagatedState{LocalClock: local, LocalState: uint64(Sent), RemoteClock: remote}
	}
	for _, test := range []struct {
		name string
		// ours and theirs before the messages, and the messages in the order
		// in which they arrive.
		ours, theirs     deployed
		toUs, toThem     []any
		wantUs, wantThem State
	}{
		{
			name:   "our request is newer than the retraction it crosses",
			ours:   deployed{local: Sent, localClock: 20},
			theirs: deployed{localClock: 15, remoteClock: 15},
			toUs:   []any{RetractMessage("", 15)},
			toThem: []any{request(20, sent(20, 0))},
			wantUs: StateSent, wantThem: StateReceived,
		},
		{
			name:   "their view of before their request arrives after it",
			ours:   deployed{localClock: 5, remote: Received, remoteClock: 22},
			theirs: deployed{local: Sent, localClock: 22, remoteClock: 13},
			toUs: []any{&apppb.ContactUpdate{Clock: 14, ContactRequestPropagatedState: &apppb.ContactRequestPropagatedState{
				LocalClock: 13, RemoteClock: 13,
			}}},
			wantUs: StateReceived, wantThem: StateSent,
		},
		{
			name:   "their retraction at the clock of our request is overtaken by their new request",
			ours:   deployed{local: Sent, localClock: 14, remote: Received, remoteClock: 19},
			theirs: deployed{local: Sent, localClock: 19, remoteClock: 14},
			toUs:   []any{RetractMessage("", 14)},
			toThem: []any{request(14, sent(14, 0))},
			wantUs: StateReceived, wantThem: StateSent,
		},
		{
			name:   "they dismissed us after a removal that they did not tell",
			ours:   deployed{local: Sent, localClock: 15, remote: Received, remoteClock: 2},
			theirs: deployed{local: Dismissed, localClock: 7, remoteClock: 5},
			wantUs: StateSent, wantThem: None,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			us, them := test.ours, test.theirs
			a, b := contactOf(us, newKey(t, 2).Public()), contactOf(them, newKey(t, 1).Public())
			for _, m := range test.toUs {
				us.receive(m)
				a = receive(t, a, m)
			}
			for _, m := range test.toThem {
				them.receive(m)
				b = receive(t, b, m)
			}
			for range 3 {
				us.propagated(them.view())
				them.propagated(us.view())
				a = receive(t, a, &apppb.ContactUpdate{Clock: 100, ContactRequestPropagatedState: b.Propagated()})
				b = receive(t, b, &apppb.ContactUpdate{Clock: 100, ContactRequestPropagatedState: a.Propagated()})
			}
			if agree(us, them) && agree(them, us) {
				t.Errorf("deployed clients agree after all: %+v and %+v", us, them)
			}
			if a.State() != test.wantUs || b.State() != test.wantThem {
				t.Errorf("we are %s, they are %s; want %s and %s", a.State(), b.State(), test.wantUs, test.wantThem)
			}
		})
	}
}

// agree tells whether b knows whether a added it.
func agree(a, b deployed) bool { return (a.local == Sent) == (b.remote == Received) }

func contactOf(d deployed, pub key.Public) Contact {
	return Contact{Key: pub, Local: d.local, LocalClock: d.localClock, Remote: d.remote, RemoteClock: d.remoteClock}
}

func receive(t *testing.T, c Contact, payload any) Contact {
	t.Helper()
	var err error
	switch m := payload.(type) {
	case *apppb.ChatMessage:
		c, _, err = c.ReceiveChat(message.ID{1}, m, in)
	case *apppb.ContactUpdate:
		c, _, err = c.ReceiveUpdate(m, in)
	case *apppb.RetractContactRequest:
		c, _, err = c.ReceiveRetract(m, in)
	default:
		t.Fatalf("%T", m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}
