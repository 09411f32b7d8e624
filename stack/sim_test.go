package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/kv"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
	"github.com/parley-im/parley/waku/topic"
)

// network is a simulated Waku network: links with loss, duplication and delay
// (which reorders) between any number of stacks, and a store that may be away.
type network struct {
	mu    sync.Mutex
	rng   *rand.Rand
	links []*link
	// loss and duplication are probabilities per delivery.
	loss, duplication float64
	// delay is the longest time a delivery takes beyond leastDelay.
	delay time.Duration
	// history is what the store has; noStore makes it answer nothing.
	history []Envelope
	noStore bool
	// mostAnswer is the largest page whose answer can be read; 0 is any.
	mostAnswer uint64
	// published is everything that was put on the network, in order.
	published []publication
	// answer, when set, takes the place of the store.
	answer func(q *store.Query) (*store.Page, error)
	// keys saves restarts their derivations, tens of milliseconds each.
	keys *topic.Keys
}

// leastDelay lets a sender finish with a message before an answer to it can be
// there: no time passes while a person works.
const leastDelay = time.Millisecond

func newNetwork(seed uint64) *network {
	return &network{rng: rand.New(rand.NewPCG(seed, 1)), keys: topic.NewKeys(0)}
}

// publication is an envelope with who published it, when and how.
type publication struct {
	Envelope
	by    *link
	at    time.Time
	light bool
}

// publications returns what a person published since they started last.
func (n *network) publications(by *link) (all []publication) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.published {
		if by == nil || p.by == by {
			all = append(all, p)
		}
	}
	return all
}

// link is one stack's connection; it implements Transport.
type link struct {
	net       *network
	envelopes chan Envelope
	gaps      chan time.Time
	done      <-chan struct{}

	mu   sync.Mutex
	want map[string][]string
	// alone: there is nobody to publish to.
	alone bool
	// attempts counts what was to be published, by hash.
	attempts map[message.Hash][]time.Time
	// hang keeps publishing until its context ends; bar, when set, may take time
	// and refuse.
	hang bool
	bar  func(e Envelope) error
	// refuse is what Subscribe answers.
	refuse error
	// silent: nothing reaches this link, and it knows; missing: nor does it
	// know.
	silent, missing bool
	// queries is what was asked of stores.
	queries []store.Query
}

var (
	errNoStore = errors.New("no store node answers")
	errNoPeers = errors.New("no peers")
)

func (n *network) join(ctx context.Context) *link {
	l := &link{net: n, envelopes: make(chan Envelope, 4096), gaps: make(chan time.Time, 1), done: ctx.Done()}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = append(n.links, l)
	return l
}

func (l *link) Publish(ctx context.Context, pubsub string, m *wakupb.WakuMessage) (int, error) {
	return l.publish(ctx, pubsub, m, false)
}

func (l *link) publish(ctx context.Context, pubsub string, m *wakupb.WakuMessage, light bool) (int, error) {
	e := Envelope{PubsubTopic: pubsub, Message: m, Hash: message.HashOf(pubsub, m)}
	l.mu.Lock()
	alone, hang, bar := l.alone, l.hang, l.bar
	if l.attempts == nil {
		l.attempts = map[message.Hash][]time.Time{}
	}
	l.attempts[e.Hash] = append(l.attempts[e.Hash], time.Now())
	l.mu.Unlock()
	if hang {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if alone {
		return 0, errNoPeers
	}
	if bar != nil {
		if err := bar(e); err != nil {
			return 0, err
		}
	}
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	n.published = append(n.published, publication{e, l, time.Now(), light})
	if !m.GetEphemeral() {
		n.history = append(n.history, e)
	}
	for _, other := range n.links {
		if other == l || !other.wants(e) {
			continue
		}
		copies := 1
		if n.rng.Float64() < n.duplication {
			copies = 2
		}
		for range copies {
			if n.rng.Float64() < n.loss {
				continue
			}
			time.AfterFunc(leastDelay+time.Duration(n.rng.Float64()*float64(n.delay)), func() { other.deliver(e) })
		}
	}
	return 1, nil
}

func (l *link) deliver(e Envelope) {
	select {
	case l.envelopes <- e:
	case <-l.done:
	}
}

func (l *link) wants(e Envelope) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.silent && !l.missing && slices.Contains(l.want[e.PubsubTopic], e.Message.GetContentTopic())
}

func (l *link) PublishLightpush(ctx context.Context, pubsub string, m *wakupb.WakuMessage) (int, error) {
	return l.publish(ctx, pubsub, m, true)
}

// set changes what a link does.
func (l *link) set(change func(l *link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *link) Subscribe(_ context.Context, want map[string][]string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	l.want = want
	return nil
}

func (l *link) Query(_ context.Context, q *store.Query) (*store.Page, error) {
	l.set(func(l *link) { l.queries = append(l.queries, *q) })
	n := l.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.answer != nil {
		return n.answer(q)
	}
	if n.noStore {
		return nil, errNoStore
	}
	if n.mostAnswer > 0 && q.Limit > n.mostAnswer {
		return nil, fmt.Errorf("node: %w", store.ErrAnswerSize)
	}
	return pageOf(n.history, q), nil
}

// pageOf answers a query as a store node does that has these messages.
func pageOf(history []Envelope, q *store.Query) *store.Page {
	all := slices.Clone(history)
	slices.SortFunc(all, func(a, b Envelope) int {
		return cmp.Or(cmp.Compare(a.Message.GetTimestamp(), b.Message.GetTimestamp()), slices.Compare(a.Hash[:], b.Hash[:]))
	})
	all = slices.CompactFunc(all, func(a, b Envelope) bool { return a.Hash == b.Hash })
	page, past := new(store.Page), q.Cursor == nil
	for _, e := range all {
		if !past {
			past = e.Hash == *q.Cursor
			continue
		}
		if len(q.Hashes) > 0 && !slices.Contains(q.Hashes, e.Hash) {
			continue
		}
		at := e.Message.GetTimestamp()
		if len(q.Hashes) == 0 && (e.PubsubTopic != q.PubsubTopic || !slices.Contains(q.ContentTopics, e.Message.GetContentTopic()) ||
			at < q.TimeStart || q.TimeEnd != 0 && at >= q.TimeEnd) {
			continue
		}
		if uint64(len(page.Messages)) == q.Limit {
			last := page.Messages[len(page.Messages)-1].Hash
			page.Cursor = &last
			break
		}
		entry := store.Entry{Hash: e.Hash}
		if q.IncludeData {
			entry.PubsubTopic, entry.Message = e.PubsubTopic, e.Message
		}
		page.Messages = append(page.Messages, entry)
	}
	return page
}

func (l *link) Listening() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.silent
}
func (l *link) Envelopes() <-chan Envelope { return l.envelopes }
func (l *link) Gaps() <-chan time.Time     { return l.gaps }
func (n *network) leave(l *link) {
	n.mu.Lock()
	n.links = slices.DeleteFunc(n.links, func(o *link) bool { return o == l })
	n.mu.Unlock()
}

// person is a stack with what survives its restarts.
type person struct {
	t    *testing.T
	net  *network
	name string
	key  key.Private
	db   *storage.DB
	// installation is the device's, made of the name.
	installation string
	// config, when set, changes how the stack is made, and wrap what it sees of
	// its link.
	config func(c *Config)
	wrap   func(l *link) Transport

	*Stack
	link *link
	stop func()
	// ended waits for the run to end by itself.
	ended func() error
}

// identity is the n-th of a fixed list, so that topic keys are derived once.
func identity(t testing.TB, n byte) key.Private {
	t.Helper()
	k, err := key.PrivateFromBytes(append(make([]byte, 31), n+1))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (n *network) person(t *testing.T, name string, number byte) *person {
	t.Helper()
	return n.device(t, name, number, name+"-installation")
}

// device is a further one of a person, when the number is the same.
func (n *network) device(t *testing.T, name string, number byte, installation string) *person {
	t.Helper()
	p := &person{t: t, net: n, name: name, key: identity(t, number), installation: installation}
	p.db = keysKept(t, p.key)
	p.start()
	t.Cleanup(func() {
		p.halt()
		shaped(t, p.Stack)
	})
	return p
}

func (p *person) start() {
	p.t.Helper()
	p.startWith(func(*link) {})
}

// startWith sets the link up before the stack sees it.
func (p *person) startWith(change func(l *link)) {
	p.t.Helper()
	var err error
	c := Config{
		Identity:       p.key,
		InstallationID: p.installation,
		Network:        Network{Name: "test", Cluster: 16, Shards: specified()},
		DB:             p.db,
		Keys:           p.net.keys,
		Profile:        contact.Profile{DisplayName: p.name},
	}
	if p.config != nil {
		p.config(&c)
	}
	p.Stack, err = New(c)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	p.link = p.net.join(ctx)
	p.link.set(change)
	var transport Transport = p.link
	if p.wrap != nil {
		transport = p.wrap(p.link)
	}
	go func() { done <- p.Run(ctx, transport) }()
	p.ended = func() error {
		defer cancel()
		defer p.net.leave(p.link)
		return <-done
	}
	p.stop = func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("%s: %v", p.name, err)
		}
		p.net.leave(p.link)
	}
}

func (p *person) halt() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// crash ends the person between two transactions and brings back what was on
// disk then, dropping everything that was in memory or on its way here.
func (p *person) crash() {
	disk := p.db.Clone()
	p.halt()
	p.db = disk
	p.start()
}

func (p *person) texts() []string {
	p.t.Helper()
	all, err := p.Messages("")
	if err != nil {
		p.t.Fatal(err)
	}
	var texts []string
	for _, m := range all {
		texts = append(texts, m.From.String()[:8]+" "+m.Text)
	}
	return texts
}

func (p *person) send(to *person, text string) {
	p.t.Helper()
	if _, err := p.SendText(to.key.Public(), text, ""); err != nil {
		p.t.Fatal(err)
	}
}

// pass lets time go by and everything settle that is due until then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// eventually lets protocol time pass until done, at most for so long.
func eventually(t *testing.T, atMost time.Duration, what string, done func() bool) {
	t.Helper()
	for begin, end := time.Now(), time.Now().Add(atMost); ; {
		synctest.Wait()
		if done() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", atMost, what)
		}
		// What takes days is looked at less often.
		pass(max(500*time.Millisecond, time.Since(begin)/500))
	}
}

func delivered(p *person) bool {
	p.t.Helper()
	// Reading all messages takes long, and what waits for an acknowledgement is
	// noted elsewhere too.
	waiting := false
	err := p.db.View(func(tx *storage.Tx) error {
		return tx.Scan("ref/", func(string, []byte) error { waiting = true; return kv.Stop })
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if waiting {
		return false
	}
	all, err := p.Messages("")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range all {
		if m.From == p.key.Public() && m.State != chat.Delivered {
			return false
		}
	}
	return true
}

func state(p *person, of *person) contact.State {
	c, err := p.Contact(of.key.Public())
	if err != nil {
		p.t.Fatal(err)
	}
	return c.State()
}

// befriend makes two people contacts of each other.
func befriend(t *testing.T, a, b *person) {
	t.Helper()
	if _, err := a.AddContact(b.key.Public(), "hello"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Minute, "the request arrives", func() bool { return state(b, a) == contact.StateReceived })
	if _, err := b.AcceptContact(a.key.Public()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Minute, "the acceptance arrives", func() bool { return state(a, b) == contact.StateMutual })
}

// Proves: SP-03, SP-25, SP-58.
func TestTwoPeopleTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(1)
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		for i := range 5 {
			alice.send(bobby, fmt.Sprint("ping ", i))
			bobby.send(alice, fmt.Sprint("pong ", i))
		}
		eventually(t, time.Minute, "all delivered", func() bool { return delivered(alice) && delivered(bobby) })
		if a, b := alice.texts(), bobby.texts(); len(a) != 11 || !slices.Equal(a, b) {
			t.Errorf("alice has %q, bobby %q", a, b)
		}
	})
}

// 500 messages over links that lose 30 %, duplicate and reorder, without a
// store: all arrive, and both see them in the order they were written.
func TestLossDuplicationReordering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2)
		n.noStore = true
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		n.mu.Lock()
		n.loss, n.duplication, n.delay = 0.3, 0.2, 3*time.Second
		n.mu.Unlock()
		var want []string
		for i := range 500 {
			alice.send(bobby, fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
			if i%5 == 4 {
				<-time.After(400 * time.Millisecond)
			}
		}
		eventually(t, time.Hour, "all delivered", func() bool { return delivered(alice) })
		all, err := bobby.Messages(chat.OneToOneID(alice.key.Public()))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range all {
			if m.From == alice.key.Public() && m.ContentType != "contact_request" {
				got = append(got, m.Text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d messages arrived: %q", len(got), got)
		}
	})
}

// Both crash again and again, between any two transactions, on a network that
// loses messages: nothing is lost, nothing is there twice.
func TestCrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(3)
		rng := rand.New(rand.NewPCG(3, 2))
		alice, bobby := n.person(t, "Alice", 0), n.person(t, "Bobby", 1)
		befriend(t, alice, bobby)
		n.mu.Lock()
		n.loss, n.delay = 0.1, time.Second
		n.mu.Unlock()
		for i := range 60 {
			alice.send(bobby, fmt.Sprint("a", i))
			bobby.send(alice, fmt.Sprint("b", i))
			<-time.After(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
			switch rng.IntN(6) {
			case 0:
				alice.crash()
			case 1:
				bobby.crash()
			}
		}
		eventually(t, time.Hour, "all delivered", func() bool { return delivered(alice) && delivered(bobby) })
		a, b := alice.texts(), bobby.texts()
		if len(a) != 121 || !slices.Equal(a, b) {
			t.Errorf("alice has %d, bobby %d: %q %q", len(a), len(b), a, b)
		}
	})
}
