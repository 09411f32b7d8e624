package storesync

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/simnet"
	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/rpc"
	"github.com/parley-im/parley/waku/rpc/rpctest"
	"github.com/parley-im/parley/waku/store"
)

// frame writes a payload by hand.
func frame(t testing.TB, w io.Writer, ranges ...Range) {
	t.Helper()
	b, err := (&Payload{scopeOf(Shards, []string{topicA}), ranges}).Append(nil)
	if err != nil {
		t.Error(err)
		return
	}
	_, _ = w.Write(append(binary.AppendUvarint(nil, uint64(len(b))), b...))
}

// dial opens a stream by hand.
func dial(t testing.TB, from host.Host, to peer.ID, id protocol.ID) network.Stream {
	t.Helper()
	s, err := from.NewStream(t.Context(), to, id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ends waits until a stream has ended and says whether it was reset.
func ends(s network.Stream) (reset bool) {
	_, err := io.Copy(io.Discard, s)
	return err != nil
}

// turnedAway says whether a stream is reset, be it while it is made: who does not
// know yet what is spoken there waits for the answer.
func turnedAway(t testing.TB, from host.Host, to peer.ID, id protocol.ID) bool {
	t.Helper()
	s, err := from.NewStream(t.Context(), to, id)
	return errors.Is(err, network.ErrReset) || err == nil && ends(s)
}

// announce lists entries to a service, which then wants them.
func announce(t testing.TB, from host.Host, to peer.ID, list ...store.Entry) {
	t.Helper()
	ids := make([]store.ID, len(list))
	for i := range list {
		ids[i] = idOf(&list[i])
	}
	announceIDs(t, from, to, ids...)
}

func announceIDs(t testing.TB, from host.Host, to peer.ID, ids ...store.ID) {
	t.Helper()
	s := dial(t, from, to, ReconcileID)
	b := Between(ids[0].Timestamp, ids[len(ids)-1].Timestamp+1)
	frame(t, s, Range{Bounds: b, Kind: Items, Items: ids, Reconciled: true})
	got, err := readFrame(bufio.NewReader(s), MaxPayload)
	if err != nil || len(got) != 1 || got[0] != 0 {
		t.Fatalf("answer %x, %v", got, err)
	}
	_ = s.Close()
}

// push transfers entries by hand and says whether the stream was reset.
func push(t testing.TB, from host.Host, to peer.ID, list ...store.Entry) (reset bool) {
	t.Helper()
	s := dial(t, from, to, TransferID)
	for i := range list {
		if err := wire.Write(s, &wakupb.SyncMessage{PubsubTopic: &list[i].PubsubTopic, Message: list[i].Message}); err != nil {
			break
		}
	}
	_ = s.CloseWrite()
	return ends(s)
}

// TestTransferTakesWhatWasAsked and nothing else: nothing of strangers, no
// message but those listed, none that may not be stored, none twice.
//
// Proves: SP-21.
func TestTransferTakesWhatWasAsked(t *testing.T) {
	t.Parallel()
	asked := entries(topicA, 0, 5)
	others := entries(topicA, 100, MaxStrays+1)
	ephemeral := entry(topicA, time.Now().Add(-time.Hour), 200)
	ephemeral.Message.Ephemeral = proto.Bool(true)
	ephemeral = store.NewEntry(topicA, ephemeral.Message)
	foreign := entry(topicB, time.Now().Add(-time.Hour), 201)
	altered := store.NewEntry(topicA, proto.Clone(asked[0].Message).(*wakupb.WakuMessage))
	altered.Message.Payload = []byte("altered")
	for name, c := range map[string]struct {
		listed, sent []store.Entry
		kept         int
		reset        bool
	}{
		"stranger":           {nil, asked, 0, true},
		"what was asked":     {asked, asked, 5, false},
		"in another order":   {asked, []store.Entry{asked[4], asked[0], asked[2]}, 3, false},
		"twice":              {asked, append(asked[:5:5], asked...), 5, false},
		"strays":             {asked, append(others[:MaxStrays:MaxStrays], asked...), 5, false},
		"a stray too many":   {asked, append(others[:MaxStrays+1:MaxStrays+1], asked...), 0, true},
		"another payload":    {asked[:1], []store.Entry{altered}, 0, false},
		"ephemeral":          {[]store.Entry{ephemeral}, []store.Entry{ephemeral}, 0, false},
		"of another shard":   {[]store.Entry{foreign}, []store.Entry{foreign}, 0, false},
		"ephemeral and good": {[]store.Entry{asked[4]}, []store.Entry{ephemeral, asked[4]}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x, y := rpctest.Pair(t)
			a := archiveOf(t)
			serve(t, x, a, nil)
			if len(c.listed) > 0 {
				announce(t, y, x.ID(), c.listed...)
			}
			if reset := push(t, y, x.ID(), c.sent...); reset != c.reset {
				t.Errorf("reset: %v", reset)
			}
			if got := len(a.all()); got != c.kept {
				t.Errorf("%d messages kept, want %d", got, c.kept)
			}
		})
	}
}

// TestTransferAsSpecified: the numbers of the fields may be those of the
// specification.
func TestTransferAsSpecified(t *testing.T) {
	t.Parallel()
	e := entry(topicA, time.Now(), 1)
	b, err := proto.Marshal(&wakupb.SyncMessageAsSpecified{PubsubTopic: &e.PubsubTopic, Message: e.Message})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeTransfer(b)
	if err != nil || got.Hash != e.Hash || got.PubsubTopic != topicA {
		t.Errorf("%+v, %v", got, err)
	}
	for _, m := range []proto.Message{&wakupb.SyncMessage{}, &wakupb.SyncMessage{PubsubTopic: proto.String("x")}, &wakupb.SyncMessage{Message: e.Message}} {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeTransfer(b); !errors.Is(err, ErrTransfer) {
			t.Errorf("%v: %v", m, err)
		}
	}
}

// FuzzDecodeTransfer: what is accepted is a message with its own hash, and both
// numberings give the same.
func FuzzDecodeTransfer(f *testing.F) {
	e := entry(topicA, time.Unix(1_700_000_000, 0), 1)
	for _, m := range []proto.Message{
		&wakupb.SyncMessage{PubsubTopic: &e.PubsubTopic, Message: e.Message},
		&wakupb.SyncMessageAsSpecified{PubsubTopic: &e.PubsubTopic, Message: e.Message},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeTransfer(b)
		if err != nil {
			return
		}
		again, err := proto.Marshal(&wakupb.SyncMessage{PubsubTopic: &e.PubsubTopic, Message: e.Message})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeTransfer(again); err != nil || got.Hash != e.Hash {
			t.Fatalf("%x: %s, then %s, %v", b, e.Hash, got.Hash, err)
		}
	})
}

// TestFailingArchive: what could not be inserted is asked for again.
func TestFailingArchive(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	a, list := archiveOf(t), entries(topicA, 0, 3)
	serve(t, x, a, nil)
	announce(t, y, x.ID(), list...)
	a.mu.Lock()
	a.fail = errors.New("disk full")
	a.mu.Unlock()
	if !push(t, y, x.ID(), list...) {
		t.Error("the stream goes on")
	}
	a.mu.Lock()
	a.fail = nil
	a.mu.Unlock()
	if push(t, y, x.ID(), list...) || len(a.all()) != 3 {
		t.Errorf("%d messages", len(a.all()))
	}
}

// TestGraceEnds: what was asked for is not taken a while after the session.
func TestGraceEnds(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		x, y := rpctest.Pair(t)
		a, list := archiveOf(t), entries(topicA, 0, 2)
		s := serve(t, x, a, nil)
		announce(t, y, x.ID(), list...)
		<-time.After(Grace)
		if push(t, y, x.ID(), list[0]) {
			t.Error("refused within the time")
		}
		<-time.After(Grace + time.Second)
		if !push(t, y, x.ID(), list[1]) || len(a.all()) != 1 {
			t.Errorf("taken after the time: %d", len(a.all()))
		}
		_ = s.Close()
	})
}

// endless answers every payload with fingerprints that cannot match.
func endless(t testing.TB, s network.Stream, r *bufio.Reader, rng *rand.Rand, span store.Span) (rounds int) {
	for {
		raw, err := readFrame(r, MaxPayload)
		if err != nil || len(raw) <= 1 {
			return rounds
		}
		rounds++
		frame(t, s, Range{Bounds: Between(span.Start, span.End), Kind: Print, Print: Fingerprint{byte(rng.Uint32()), 1}})
	}
}

// TestEndlessRounds end at MaxRounds, whoever began.
func TestEndlessRounds(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	s := serve(t, x, archiveOf(t, entries(topicA, 0, 300)...), nil)
	span := lastDay()
	stream := dial(t, y, x.ID(), ReconcileID)
	rng := rand.New(rand.NewPCG(1, 1))
	frame(t, stream, Range{Bounds: Between(span.Start, span.End), Kind: Print})
	if rounds := endless(t, stream, bufio.NewReader(stream), rng, span); rounds > MaxRounds {
		t.Errorf("%d rounds", rounds)
	}
	y.SetStreamHandler(ReconcileID, func(stream network.Stream) {
		endless(t, stream, bufio.NewReader(stream), rand.New(rand.NewPCG(2, 2)), span)
	})
	if r, err := s.Sync(t.Context(), y.ID(), span); !errors.Is(err, ErrRounds) || r.Rounds != MaxRounds {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestMalformed: each ends its session, none the service.
func TestMalformed(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	a := archiveOf(t, entries(topicA, 0, 3)...)
	service := serve(t, x, a, func(c *Config) { c.Rate = rpc.Rate{PerSecond: 1, Burst: 100} })
	over := func() { eventually.True(t, "the session is over", func() bool { return len(service.slots) == 0 }) }
	for name, b := range map[string][]byte{
		"too large":     binary.AppendUvarint(nil, MaxPayload+1),
		"endless size":  {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"half a frame":  {10, 1, 2, 3},
		"no payload":    {3, 1, 2, 3},
		"nothing":       nil,
		"too many gaps": gaps(t, MaxIntervals+1),
	} {
		s := dial(t, y, x.ID(), ReconcileID)
		_, _ = s.Write(b)
		_ = s.CloseWrite()
		if !ends(s) {
			t.Errorf("%s: the stream was answered", name)
		}
		over()
	}
	// A range behind the session's is not looked at.
	s, now := dial(t, y, x.ID(), ReconcileID), time.Now().UnixNano()
	frame(t, s, Range{Bounds: Between(now-hour, now-1), Kind: Print})
	if _, err := readFrame(bufio.NewReader(s), MaxPayload); err != nil {
		t.Fatal(err)
	}
	frame(t, s, Range{Bounds: Between(now-2*hour, now-1), Kind: Print})
	if !ends(s) {
		t.Error("a session was widened")
	}
	over()
	// And all is well.
	b := archiveOf(t)
	there := serve(t, y, b, nil)
	if r := syncDay(t, there, x.ID()); r.Received != 3 {
		t.Errorf("%+v", r)
	}
}

// gaps is a frame with n separate ranges.
func gaps(t testing.TB, n int) []byte {
	var ranges []Range
	at := time.Now().Add(-time.Hour).UnixNano()
	for i := range int64(n) {
		ranges = append(ranges, Range{Bounds: Between(at+2*i, at+2*i+1), Kind: Print}, Range{Bounds: Between(at+2*i+1, at+2*i+2)})
	}
	b, err := (&Payload{scopeOf(Shards, []string{topicA}), ranges}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

// TestListsOfNothing: a peer that lists messages it does not have costs a
// bounded list and a while.
func TestListsOfNothing(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		x, y := rpctest.Pair(t)
		s := serve(t, x, archiveOf(t), nil)
		span := lastDay()
		ids := randomIDs(rand.New(rand.NewPCG(3, 3)), MaxWanted+1, span.Start, span.End)
		y.SetStreamHandler(ReconcileID, func(stream network.Stream) {
			r := bufio.NewReader(stream)
			_, _ = readFrame(r, MaxPayload)
			frame(t, stream, Range{Bounds: Between(span.Start, span.End), Kind: Items, Items: ids, Reconciled: true})
			ends(stream)
			_ = stream.Close()
		})
		start := time.Now()
		r, err := s.Sync(t.Context(), y.ID(), span)
		if err != nil || r.Missing != MaxWanted || !r.Partial || r.Received != 0 || r.Sessions != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if took := time.Since(start); took != StallTimeout {
			t.Errorf("took %s", took)
		}
		if s.ledger.wanted != 0 {
			t.Errorf("%d messages are waited for", s.ledger.wanted)
		}
		// Lists of those who begin count together.
		synctest.Wait()
		announceIDs(t, y, x.ID(), ids[:MaxWanted/2+1]...)
		synctest.Wait()
		announceIDs(t, y, x.ID(), ids[MaxWanted/2+1:]...)
		synctest.Wait()
		announceIDs(t, y, x.ID(), store.ID{Timestamp: ids[0].Timestamp})
		synctest.Wait()
		if s.ledger.wanted != MaxWanted {
			t.Errorf("%d messages are waited for", s.ledger.wanted)
		}
		_ = s.Close()
	})
}

// TestHalfOpen: streams on which nothing comes take a place each for a while;
// with all places taken others are refused, and served again afterwards.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		net, err := mocknet.FullMeshConnected(MaxSessions + 2)
		if err != nil {
			t.Fatal(err)
		}
		hosts := net.Hosts()
		x, y, hostile := hosts[0], hosts[1], hosts[2:]
		s := serve(t, x, archiveOf(t, entries(topicA, 0, 3)...), nil)
		b := archiveOf(t)
		there := serve(t, y, b, nil)
		var open []network.Stream
		for _, h := range hostile {
			for range 3 {
				stream := dial(t, h, x.ID(), ReconcileID)
				_, _ = stream.Write([]byte{100, 1})
				open = append(open, stream)
			}
		}
		synctest.Wait()
		if len(s.slots) != MaxSessions {
			t.Errorf("%d places taken", len(s.slots))
		}
		if _, err := there.Sync(t.Context(), x.ID(), lastDay()); err == nil {
			t.Error("served without a place")
		}
		<-time.After(StallTimeout + time.Second)
		if len(s.slots) != 0 {
			t.Errorf("%d places taken still", len(s.slots))
		}
		for _, stream := range open {
			if !ends(stream) {
				t.Error("a half open stream was not reset")
			}
		}
		if r, err := there.Sync(t.Context(), x.ID(), lastDay()); err != nil || r.Received != 3 {
			t.Errorf("%+v, %v", r, err)
		}
		_, _ = s.Close(), there.Close()
		_ = net.Close()
	})
}

// TestSlowReader: a peer that does not read what it is sent has few transfers
// at a time, and they end.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		x, y := rpctest.Pair(t)
		list := entries(topicA, 0, 50)
		for i := range list {
			list[i].Message.Payload = make([]byte, 10_000)
			list[i] = store.NewEntry(topicA, list[i].Message)
		}
		s := serve(t, x, archiveOf(t, list...), nil)
		begun := 0
		y.SetStreamHandler(TransferID, func(network.Stream) { begun++ }) // reads nothing
		span := lastDay()
		ask := func() {
			stream := dial(t, y, x.ID(), ReconcileID)
			frame(t, stream, Range{Bounds: Between(span.Start, span.End), Kind: Items, Reconciled: true})
			if ends(stream) {
				t.Error("refused")
			}
			synctest.Wait()
		}
		for range 2 * maxSends {
			ask()
		}
		if begun != maxSends || len(s.sending) != maxSends {
			t.Errorf("%d transfers begun, %d under way", begun, len(s.sending))
		}
		<-time.After(StallTimeout + time.Second)
		if len(s.sending) != 0 {
			t.Errorf("%d transfers under way still", len(s.sending))
		}
		ask()
		if begun != maxSends+1 {
			t.Errorf("%d transfers begun", begun)
		}
		_ = s.Close()
	})
}

// TestRate: so many sessions at once, and more with time.
func TestRate(t *testing.T) {
	t.Parallel()
	simnet.Test(t, func(t *testing.T) {
		x, y := rpctest.Pair(t)
		s := serve(t, x, archiveOf(t), func(c *Config) { c.Rate = rpc.Rate{PerSecond: 1, Burst: 3} })
		list := entries(topicA, 0, 1)
		for range 3 {
			announce(t, y, x.ID(), list...)
			synctest.Wait()
		}
		if !turnedAway(t, y, x.ID(), ReconcileID) {
			t.Error("one session too many")
		}
		<-time.After(time.Second)
		announce(t, y, x.ID(), list...)
		_ = s.Close()
	})
}

// TestAllow: whom the operator does not allow is not served.
func TestAllow(t *testing.T) {
	t.Parallel()
	x, y := rpctest.Pair(t)
	serve(t, x, archiveOf(t), func(c *Config) { c.Allow = func(p peer.ID) bool { return p != y.ID() } })
	if !turnedAway(t, y, x.ID(), ReconcileID) {
		t.Error("served")
	}
}
