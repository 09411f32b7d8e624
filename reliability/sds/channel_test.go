package sds

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// pair are two participants of a channel.
func pair(t *testing.T, c Config) (alice, bob *party) {
	return newParty(t, "alice", c), newParty(t, "bob", c)
}

// sync makes a party send a sync message now.
func (p *party) sync() *Outgoing {
	p.t.Helper()
	e := must(p.channel.open(p.st, p.now, p.rand))
	if err := e.sync(must(newSyncID(p.rand))); err != nil {
		p.t.Fatal(err)
	}
	if err := e.close(); err != nil {
		p.t.Fatal(err)
	}
	return &e.out.Send[0]
}

// A message has what the specification asks for: the larger of the time and
// one more than the last timestamp, the two newest messages with their hints,
// and a filter of what was received.
func TestSend(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	first := alice.send("one")
	m := decoded(first.Data)
	if m.Kind != Content || m.Sender != "alice" || m.Channel != "channel" || m.ID != first.ID || string(m.Content) != "one" {
		t.Errorf("sent %+v", m)
	}
	now := uint64(start.UnixMilli())
	if m.Lamport != now+1 || len(m.History) != 0 || len(m.Requests) != 0 || m.Filter == nil {
		t.Errorf("sent %+v at %d", m, now)
	}
	hint := bytes.Repeat([]byte{7}, 32)
	if err := alice.channel.SetHint(alice.st, first.ID, hint); err != nil {
		t.Fatal(err)
	}
	second := decoded(alice.send("two").Data)
	alice.now = alice.now.Add(time.Minute)
	third := decoded(alice.send("three").Data)
	fourth := decoded(alice.send("four").Data)
	if second.Lamport != now+2 || third.Lamport != uint64(alice.now.UnixMilli()) || fourth.Lamport != third.Lamport+1 {
		t.Errorf("timestamps %d, %d, %d", second.Lamport, third.Lamport, fourth.Lamport)
	}
	if len(second.History) != 1 || second.History[0].ID != first.ID || !bytes.Equal(second.History[0].Hint, hint) || second.History[0].Sender != "alice" {
		t.Errorf("history %+v", second.History)
	}
	if len(fourth.History) != 2 || fourth.History[0].ID != second.ID || fourth.History[1].ID != third.ID {
		t.Errorf("history %+v", fourth.History)
	}
	f := alice.channel.Config.Filter
	for _, id := range []string{m.ID, second.ID, third.ID, fourth.ID} {
		in := f.contains(fourth.Filter, f.prehash(id, refOf(id)), salt(refOf(fourth.ID)))
		if in != (id != fourth.ID) {
			t.Errorf("%s is in the filter: %v", id, in)
		}
	}
	// Bob's clock follows on delivery, by the larger one and no further.
	bob.now = start.Add(-time.Minute)
	bob.receive(first.Data)
	if reply := decoded(bob.send("reply").Data); reply.Lamport != m.Lamport+1 || reply.History[0].ID != m.ID {
		t.Errorf("reply %+v after %d", reply, m.Lamport)
	}
}

func TestSendErrors(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Limits.Outgoing = 2
	p := newParty(t, "alice", c)
	for name, f := range map[string]struct {
		content []byte
		now     time.Time
		want    error
	}{
		"empty":       {nil, start, ErrContent},
		"too long":    {make([]byte, MaxContent+1), start, ErrContent},
		"before 1970": {[]byte("x"), time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC), ErrTime},
		"after 2200":  {[]byte("x"), time.Date(2201, 1, 1, 0, 0, 0, 0, time.UTC), ErrTime},
	} {
		if _, err := p.channel.Send(p.st, f.now, p.rand, f.content); !errors.Is(err, f.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.channel.Ephemeral(p.rand, nil); !errors.Is(err, ErrContent) {
		t.Error(err)
	}
	if n := count(p.st, ""); n != 0 {
		t.Errorf("%d keys after errors", n)
	}
	p.send(string(make([]byte, MaxContent)))
	p.send("two")
	before := contents(p.st)
	if _, err := p.channel.Send(p.st, p.now, p.rand, []byte("three")); !errors.Is(err, ErrFull) {
		t.Errorf("one more than the limit: %v", err)
	}
	if len(before) != len(contents(p.st)) {
		t.Error("a refused message changed the state")
	}
	if _, err := New("", "a", c); !errors.Is(err, ErrNotMessage) {
		t.Error(err)
	}
	if _, err := New("channel", string(make([]byte, MaxID+1)), c); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{"default": Default(), "interop": Interop(), "nim": InteropNim()} {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i, change := range []func(*Config){
		func(c *Config) { c.Layout = 2 },
		func(c *Config) { c.Tick = 0 },
		func(c *Config) { c.MaxAhead = 0 },
		func(c *Config) { c.IDs = 3 },
		func(c *Config) { c.History = 0 },
		func(c *Config) { c.Heads = MaxHistory },
		func(c *Config) { c.Header = 100 },
		func(c *Config) { c.Filter.Bytes = 4 },
		func(c *Config) { c.Filter.Hash = 9 },
		func(c *Config) { *c = Interop(); c.Filter.Bytes-- },
		func(c *Config) { c.Resend.Possible = time.Second },
		func(c *Config) { c.Idle.Most = 0 },
		func(c *Config) { c.Fetch.Every = 0 },
		func(c *Config) { c.Fetch.Keep = time.Second },
		func(c *Config) { c.Repair.TMin = c.Repair.TMax },
		func(c *Config) { c.Limits.Log = 1 },
		func(c *Config) { c.Limits.CacheBytes = 0 },
		func(c *Config) { c.Limits.HeldBytes = 1000 },
		func(c *Config) { c.Limits.AnswerBytesPerMinute = 0 },
	} {
		c := Default()
		change(&c)
		if _, err := New("channel", "alice", c); !errors.Is(err, ErrConfig) {
			t.Errorf("change %d: %v", i, err)
		}
	}
	if ResponseGroups(127) != 1 || ResponseGroups(128) != 2 || ResponseGroups(10_000) != 79 {
		t.Error("response groups")
	}
}

// Messages are delivered once, each after what it depends on, in whatever
// order and however often they come; all end with the same order.
func TestCausalOrder(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	var said []*Outgoing
	for i := range 6 {
		from, to := alice, bob
		if i%2 == 1 {
			from, to = bob, alice
		}
		out := from.send(fmt.Sprint("message ", i))
		to.receive(out.Data)
		said = append(said, out)
	}
	want := alice.log()
	if !slices.Equal(bob.log(), want) || len(want) != 6 {
		t.Fatalf("logs %v and %v", want, bob.log())
	}
	order := []int{0, 1, 2, 3, 4, 5}
	for try := range 60 {
		r := chacha(uint64(try))
		for i := len(order) - 1; i > 0; i-- {
			j := int(r.Uint64() % uint64(i+1))
			order[i], order[j] = order[j], order[i]
		}
		carol := newParty(t, "carol", Default())
		var got []string
		for range 2 { // everything twice
			for _, i := range order {
				for _, d := range carol.receive(said[i].Data).Delivered {
					got = append(got, d.ID)
				}
			}
		}
		if !slices.Equal(got, want) || !slices.Equal(carol.log(), want) {
			t.Fatalf("in order %v came %v", order, got)
		}
		if left := count(carol.st, keyHeld) + count(carol.st, keyWaits) + count(carol.st, keyMissing); left != 0 {
			t.Errorf("%d keys of what is done", left)
		}
	}
}

// Messages with one timestamp stand in ascending order of their ids.
func TestResolveConflicts(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	var said []*Outgoing
	for range 5 { // nobody hears the others
		said = append(said, newParty(t, fmt.Sprint("p", len(said)), Default()).send("x"))
	}
	for i := range said {
		alice.receive(said[i].Data)
		bob.receive(said[len(said)-1-i].Data)
	}
	log := must(alice.channel.Log(alice.st))
	for i, l := range log {
		if l.Lamport != log[0].Lamport || i > 0 && l.ID <= log[i-1].ID {
			t.Errorf("place %d: %+v", i, l)
		}
	}
	if !slices.Equal(alice.log(), bob.log()) || len(log) != len(said) {
		t.Errorf("%v and %v", alice.log(), bob.log())
	}
}

// Ephemeral messages are delivered at once and leave no trace.
//
// Proves: SP-22.
func TestEphemeral(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	bob.send("something, so that there is a state")
	before := contents(bob.st)
	out, err := alice.channel.Ephemeral(alice.rand, []byte("typing"))
	if err != nil {
		t.Fatal(err)
	}
	m := decoded(out.Data)
	if m.Kind != Ephemeral || m.Lamport != 0 || m.History != nil || m.Filter != nil {
		t.Errorf("ephemeral message %+v", m)
	}
	in := bob.receive(out.Data)
	if len(in.Delivered) != 1 || !in.Delivered[0].Ephemeral || string(in.Delivered[0].Content) != "typing" {
		t.Errorf("received %+v", in)
	}
	if after := contents(bob.st); len(after) != len(before) || after[keyState] != before[keyState] || count(alice.st, "") != 0 {
		t.Error("an ephemeral message left something")
	}
	if in := alice.receive(out.Data); len(in.Delivered) > 0 || !in.Known {
		t.Errorf("our own came back as %+v", in)
	}
	if _, err := must(New("channel", "alice", InteropNim())).Ephemeral(alice.rand, []byte("x")); !errors.Is(err, ErrKind) {
		t.Error(err)
	}
}

// Equal content sent twice is two messages, and an id belongs to one message;
// with the ids of @waku/sds it is one.
func TestIDs(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	one, two := alice.send("same"), alice.send("same")
	if one.ID == two.ID || len(one.ID) != 40 {
		t.Errorf("ids %s and %s", one.ID, two.ID)
	}
	if n := len(bob.receive(one.Data).Delivered) + len(bob.receive(two.Data).Delivered); n != 2 {
		t.Errorf("%d delivered", n)
	}
	// Two devices of one participant in one state and millisecond.
	twin := newParty(t, "alice", Default())
	twin.rand = chacha(99)
	if id := twin.send("same").ID; id == one.ID {
		t.Error("two devices make one id")
	}
	for name, change := range map[string]func(m *Message){
		"content": func(m *Message) { m.Content = []byte("other") },
		"sender":  func(m *Message) { m.Sender = "mallory" },
		"lamport": func(m *Message) { m.Lamport++ },
		"id":      func(m *Message) { m.ID = "0" + m.ID[1:] },
		"case":    func(m *Message) { m.ID = "V" + m.ID[1:] },
		"length":  func(m *Message) { m.ID += "0" },
		"short":   func(m *Message) { m.ID = "x" },
	} {
		m := decoded(one.Data)
		change(m)
		before := contents(bob.st)
		if _, err := bob.channel.Receive(bob.st, bob.now, bob.rand, must(m.Encode(Standard)), nil); !errors.Is(err, ErrID) {
			t.Errorf("another %s: %v", name, err)
		}
		if len(contents(bob.st)) != len(before) {
			t.Errorf("another %s changed the state", name)
		}
	}

	alice, bob = pair(t, Interop())
	one = alice.send("same")
	if _, err := alice.channel.Send(alice.st, alice.now, alice.rand, []byte("same")); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the same again: %v", err)
	}
	theirs := bob.send("same")
	if theirs.ID != one.ID {
		t.Errorf("ids %s and %s", one.ID, theirs.ID)
	}
	if in := alice.receive(theirs.Data); !in.Known || len(in.Delivered) > 0 || len(alice.log()) != 1 {
		t.Errorf("the same from somebody else: %+v", in)
	}
	m := decoded(one.Data)
	m.ID = contentID([]byte("other"))
	if _, err := bob.channel.Receive(bob.st, bob.now, bob.rand, must(m.Encode(Standard)), nil); !errors.Is(err, ErrID) {
		t.Error(err)
	}
	free := newParty(t, "carol", InteropNim())
	free.now = start.Add(time.Second)
	m.Lamport, m.ID = uint64(start.Unix()), "chosen"
	if in := free.receive(must(m.Encode(Nim))); len(in.Delivered) != 1 {
		t.Errorf("%+v", in)
	}
}

// Both layouts are read whichever is written, and nim-sds counts seconds.
func TestLayouts(t *testing.T) {
	t.Parallel()
	nim := newParty(t, "nim", InteropNim())
	out := nim.send("hello")
	m, layout := must2(Decode(out.Data))
	if layout != Nim || m.Lamport != uint64(start.Unix())+1 || m.Filter != nil {
		t.Errorf("%+v in layout %d", m, layout)
	}
	c := InteropNim()
	c.Layout = Standard
	reader := newParty(t, "reader", c)
	if in := reader.receive(out.Data); len(in.Delivered) != 1 {
		t.Errorf("received %+v", in)
	}
	reply := reader.send("reply")
	if in := nim.receive(reply.Data); len(in.Delivered) != 1 || !slices.Equal(in.Acknowledged, []string{out.ID}) {
		t.Errorf("received %+v", in)
	}
}

// A message of another channel, and one of our own, are ignored; but our own
// that we do not know, after a loss of state, is taken.
func TestOthersAndOwn(t *testing.T) {
	t.Parallel()
	alice, bob := pair(t, Default())
	out := alice.send("hello")
	other := must(New("elsewhere", "bob", Default()))
	if _, err := other.Receive(bob.st, bob.now, bob.rand, out.Data, nil); !errors.Is(err, ErrChannel) || count(bob.st, "") > 0 {
		t.Error(err)
	}
	if in := alice.receive(out.Data); !in.Known || len(in.Delivered) > 0 {
		t.Errorf("our own: %+v", in)
	}
	bob.receive(out.Data)
	reply := bob.send("reply")
	reborn := newParty(t, "alice", Default())
	if in := reborn.receive(reply.Data); len(in.Delivered) > 0 {
		t.Errorf("delivered %+v before its dependency", in.Delivered)
	}
	in := reborn.receive(out.Data)
	if len(in.Delivered) != 2 || !in.Delivered[0].Own || in.Delivered[1].Own {
		t.Errorf("delivered %+v", in.Delivered)
	}
}
