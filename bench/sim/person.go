package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/contact"
	"github.com/parley-im/parley/internal/kv"
	storagepb "github.com/parley-im/parley/pb/storage"
	"github.com/parley-im/parley/stack"
	"github.com/parley-im/parley/storage"
	wakumessage "github.com/parley-im/parley/waku/message"
)

// person is a participant, over all lives of their client.
type person struct {
	node
	w     *world
	light bool
	key   key.Private
	// skew is how wrong the clock is.
	skew time.Duration
	// home are the service nodes that a light client uses.
	home []*service
	dir  string
	// lives counts starts; life is the running one, nil while down.
	lives int
	life  *life
	// cut is since when nobody can be reached, zero when somebody can.
	cut time.Time
	// book is what the person said, got and was told.
	book *book
}

// life is a client from its start to its end.
type life struct {
	*person
	number int
	db     *storage.DB
	file   string
	stack  *stack.Stack
	port   *port
	cancel context.CancelFunc
	ended  chan error

	// dead: whoever comes by the clock or for randomness stops right there.
	dead atomic.Bool
	// dying: the crash has happened, the body is still to be found.
	dying atomic.Bool
	// doom is where the client will crash.
	doom atomic.Int32
	// over: nothing of it reaches the network any more.
	over bool
	// randomness of its cryptography.
	random io.Reader
}

// Where a client crashes, as far as it makes a difference: what is between two
// transactions, and what is in one that is not committed.
const (
	doomNone      = iota
	doomAtRest    // between two transactions, while nothing is going on
	doomReceiving // in the transaction of the next message received
	doomSending   // before the next envelope is with the network
	doomSent      // after that, before it is noted
	doomSaying    // in the transaction of the next thing said
	dooms
)

// errDied is the answer of a client that crashed over it.
var errDied = errors.New("the client died")

// installation is a device's UUID, made of the person's number.
func installation(index int) string { return fmt.Sprintf("51e55a11-0000-4000-8000-%012x", index) }

// identity is the key of the n-th person, the same in every run, so that the
// keys of topics are derived once.
func identity(n int) key.Private {
	k, err := key.Generate(entropy(0, "identity", n))
	if err != nil {
		panic(err) // the stream does not end
	}
	return k
}

// start opens the database and starts a client on it.
func (p *person) start() error {
	p.lives++
	l := &life{person: p, number: p.lives, file: filepath.Join(p.dir, fmt.Sprintf("%d.db", p.lives)), ended: make(chan error, 1)}
	l.random = entropy(p.w.seed, "life", p.name, p.lives)
	var err error
	if l.db, err = storage.OpenAlone(l.file, [storage.KeySize]byte{byte(p.index)}); err != nil {
		return err
	}
	if p.lives == 1 {
		if err := p.w.wire.keys.put(l.db, p.index); err != nil {
			return err
		}
	}
	l.port = newPort(l)
	l.stack, err = stack.New(stack.Config{
		Identity:       p.key,
		InstallationID: installation(p.index),
		Network:        p.w.wire.network,
		DB:             l.db,
		Profile:        contact.Profile{DisplayName: p.name},
		Rand:           l,
		Now:            l.now,
		Keys:           p.w.wire.shared,
		OnDecoded:      l.decoded,
	})
	if err != nil {
		l.db.Close()
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	p.life = l
	go func() {
		var err error
		defer func() { l.ended <- err }() // also when it dies
		err = l.stack.Run(ctx, l.port)
	}()
	return nil
}

// now is the client's clock, which shows whole ticks. A client that is dead gets
// no further: all it does, it does at a time.
func (l *life) now() time.Time {
	if l.dead.Load() {
		runtime.Goexit()
	}
	return cell(time.Now()).Add(l.skew)
}

// Read is the client's randomness.
func (l *life) Read(b []byte) (int, error) {
	if l.dead.Load() {
		runtime.Goexit()
	}
	if l.doom.Load() == doomSaying {
		l.die()
	}
	return l.random.Read(b)
}

// decoded sees every message in the transaction that receives it.
func (l *life) decoded(d stack.Decoded) {
	if l.doom.Load() == doomReceiving {
		l.die()
	}
	l.w.wire.decoded(d)
}

// die ends the calling goroutine in the midst of what it does. All others come
// to rest first: what happens at the same instant has happened before.
func (l *life) die() {
	l.dying.Store(true)
	l.w.nudge()
	runtime.Goexit()
}

// do runs a call to the client that may die over it.
func (l *life) do(f func(s *stack.Stack) error) error {
	done, err := make(chan struct{}), errDied
	go func() {
		defer close(done)
		err = f(l.stack)
	}()
	<-done
	return err
}

// bury ends the lives that have come to their ends.
func (w *world) bury() (any bool) {
	for _, p := range w.people {
		if p.life != nil && p.life.dying.Load() {
			p.life.kill()
			any = true
		}
	}
	return any
}

// kill ends a client without letting it clean up. What its files have now is
// what the next life begins with.
func (l *life) kill() {
	l.dead.Store(true)
	l.finish(false)
	l.book.crashes++
}

// finish ends a client; orderly, it may bring to its end what it is doing.
func (l *life) finish(orderly bool) {
	l.over = true
	l.cancel()
	err := <-l.ended
	if orderly && err != nil {
		l.w.failed = fmt.Errorf("%s: %w", l.name, err)
	}
	if !orderly {
		// Closing would tidy the files up.
		next := filepath.Join(l.dir, fmt.Sprintf("%d.db", l.number+1))
		err = errors.Join(copyFile(l.file, next), copyFile(l.file+"-wal", next+"-wal"))
	}
	err = errors.Join(err, l.db.Close())
	if orderly {
		next := filepath.Join(l.dir, fmt.Sprintf("%d.db", l.number+1))
		err = errors.Join(err, os.Rename(l.file, next))
	}
	if err != nil {
		l.w.failed = fmt.Errorf("%s: %w", l.name, err)
	}
	os.Remove(l.file)
	os.Remove(l.file + "-wal")
	os.Remove(l.file + "-shm")
	l.life = nil
}

func copyFile(from, to string) error {
	raw, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

// publication is what a client publishes, as its outbox has it.
type publication struct {
	stack.Envelope
	refs [][]byte
}

// look finds out which record of the outbox a request is about. Several are
// published at once, by goroutines of their own; their order is that of the
// records.
func (l *life) look(r *request) {
	if l.over {
		return
	}
	err := l.db.View(func(tx *storage.Tx) error {
		return tx.Outbox(func(n uint64, record *storagepb.OutboxRecord) error {
			if record.PubsubTopic != r.PubsubTopic {
				return nil
			}
			m, err := wakumessage.Unmarshal(record.WakuMessage)
			if err != nil || wakumessage.HashOf(record.PubsubTopic, m) != r.Hash {
				return err
			}
			r.order, r.refs = n, record.Refs
			return kv.Stop
		})
	})
	if err != nil {
		l.w.failed = err
	}
}

// arrived takes a message from the network.
func (p *person) arrived(e stack.Envelope) {
	if p.life == nil {
		return
	}
	port := p.life.port
	if port.seen[e.Hash] {
		return
	}
	if !p.light && !slices.Contains(port.want[e.PubsubTopic], e.Message.GetContentTopic()) {
		return
	}
	port.seen[e.Hash] = true
	p.w.stirred = true
	select {
	case port.envelopes <- e:
	default:
		p.book.overflow++
	}
}

// notice tells the client, and notes, whether anybody can be reached.
func (p *person) notice() {
	alone := true
	for _, s := range p.home {
		alone = alone && !s.reaches(&p.node)
	}
	if p.life != nil {
		p.life.port.listening.Store(!alone && (!p.light || p.life.port.confirmed()))
	}
	switch {
	case alone && p.cut.IsZero():
		p.cut = time.Now()
	case !alone && !p.cut.IsZero():
		since := p.cut
		p.cut = time.Time{}
		if p.life == nil {
			return
		}
		l := p.life
		p.w.after(time.Second, func() { l.port.gap(since) })
	}
}
