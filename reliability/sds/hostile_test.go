package sds

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// forged is a content message of anybody with any history, whose id is right.
func forged(sender string, lamport uint64, salt string, history []Entry, content []byte) []byte {
	m := &Message{Kind: Content, Sender: sender, Channel: "channel", Lamport: lamport, History: history, Content: content}
	sum := refOf(salt)
	m.ID = saltedID(sum[:saltSize], m.Channel, m.Sender, m.Lamport, m.Content)
	return must(m.Encode(Standard))
}

// nowhere are dependencies that do not exist.
func nowhere(n int, name string) []Entry {
	list := make([]Entry, n)
	for i := range list {
		list[i] = Entry{ID: fmt.Sprint(name, " ", i), Sender: "nobody", Hint: bytes.Repeat([]byte{1}, 32)}
	}
	return list
}

// A flood of messages with missing dependencies stays within the limit of the
// incoming buffer, and costs the one who sends it: what others send is still
// delivered, also when it has to wait.
func TestFloodOfDependencies(t *testing.T) {
	t.Parallel()
	alice, bob, carol, first, second := lossy(t, Default()) // carol holds a message of alice
	lamport := uint64(start.UnixMilli())
	evicted := 0
	carol.unchecked = true
	for i := range 30 {
		data := forged("mallory", lamport+uint64(i), fmt.Sprint(i), nowhere(MaxHistory, fmt.Sprint(i)), []byte("x"))
		in, err := carol.channel.Receive(carol.st, carol.now, carol.rand, data, nil)
		if err != nil {
			t.Fatal(err)
		}
		evicted += len(in.Evicted)
	}
	carol.unchecked = false
	carol.check()
	held := must(carol.channel.open(carol.st, carol.now, nil)).s.held
	if limit := uint64(carol.channel.Config.Limits.HeldBytes); held > limit || held < limit/2 || evicted == 0 {
		t.Errorf("%d bytes held, %d messages evicted", held, evicted)
	}
	if n, most := count(carol.st, keyMissing), carol.channel.Config.Limits.HeldBytes/MissingWeight; n > most {
		t.Errorf("%d missing dependencies, limit %d", n, most)
	}
	// What does not wait is delivered, what waits is held.
	bobs := bob.send("from bob")
	in := carol.receive(bobs.Data)
	if len(in.Evicted) > 1 {
		t.Errorf("evicted %v", in.Evicted)
	}
	if in := carol.receive(first.Data); len(in.Delivered) < 2 || in.Delivered[1].ID != second.ID {
		t.Errorf("delivered %+v", in.Delivered)
	}
	if n := len(carol.log()); n != 3 {
		t.Errorf("%d in the log", n)
	}
	// All of it is over in time.
	late := start.Add(carol.channel.Config.Fetch.Lost + time.Minute)
	for carol.now.Before(late) {
		next, ok := carol.next()
		if !ok || next.After(late) {
			break
		}
		carol.now = next
		if _, err := carol.channel.Due(carol.st, carol.now, carol.rand); err != nil {
			t.Fatal(err)
		}
	}
	carol.check()
	if n := count(carol.st, keyHeld); n != 0 {
		t.Errorf("%d messages are still held", n)
	}
	if n, most := count(carol.st, keyMissing), carol.channel.Config.Limits.Orphans; n > most {
		t.Errorf("%d lost dependencies are kept, limit %d", n, most)
	}
	_ = alice
}

// Sync messages that name what does not exist fill their own limit alone.
func TestFloodOfSyncs(t *testing.T) {
	t.Parallel()
	p := newParty(t, "alice", Default())
	p.unchecked = true
	for i := range 20 {
		m := &Message{Kind: Sync, Sender: "mallory", ID: fmt.Sprint("sync-", i), Channel: "channel", Lamport: 1, History: nowhere(MaxHistory, fmt.Sprint(i))}
		p.receive(must(m.Encode(Standard)))
	}
	if n, most := count(p.st, keyMissing), p.channel.Config.Limits.Orphans; n != most {
		t.Errorf("%d missing, limit %d", n, most)
	}
	// A message that really depends on something is not hindered.
	in := p.receive(forged("bob", uint64(start.UnixMilli()), "", nowhere(2, "real"), []byte("x")))
	if n := count(p.st, keyMissing); n != p.channel.Config.Limits.Orphans+2 || len(in.Delivered) > 0 {
		t.Errorf("%d missing", n)
	}
	p.unchecked = false
	p.check()
	p.unchecked = true
	p.runTo(start.Add(p.channel.Config.Fetch.Keep + time.Minute))
	p.unchecked = false
	p.check()
	if n := count(p.st, keyMissing) + count(p.st, keyAsk); n != 0 {
		t.Errorf("%d keys left after a day", n)
	}
}

// Messages that wait for each other, or for what is not before them in the
// order, do not wait for ever.
func TestCycles(t *testing.T) {
	t.Parallel()
	lamport := uint64(start.UnixMilli())
	id := func(salt string, lamport uint64) string {
		return decoded(forged("mallory", lamport, salt, nil, []byte("x"))).ID
	}
	for name, at := range map[string][2]uint64{"one time": {lamport, lamport}, "forward": {lamport, lamport + 1}, "backward": {lamport + 1, lamport}} {
		a, b := id("a", at[0]), id("b", at[1])
		p := newParty(t, "alice", Default())
		p.receive(forged("mallory", at[0], "a", []Entry{{ID: b}, {ID: a}}, []byte("x")))
		p.receive(forged("mallory", at[1], "b", []Entry{{ID: a}, {ID: b}}, []byte("x")))
		if n := len(p.log()); n != 2 {
			t.Errorf("%s: %d are delivered", name, n)
		}
	}
	// A chain without an end: every dependency arrives, with another one.
	p := newParty(t, "alice", Default())
	p.unchecked = true
	ids := make([]string, 400)
	for i := range ids {
		ids[i] = id(fmt.Sprint(i), lamport-uint64(i))
	}
	top := ids[0]
	for i := range len(ids) - 1 {
		data := forged("mallory", lamport-uint64(i), fmt.Sprint(i), []Entry{{ID: ids[i+1]}}, []byte("x"))
		if _, err := p.channel.Receive(p.st, p.now, p.rand, data, nil); err != nil {
			t.Fatal(err)
		}
		for _, d := range p.runTo(p.now.Add(5 * time.Minute)).Delivered {
			if d.ID == top {
				if hold := p.channel.Config.Fetch.Hold; p.now.Sub(start) > hold+10*time.Minute || !d.Late {
					t.Errorf("the top is delivered after %s: %+v", p.now.Sub(start), d)
				}
				return
			}
		}
	}
	t.Errorf("the top waits after %s", p.now.Sub(start))
}

// Short requests do not draw long answers without bound: neither by asking for
// much, nor by asking often, nor by naming somebody as the author.
func TestRepairAmplification(t *testing.T) {
	t.Parallel()
	p := newParty(t, "alice", Default())
	p.unchecked = true
	limits := p.channel.Config.Limits
	var ids []Entry
	for i := range 500 {
		out, err := p.channel.Send(p.st, p.now, p.rand, bytes.Repeat([]byte("x"), 1000+90_000*(i%5/4)))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, Entry{ID: out.ID, Sender: "alice"})
	}
	if err := p.settleAll(); err != nil {
		t.Fatal(err)
	}
	answers, size, minutes := 0, 0, 10
	perID := map[string]int{}
	for i := range minutes * 60 {
		m := &Message{Kind: Sync, Sender: "mallory", ID: fmt.Sprint("sync-", i), Channel: "channel", Lamport: 1}
		for n := range MaxRequests {
			m.Requests = append(m.Requests, ids[(i*MaxRequests+n)%len(ids)])
		}
		if _, err := p.channel.Receive(p.st, p.now, p.rand, must(m.Encode(Standard)), nil); err != nil {
			t.Fatal(err)
		}
		for _, o := range p.runTo(p.now.Add(time.Second)).Send {
			if o.Reason == Answer {
				answers++
				size += len(o.Data)
				perID[o.ID]++
			}
		}
		if n := count(p.st, keyAnswer); n > limits.Answers {
			t.Fatalf("%d answers wait", n)
		}
	}
	if most := (minutes + 1) * limits.AnswersPerMinute; answers > most || answers == 0 {
		t.Errorf("%d answers in %d minutes, at most %d", answers, minutes, most)
	}
	if most := (minutes + 1) * (limits.AnswerBytesPerMinute + 100_000); size > most {
		t.Errorf("%d bytes in %d minutes, at most %d", size, minutes, most)
	}
	for id, n := range perID {
		if most := minutes*2 + 1; n > most { // once in T_min
			t.Errorf("%s is answered %d times", id, n)
		}
	}
	// Naming ourselves as the author does not make us answer at once.
	bob := newParty(t, "bob", Default())
	mallory := forged("mallory", uint64(start.UnixMilli()), "", nil, []byte("x"))
	bob.receive(mallory)
	m := &Message{Kind: Sync, Sender: "mallory", ID: "sync-x", Channel: "channel", Lamport: 1, Requests: []Entry{{ID: decoded(mallory).ID, Sender: "bob"}}}
	bob.receive(must(m.Encode(Standard)))
	if want := bob.channel.answerDelay("mallory", decoded(mallory).ID); want > 0 {
		for _, o := range bob.due().Send {
			if o.Reason == Answer {
				t.Error("answers at once")
			}
		}
	}
	if n := count(bob.st, keyAnswer); n != 1 {
		t.Errorf("%d answers wait", n)
	}
}

// Filters of any length are looked into without harm, in every profile.
func TestFilterOfWrongSize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{"default": Default(), "interop": Interop(), "none": InteropNim()} {
		c.Tick, c.Layout = time.Millisecond, Standard
		p := newParty(t, "alice", c)
		mine := p.send("hello")
		for _, size := range []int{0, 1, 7, 8, 9, 100, 18_751, 18_752, 18_753, MaxFilter} {
			for _, fill := range []byte{0, 0x55} {
				m := &Message{Kind: Sync, Sender: "bob", ID: fmt.Sprint("sync-", size, fill), Channel: "channel", Lamport: uint64(start.UnixMilli()) + 9, Filter: bytes.Repeat([]byte{fill}, size)}
				if in := p.receive(must(m.Encode(Standard))); len(in.Acknowledged) > 0 {
					t.Errorf("%s: acknowledged by a filter of %d bytes of %x", name, size, fill)
				}
			}
		}
		if len(must(p.channel.Pending(p.st, p.now))) != 1 {
			t.Errorf("%s: %s is settled", name, mine.ID)
		}
	}
}

// Everything that is refused leaves the state as it was.
func TestRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	p := newParty(t, "alice", Default())
	p.send("hello")
	before := contents(p.st)
	long := strings.Repeat("x", 1<<20)
	good := decoded(forged("bob", uint64(start.UnixMilli()), "", nil, []byte("x")))
	for name, c := range map[string]struct {
		data []byte
		hint []byte
		want error
	}{
		"text":              {[]byte("hello"), nil, ErrNotMessage},
		"id of a megabyte":  {join(tagged(1, "a"), tagged(2, long), tagged(3, "channel"), tagged(10, 1), tagged(20, "x")), nil, ErrLimit},
		"dependency's id":   {join(tagged(1, "a"), tagged(2, "b"), tagged(3, "channel"), tagged(10, 1), tagged(11, string(tagged(1, long))), tagged(20, "x")), nil, ErrLimit},
		"requested id":      {join(tagged(1, "a"), tagged(2, "b"), tagged(3, "channel"), tagged(10, 1), tagged(13, string(tagged(1, long))), tagged(20, "x")), nil, ErrLimit},
		"hint of the wrong": {must(good.Encode(Standard)), make([]byte, MaxHint+1), ErrLimit},
		"too many requests": {join(must(good.Encode(Standard)), bytes.Repeat(tagged(13, string(tagged(1, "x"))), MaxRequests+1)), nil, ErrLimit},
		"too long":          {make([]byte, MaxSize+1), nil, ErrLimit},
		"a forged id":       {join(tagged(1, "a"), tagged(2, "b"), tagged(3, "channel"), tagged(10, 1), tagged(20, "x")), nil, ErrID},
	} {
		if _, err := p.channel.Receive(p.st, p.now, p.rand, c.data, c.hint); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := p.channel.SetHint(p.st, p.log()[0], make([]byte, MaxHint+1)); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	if err := p.channel.SetHint(p.st, "unknown", []byte{1}); err != nil {
		t.Error(err)
	}
	after := contents(p.st)
	if len(after) != len(before) {
		t.Fatalf("%d keys, before %d", len(after), len(before))
	}
	for k, v := range before {
		if after[k] != v {
			t.Errorf("%q changed", k)
		}
	}
}

// Nothing grows for ever: after many messages the log, the filter and what is
// kept for repair have their limits, and what is older than the log is told
// apart from what is new.
func TestBounded(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Limits.Log, c.Limits.CacheMessages, c.Limits.CacheBytes = 64, 20, 9000
	p := newParty(t, "alice", c)
	from := newParty(t, "bob", Default())
	var all []*Outgoing
	for i := range 600 {
		p.now, from.now = start.Add(time.Duration(i)*time.Second), start.Add(time.Duration(i)*time.Second)
		out, err := from.channel.Send(from.st, from.now, from.rand, fmt.Append(nil, i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, out)
		in, err := p.channel.Receive(p.st, p.now, p.rand, out.Data, nil)
		if err != nil || len(in.Delivered) != 1 {
			t.Fatal(in, err)
		}
		if i%50 == 0 {
			p.check()
		}
	}
	p.check()
	log := p.log()
	if len(log) < 64 || len(log) > 72 || log[len(log)-1] != all[599].ID || log[0] != all[600-len(log)].ID {
		t.Errorf("log of %d", len(log))
	}
	s := must(p.channel.open(p.st, p.now, nil)).s
	if n := s.cacheNext - s.cacheFirst; n > 20 || s.cacheBytes > 9000 || n == 0 {
		t.Errorf("%d messages of %d bytes are kept", n, s.cacheBytes)
	}
	if n := count(p.st, ""); n > 2*72+2*20+20+10+72 {
		t.Errorf("%d keys", n)
	}
	in := p.receive(all[0].Data)
	if len(in.Delivered) > 0 || len(in.Stale) != 1 {
		t.Errorf("a message older than the log: %+v", in.Result)
	}
	// One that depends on it alone is not held up by it.
	old := forged("carol", uint64(p.now.UnixMilli()), "", []Entry{{ID: all[1].ID}}, []byte("x"))
	if in := p.receive(old); len(in.Delivered) > 0 {
		t.Errorf("%+v", in.Result)
	}
	if in := p.receive(all[1].Data); len(in.Delivered) != 1 || len(in.Stale) != 1 {
		t.Errorf("%+v", in.Result)
	}
}

// Whatever a message says, the state stays whole, and a second copy says
// nothing new.
func FuzzReceive(f *testing.F) {
	f.Add("bob", int64(0), "a", "b", []byte{1, 2, 3, 4, 5, 6, 7, 8}, []byte("content"), uint8(3))
	f.Add("alice", int64(-5), "", "mine", []byte{}, []byte{}, uint8(0))
	f.Add("carol", int64(1<<40), "x", "y", []byte(nil), []byte("z"), uint8(255))
	f.Fuzz(func(t *testing.T, sender string, ahead int64, one, two string, filter, content []byte, shape uint8) {
		p := newParty(t, "alice", Default())
		mine := p.send("mine")
		theirs := forged("bob", uint64(start.UnixMilli()), "", nil, []byte("theirs"))
		p.receive(theirs)
		m := &Message{Kind: Content, Sender: sender, Channel: "channel", Lamport: uint64(start.UnixMilli() + ahead), Filter: filter, Content: content}
		for i, id := range []string{one, two, mine.ID, decoded(theirs).ID} {
			if shape&(1<<i) != 0 {
				m.History = append(m.History, Entry{ID: id, Hint: filter, Sender: one})
			}
			if shape&(16<<i) != 0 {
				m.Requests = append(m.Requests, Entry{ID: id, Sender: two})
			}
		}
		m.ID = saltedID(make([]byte, saltSize), m.Channel, m.Sender, m.Lamport, m.Content)
		if len(content) == 0 {
			m.Kind = Sync
		}
		data, err := m.Encode(Standard)
		if err != nil {
			t.Skip()
		}
		in, err := p.channel.Receive(p.st, p.now, p.rand, data, nil)
		if err != nil {
			if !errors.Is(err, ErrAhead) {
				t.Fatal(err)
			}
			return
		}
		p.check()
		again := p.receive(data)
		if !again.Known && m.Sender != "alice" && len(in.Stale) == 0 || len(again.Delivered) > 0 {
			t.Errorf("the second copy brought %+v", again)
		}
		p.runTo(start.Add(25 * time.Hour))
		p.check()
	})
}

// Any bytes can be looked into as a filter.
func FuzzFilter(f *testing.F) {
	for _, b := range recording(f).Bloom {
		if len(b.Hex) < 4096 {
			f.Add([]byte(b.Hex), "a", uint64(0))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, id string, salt uint64) {
		for _, c := range []Config{Default(), Interop()} {
			f := c.Filter
			if !f.usable(data) {
				continue
			}
			if p := f.accident(data); p < 0 || p > 1 {
				t.Errorf("accident %f", p)
			}
			f.contains(data, f.prehash(id, refOf(id)), salt)
		}
		f := Filter{Hash: Murmur, Bits: 150_000, Hashes: 10, Bytes: 18_752}
		pre := f.prehash(id, refOf(id))
		if !f.contains(f.build([]uint64{pre}, salt, f.Bytes), pre, salt) {
			t.Error("an id is not in a filter of itself")
		}
	})
}
