package ens

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
)

var now = time.Unix(1_800_000_000, 0).UTC()

func claimant(t testing.TB) Claim {
	t.Helper()
	k, err := key.Generate(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	return Claim{Key: k.Public()}
}

// A username is a subdomain of stateofus.eth; a full name is what it is.
func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		err        error
	}{
		{"alice", "alice.stateofus.eth", nil},
		{"Alice", "alice.stateofus.eth", nil},
		{"alice.stateofus.eth", "alice.stateofus.eth", nil},
		{"alice.eth", "alice.eth", nil},
		{"ALICE.ETH", "alice.eth", nil},
		{"a.b.c.eth", "a.b.c.eth", nil},
		{"_sub.a-b.eth", "_sub.a-b.eth", nil},
		{"-a-.eth", "-a-.eth", nil},
		{"1.eth", "1.eth", nil},
		{"eth", "eth.stateofus.eth", nil},
		{strings.Repeat("a", MaxName-4) + ".eth", strings.Repeat("a", MaxName-4) + ".eth", nil},
		{strings.Repeat("a", MaxName-3) + ".eth", "", ErrName},
		{strings.Repeat("a", MaxName-14), strings.Repeat("a", MaxName-14) + ".stateofus.eth", nil},
		{strings.Repeat("a", MaxName-13), "", ErrName},
		{"", "", ErrName},
		{".eth", "", ErrName},
		{"alice..eth", "", ErrName},
		{"alice.", "", ErrName},
		{"alice.com", "", ErrName},
		{"alice.eth2", "", ErrName},
		{"a b.eth", "", ErrName},
		{"alice.eth ", "", ErrName},
		{"alice\n.eth", "", ErrName},
		{"a!.eth", "", ErrName},
		{"a_b.eth", "", ErrName},
		{"xn--abc.eth", "", ErrName},
		{"ab-c.eth", "ab-c.eth", nil},
		{"a\xff.eth", "", ErrName},
		{"a\u202eb.eth", "", ErrName},
		{"é.eth", "", ErrUnverifiable},
		{"аlice.eth", "", ErrUnverifiable}, // Cyrillic а
		{"👩‍👧.eth", "", ErrUnverifiable},
		{"é!.eth", "", ErrUnverifiable},
		{"é..eth", "", ErrName},
	} {
		got, err := Normalize(test.name)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%q: %q, %v; want %q, %v", test.name, got, err, test.want, test.err)
		}
		shown := Shown(test.name)
		switch {
		case test.err == nil && shown != test.want,
			errors.Is(test.err, ErrUnverifiable) && shown != test.name,
			errors.Is(test.err, ErrName) && shown != "":
			t.Errorf("%q is shown as %q", test.name, shown)
		}
	}
}

// A claim is unverified until it was looked up, and again when the name
// changes.
func TestClaim(t *testing.T) {
	t.Parallel()
	c := claimant(t)
	if _, ok := c.NextTry(); ok || c.Due(now) {
		t.Error("no claim is to be looked up")
	}
	receive := func(c Claim, name string, clock uint64) Claim {
		t.Helper()
		after, err := c.Receive(name, clock)
		if err != nil {
			t.Fatal(err)
		}
		return after
	}
	c = receive(c, "Alice", 10)
	if c.Name != "alice.stateofus.eth" || c.State != Unverified || !c.Due(now) || c.Clock != 10 {
		t.Fatalf("%+v", c)
	}
	for _, clock := range []uint64{9, 10} {
		if after := receive(c, "mallory.eth", clock); after != c {
			t.Errorf("clock %d: %+v", clock, after)
		}
	}
	verified := c.Looked(c.Name, Matches, now)
	if verified.State != Verified || verified.Due(now.Add(Recheck-1)) || !verified.Due(now.Add(Recheck)) {
		t.Errorf("%+v", verified)
	}
	if same := receive(verified, "alice.stateofus.eth", 11); same.State != Verified || same.Clock != 11 {
		t.Errorf("the same name again: %+v", same)
	}
	other := receive(verified, "alice.eth", 12)
	if other.State != Unverified || other.Name != "alice.eth" || !other.Due(now) || other.Tries != 0 {
		t.Errorf("another name: %+v", other)
	}
	if late := other.Looked("alice.stateofus.eth", Matches, now); late != other {
		t.Errorf("a lookup of the old name verified the new one: %+v", late)
	}
	gone := receive(verified, "", 13)
	if gone.Name != "" || gone.State != "" || gone.Due(now) || gone.Clock != 13 {
		t.Errorf("%+v", gone)
	}
	odd := receive(verified, "é.eth", 14)
	if odd.State != Unverifiable || odd.Name != "é.eth" || odd.Due(now) {
		t.Errorf("%+v", odd)
	}
	if after := odd.Looked("é.eth", Matches, now); after != odd {
		t.Errorf("what cannot be verified was: %+v", after)
	}
	if after, err := verified.Receive("no name", 15); !errors.Is(err, ErrName) || after != verified {
		t.Errorf("%+v, %v", after, err)
	}
	// A verified name that leads elsewhere at the next look is not believed
	// any more.
	lost := verified.Looked(verified.Name, Differs, now.Add(Recheck))
	if lost.State != Unverified || lost.Tries != 1 {
		t.Errorf("%+v", lost)
	}
	// A node that is away proves nothing either way.
	away := verified.Looked(verified.Name, NoAnswer, now.Add(Recheck))
	if away.State != Verified || away.Due(now.Add(Recheck+2*Step-1)) || !away.Due(now.Add(Recheck+2*Step)) {
		t.Errorf("%+v", away)
	}
	for _, c := range []Claim{c, verified, lost, away, odd, gone} {
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Claim
		if err := json.Unmarshal(raw, &back); err != nil || back != c {
			t.Errorf("%s became %+v, %v", raw, back, err)
		}
	}
}

// The tries of a name that leads elsewhere: 11, each twice as far as the one
// before, then never.
func TestSchedule(t *testing.T) {
	t.Parallel()
	c, err := claimant(t).Receive("alice.eth", 1)
	if err != nil {
		t.Fatal(err)
	}
	at, tries := now, 0
	for {
		if !c.Due(at) {
			t.Fatalf("try %d is not due at %v", tries, at.Sub(now))
		}
		c = c.Looked("alice.eth", Differs, at)
		tries++
		next, ok := c.NextTry()
		if !ok {
			break
		}
		if distance := next.Sub(at); distance != Step<<tries || c.Due(next.Add(-1)) {
			t.Errorf("%v after try %d", distance, tries)
		}
		at = next
	}
	if tries != MaxTries || c.State != Failed || c.Due(at.Add(365*24*time.Hour)) {
		t.Errorf("%d tries, %+v", tries, c)
	}
	if after := c.Looked("alice.eth", Matches, at); after != c {
		t.Errorf("a late answer: %+v", after)
	}
	if again, err := c.Receive("bob.eth", 2); err != nil || !again.Due(at) {
		t.Errorf("%+v, %v", again, err)
	}

	// A node that is away is asked for ever, and not all the time.
	c, _ = claimant(t).Receive("alice.eth", 1)
	for i := range 300 {
		c = c.Looked("alice.eth", NoAnswer, now)
		next, ok := c.NextTry()
		if want := Step << min(i+1, MaxTries); !ok || next.Sub(now) != want || c.State != Unverified {
			t.Fatalf("miss %d: %v, %+v", i, next.Sub(now), c)
		}
	}
	c = c.Looked("alice.eth", Differs, now)
	if next, ok := c.NextTry(); !ok || next.Sub(now) != 2*Step {
		t.Errorf("after an answer: %v", next.Sub(now))
	}
	// A clock that was ahead does not hold up anything.
	if !c.Due(now.Add(-time.Hour)) {
		t.Error("a try in the future holds up the next")
	}
}

// FuzzNormalize: a normal form is its own normal form, and has plain
// characters only.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"alice", "Alice.ETH", "a.b.eth", "é.eth", "xn--a.eth", "_a.eth", "👩‍👧.eth", "a\u200b.eth"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := Normalize(s)
		if err != nil {
			if name != "" || !errors.Is(err, ErrName) && !errors.Is(err, ErrUnverifiable) {
				t.Fatalf("%q: %q, %v", s, name, err)
			}
		} else if again, err := Normalize(name); err != nil || again != name || !strings.HasSuffix(name, ".eth") || len(name) > MaxName {
			t.Fatalf("%q became %q, then %q, %v", s, name, again, err)
		}
		shown := Shown(s)
		if Shown(shown) != shown || len(shown) > MaxName {
			t.Fatalf("%q is shown as %q", s, shown)
		}
		c, err := Claim{}.Receive(s, 1)
		if err == nil && c.Name != shown {
			t.Fatalf("%q is claimed as %+v", s, c)
		}
	})
}
