package segment

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/internal/kv"
)

// firsts returns the first segment of n different payloads of 300 bytes.
func firsts(t testing.TB, n int) [][]byte {
	t.Helper()
	out := make([][]byte, n)
	for i := range out {
		out[i] = mustSplit(t, content(300+256*i), 100+86*i)[0]
	}
	return out
}

// openOf returns which of the segments' payloads are open.
func openOf(t testing.TB, st kv.Store, from key.Public, raws [][]byte) string {
	t.Helper()
	var out string
	for i, raw := range raws {
		g, err := loadGroup(st, identify(from, decoded(t, raw)))
		if err != nil {
			t.Fatal(err)
		}
		if g.Stored > 0 {
			out += fmt.Sprint(i)
		}
	}
	return out
}

// checkTotals compares the sum with what is there.
func checkTotals(t testing.TB, st kv.Store) {
	t.Helper()
	var sum totals
	if err := load(st, totalsKey, &sum); err != nil {
		t.Fatal(err)
	}
	var want totals
	st.Scan(groupPrefix, func(_ string, b []byte) error {
		var g group
		if err := decode(b, &g); err != nil {
			t.Fatal(err)
		}
		want.Bytes += g.Bytes
		return nil
	})
	st.Scan(completedPrefix, func(string, []byte) error { want.Completed++; return nil })
	if sum != want {
		t.Errorf("totals %+v, want %+v", sum, want)
	}
}

func TestSenderGroups(t *testing.T) {
	t.Parallel()
	a := Assembler{SenderGroups: 3}
	from, other := sender(t, 1), sender(t, 2)
	st := kv.NewMemory()
	raws := firsts(t, 5)
	if _, _, err := a.Add(st, now.Add(-time.Hour), other, raws[0]); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"0", "01", "012", "123", "234"} {
		if _, _, err := a.Add(st, now.Add(time.Duration(i)), from, raws[i]); err != nil {
			t.Fatal(err)
		}
		if got := openOf(t, st, from, raws); got != want {
			t.Errorf("after %d: open %s, want %s", i, got, want)
		}
		checkTotals(t, st)
	}
	if got := openOf(t, st, other, raws); got != "0" {
		t.Errorf("of another sender: open %q", got)
	}
}

func TestSenderBytes(t *testing.T) {
	t.Parallel()
	messages := make([][][]byte, 3)
	for i := range messages {
		messages[i] = mustSplit(t, content(3000+i), 1000)
	}
	one := 1000 + segmentCharge
	a := Assembler{SenderBytes: 3 * one}
	from := sender(t, 1)
	st := kv.NewMemory()
	heads := [][]byte{messages[0][0], messages[1][0], messages[2][0]}
	step := func(group, index int, want string) {
		t.Helper()
		if _, _, err := a.Add(st, now.Add(time.Duration(group)), from, messages[group][index]); err != nil {
			t.Fatal(err)
		}
		if got := openOf(t, st, from, heads); got != want {
			t.Errorf("segment %d of %d: open %s, want %s", index, group, got, want)
		}
		checkTotals(t, st)
	}
	step(0, 0, "0")
	step(1, 0, "01")
	step(2, 0, "012") // at the limit
	step(1, 1, "12")  // one more drops the oldest
	step(0, 0, "02")  // 1 is the oldest now
	// A payload that is beyond the limit alone is refused and drops nothing.
	before := dump(t, st)
	small := Assembler{SenderBytes: one - 1}
	if _, _, err := small.Add(st, now, from, messages[1][0]); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	if len(before) != len(dump(t, st)) {
		t.Error("a refused segment changed the state")
	}
}

// The oldest of all senders gives way; never the one that grows.
func TestTotalBytes(t *testing.T) {
	t.Parallel()
	one := 1000 + segmentCharge
	a := Assembler{TotalBytes: 3 * one}
	st := kv.NewMemory()
	whole := content(4000)
	messages := mustSplit(t, whole, 1000)
	var senders []key.Public
	for i := range byte(4) {
		senders = append(senders, sender(t, i))
	}
	open := func() (out string) {
		for i, from := range senders {
			if openOf(t, st, from, messages[:1]) != "" {
				out += fmt.Sprint(i)
			}
		}
		return out
	}
	step := func(who, index int, want string) ([]byte, Status) {
		t.Helper()
		p, status, err := a.Add(st, now.Add(time.Duration(who)), senders[who], messages[index])
		if err != nil {
			t.Fatal(err)
		}
		if got := open(); got != want {
			t.Errorf("segment %d of %d: open %s, want %s", index, who, got, want)
		}
		checkTotals(t, st)
		return p, status
	}
	step(0, 0, "0")
	step(1, 0, "01")
	step(2, 0, "012")
	step(3, 0, "123")
	step(1, 1, "13") // 1 is the oldest, and grows: 2 gives way
	step(1, 2, "1")
	if p, status := step(1, 3, ""); status != Complete || !bytes.Equal(p, whole) {
		t.Errorf("%v", status)
	}
}

func TestMaxCompleted(t *testing.T) {
	t.Parallel()
	a := Assembler{MaxCompleted: 2}
	from := sender(t, 1)
	st := kv.NewMemory()
	for i := range 4 {
		for _, raw := range mustSplit(t, content(200+i), 150) {
			if _, _, err := a.Add(st, now.Add(time.Duration(i)), from, raw); err != nil {
				t.Fatal(err)
			}
		}
		checkTotals(t, st)
	}
	for i, want := range []Status{Incomplete, Incomplete, AlreadyComplete, AlreadyComplete} {
		if _, status := add(t, st.Copy(), from, mustSplit(t, content(200+i), 150)[0]); status != want {
			t.Errorf("payload %d: %v, want %v", i, status, want)
		}
	}
}

// failing is a store whose nth call fails.
type failing struct {
	kv.Store
	left *int
}

var errStore = errors.New("the disk is full")

func (f failing) fail() bool { *f.left--; return *f.left < 0 }

func (f failing) Get(k string) ([]byte, bool, error) {
	if f.fail() {
		return nil, false, errStore
	}
	return f.Store.Get(k)
}

func (f failing) Put(k string, v []byte) error {
	if f.fail() {
		return errStore
	}
	return f.Store.Put(k, v)
}

func (f failing) Delete(k string) error {
	if f.fail() {
		return errStore
	}
	return f.Store.Delete(k)
}

func (f failing) Scan(p string, visit func(string, []byte) error) error {
	if f.fail() {
		return errStore
	}
	return f.Store.Scan(p, visit)
}

// A store that fails at any call makes Add and Purge fail; it is then for the
// transaction to undo.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	from := sender(t, 1)
	a := Assembler{SenderGroups: 1, MaxCompleted: 1}
	other := mustSplit(t, content(500), 100)[0]
	messages := mustSplit(t, content(900), 100)[1:] // parity is needed
	base := kv.NewMemory()
	for _, raw := range mustSplit(t, content(200), 150) {
		if _, _, err := a.Add(base, now, from, raw); err != nil {
			t.Fatal(err)
		}
	}
	run := func(st kv.Store) error {
		for _, raw := range append([][]byte{other}, messages...) {
			if _, _, err := a.Add(st, now.Add(1), from, raw); err != nil {
				return err
			}
		}
		_, err := a.Purge(st, now.Add(2*KeepFor))
		return err
	}
	for calls := 0; ; calls++ {
		left := calls
		err := run(failing{base.Copy(), &left})
		if err == nil {
			if calls < 50 {
				t.Errorf("only %d calls", calls)
			}
			return
		}
		if !errors.Is(err, errStore) {
			t.Fatalf("call %d fails: %v", calls, err)
		}
	}
}
