package verify

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/app/message"
)

var wakuTime = time.Unix(1_800_000_000, 0)

func newKey(t testing.TB, seed byte) key.Public {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{seed}))
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func from(peer key.Public) Incoming { return Incoming{From: peer, Mutual: true, WakuTime: wakuTime} }

// asked returns a request of ours and the same as the other has it.
func asked(t *testing.T) (ours, theirs Request) {
	t.Helper()
	alice, bob := newKey(t, 1), newKey(t, 2)
	ours, m, err := Requests(nil).Ask(bob, " where did we meet? ", 10, true)
	if err != nil {
		t.Fatal(err)
	}
	ours.ID = message.ID{1}
	changed, err := Requests(nil).Receive(ours.ID, m, from(alice))
	if err != nil || len(changed) != 1 {
		t.Fatalf("%+v, %v", changed, err)
	}
	return ours, changed[0]
}

func encode(t testing.TB, m Message) []byte {
	t.Helper()
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A challenge is asked, answered, and judged; declining and canceling end it at
// both ends.
//
// Proves: AP-187.
func TestExchange(t *testing.T) {
	t.Parallel()
	ours, theirs := asked(t)
	if !ours.Own || theirs.Own || ours.Challenge != "where did we meet?" || theirs.Challenge != ours.Challenge || theirs.State != Pending || theirs.ID != ours.ID {
		t.Fatalf("%+v, %+v", ours, theirs)
	}
	alice, bob := theirs.Peer, ours.Peer
	// Over the wire and back.
	carry := func(m Message) Message {
		t.Helper()
		read, err := Parse(m.Type, encode(t, m))
		if err != nil || read != m {
			t.Fatalf("%+v became %+v, %v", m, read, err)
		}
		return read
	}

	accepted, m, err := theirs.Accept(" at sea ", 11, true)
	if err != nil || accepted.State != Accepted || m.Request != ours.ID || m.Text != "at sea" || m.Clock != 11 {
		t.Fatalf("%+v, %+v, %v", accepted, m, err)
	}
	answered, err := ours.Receive(carry(m), from(bob))
	if err != nil || answered.State != Accepted || answered.Response != "at sea" || answered.AnsweredClock != 11 {
		t.Fatalf("%+v, %v", answered, err)
	}
	for _, good := range []bool{true, false, true} {
		judged, trust, err := answered.Trust(good)
		wantState, wantTrust := Trusted, contact.Trusted
		if !good {
			wantState, wantTrust = Untrustworthy, contact.Untrustworthy
		}
		if err != nil || judged.State != wantState || trust != wantTrust || judged.Response != "at sea" {
			t.Errorf("%v: %+v, %s, %v", good, judged, trust, err)
		}
		answered = judged
	}

	declined, m, err := theirs.Decline(12, true)
	if err != nil || declined.State != Declined {
		t.Fatalf("%+v, %v", declined, err)
	}
	if got, err := ours.Receive(carry(m), from(bob)); err != nil || got.State != Declined {
		t.Errorf("%+v, %v", got, err)
	}

	canceled, m, err := ours.Cancel(13)
	if err != nil || canceled.State != Canceled {
		t.Fatalf("%+v, %v", canceled, err)
	}
	for _, r := range []Request{theirs, accepted, declined} {
		if got, err := r.Receive(carry(m), from(alice)); err != nil || got.State != Canceled {
			t.Errorf("%s, then canceled: %+v, %v", r.State, got, err)
		}
	}
	if got, err := canceled.Receive(Message{Type: Accept, Request: ours.ID, Clock: 99, Text: "x"}, from(bob)); err != nil || got != canceled {
		t.Errorf("an answer that comes too late: %+v, %v", got, err)
	}
}

// What each side may do in each state; whatever fails changes nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	ours, theirs := asked(t)
	in := func(r Request, state State) Request { r.State = state; return r }
	accept := func(r Request) (Request, Message, error) { return r.Accept("at sea", 11, true) }
	decline := func(r Request) (Request, Message, error) { return r.Decline(11, true) }
	cancel := func(r Request) (Request, Message, error) { return r.Cancel(11) }
	trust := func(r Request) (Request, Message, error) {
		after, mark, err := r.Trust(true)
		if err != nil && mark != contact.TrustUnknown {
			t.Errorf("%+v is %s all the same", r, mark)
		}
		return after, Message{}, err
	}
	for _, test := range []struct {
		name string
		do   func(Request) (Request, Message, error)
		r    Request
		want error
	}{
		{"accepting our own", accept, ours, ErrOwn},
		{"declining our own", decline, ours, ErrOwn},
		{"accepting twice", accept, in(theirs, Accepted), ErrFinished},
		{"accepting what was declined", accept, in(theirs, Declined), ErrFinished},
		{"accepting what was canceled", accept, in(theirs, Canceled), ErrFinished},
		{"declining what was accepted", decline, in(theirs, Accepted), ErrFinished},
		{"canceling theirs", cancel, theirs, ErrTheirs},
		{"canceling what was answered", cancel, in(ours, Accepted), ErrFinished},
		{"canceling twice", cancel, in(ours, Canceled), ErrFinished},
		{"judging theirs", trust, in(theirs, Accepted), ErrTheirs},
		{"judging no answer", trust, ours, ErrNoAnswer},
		{"judging a refusal", trust, in(ours, Declined), ErrNoAnswer},
		{"judging what was canceled", trust, in(ours, Canceled), ErrNoAnswer},
		{"accepting without relation", func(r Request) (Request, Message, error) { return r.Accept("x", 11, false) }, theirs, ErrNotMutual},
		{"declining without relation", func(r Request) (Request, Message, error) { return r.Decline(11, false) }, theirs, ErrNotMutual},
		{"accepting at an old clock", func(r Request) (Request, Message, error) { return r.Accept("x", 10, true) }, theirs, ErrStale},
		{"canceling at an old clock", func(r Request) (Request, Message, error) { return r.Cancel(10) }, ours, ErrStale},
		{"accepting with nothing", func(r Request) (Request, Message, error) { return r.Accept(" ", 11, true) }, theirs, ErrText},
	} {
		if after, m, err := test.do(test.r); !errors.Is(err, test.want) || after != test.r || m != (Message{}) {
			t.Errorf("%s: %+v, %+v, %v", test.name, after, m, err)
		}
	}

	limit := uint64(wakuTime.UnixMilli()) + 120_000
	stranger := newKey(t, 3)
	for _, test := range []struct {
		name string
		r    Request
		m    Message
		in   Incoming
		want error
	}{
		{"accepted by a stranger", ours, Message{Type: Accept, Request: ours.ID, Clock: 11, Text: "x"}, from(stranger), ErrStranger},
		{"another request", ours, Message{Type: Accept, Request: message.ID{9}, Clock: 11, Text: "x"}, from(ours.Peer), ErrStranger},
		{"canceled by a stranger", theirs, Message{Type: Cancel, Request: ours.ID, Clock: 11}, from(stranger), ErrStranger},
		{"our own canceled by the other", ours, Message{Type: Cancel, Request: ours.ID, Clock: 11}, from(ours.Peer), ErrOwn},
		{"theirs accepted by themselves", theirs, Message{Type: Accept, Request: ours.ID, Clock: 11, Text: "x"}, from(theirs.Peer), ErrTheirs},
		{"theirs declined by themselves", theirs, Message{Type: Decline, Request: ours.ID, Clock: 11}, from(theirs.Peer), ErrTheirs},
		{"accepted by no contact", ours, Message{Type: Accept, Request: ours.ID, Clock: 11, Text: "x"}, Incoming{From: ours.Peer, WakuTime: wakuTime}, ErrNotMutual},
		{"declined by no contact", ours, Message{Type: Decline, Request: ours.ID, Clock: 11}, Incoming{From: ours.Peer, WakuTime: wakuTime}, ErrNotMutual},
		{"no clock", ours, Message{Type: Decline, Request: ours.ID}, from(ours.Peer), message.ErrClockZero},
		{"clock ahead", ours, Message{Type: Decline, Request: ours.ID, Clock: limit + 1}, from(ours.Peer), message.ErrClockAhead},
		{"a request in place of an answer", ours, Message{Type: Ask, Request: ours.ID, Clock: 11}, from(ours.Peer), ErrMalformed},
	} {
		if after, err := test.r.Receive(test.m, test.in); !errors.Is(err, test.want) || after != test.r {
			t.Errorf("%s: %+v, %v", test.name, after, err)
		}
	}
	if _, err := ours.Receive(Message{Type: Decline, Request: ours.ID, Clock: limit}, from(ours.Peer)); err != nil {
		t.Errorf("clock at the limit: %v", err)
	}
	noContact := Incoming{From: theirs.Peer, WakuTime: wakuTime}
	if after, err := theirs.Receive(Message{Type: Cancel, Request: ours.ID, Clock: 11}, noContact); err != nil || after.State != Canceled {
		t.Errorf("canceled by who is no contact any more: %+v, %v", after, err)
	}
	if ended := ours.End(); ended.State != Canceled {
		t.Errorf("%+v", ended)
	}
	if done := in(ours, Trusted); done.End() != done {
		t.Errorf("%+v", done.End())
	}
}

// Of two answers by one that answers twice the newest counts, until we judged.
func TestAnsweredTwice(t *testing.T) {
	t.Parallel()
	ours, _ := asked(t)
	yes := Message{Type: Accept, Request: ours.ID, Clock: 20, Text: "x"}
	no := Message{Type: Decline, Request: ours.ID, Clock: 21}
	for _, order := range [][]Message{{yes, no}, {no, yes}, {yes, no, yes, no}} {
		r := ours
		for _, m := range order {
			var err error
			if r, err = r.Receive(m, from(ours.Peer)); err != nil {
				t.Fatal(err)
			}
		}
		if r.State != Declined || r.Response != "" {
			t.Errorf("%+v", r)
		}
	}
	r, err := ours.Receive(yes, from(ours.Peer))
	if err != nil {
		t.Fatal(err)
	}
	judged, _, err := r.Trust(false)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := judged.Receive(no, from(ours.Peer)); err != nil || after != judged {
		t.Errorf("%+v, %v", after, err)
	}
}

// A second request follows the first one's end; the other sees the newer one
// as pending whatever the order of arrival.
func TestRequestAgain(t *testing.T) {
	t.Parallel()
	alice, bob := newKey(t, 1), newKey(t, 2)
	first, ask1, err := Requests(nil).Ask(bob, "one", 10, true)
	if err != nil {
		t.Fatal(err)
	}
	first.ID = message.ID{1}
	all := Requests{first}
	for name, test := range map[string]struct {
		clock  uint64
		mutual bool
		text   string
		want   error
	}{
		"pending":     {20, true, "two", ErrPending},
		"no relation": {20, false, "two", ErrNotMutual},
		"no text":     {20, true, "", ErrText},
	} {
		if r, m, err := all.Ask(bob, test.text, test.clock, test.mutual); !errors.Is(err, test.want) || r != (Request{}) || m != (Message{}) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	first, cancel, err := first.Cancel(11)
	if err != nil {
		t.Fatal(err)
	}
	all = Requests{first}
	if _, _, err := all.Ask(bob, "two", 11, true); !errors.Is(err, ErrStale) {
		t.Errorf("at the clock of the cancellation: %v", err)
	}
	second, ask2, err := all.Ask(bob, "two", 12, true)
	if err != nil {
		t.Fatal(err)
	}
	second.ID = message.ID{2}
	all = append(all, second)
	if latest, ok := all.Latest(true); !ok || latest != second || all.Status() != Verifying {
		t.Errorf("%+v", latest)
	}

	steps := []func(Requests) Requests{
		func(all Requests) Requests { return receive(t, all, first.ID, ask1, alice) },
		func(all Requests) Requests { return receive(t, all, second.ID, ask2, alice) },
		func(all Requests) Requests { return receive(t, all, message.ID{}, cancel, alice) },
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {0, 1, 0, 2, 1}} {
		var got Requests
		for _, i := range order {
			got = steps[i](got)
		}
		one, _ := got.Find(first.ID)
		two, _ := got.Find(second.ID)
		if open, ok := got.Pending(); !ok || open != two || one.State != Canceled || two.State != Pending || len(got) != 2 {
			t.Errorf("%v: %+v", order, got)
		}
	}

	// Requests that cross are both there.
	back := receive(t, all, message.ID{3}, Message{Type: Ask, Clock: 12, Text: "and you?"}, bob)
	if open, _ := back.Pending(); open != second || len(back) != 3 {
		t.Errorf("%+v", back)
	}
	theirs, _ := back.Latest(false)
	if theirs.State != Pending || back.Status() != Verifying {
		t.Errorf("%+v", theirs)
	}
	if _, _, err := (Requests{theirs}).Ask(bob, "and you?", 20, true); !errors.Is(err, ErrPending) {
		t.Errorf("asking back before answering: %v", err)
	}
	for state, want := range map[State]Status{Pending: Verifying, Accepted: Verifying, Declined: Unverified, Canceled: Unverified, Trusted: Verified, Untrustworthy: Verified} {
		r := second
		r.State = state
		if got := (Requests{first, r, theirs}).Status(); got != want {
			t.Errorf("%s: %d", state, got)
		}
	}
	if got := (Requests)(nil).Status(); got != Unverified {
		t.Error(got)
	}

	for name, test := range map[string]struct {
		m    Message
		in   Incoming
		want error
	}{
		"no contact":   {ask1, Incoming{From: alice, WakuTime: wakuTime}, ErrNotMutual},
		"no clock":     {Message{Type: Ask, Text: "x"}, from(alice), message.ErrClockZero},
		"no request":   {cancel, from(alice), ErrMalformed},
		"other person": {ask1, from(newKey(t, 3)), ErrStranger},
	} {
		if changed, err := all.Receive(message.ID{7}, test.m, test.in); !errors.Is(err, test.want) || changed != nil {
			t.Errorf("%s: %+v, %v", name, changed, err)
		}
	}
}

// receive gives a message to all requests with somebody, as an application
// does. An answer without its request is not delivered yet.
func receive(t *testing.T, all Requests, id message.ID, m Message, peer key.Public) Requests {
	t.Helper()
	store := func(r Request) {
		for i := range all {
			if all[i].ID == r.ID {
				all[i] = r
				return
			}
		}
		all = append(all, r)
	}
	all = append(Requests(nil), all...)
	if m.Type == Ask {
		changed, err := all.Receive(id, m, from(peer))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range changed {
			store(r)
		}
		return all
	}
	r, ok := all.Find(m.Request)
	if !ok {
		t.Fatalf("%+v came before its request", m)
	}
	r, err := r.Receive(m, from(peer))
	if err != nil {
		t.Fatal(err)
	}
	store(r)
	return all
}

func TestTextLimits(t *testing.T) {
	t.Parallel()
	bob := newKey(t, 2)
	for _, test := range []struct {
		text string
		want error
	}{
		{"", ErrText},
		{" \n\t", ErrText},
		{"x", nil},
		{strings.Repeat("x", MaxText), nil},
		{" " + strings.Repeat("x", MaxText) + " ", nil},
		{strings.Repeat("x", MaxText+1), ErrText},
		{strings.Repeat("é", MaxText/2), nil},
		{strings.Repeat("é", MaxText/2) + "x", ErrText},
		{"a\xff", ErrText},
	} {
		r, m, err := Requests(nil).Ask(bob, test.text, 10, true)
		if !errors.Is(err, test.want) {
			t.Errorf("asking %q: %v", test.text, err)
		}
		if err == nil && (r.Challenge != strings.TrimSpace(test.text) || m.Text != r.Challenge) {
			t.Errorf("asking %q: %+v", test.text, r)
		}
		_, theirs := asked(t)
		if _, _, err := theirs.Accept(test.text, 11, true); !errors.Is(err, test.want) {
			t.Errorf("answering %q: %v", test.text, err)
		}
		for _, typ := range []message.Type{Ask, Accept} {
			if !utf8.ValidString(test.text) {
				continue // cannot be written; TestWireFormat reads it
			}
			read, err := Parse(typ, encode(t, Message{Type: typ, Request: message.ID{1}, Text: test.text}))
			if !errors.Is(err, test.want) || err == nil && read.Text != strings.TrimSpace(test.text) {
				t.Errorf("reading %q: %+v, %v", test.text, read, err)
			}
		}
	}
}

// The payloads are those of the specification, byte for byte.
func TestWireFormat(t *testing.T) {
	t.Parallel()
	id := message.ID{0xab}
	hexID := id.String()
	for _, test := range []struct {
		m    Message
		want string
	}{
		{Message{Type: Ask, Clock: 300, Text: "who?"}, "\x08\xac\x02\x1a\x04who?"},
		{Message{Type: Accept, Clock: 1, Request: id, Text: "me"}, "\x08\x01\x12\x42" + hexID + "\x1a\x02me"},
		{Message{Type: Decline, Clock: 1, Request: id}, "\x08\x01\x12\x42" + hexID},
		{Message{Type: Cancel, Clock: 1, Request: id}, "\x08\x01\x12\x42" + hexID},
	} {
		raw := encode(t, test.m)
		if string(raw) != test.want {
			t.Errorf("%s: %q, want %q", message.Name(test.m.Type), raw, test.want)
		}
		// A field of a later version, or one of another type, is skipped.
		later := append([]byte("\x28\x07\x0a\x01x"), raw...)
		if read, err := Parse(test.m.Type, later); err != nil || read != test.m {
			t.Errorf("%s: %+v, %v", message.Name(test.m.Type), read, err)
		}
		for cut := range raw {
			if _, err := Parse(test.m.Type, raw[:cut]); err == nil && cut > 0 && test.m.Type != Ask {
				t.Errorf("%s: %d of %d bytes were read", message.Name(test.m.Type), cut, len(raw))
			}
		}
	}
	for name, test := range map[string]struct {
		typ  message.Type
		raw  string
		want error
	}{
		"another type":    {1, "\x08\x01", ErrMalformed},
		"no id":           {Decline, "\x08\x01", ErrID},
		"id of zeros":     {Decline, "\x08\x01\x12\x42" + message.ID{}.String(), ErrID},
		"id too short":    {Cancel, "\x08\x01\x12\x02ab", ErrID},
		"nothing":         {Ask, "", ErrText},
		"no field":        {Ask, "\x00", ErrMalformed},
		"text is no text": {Ask, "\x1a\x01\xff", ErrMalformed},
		"text cut off":    {Ask, "\x1a\x05x", ErrMalformed},
	} {
		if m, err := Parse(test.typ, []byte(test.raw)); !errors.Is(err, test.want) || m != (Message{}) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	if raw, err := (Message{Type: 1, Clock: 1}).Encode(); !errors.Is(err, ErrMalformed) {
		t.Errorf("another type is written as %x, %v", raw, err)
	}
}

// A request survives storage.
func TestRequestJSON(t *testing.T) {
	t.Parallel()
	ours, theirs := asked(t)
	ours.Response, ours.AnsweredClock = "x", 1<<63+1
	for _, r := range []Request{ours, theirs} {
		for state := Pending; state <= Untrustworthy; state++ {
			r.State = state
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var back Request
			if err := json.Unmarshal(raw, &back); err != nil || back != r || !strings.Contains(string(raw), state.String()) {
				t.Errorf("%s became %+v, %v", raw, back, err)
			}
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("done")); err == nil {
		t.Error("a state that does not exist was read")
	}
	if err := s.UnmarshalText(nil); err == nil {
		t.Error("no state was read")
	}
	if got := State(9).String(); got != "state 9" {
		t.Error(got)
	}
}
