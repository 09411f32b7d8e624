package contact

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

var now = time.Unix(1_700_000_000, 0)

// peer returns a contact in a given relation at clock 10.
func peer(t *testing.T, local, remote Relation) Contact {
	c := Contact{Key: newKey(t, 2).Public(), Local: local, Remote: remote}
	if local != NoRelation {
		c.LocalClock = 10
	}
	if remote != NoRelation {
		c.RemoteClock = 10
	}
	if local == Sent {
		c.AddedAt = now
	}
	return c
}

func TestState(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		local, remote Relation
		want          State
		dismissed     bool
	}{
		{NoRelation, NoRelation, "none", false},
		{Sent, NoRelation, "sent", false},
		{NoRelation, Received, "received", false},
		{Sent, Received, "mutual", false},
		{Dismissed, NoRelation, "none", true},
		{Dismissed, Received, "none", true},
	} {
		c := peer(t, test.local, test.remote)
		if c.State() != test.want || c.IsDismissed() != test.dismissed {
			t.Errorf("%d/%d: %s, dismissed %v", test.local, test.remote, c.State(), c.IsDismissed())
		}
	}
}

// Every action in every relation: what comes of it and what is sent.
//
// Proves: AP-183, AP-184.
func TestActions(t *testing.T) {
	t.Parallel()
	type action func(Contact, uint64) (Contact, Effects, error)
	send := func(c Contact, clock uint64) (Contact, Effects, error) { return c.SendRequest(clock, now) }
	accept := func(c Contact, clock uint64) (Contact, Effects, error) { return c.Accept(clock, now) }
	decline, retract, remove := Contact.Decline, Contact.Retract, Contact.Remove
	block, unblock := Contact.Block, Contact.Unblock

	relations := [][2]Relation{{NoRelation, NoRelation}, {Sent, NoRelation}, {NoRelation, Received}, {Sent, Received}, {Dismissed, Received}}
	for _, test := range []struct {
		name string
		do   action
		// want has the outcome for each of the relations.
		want [5]any
		wire string
	}{
		{"send", send, [5]any{StateSent, StateSent, StateMutual, ErrMutual, StateMutual}, "request update"},
		{"accept", accept, [5]any{ErrNoRequest, ErrNoRequest, StateMutual, ErrMutual, StateMutual}, "accept"},
		{"decline", decline, [5]any{ErrNoRequest, ErrNoRequest, None, ErrNoRequest, ErrNoRequest}, ""},
		{"retract", retract, [5]any{ErrNoRelation, None, None, None, None}, "retract"},
		{"remove", remove, [5]any{ErrNoRelation, None, None, None, None}, ""},
		{"block", block, [5]any{None, None, None, None, None}, "retract if added"},
		{"unblock", unblock, [5]any{ErrNotBlocked, ErrNotBlocked, ErrNotBlocked, ErrNotBlocked, ErrNotBlocked}, ""},
	} {
		for i, relation := range relations {
			c := peer(t, relation[0], relation[1])
			c.ReceivedRequest = "0xid"
			if c.Local == Sent {
				c.SentRequest = "0xours"
			}
			after, effects, err := test.do(c, 11)
			if want, fails := test.want[i].(error); fails {
				if !errors.Is(err, want) || after != c || effects != (Effects{}) {
					t.Errorf("%s in %v: %+v, %+v, %v", test.name, relation, after, effects, err)
				}
				continue
			}
			if err != nil || after.State() != test.want[i] || after.LocalClock != 11 {
				t.Errorf("%s in %v: %+v, %v; want %v", test.name, relation, after, err, test.want[i])
			}
			var wire string
			if effects.SendRequest {
				wire += "request "
			}
			if effects.SendUpdate {
				wire += "update "
			}
			if a := effects.Accept; a != nil {
				wire += "accept "
				if a.Id != "0xid" || a.Clock != 11 {
					t.Errorf("accepting: %v", a)
				}
			}
			if r := effects.Retract; r != nil {
				wire += "retract "
				id := "0xid"
				if relation[0] == Sent {
					id = "0xours"
				}
				if r.Clock != 11 || r.Id != id {
					t.Errorf("retracting: %v", r)
				}
			}
			want := test.wire
			if want == "retract if added" {
				want = ""
				if relation[0] == Sent {
					want = "retract"
				}
			}
			if want != "" {
				want += " "
			}
			if wire != want {
				t.Errorf("%s in %v sends %q, want %q", test.name, relation, wire, want)
			}
			if effects.Mutual != (after.State() == StateMutual) {
				t.Errorf("%s in %v: mutual %v", test.name, relation, effects.Mutual)
			}
			if effects.Introduce != (after.Local == Sent) || (after.Local == Sent) == after.AddedAt.IsZero() {
				t.Errorf("%s in %v: introduce %v, added at %v", test.name, relation, effects.Introduce, after.AddedAt)
			}
			// An action that does not come after everything known is refused.
			if again, effects, err := test.do(c, c.Clock()); c.Clock() > 0 && (!errors.Is(err, ErrStale) || again != c || effects != (Effects{})) {
				t.Errorf("%s at a clock that is not newer: %v", test.name, err)
			}
		}
	}
}

// Each message of the other, newer, equal and older than what is known.
func TestReceiveGuards(t *testing.T) {
	t.Parallel()
	request := func(c Contact, clock uint64) (Contact, Effects, error) { return c.ReceiveRequest("0xid", clock, in) }
	accept := func(c Contact, clock uint64) (Contact, Effects, error) {
		return c.ReceiveAccept(&apppb.AcceptContactRequest{Id: "0xunknown", Clock: clock}, in)
	}
	retract := func(c Contact, clock uint64) (Contact, Effects, error) {
		return c.ReceiveRetract(RetractMessage("", clock), in)
	}
	for _, test := range []struct {
		name          string
		do            func(Contact, uint64) (Contact, Effects, error)
		local, remote Relation
		newer         State
		effects       Effects
	}{
		{"request of a stranger", request, NoRelation, NoRelation, StateReceived, Effects{Notify: true}},
		{"request that crosses ours", request, Sent, NoRelation, StateMutual, Effects{Mutual: true}},
		{"request of a contact", request, Sent, Received, StateMutual, Effects{}},
		{"request again", request, NoRelation, Received, StateReceived, Effects{}},
		{"request of somebody dismissed", request, Dismissed, Received, None, Effects{}},
		{"acceptance", accept, Sent, NoRelation, StateMutual, Effects{Mutual: true}},
		{"acceptance of nothing", accept, NoRelation, NoRelation, StateReceived, Effects{Notify: true}},
		{"retraction by a contact", retract, Sent, Received, None, Effects{Ended: true}},
		{"retraction of a request", retract, NoRelation, Received, None, Effects{Ended: true}},
		{"retraction of ours", retract, Sent, NoRelation, None, Effects{Ended: true}},
		{"retraction by somebody dismissed", retract, Dismissed, Received, None, Effects{Ended: true}},
	} {
		c := peer(t, test.local, test.remote)
		c.RemoteClock = 10
		after, effects, err := test.do(c, 11)
		if err != nil || after.State() != test.newer || effects != test.effects || after.RemoteClock != 11 {
			t.Errorf("%s: %s at %d, %+v, %v", test.name, after.State(), after.RemoteClock, effects, err)
		}
		if test.local == Dismissed && !after.IsDismissed() {
			t.Errorf("%s: no longer dismissed", test.name)
		}
		for _, clock := range []uint64{10, 9} {
			after, effects, err := test.do(c, clock)
			after.ReceivedRequest = c.ReceivedRequest // an equal clock may name the request
			if err != nil || after != c || effects != (Effects{}) {
				t.Errorf("%s at clock %d: %+v, %+v, %v; want it ignored", test.name, clock, after, effects, err)
			}
		}
		for _, clock := range []uint64{0, uint64(in.WakuTime.UnixMilli()) + 120_001} {
			if after, effects, err := test.do(c, clock); err == nil || after != c || effects != (Effects{}) {
				t.Errorf("%s at clock %d: %v; want an error and no change", test.name, clock, err)
			}
		}
		if _, _, err := test.do(c, uint64(in.WakuTime.UnixMilli())+120_000); err != nil {
			t.Errorf("%s at the limit of the clock: %v", test.name, err)
		}
		c.Blocked = true
		if after, _, err := test.do(c, 11); !errors.Is(err, ErrBlocked) || after != c {
			t.Errorf("%s of somebody blocked: %v", test.name, err)
		}
	}
}

// A request has the id of its message, also when an update told of it first.
func TestRequestID(t *testing.T) {
	t.Parallel()
	c := peer(t, NoRelation, NoRelation)
	sender := peer(t, NoRelation, NoRelation)
	sender, _, err := sender.SendRequest(20, now)
	if err != nil {
		t.Fatal(err)
	}
	c, effects, err := c.ReceiveUpdate(Profile{}.Update(sender, 21), in)
	if err != nil || !effects.Notify || c.ReceivedRequest != DefaultRequestID(c.Key) {
		t.Fatalf("%+v, %+v, %v", c, effects, err)
	}
	id := message.ID{7}
	request := &apppb.ChatMessage{Clock: 22, ContentType: apppb.ChatMessage_CONTACT_REQUEST, ContactRequestPropagatedState: sender.Propagated()}
	c, effects, err = c.ReceiveChat(id, request, in)
	if err != nil || effects.Notify || c.ReceivedRequest != id.String() || c.RemoteClock != 20 {
		t.Fatalf("%+v, %+v, %v", c, effects, err)
	}
	if again, _, err := c.ReceiveUpdate(Profile{}.Update(sender, 23), in); err != nil || again.ReceivedRequest != id.String() {
		t.Fatalf("an update took the id away: %+v, %v", again, err)
	}
	_, effects, err = c.Accept(30, now)
	if err != nil || effects.Accept.GetId() != id.String() {
		t.Fatalf("%+v, %v", effects, err)
	}
	// Old clients tell no state; the message's clock counts.
	request.ContactRequestPropagatedState = nil
	if c, effects, err = peer(t, NoRelation, NoRelation).ReceiveChat(id, request, in); err != nil || c.RemoteClock != 22 || !effects.Notify {
		t.Errorf("%+v, %+v, %v", c, effects, err)
	}
	// A mere text asks for nothing.
	request.ContentType = apppb.ChatMessage_TEXT_PLAIN
	if c, effects, err = peer(t, NoRelation, NoRelation).ReceiveChat(id, request, in); err != nil || c.State() != None || effects != (Effects{}) {
		t.Errorf("%+v, %+v, %v", c, effects, err)
	}
	if got, want := DefaultRequestID(c.Key), c.Key.Hex()+"20"; got != want {
		t.Errorf("default id %s, want %s", got, want)
	}
}

func TestReceivePropagated(t *testing.T) {
	t.Parallel()
	type state = apppb.ContactRequestPropagatedState
	for _, test := range []struct {
		name          string
		local, remote Relation
		p             *state
		want          State
		answer        bool
	}{
		{"none", Sent, Received, nil, StateMutual, false},
		{"empty, to a stranger", NoRelation, NoRelation, &state{}, None, false},
		{"they missed our request", Sent, NoRelation, &state{RemoteClock: 9}, StateSent, true},
		{"they missed our retraction", NoRelation, NoRelation, &state{RemoteClock: 9, RemoteState: 3}, None, true},
		{"they know all", Sent, NoRelation, &state{RemoteClock: 10, RemoteState: 3}, StateSent, false},
		{"they missed a clock but not the stance", Sent, NoRelation, &state{RemoteClock: 9, RemoteState: 3}, StateSent, false},
		{"they retracted", Sent, Received, &state{LocalClock: 12, RemoteClock: 12}, None, false},
		{"they retracted and asked again", Sent, Received, &state{LocalClock: 14, LocalState: 2, RemoteClock: 12}, StateReceived, false},
		{"they added us", Sent, NoRelation, &state{LocalClock: 11, LocalState: 2, RemoteClock: 10, RemoteState: 3}, StateMutual, false},
		{"old news", Sent, Received, &state{LocalClock: 10, RemoteClock: 10, RemoteState: 3}, StateMutual, false},
		{"we dismissed them", Dismissed, Received, &state{RemoteClock: 9, RemoteState: 3, LocalClock: 10, LocalState: 2}, None, false},
		{"they dismissed us", Sent, Received, &state{LocalClock: 12, LocalState: 4, RemoteClock: 10, RemoteState: 3}, StateSent, false},
		{"a stance of another version", Sent, NoRelation, &state{LocalClock: 12, LocalState: 1, RemoteClock: 10, RemoteState: 3}, StateSent, false},
		{"a stance that only looks like one", NoRelation, NoRelation, &state{LocalClock: 12, LocalState: 1<<8 + 2}, None, false},
	} {
		c := peer(t, test.local, test.remote)
		if test.local == NoRelation && test.p.GetRemoteClock() > 0 {
			c.LocalClock = 10
		}
		after, effects, err := c.ReceivePropagated(test.p, in)
		if err != nil || after.State() != test.want || effects.SendUpdate != test.answer {
			t.Errorf("%s: %s, %+v, %v", test.name, after.State(), effects, err)
		}
		if test.p == nil && after != c {
			t.Errorf("%s changed the contact", test.name)
		}
	}
	limit := uint64(in.WakuTime.UnixMilli()) + 120_000
	c := peer(t, Sent, Received)
	for _, p := range []*state{{LocalClock: limit + 1}, {RemoteClock: limit + 1}} {
		if after, _, err := c.ReceivePropagated(p, in); !errors.Is(err, message.ErrClockAhead) || after != c {
			t.Errorf("%v: %v", p, err)
		}
	}
	if _, _, err := c.ReceivePropagated(&state{LocalClock: limit, RemoteClock: limit}, in); err != nil {
		t.Error(err)
	}
	c.Blocked = true
	if _, _, err := c.ReceivePropagated(nil, in); !errors.Is(err, ErrBlocked) {
		t.Error(err)
	}
}

// A contact update names, asks and tells the sender's view.
//
// Proves: AP-168.
func TestReceiveUpdate(t *testing.T) {
	t.Parallel()
	c := peer(t, NoRelation, NoRelation)
	c.UpdatedClock = 10
	update := &apppb.ContactUpdate{Clock: 11, DisplayName: " alice ", EnsName: "alice.eth", CustomizationColor: 3, ContactRequestClock: 7,
		ProfileImage: "data:image/png;base64,AA==", PublicKey: "whoever"}
	after, effects, err := c.ReceiveUpdate(update, in)
	if err != nil || after.DisplayName != "alice" || after.ENSName != "alice.eth" || after.Color != 3 || after.UpdatedClock != 11 || after.Key != c.Key {
		t.Errorf("%+v, %v", after, err)
	}
	if after.RemoteClock != 7 || after.State() != StateReceived || !effects.Notify {
		t.Errorf("the clock of an old client's request: %+v, %+v", after, effects)
	}
	update.Clock = 10
	if after, _, err := c.ReceiveUpdate(update, in); err != nil || after.DisplayName != "" || after.ENSName != "" {
		t.Errorf("names of an equal clock: %+v, %v", after, err)
	}
	update.Clock, update.DisplayName = 12, ""
	if after, _, err = after.ReceiveUpdate(update, in); err != nil || after.DisplayName != "alice" {
		t.Errorf("an update without name: %+v, %v", after, err)
	}
	// The propagated state says that there is no request, whatever the clock.
	update.ContactRequestPropagatedState = &apppb.ContactRequestPropagatedState{}
	if after, _, err := c.ReceiveUpdate(update, in); err != nil || after.State() != None {
		t.Errorf("%+v, %v", after, err)
	}
	for name, change := range map[string]func(m *apppb.ContactUpdate){
		"no clock":       func(m *apppb.ContactUpdate) { m.Clock = 0 },
		"bad name":       func(m *apppb.ContactUpdate) { m.DisplayName = "x" },
		"clock ahead":    func(m *apppb.ContactUpdate) { m.Clock = 1 << 62 },
		"request ahead":  func(m *apppb.ContactUpdate) { m.ContactRequestClock = 1 << 62 },
		"their view bad": func(m *apppb.ContactUpdate) { m.ContactRequestPropagatedState.LocalClock = 1 << 62 },
	} {
		bad := &apppb.ContactUpdate{Clock: 12, ContactRequestClock: 12}
		if name == "their view bad" {
			bad.ContactRequestPropagatedState = &apppb.ContactRequestPropagatedState{}
		}
		change(bad)
		if after, effects, err := c.ReceiveUpdate(bad, in); err == nil || after != c || effects != (Effects{}) {
			t.Errorf("%s: %+v, %v", name, after, err)
		}
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	profile := Profile{DisplayName: "alice", ENSName: "alice.eth", Color: 5}
	c := peer(t, Sent, Received)
	m := profile.Update(c, 30)
	if m.Clock != 30 || m.DisplayName != "alice" || m.EnsName != "alice.eth" || m.CustomizationColor != 5 ||
		m.PublicKey != c.Key.Hex() || m.ContactRequestClock != 10 || m.ContactRequestPropagatedState.LocalState != 2 {
		t.Errorf("%v", m)
	}
	for _, local := range []Relation{NoRelation, Dismissed} {
		if m := profile.Update(peer(t, local, Received), 30); m.ContactRequestClock != 0 {
			t.Errorf("stance %d: an update that asks: %v", local, m)
		}
	}
}

func TestReceiveChatNames(t *testing.T) {
	t.Parallel()
	c := peer(t, Sent, Received)
	c.UpdatedClock, c.DisplayName, c.ENSName, c.Color = 10, "alice", "alice.eth", 3
	text := &apppb.ChatMessage{Clock: 11}
	if after, _, err := c.ReceiveChat(message.ID{}, text, in); err != nil || after.DisplayName != "alice" || after.ENSName != "alice.eth" || after.Color != 3 {
		t.Errorf("a message that names nobody: %+v, %v", after, err)
	}
	text = &apppb.ChatMessage{Clock: 11, DisplayName: "alicia", EnsName: "alicia.eth", CustomizationColor: 4}
	if after, _, err := c.ReceiveChat(message.ID{}, text, in); err != nil || after.DisplayName != "alicia" || after.ENSName != "alicia.eth" || after.Color != 4 {
		t.Errorf("%+v, %v", after, err)
	}
	text.Clock = 10
	if after, _, err := c.ReceiveChat(message.ID{}, text, in); err != nil || after != c {
		t.Errorf("an old message renamed: %+v, %v", after, err)
	}
	text.DisplayName = "some alias"
	aliases := Incoming{WakuTime: in.WakuTime, IsAlias: func(name string) bool { return name == "some alias" }}
	if after, _, err := c.ReceiveChat(message.ID{}, text, aliases); !errors.Is(err, ErrNameAlias) || after != c {
		t.Errorf("%+v, %v", after, err)
	}
}

func TestContactName(t *testing.T) {
	t.Parallel()
	c := peer(t, NoRelation, NoRelation)
	s := c.Key.String()
	if got, want := c.Name(), s[:3]+"…"+s[len(s)-6:]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	c.ENSName, c.DisplayName = "claimed.eth", "alice"
	if c.Name() != "alice" {
		t.Errorf("got %s", c.Name())
	}
	c.Nickname = "mum"
	if c.Name() != "mum" {
		t.Errorf("got %s", c.Name())
	}
	if got := (Contact{}).Name(); got != "" {
		t.Errorf("nobody is called %q", got)
	}
}

// A contact survives storage.
func TestContactJSON(t *testing.T) {
	t.Parallel()
	c := peer(t, Sent, Received)
	c.Blocked, c.SentRequest, c.ReceivedRequest, c.AddedAt = true, "0x1", "0x2", now.UTC()
	c.Nickname, c.DisplayName, c.ENSName, c.Bio, c.Color = "n", "d", "e", "b", 7
	c.IdentityClock, c.UpdatedClock = 1<<63+1, 2
	c.Status = Status{Presence: Automatic, Clock: 3, Text: "t"}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Contact
	if err := json.Unmarshal(raw, &back); err != nil || back != c {
		t.Errorf("%s became %+v, %v", raw, back, err)
	}
	if raw, err := json.Marshal(Contact{}); err != nil || string(raw) != `{"key":""}` {
		t.Errorf("nobody: %s, %v", raw, err)
	}
}

func TestBlock(t *testing.T) {
	t.Parallel()
	for _, relation := range [][2]Relation{{NoRelation, NoRelation}, {Sent, Received}, {NoRelation, Received}} {
		c := peer(t, relation[0], relation[1])
		blocked, _, err := c.Block(11)
		if err != nil || !blocked.Blocked || !blocked.IsDismissed() {
			t.Fatalf("%+v, %v", blocked, err)
		}
		for name, do := range map[string]func(Contact, uint64) (Contact, Effects, error){
			"send":    func(c Contact, clock uint64) (Contact, Effects, error) { return c.SendRequest(clock, now) },
			"accept":  func(c Contact, clock uint64) (Contact, Effects, error) { return c.Accept(clock, now) },
			"retract": Contact.Retract,
			"remove":  Contact.Remove,
			"block":   Contact.Block,
		} {
			if after, _, err := do(blocked, 12); !errors.Is(err, ErrBlocked) || after != blocked {
				t.Errorf("%s while blocked: %v", name, err)
			}
		}
		if _, _, err := blocked.Unblock(11); !errors.Is(err, ErrStale) {
			t.Errorf("unblocking at the same clock: %v", err)
		}
		free, effects, err := blocked.Unblock(12)
		if err != nil || free.Blocked || free.State() != None || free.IsDismissed() || free.Clock() != 12 || effects != (Effects{}) {
			t.Errorf("%+v, %+v, %v", free, effects, err)
		}
	}
}
