package mvds

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
)

func (p *party) online(peer key.Public) bool {
	p.t.Helper()
	moved, err := p.sync.PeerOnline(p.st, p.now, p.rand, peer)
	if err != nil {
		p.t.Fatal(err)
	}
	p.check()
	return moved
}

// sends counts the payloads with messages until a time, while a peer shows life
// at intervals (never, if that is 0).
func (p *party) sends(until time.Time, peer key.Public, every time.Duration) (n int) {
	p.t.Helper()
	life := p.now
	for {
		next, ok := p.next()
		if every > 0 && (!ok || next.After(life)) {
			next, ok = life, true
			life = life.Add(every)
		}
		if !ok || next.After(until) {
			return n
		}
		p.now = next
		if every > 0 && next.Equal(life.Add(-every)) {
			p.online(peer)
		}
		for _, o := range p.due() {
			n += min(1, len(o.Messages))
		}
	}
}

// Who comes back gets what waits within seconds, but not before there was time
// for an acknowledgement of what a store had; others are not touched.
func TestPeerOnline(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	p.sync.AwayGap = 24 * time.Hour
	for i := range 3 {
		p.append(to(k[0], k[1], fmt.Sprint(i)), k[1])
	}
	p.append(to(k[0], k[2], "other"), k[2])
	if n := p.sends(start.Add(7*24*time.Hour), k[1], 0); n != 2*9 { // 0 s, 27 s, 2 h, then daily
		t.Errorf("%d payloads in a week to two who are away", n)
	}
	p.now = start.Add(7*24*time.Hour + time.Hour)
	other := must(table{p.st}.record(to(k[0], k[2], "other").ID(), compressed(k[2]))).due
	if !p.online(k[1]) {
		t.Fatal("nothing was moved")
	}
	begin := p.now
	p.advance()
	if wait := p.now.Sub(begin); wait < (onlineDelay-1)*DefaultEpoch || wait > (onlineDelay+onlineSpread+1)*DefaultEpoch {
		t.Errorf("sent %s after the peer came online", wait)
	}
	if o := p.one(); o.Peer != k[1] || len(o.Messages) != 3 {
		t.Fatalf("payload %+v", o)
	}
	begin = p.now
	p.advance()
	if gap, most := p.now.Sub(begin), 16*DefaultFirstGap+DefaultFirstGap/3+DefaultEpoch; gap > most {
		t.Errorf("then after %s, want at most %s", gap, most)
	}
	if now := must(table{p.st}.record(to(k[0], k[2], "other").ID(), compressed(k[2]))).due; now != other {
		t.Error("another peer's records were moved")
	}
}

// Signs of life count once per period and are then free; further ones while the
// peer is there change nothing of what is due.
func TestPeerOnlineOncePerPeriod(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	p.append(to(k[0], k[1], "x"), k[1])
	for range 8 {
		p.advance()
		p.due()
	}
	if !p.online(k[1]) {
		t.Fatal("nothing was moved")
	}
	due := must2(p.sync.Next(p.st, p.now))
	for _, c := range []struct {
		after time.Duration
		write bool
	}{{time.Second, false}, {PresencePeriod - 2*time.Second, false}, {2 * time.Second, true}} {
		p.now = p.now.Add(c.after)
		cost := &counting{Store: p.st}
		moved, err := p.sync.PeerOnline(cost, p.now, p.rand, k[1])
		if err != nil || moved || (cost.puts > 0) != c.write || cost.gets > 2 {
			t.Errorf("after %s: moved %t, %d puts, %d gets, %v", c.after, moved, cost.puts, cost.gets, err)
		}
	}
	if now := must2(p.sync.Next(p.st, p.now.Add(-PresencePeriod))); !now.Equal(due) {
		t.Errorf("due at %s, before %s", now, due)
	}
}

// A peer who shows life all day and never acknowledges gets what the back-off
// allows, not a copy with each sign; one who comes and goes gets little more than
// one each time.
func TestPeerOnlineWithoutAnswer(t *testing.T) {
	t.Parallel()
	k := people(2)
	for _, c := range []struct {
		every time.Duration
		least int
		most  int
	}{{5 * time.Minute, 10, 15}, {time.Minute, 10, 15}, {2 * time.Hour, 12, 48}, {0, 3, 3}} {
		p := newParty(t, k[0])
		p.sync.AwayGap = 24 * time.Hour
		p.append(to(k[0], k[1], "unread"), k[1])
		if n := p.sends(start.Add(24*time.Hour), k[1], c.every); n < c.least || n > c.most {
			t.Errorf("life every %s: %d sends in a day, want %d to %d", c.every, n, c.least, c.most)
		}
	}
}

// The gap to who is away grows to its bound and no further, and to who is there
// it is that of all others.
func TestAwayGap(t *testing.T) {
	t.Parallel()
	s := (&Sync{Self: people(1)[0], AwayGap: 24 * time.Hour}).Defaults()
	const day = int64(24 * time.Hour / DefaultEpoch)
	never := state{served: -1, seen: -1}
	for step, want := range map[uint32]int64{0: 90, 1: 90, 2: 90 << 8, 3: day, 4: day, 1 << 31: day} {
		if got := s.after(never, 1<<40, step); got != want {
			t.Errorf("gap after send %d is %d, want %d", step, got, want)
		}
	}
	away := int64(AwayAfter / DefaultEpoch)
	for ago, want := range map[int64]int64{0: 180, away - 1: 180, away: 90 << 8} {
		if got := s.after(state{seen: 1<<40 - ago}, 1<<40, 2); got != want {
			t.Errorf("seen %d epochs ago: gap %d, want %d", ago, got, want)
		}
	}
	s.AwayGap = 0
	if got := s.after(never, 1<<40, 2); got != 180 {
		t.Errorf("without: %d", got)
	}
}

// What was sent before a session was renewed is sent again at once, in one
// payload, with its back-off begun again.
func TestResume(t *testing.T) {
	t.Parallel()
	k := people(3)
	p := newParty(t, k[0])
	for i := range 5 {
		p.append(to(k[0], k[1], fmt.Sprint(i)), k[1])
	}
	p.append(to(k[0], k[2], "other"), k[2])
	for range 30 {
		p.advance()
		p.due()
	}
	if err := p.sync.Resume(p.st, p.now, k[1]); err != nil {
		t.Fatal(err)
	}
	p.check()
	p.now = p.now.Add(DefaultEpoch) // after what was sent in this one
	if o := p.one(); o.Peer != k[1] || len(o.Messages) != 5 {
		t.Fatalf("payload %+v", o)
	}
	begin := p.now
	p.advance()
	if gap := p.now.Sub(begin); gap > DefaultFirstGap+DefaultFirstGap/3+DefaultEpoch {
		t.Errorf("then after %s", gap)
	}
	if err := p.sync.Resume(p.st, p.now, key.Public{}); !errors.Is(err, ErrPeer) {
		t.Errorf("nobody: %v", err)
	}
}

// State that an older version wrote, without signs of life, is read.
func TestStateOfOlderVersion(t *testing.T) {
	t.Parallel()
	k := people(2)
	p := newParty(t, k[0])
	p.st.Put(keyState+compressed(k[1]), []byte(numberKey(7)+numberKey(0)))
	got := must(table{p.st}.state(compressed(k[1])))
	if got != (state{served: 7, seen: -1}) {
		t.Errorf("%+v", got)
	}
	p.st.Put(keyState+compressed(k[1]), []byte(numberKey(7)))
	if _, err := (table{p.st}).state(compressed(k[1])); !errors.Is(err, ErrCorrupt) {
		t.Errorf("too short: %v", err)
	}
}
