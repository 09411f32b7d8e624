package sds

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

// reload is what a store is after it was written and read again.
func reload(st kv.Store) *kv.Memory {
	fresh := kv.NewMemory()
	for k, v := range contents(st) {
		if err := fresh.Put(k, []byte(v)); err != nil {
			panic(err)
		}
	}
	return fresh
}

// failing is a store that fails from its n-th call on.
type failing struct {
	kv.Store
	left *int
}

var errBroken = errors.New("broken")

func (f failing) call() error {
	if *f.left--; *f.left < 0 {
		return errBroken
	}
	return nil
}

func (f failing) Get(k string) ([]byte, bool, error) {
	if err := f.call(); err != nil {
		return nil, false, err
	}
	return f.Store.Get(k)
}

func (f failing) Put(k string, v []byte) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.Put(k, v)
}

func (f failing) Delete(k string) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.Delete(k)
}

func (f failing) Scan(prefix string, visit func(string, []byte) error) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.Scan(prefix, visit)
}

// script is a conversation of three with losses, repairs and acknowledgements,
// as the steps of the third: all of its calls with their outcome.
type script struct {
	t *testing.T
	// step is how a call is made on carol's store.
	step  func(carol *party, call func(st kv.Store) (string, error)) string
	trace []string
}

func (s *script) do(carol *party, call func(st kv.Store) (string, error)) {
	s.t.Helper()
	// Every attempt at a step draws the same.
	seed := uint64(len(s.trace))
	s.trace = append(s.trace, s.step(carol, func(st kv.Store) (string, error) {
		carol.rand = chacha(seed)
		return call(st)
	}))
}

// play runs the script and returns what carol ended with.
func (s *script) play() (*party, []string) {
	alice, bob := pair(s.t, Default())
	carol := newParty(s.t, "carol", Default())
	describe := func(r Result) string {
		text := fmt.Sprint(r.Acknowledged, r.Possible, r.Failed, r.Lost, r.Fetch)
		for _, d := range r.Delivered {
			text += " delivered " + d.ID
		}
		for _, o := range r.Send {
			text += fmt.Sprintf(" sent %d %s %x", o.Reason, o.ID, hintOf(o.Data))
		}
		return text
	}
	now := start
	// Carol misses three messages, bob one of carol's, and both another one.
	lost := map[[2]int]bool{{4, 2}: true, {5, 2}: true, {9, 2}: true, {2, 1}: true, {13, 0}: true, {6, 0}: true, {6, 1}: true}
	hear := func(to *party, data []byte) {
		if to != carol {
			to.receive(data)
			return
		}
		s.do(carol, func(st kv.Store) (string, error) {
			in, err := carol.channel.Receive(st, carol.now, carol.rand, data, hintOf(data))
			if err != nil {
				return "", err
			}
			return describe(in.Result), nil
		})
	}
	for i := range 40 {
		now = now.Add(time.Duration(1+i%7) * 7 * time.Second)
		alice.now, bob.now, carol.now = now, now, now
		from := []*party{alice, bob, carol, alice}[i%4]
		if i < 14 {
			var data []byte
			if from != carol {
				out := from.send(fmt.Sprint("message ", i))
				if data = out.Data; from.channel.SetHint(from.st, out.ID, hintOf(data)) != nil {
					s.t.Fatal("no hint")
				}
			} else {
				s.do(carol, func(st kv.Store) (string, error) {
					out, err := carol.channel.Send(st, carol.now, carol.rand, fmt.Append(nil, "message ", i))
					if err != nil {
						return "", err
					}
					data = out.Data
					return fmt.Sprintf("sent %s %x", out.ID, hintOf(out.Data)), carol.channel.SetHint(st, out.ID, hintOf(out.Data))
				})
			}
			for j, to := range []*party{alice, bob, carol} {
				if to != from && !lost[[2]int{i, j}] {
					hear(to, data)
				}
			}
		}
		for _, p := range []*party{alice, bob, carol} {
			var out []Outgoing
			if p != carol {
				out = p.due().Send
			} else {
				s.do(carol, func(st kv.Store) (string, error) {
					r, err := carol.channel.Due(st, carol.now, carol.rand)
					if err != nil {
						return "", err
					}
					out = r.Send
					return describe(*r), nil
				})
				s.do(carol, func(st kv.Store) (string, error) {
					next, ok, err := carol.channel.Next(st, carol.now)
					return fmt.Sprint(next, ok), err
				})
			}
			for _, o := range out {
				for _, to := range []*party{alice, bob, carol} {
					if to != p {
						hear(to, o.Data)
					}
				}
			}
		}
	}
	return carol, s.trace
}

// A participant that restarts from its store after each step does the same as
// one that never does; a step that fails anywhere in the store says so, and
// done again after the transaction was dropped, has the same outcome.
func TestRestart(t *testing.T) {
	t.Parallel()
	same := func(carol *party, call func(kv.Store) (string, error)) string {
		text, err := call(carol.st)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	straight := &script{t: t, step: same}
	want, wantTrace := straight.play()
	has := func(n int, what string) bool {
		return slices.ContainsFunc(wantTrace, func(s string) bool { return strings.Count(s, what) >= n })
	}
	kinds := []int{int(First), int(Again), int(Answer), int(Idling)}
	for _, kind := range kinds[1:] {
		if !has(1, fmt.Sprint(" sent ", kind)) {
			t.Errorf("the script sends nothing for reason %d", kind)
		}
	}
	if len(want.log()) != 14 || !has(2, " delivered ") || !has(1, "[{") {
		t.Fatalf("the script is poor: %d in the log", len(want.log()))
	}
	for name, step := range map[string]func(*party, func(kv.Store) (string, error)) string{
		"restart": func(carol *party, call func(kv.Store) (string, error)) string {
			carol.st = reload(carol.st)
			carol.channel = must(New(carol.channel.ID, carol.channel.Self, carol.channel.Config))
			return same(carol, call)
		},
		"crash": func(carol *party, call func(kv.Store) (string, error)) string {
			for n := 0; ; n++ {
				left, work := n, carol.st.Copy()
				text, err := call(failing{work, &left})
				if err == nil {
					carol.st = work
					return text
				}
				if !errors.Is(err, errBroken) {
					t.Fatalf("failing at call %d: %v", n, err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &script{t: t, step: step}
			got, trace := s.play()
			for i := range max(len(trace), len(wantTrace)) {
				if i >= len(trace) || i >= len(wantTrace) || trace[i] != wantTrace[i] {
					t.Fatalf("step %d differs", i)
				}
			}
			if !slices.Equal(got.log(), want.log()) {
				t.Errorf("log %v, not %v", got.log(), want.log())
			}
			a, b := contents(got.st), contents(want.st)
			for k, v := range b {
				if a[k] != v {
					t.Errorf("%q differs", k)
				}
			}
			if len(a) != len(b) {
				t.Errorf("%d keys, not %d", len(a), len(b))
			}
		})
	}
}

// Damaged state is an error, never a panic.
func TestDamaged(t *testing.T) {
	t.Parallel()
	_, _, carol, first, second := lossy(t, Default())
	carol.send("mine")
	for key, value := range contents(carol.st) {
		for _, bad := range []string{"", value[:len(value)/2], value + "x", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
			st := carol.st.Copy()
			if err := st.Put(key, []byte(bad)); err != nil {
				t.Fatal(err)
			}
			for name, call := range map[string]func() error{
				"receive": func() error { _, err := carol.channel.Receive(st, carol.now, carol.rand, first.Data, nil); return err },
				"again":   func() error { _, err := carol.channel.Receive(st, carol.now, carol.rand, second.Data, nil); return err },
				"send":    func() error { _, err := carol.channel.Send(st, carol.now, carol.rand, []byte("x")); return err },
				"due":     func() error { _, err := carol.channel.Due(st, carol.now.Add(time.Hour), carol.rand); return err },
				"next":    func() error { _, _, err := carol.channel.Next(st, carol.now); return err },
				"log":     func() error { _, err := carol.channel.Log(st); return err },
				"pending": func() error { _, err := carol.channel.Pending(st, carol.now); return err },
			} {
				if err := call(); err != nil && !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s with %q damaged: %v", name, key[:1], err)
				}
			}
		}
	}
	st := carol.st.Copy()
	if err := st.Put(keyState, []byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := carol.channel.Log(st); err != nil {
		t.Error(err) // the log stands for itself
	}
	if _, err := carol.channel.Send(st, carol.now, carol.rand, []byte("x")); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}
