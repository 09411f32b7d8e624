package contact

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// post is a message on its way.
type post struct {
	id      message.ID
	payload proto.Message
}

// side is one of two people and what it sent to the other and the other has
// not got yet.
type side struct {
	contact Contact
	clock   uint64 // newest of the chat
	out     []post
	// told is for tests of the effects.
	told []Effects
}

// world is two people, a network that reorders and repeats, and what chooses.
type world struct {
	sides [2]side
	pick  func(n int) int
	next  byte
	log   []string
}

func newWorld(t testing.TB, pick func(int) int) *world {
	w := &world{pick: pick}
	w.sides[0].contact.Key = newKey(t, 2).Public() // what the first knows of the second
	w.sides[1].contact.Key = newKey(t, 1).Public()
	return w
}

// in is a reference far ahead of all clocks of the tests.
var in = Incoming{WakuTime: time.Unix(1_800_000_000, 0)}

// tick returns the clock of an action, sometimes equal to what the other side
// chooses at the same time.
func (s *side) tick(pick func(int) int) uint64 {
	s.clock = max(s.clock, s.contact.Clock()) + 1 + uint64(pick(4))
	return s.clock
}

// act does one of a person's actions; those that are not possible do nothing.
func (w *world) act(t testing.TB, i, action int) {
	s := &w.sides[i]
	clock := s.tick(w.pick)
	before := s.contact
	var after Contact
	var effects Effects
	var err error
	switch action {
	case 0, 1:
		after, effects, err = s.contact.SendRequest(clock, in.WakuTime)
	case 2:
		after, effects, err = s.contact.Accept(clock, in.WakuTime)
	case 3:
		after, effects, err = s.contact.Decline(clock)
	case 4:
		after, effects, err = s.contact.Retract(clock)
	case 5:
		after, effects, err = s.contact.Remove(clock)
	case 6:
		after, effects, err = s.contact.Block(clock)
	case 7:
		after, effects, err = s.contact.Unblock(clock)
	case 8:
		w.send(i, &apppb.ContactUpdate{Clock: clock, ContactRequestPropagatedState: s.contact.Propagated()})
		return
	case 9:
		w.send(i, &apppb.ChatMessage{Clock: clock, ContentType: apppb.ChatMessage_TEXT_PLAIN, ContactRequestPropagatedState: s.contact.Propagated()})
		return
	}
	w.log = append(w.log, fmt.Sprintf("%d: action %d at %d: %v", i, action, clock, err))
	check(t, before, after, err)
	if err != nil {
		return
	}
	s.contact = after
	if effects.SendRequest {
		w.send(i, &apppb.ChatMessage{Clock: clock, ContentType: apppb.ChatMessage_CONTACT_REQUEST, ContactRequestPropagatedState: after.Propagated()})
	}
	if effects.SendUpdate {
		w.send(i, Profile{}.Update(after, clock))
	}
	if effects.Accept != nil {
		w.send(i, effects.Accept)
	}
	if effects.Retract != nil {
		w.send(i, effects.Retract)
	}
}

func (w *world) send(i int, payload proto.Message) {
	w.next++
	w.sides[i].out = append(w.sides[i].out, post{message.ID{w.next}, proto.Clone(payload)})
}

// deliver gives the other side one of the messages of side i, and takes it off
// the network unless it is to come again.
func (w *world) deliver(t testing.TB, i, at int, again bool) {
	from, to := &w.sides[i], &w.sides[1-i]
	p := from.out[at]
	if !again {
		from.out = append(from.out[:at:at], from.out[at+1:]...)
	}
	before := to.contact
	var after Contact
	var effects Effects
	var err error
	var clock uint64
	switch m := p.payload.(type) {
	case *apppb.ChatMessage:
		clock = m.Clock
		after, effects, err = to.contact.ReceiveChat(p.id, m, in)
	case *apppb.ContactUpdate:
		clock = m.Clock
		after, effects, err = to.contact.ReceiveUpdate(m, in)
	case *apppb.AcceptContactRequest:
		clock = m.Clock
		after, effects, err = to.contact.ReceiveAccept(m, in)
	case *apppb.RetractContactRequest:
		clock = m.Clock
		after, effects, err = to.contact.ReceiveRetract(m, in)
	}
	w.log = append(w.log, fmt.Sprintf("%d gets %v: %v", 1-i, p.payload, err))
	check(t, before, after, err)
	if err == nil {
		to.contact, to.clock = after, max(to.clock, clock)
		to.told = append(to.told, effects)
		if effects.SendUpdate {
			w.send(1-i, Profile{}.Update(after, to.tick(w.pick)))
		}
	}
}

// check is what holds of every step.
func check(t testing.TB, before, after Contact, err error) {
	t.Helper()
	if err != nil {
		if after != before {
			t.Fatalf("a failed step changed the contact: %v", err)
		}
		return
	}
	if after.LocalClock < before.LocalClock || after.RemoteClock < before.RemoteClock {
		t.Fatalf("a clock went back: %+v to %+v", before, after)
	}
	if after.Local != NoRelation && after.Local != Sent && after.Local != Dismissed || after.Remote != NoRelation && after.Remote != Received {
		t.Fatalf("no such stance: %+v", after)
	}
	if after.Blocked && after.State() != None {
		t.Fatalf("blocked and %s", after.State())
	}
	if (after.Local == Sent) == after.AddedAt.IsZero() {
		t.Fatalf("stance %d, added at %v", after.Local, after.AddedAt)
	}
}

// settle delivers everything in any order, then lets both tell their view until
// nobody has anything to say. It fails when they never stop.
func (w *world) settle(t testing.TB) {
	for range 4 {
		for deliveries := 0; len(w.sides[0].out)+len(w.sides[1].out) > 0; deliveries++ {
			if deliveries > 1000 {
				t.Fatalf("they answer each other for ever\n%v", w.log)
			}
			i := w.pick(2)
			if len(w.sides[i].out) == 0 {
				i = 1 - i
			}
			w.deliver(t, i, w.pick(len(w.sides[i].out)), w.pick(4) == 3)
		}
		for i := range w.sides {
			s := &w.sides[i]
			w.send(i, Profile{}.Update(s.contact, s.tick(w.pick)))
		}
	}
	for i := range w.sides {
		for len(w.sides[i].out) > 0 {
			w.deliver(t, i, 0, false)
		}
	}
}

// agree fails when somebody takes the other to have added them who has not, or
// the other way round. Somebody who blocks does not listen.
func (w *world) agree(t testing.TB) {
	t.Helper()
	for i := range w.sides {
		mine, theirs := w.sides[i].contact, w.sides[1-i].contact
		if theirs.Blocked {
			continue
		}
		if (mine.Local == Sent) != (theirs.Remote == Received) {
			t.Fatalf("side %d: local %d at %d, the other has remote %d at %d\n%v",
				i, mine.Local, mine.LocalClock, theirs.Remote, theirs.RemoteClock, w.log)
		}
	}
}

const actions = 10

// run plays a story of both people's actions and deliveries and lets it settle.
func (w *world) run(t testing.TB, steps int) {
	for range steps {
		i := w.pick(2)
		if n := len(w.sides[i].out); n > 0 && w.pick(2) == 0 {
			w.deliver(t, i, w.pick(n), w.pick(4) == 3)
			continue
		}
		w.act(t, i, w.pick(actions))
	}
	w.settle(t)
	w.agree(t)
}

// Whatever two people do, and however their messages are reordered and
// repeated, both know in the end where they stand.
func TestConvergence(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3_000) {
		r := rand.New(rand.NewPCG(seed, 0))
		w := newWorld(t, r.IntN)
		w.run(t, 1+r.IntN(16))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzStory plays a story that the fuzzer writes, a byte a choice, beside one
// hostile propagated state.
func FuzzStory(f *testing.F) {
	f.Add([]byte{3, 0, 0, 1, 2, 1, 0, 4}, uint64(1), uint64(2), uint64(3), uint64(4))
	f.Add([]byte("they ask, they cross, they part"), uint64(0), uint64(258), ^uint64(0), uint64(3))
	f.Fuzz(func(t *testing.T, story []byte, localClock, localState, remoteClock, remoteState uint64) {
		if len(story) > 512 {
			return
		}
		w := newWorld(t, func(n int) int {
			if len(story) == 0 {
				return 0
			}
			choice := int(story[0]) % n
			story = story[1:]
			return choice
		})
		w.run(t, min(len(story)/4, 64))

		c := w.sides[0].contact
		after, _, err := c.ReceivePropagated(&apppb.ContactRequestPropagatedState{
			LocalClock: localClock, LocalState: localState, RemoteClock: remoteClock, RemoteState: remoteState,
		}, in)
		check(t, c, after, err)
		if err == nil && after.Local == Sent && c.Local != Sent {
			t.Fatal("the other made us add them")
		}
	})
}
