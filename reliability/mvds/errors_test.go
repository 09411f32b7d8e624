package mvds

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

func TestAppendErrors(t *testing.T) {
	t.Parallel()
	k := people(3)
	long := Message{Group: OneToOneGroup(k[0], k[1]), Body: make([]byte, MaxBody+1)}
	for _, c := range []struct {
		name  string
		now   time.Time
		m     Message
		peers []key.Public
		want  error
	}{
		{"nobody", start, to(k[0], k[1], "x"), nil, ErrPeer},
		{"zero key", start, to(k[0], k[1], "x"), []key.Public{{}}, ErrPeer},
		{"another pair's group", start, to(k[0], k[1], "x"), []key.Public{k[2]}, ErrGroup},
		{"second peer of another pair", start, to(k[0], k[1], "x"), []key.Public{k[1], k[2]}, ErrGroup},
		{"no group", start, Message{Body: []byte("x")}, []key.Public{k[1]}, ErrGroup},
		{"too long", start, long, []key.Public{k[1]}, ErrBody},
		{"zero time", time.Time{}, to(k[0], k[1], "x"), []key.Public{k[1]}, ErrTime},
		{"far time", start.AddDate(200, 0, 0), to(k[0], k[1], "x"), []key.Public{k[1]}, ErrTime},
		{"at the limit", start, Message{Group: long.Group, Body: long.Body[:MaxBody]}, []key.Public{k[1]}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newParty(t, k[0])
			_, err := p.sync.Append(p.st, c.now, c.m, c.peers...)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if c.want != nil && len(contents(p.st)) > 0 {
				t.Error("the state changed")
			}
		})
	}
}

func TestRandFails(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	p.append(to(k[0], k[1], "x"), k[1])
	before := contents(p.st)
	none := bytes.NewReader(nil)
	if _, err := p.sync.Receive(p.st, p.now, none, k[1], &Payload{Acks: []MessageID{{}}}); err == nil {
		t.Error("received without randomness")
	}
	if !equal(before, contents(p.st)) {
		t.Error("the state changed")
	}
	sent := *p
	sent.st = p.st.Copy()
	sent.one()
	before = contents(sent.st)
	if _, err := p.sync.PeerOnline(sent.st, p.now, none, k[1]); err == nil {
		t.Error("rescheduled without randomness")
	}
	if !equal(before, contents(sent.st)) {
		t.Error("the state changed")
	}
	work := p.st.Copy()
	if _, err := p.sync.Due(work, p.now, none, 0); err == nil {
		t.Error("sent without randomness")
	}
	for _, c := range []struct {
		from key.Public
		p    *Payload
		want error
	}{{key.Public{}, &Payload{}, ErrPeer}, {k[1], nil, ErrNotPayload}} {
		if _, err := p.sync.Receive(p.st, p.now, p.rand, c.from, c.p); !errors.Is(err, c.want) {
			t.Errorf("error %v, want %v", err, c.want)
		}
	}
	if _, err := p.sync.PeerOnline(p.st, p.now, p.rand, key.Public{}); !errors.Is(err, ErrPeer) {
		t.Errorf("error %v", err)
	}
}

// A store that fails makes every call fail, with its error.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	k := people(2)
	broken := errors.New("broken")
	for fail := 0; ; fail++ {
		p := newParty(t, k[0])
		p.append(to(k[0], k[1], strings.Repeat("x", longBody)), k[1])
		st := &failing{Store: p.st, left: fail, err: broken}
		err := func() error {
			id, err := p.sync.Append(st, p.now, to(k[0], k[1], strings.Repeat("y", longBody)), k[1])
			if err != nil {
				return err
			}
			if _, err = p.sync.Receive(st, p.now, p.rand, k[1], &Payload{Acks: []MessageID{id}, Offers: []MessageID{{1}},
				Requests: []MessageID{id}, Messages: []Message{to(k[0], k[1], "z")}}); err != nil {
				return err
			}
			if _, err = p.sync.Due(st, p.now, p.rand, 0); err != nil {
				return err
			}
			if _, _, err = p.sync.Next(st, p.now); err != nil {
				return err
			}
			if _, err = p.sync.PeerOnline(st, p.now.Add(-time.Hour), p.rand, k[1]); err != nil {
				return err
			}
			return p.sync.Resume(st, p.now, k[1])
		}()
		if err == nil {
			if fail < 30 {
				t.Fatalf("only %d store calls", fail)
			}
			return
		}
		if !errors.Is(err, broken) {
			t.Fatalf("call %d: error %v", fail, err)
		}
	}
}

// failing is a store whose calls fail after a number of them.
type failing struct {
	kv.Store
	left int
	err  error
}

func (f *failing) spend() error {
	if f.left--; f.left < 0 {
		return f.err
	}
	return nil
}

func (f *failing) Get(k string) ([]byte, bool, error) {
	if err := f.spend(); err != nil {
		return nil, false, err
	}
	return f.Store.Get(k)
}

func (f *failing) Put(k string, v []byte) error { return errors.Join(f.spend(), f.Store.Put(k, v)) }
func (f *failing) Delete(k string) error        { return errors.Join(f.spend(), f.Store.Delete(k)) }
func (f *failing) Scan(prefix string, visit func(string, []byte) error) error {
	if err := f.spend(); err != nil {
		return err
	}
	return f.Store.Scan(prefix, visit)
}

// Damage in the store is an error or goes unnoticed, never a panic.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	k := people(2)
	whole := newParty(t, k[0])
	whole.append(to(k[0], k[1], strings.Repeat("x", longBody)), k[1])
	id := whole.append(to(k[0], k[1], "y"), k[1])
	whole.one()
	whole.receive(k[1], &Payload{Offers: []MessageID{{1}}, Messages: []Message{to(k[0], k[1], "z")}})
	whole.st.Put(keyExpired+numberKey(1)+string(id[:])+compressed(k[1]), append(k[1].Bytes(), 0, 0, 0, 1))
	whole.now = whole.now.Add(time.Hour)

	noticed := map[string]bool{}
	try := func(name, damaged string, change func(st kv.Store)) {
		for _, call := range []func(p *party) error{
			func(p *party) error {
				_, err := p.sync.Append(p.st, p.now, to(k[0], k[1], "new"), k[1])
				return err
			},
			func(p *party) error {
				_, err := p.sync.Receive(p.st, p.now, p.rand, k[1], &Payload{Acks: []MessageID{id}, Requests: []MessageID{id},
					Offers: []MessageID{{1}, {2}}, Messages: []Message{to(k[0], k[1], "z")}})
				return err
			},
			func(p *party) error { _, err := p.sync.Due(p.st, p.now, p.rand, 0); return err },
			func(p *party) error { _, _, err := p.sync.Next(p.st, p.now); return err },
			func(p *party) error {
				_, err := p.sync.PeerOnline(p.st, p.now.Add(-time.Hour), p.rand, k[1])
				return err
			},
			func(p *party) error { return p.sync.Resume(p.st, p.now.Add(-time.Hour), k[1]) },
			func(p *party) error { return p.sync.Forget(p.st, id) },
			func(p *party) error { return p.sync.ForgetPeer(p.st, k[1]) },
			func(p *party) error { _, err := p.sync.Unacknowledged(p.st, k[1]); return err },
			func(p *party) error { _, err := p.sync.TakeExpired(p.st); return err },
			func(p *party) error { _, err := p.sync.Purge(p.st, p.now); return err },
		} {
			p := *whole
			p.st, p.rand = whole.st.Copy(), chacha(1)
			change(p.st)
			if err := call(&p); errors.Is(err, ErrCorrupt) {
				noticed[damaged[:1]] = true
			} else if err != nil {
				t.Errorf("%s of %q: untyped error %v", name, damaged[:1], err)
			}
		}
	}
	for damaged, value := range contents(whole.st) {
		try("short value", damaged, func(st kv.Store) { st.Put(damaged, []byte(value[:len(value)/2])) })
		try("no value", damaged, func(st kv.Store) { st.Put(damaged, nil) })
		try("zero value", damaged, func(st kv.Store) { st.Put(damaged, make([]byte, len(value))) })
		try("no entry", damaged, func(st kv.Store) { st.Delete(damaged) })
		try("longer key", damaged, func(st kv.Store) { st.Put(damaged+"x", []byte(value)) })
	}
	// Ids of received messages have no value, and Purge stops before young ones.
	for _, family := range []string{keyClock, keyState, keyRecord, keyBody, keyQueue, keyPeers, keyAck, keyExpired} {
		if !noticed[family] {
			t.Errorf("damage in %q is never noticed", family)
		}
	}
}
