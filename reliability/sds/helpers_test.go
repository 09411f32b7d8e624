package sds

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/internal/vectors"
)

// start is where time begins in the tests.
var start = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

// chacha is a deterministic source of random bytes.
func chacha(seed uint64) *rand.ChaCha8 {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	return rand.NewChaCha8(b)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// recording reads the recorded vectors of @waku/sds, which are one object and
// not a list of cases.
func recording(t testing.TB) *jsFile {
	t.Helper()
	dir := os.Getenv(vectors.Variable)
	if dir == "" {
		dir = filepath.Join("..", "..", "testdata", "vectors")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "sds-js.json"))
	if err != nil {
		t.Fatal(err)
	}
	file := &jsFile{}
	if err := json.Unmarshal(raw, file); err != nil {
		t.Fatal(err)
	}
	if len(file.Messages) == 0 || len(file.Exchanges) == 0 || len(file.Bloom) == 0 || len(file.Hash.Vectors) == 0 ||
		len(file.MessageID.Examples) == 0 || len(file.RepairTiming) == 0 || file.LostDependency.Hex == nil {
		t.Fatal("a part of the recording is absent")
	}
	return file
}

// contents is everything in a store.
func contents(st kv.Store) map[string]string {
	m := map[string]string{}
	if err := st.Scan("", func(k string, v []byte) error { m[k] = string(v); return nil }); err != nil {
		panic(err)
	}
	return m
}

// count is the number of keys with a prefix.
func count(st kv.Store, prefix string) int {
	n := 0
	if err := st.Scan(prefix, func(string, []byte) error { n++; return nil }); err != nil {
		panic(err)
	}
	return n
}

// party is one participant with its store and a clock that moves by hand.
type party struct {
	t       testing.TB
	channel *Channel
	st      *kv.Memory
	now     time.Time
	rand    io.Reader
	// unchecked spares comparing the whole state after every call.
	unchecked bool
}

func newParty(t testing.TB, self string, c Config) *party {
	t.Helper()
	channel, err := New("channel", self, c)
	if err != nil {
		t.Fatal(err)
	}
	return &party{t: t, channel: channel, st: kv.NewMemory(), now: start, rand: chacha(uint64(len(self)))}
}

func (p *party) send(text string) *Outgoing {
	p.t.Helper()
	out, err := p.channel.Send(p.st, p.now, p.rand, []byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	p.check()
	return out
}

func (p *party) receive(data []byte) *Received {
	p.t.Helper()
	in, err := p.channel.Receive(p.st, p.now, p.rand, data, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.check()
	return in
}

func (p *party) due() *Result {
	p.t.Helper()
	out, err := p.channel.Due(p.st, p.now, p.rand)
	if err != nil {
		p.t.Fatal(err)
	}
	p.check()
	return out
}

func (p *party) next() (time.Time, bool) {
	p.t.Helper()
	at, ok, err := p.channel.Next(p.st, p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	return at, ok
}

// runTo does what is due up to a time and returns all that came of it.
func (p *party) runTo(end time.Time) (all Result) {
	p.t.Helper()
	for {
		at, ok := p.next()
		if !ok || at.After(end) {
			p.now = end
			return all
		}
		p.now = at
		r := p.due()
		all.Send = append(all.Send, r.Send...)
		all.Delivered = append(all.Delivered, r.Delivered...)
		all.Acknowledged = append(all.Acknowledged, r.Acknowledged...)
		all.Possible = append(all.Possible, r.Possible...)
		all.Failed = append(all.Failed, r.Failed...)
		all.Fetch = append(all.Fetch, r.Fetch...)
		all.Lost = append(all.Lost, r.Lost...)
	}
}

func (p *party) log() []string {
	p.t.Helper()
	var ids []string
	for _, l := range must(p.channel.Log(p.st)) {
		ids = append(ids, l.ID)
	}
	return ids
}

func (p *party) check() {
	p.t.Helper()
	if p.unchecked {
		return
	}
	if err := checkStore(p.channel, p.st); err != nil {
		p.t.Fatal(err)
	}
}

// checkStore compares all that a store keeps twice.
func checkStore(c *Channel, st kv.Store) error {
	t := table{st}
	var s state
	raw, ok, _ := st.Get(keyState)
	if !ok {
		if n := count(st, ""); n > 0 {
			return fmt.Errorf("%d keys without a state", n)
		}
		return nil
	}
	if err := s.unmarshal(raw); err != nil {
		return err
	}
	all := contents(st)
	edges := map[string]int{} // of the waiting message
	for k := range all {
		if k[:1] == keyWaits {
			edges[k[1+refSize:]]++
		}
	}
	var timers, asks, outgoing, answers, orphans, held, logged, known, cached, stale int
	for k, v := range all {
		family, rest := k[:1], []byte(k[1:])
		switch family {
		case keyTimer:
			timers++
		case keyAsk:
			asks++
		case keyLog:
			logged++
			l := must(parseLog(k, []byte(v)))
			if got, ok := must2(t.known(refOf(l.ID))); !ok || got.lamport != l.Lamport {
				return fmt.Errorf("log entry %s is not known", l.ID)
			}
		case keyHeads:
			if _, ok := all[keyLog+string(rest)]; !ok {
				return fmt.Errorf("head %q is not in the log", rest)
			}
		case keyKnown:
			known++
		case keyCache:
			cached++
		case keyStale:
			stale++
		case keyStaleOrder:
			if _, ok := all[ref([]byte(v)).key(keyStale)]; !ok {
				return fmt.Errorf("a message older than the log has a place and is not remembered")
			}
		case keyOwn:
			outgoing++
			timers--
			o := must(parseOwn([]byte(v)))
			if _, ok := all[timerKey(o.due, timerOwn, ref(rest))]; !ok {
				return fmt.Errorf("own message %s has no timer", o.id)
			}
			if _, ok := all[ref(rest).key(keyOwnRaw)]; !ok {
				return fmt.Errorf("own message %s has no bytes", o.id)
			}
		case keyHeld:
			timers--
			h := must(t.heldRecord(ref(rest)))
			held += int(h.weight)
			if _, ok := all[timerKey(h.until, timerHeld, ref(rest))]; !ok {
				return fmt.Errorf("held message %s has no timer", h.id)
			}
			if _, ok := all[h.queueKey(ref(rest))]; !ok {
				return fmt.Errorf("held message %s is not in the queue of its sender", h.id)
			}
			if n := edges[string(rest)]; n != int(h.unmet) || n == 0 {
				return fmt.Errorf("held message %s waits for %d, counted %d", h.id, n, h.unmet)
			}
		case keyMissing:
			d := must(t.missingRecord(ref(rest)))
			if d.orphan {
				orphans++
			}
			if d.timer != 0 {
				timers--
				if _, ok := all[timerKey(d.timer, timerMissing, ref(rest))]; !ok {
					return fmt.Errorf("missing %s has no timer", d.id)
				}
			}
			if d.ask != 0 {
				asks--
				if _, ok := all[askKey(d.ask, ref(rest))]; !ok {
					return fmt.Errorf("missing %s is not in the requests", d.id)
				}
			}
			if waited := must(t.any(keyWaits + string(rest))); waited && d.orphan || !waited && !d.orphan {
				return fmt.Errorf("missing %s: orphan %v, waited for %v", d.id, d.orphan, waited)
			}
		case keyAnswer:
			answers++
			timers--
		case keyWaits:
			dependency := ref(rest[:refSize])
			_, isHeld := all[dependency.key(keyHeld)]
			_, isMissing := all[dependency.key(keyMissing)]
			if isHeld == isMissing {
				return fmt.Errorf("dependency is held %v and missing %v", isHeld, isMissing)
			}
		}
	}
	for name, pair := range map[string][2]int{
		"timers without an owner":   {timers, 0},
		"requests without an owner": {asks, 0},
		"outgoing":                  {outgoing, int(s.outgoing)},
		"answers":                   {answers, int(s.answers)},
		"orphans":                   {orphans, int(s.orphans)},
		"held bytes":                {held, int(s.held)},
		"log":                       {logged, int(s.logged)},
		"known":                     {known, int(s.logged)},
		"cached":                    {cached, int(s.cacheNext - s.cacheFirst)},
		"older than the log":        {stale, min(int(s.stale), StaleKept)},
		"places of these":           {count(st, keyStaleOrder), stale},
	} {
		if pair[0] != pair[1] {
			return fmt.Errorf("%s: %d there, %d counted", name, pair[0], pair[1])
		}
	}
	if held > c.Config.Limits.HeldBytes {
		return fmt.Errorf("%d bytes are held, limit %d", held, c.Config.Limits.HeldBytes)
	}
	return nil
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func decoded(data []byte) *Message {
	m, _ := must2(Decode(data))
	return m
}
