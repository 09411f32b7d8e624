package sds

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
)

var (
	members  = flag.String("members", "10,100", "the sizes of the channels that TestScaling simulates")
	messages = flag.Int("messages", 40, "how many messages are said in each of them")
)

// A large channel, for TestScaling: links lose 1 % and there is no store node,
// so that everything lost is repaired by the channel itself.
const (
	crowdGap   = 10 * time.Second // the mean time between two messages
	crowdQuiet = time.Hour        // the silence after the last
	crowdText  = 200              // bytes of content
)

func crowd(size int) scenario {
	return scenario{
		participants: size, loss: 0.01, least: 100 * time.Millisecond, most: 500 * time.Millisecond,
		skew: time.Second, limit: 12 * time.Hour,
		config: func(c *Config) { c.Repair.Groups = ResponseGroups(size) },
	}
}

// phase is what went over the air until some point.
type phase struct {
	sent, bytes      map[Reason]int
	requests, asking int
}

func (w *world) phase() phase {
	p := phase{map[Reason]int{}, map[Reason]int{}, w.requests, w.asking}
	for r, n := range w.reasons {
		p.sent[r], p.bytes[r] = n, w.bytesOf[r]
	}
	return p
}

// scaled is what a channel of one size costs.
type scaled struct {
	size, said  int
	talk, quiet phase // quiet is all until the end
	// settled is when everybody had everything, after the last was said.
	settled time.Duration
	// received is how many messages reached one member, took the time in
	// which it applies them all and does what is due.
	received int
	took     time.Duration
	state    int // bytes of a member's store, in the mean
}

// arrival is a message that a node received.
type arrival struct {
	at         time.Time
	data, hint []byte
}

// again lets a new member receive what the first one did, with the processor's
// caches for itself as in a process of its own.
func (w *world) again(trace []arrival) (time.Duration, error) {
	st, c := kv.NewMemory(), w.channel(w.nodes[0])
	began := time.Now()
	for _, a := range trace {
		if at, ok, err := c.Next(st, a.at); err != nil {
			return 0, err
		} else if ok && !at.After(a.at) {
			if _, err := c.Due(st, a.at, w.bytes); err != nil {
				return 0, err
			}
		}
		if _, err := c.Receive(st, a.at, w.bytes, a.data, a.hint); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// scale simulates a channel of a size in which members chosen by chance say
// something, and then nobody does. All members are complete.
func scale(t *testing.T, size, said int) *scaled {
	t.Helper()
	w := newWorld(crowd(size), 1)
	for i, n := range w.nodes {
		n.name = fmt.Sprintf("zQ3sh%044d", i) // as long as a compressed key
	}
	at := time.Duration(0)
	text := rand.New(rand.NewPCG(1, 2))
	for range said {
		at += time.Duration(text.ExpFloat64() * float64(crowdGap))
		i := text.IntN(size)
		w.after(at, func() error { return w.utter(i, text) })
	}
	w.missing = size * said
	var trace []arrival
	w.trace = &trace
	s := &scaled{size: size, said: said}
	last := start.Add(at)
	talked := false
	for len(w.events) > 0 && w.now.Before(last.Add(crowdQuiet)) {
		if err := w.next(); err != nil {
			t.Fatal(err)
		}
		if !talked && !w.now.Before(last) {
			s.talk, talked = w.phase(), true
		}
		if w.missing == 0 && s.settled == 0 {
			s.settled = w.now.Sub(last)
		}
	}
	if w.missing > 0 {
		t.Fatalf("%d members: %d deliveries are missing", size, w.missing)
	}
	s.quiet = w.phase()
	sampled := w.nodes[:min(size, 100)]
	for _, n := range sampled {
		for k, v := range contents(n.st) {
			s.state += len(k) + len(v)
		}
	}
	s.state /= len(sampled)
	w.nodes = slices.Clone(sampled) // the others would take as long again to compare
	if err := w.same(); err != nil {
		t.Fatal(err)
	}
	// Gigabytes that the collector has to look through would count as well.
	w.nodes, w.events, w.archive = slices.Clone(w.nodes[:1]), nil, nil
	runtime.GC()
	s.received = len(trace)
	for i := range 20 {
		took, err := w.again(trace)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 || took < s.took {
			s.took = took
		}
	}
	return s
}

// utter sends a message of a node.
func (w *world) utter(i int, text *rand.Rand) error {
	content := make([]byte, crowdText)
	for j := range content {
		content[j] = byte(text.Uint32())
	}
	n := w.nodes[i]
	now := w.now.Add(n.skew)
	out, err := w.channel(n).Send(n.st, now, w.bytes, content)
	if err != nil {
		return err
	}
	if err := w.channel(n).SetHint(n.st, out.ID, hintOf(out.Data)); err != nil {
		return err
	}
	w.sent[out.ID] = decoded(out.Data).History
	w.missing--
	if err := w.broadcast(i, *out); err != nil {
		return err
	}
	return w.plan(i)
}

// However many participants wait, only a few speak before they heard the first
// of them, which took half a second.
func TestBackOff(t *testing.T) {
	t.Parallel()
	const most, heard = 30 * time.Second, 500 * time.Millisecond
	e := &step{rand: chacha(1)}
	for _, size := range []int{1, 2, 10, 100, 1000, 10_000} {
		const rounds = 100
		speak := 0
		var first time.Duration
		for range rounds {
			list := make([]int64, size)
			for i := range list {
				list[i] = must(e.backOff(int64(most)))
				if list[i] < int64(most)/2 || list[i] > int64(most) {
					t.Fatalf("back-off of %s", time.Duration(list[i]))
				}
			}
			least := slices.Min(list)
			first += time.Duration(least) / rounds
			for _, at := range list {
				if at < least+int64(heard) {
					speak++
				}
			}
		}
		t.Logf("%d participants: the first after %s, %.2f speak", size, first.Round(100*time.Millisecond), float64(speak)/rounds)
		if speak > 2*rounds {
			t.Errorf("of %d participants %.1f speak", size, float64(speak)/rounds)
		}
	}
}

// What a channel costs each member does not grow with their number: all of
// them together send as many messages, whether they are ten or ten thousand.
// docs/scaling.md has the figures of
//
//	go test ./reliability/sds -run TestScaling -v -members 10,100,1000,10000 -messages 100 -timeout 1h
func TestScaling(t *testing.T) {
	t.Parallel()
	for _, field := range strings.Split(*members, ",") {
		size, err := strconv.Atoi(field)
		if err != nil || size < 2 {
			t.Fatalf("-members: %q", field)
		}
		if size >= 1000 {
			defer debug.SetGCPercent(debug.SetGCPercent(50)) // gigabytes are in use
		}
		began := time.Now()
		s := scale(t, size, *messages)
		per := func(n int) float64 { return float64(n) / float64(s.said) }
		total := 0
		for _, n := range s.quiet.bytes {
			total += n
		}
		header := s.quiet.bytes[First]/s.said - crowdText
		t.Logf("%d members, %d messages (simulated in %s)", s.size, s.said, time.Since(began).Round(time.Second))
		t.Logf("  on the air for each message: %.0f bytes (header %d); again %.3f, answers %.3f, sync %.3f, repair requests %.3f",
			per(total), header, per(s.quiet.sent[Again]), per(s.quiet.sent[Answer]), per(s.quiet.sent[Idling]), per(s.quiet.requests))
		t.Logf("  talking: %d sync (%d asking), %d again, %d answers; quiet hour: %d sync (%d asking), %d again, %d answers",
			s.talk.sent[Idling], s.talk.asking, s.talk.sent[Again], s.talk.sent[Answer],
			s.quiet.sent[Idling]-s.talk.sent[Idling], s.quiet.asking-s.talk.asking, s.quiet.sent[Again]-s.talk.sent[Again], s.quiet.sent[Answer]-s.talk.sent[Answer])
		// Somebody lacks each message if the channel is large, and asks.
		if n := per(total); n > 5000 {
			t.Errorf("%d members: %.0f bytes for each message", size, n)
		}
		if n := s.quiet.sent[Idling] - s.talk.sent[Idling]; n > 60 {
			t.Errorf("%d members: %d sync messages in a quiet hour", size, n)
		}
		t.Logf("  everybody had everything %s after the last; a member received %d, applied in %s, %s for each message said; %d bytes of state",
			s.settled.Round(time.Second), s.received, s.took.Round(time.Microsecond), s.took/time.Duration(s.said), s.state)
	}
}
