package storesync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/internal/wire"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// fetchSize is the number of messages read from the archive at a time to
	// be sent.
	fetchSize = 16
	// maxBatch and maxBatchBytes bound what is received and not yet in the
	// archive, for one stream.
	maxBatch      = 256
	maxBatchBytes = 2 << 20
	// insertTimeout bounds one insertion.
	insertTimeout = 30 * time.Second
)

// decodeTransfer reads a transferred message, its fields numbered as deployed
// nodes do or as specified.
func decodeTransfer(b []byte) (store.Entry, error) {
	var deployed wakupb.SyncMessage
	var specified wakupb.SyncMessageAsSpecified
	t, m := "", (*wakupb.WakuMessage)(nil)
	if err := proto.Unmarshal(b, &deployed); err == nil {
		t, m = deployed.GetPubsubTopic(), deployed.GetMessage()
	} else if err2 := proto.Unmarshal(b, &specified); err2 == nil {
		t, m = specified.GetPubsubTopic(), specified.GetMessage()
	} else {
		return store.Entry{}, fmt.Errorf("%w: %w", ErrTransfer, err)
	}
	if t == "" || m == nil {
		return store.Entry{}, fmt.Errorf("%w: no pubsub topic or no message", ErrTransfer)
	}
	return store.NewEntry(t, m), nil
}

// transfer sends p the messages of ids.
func (s *Service) transfer(ctx context.Context, p peer.ID, ids []store.ID) (sent, bytes int, err error) {
	return transfer(ctx, s.h, p, ids[:min(len(ids), MaxWanted)], func(ctx context.Context, hashes []message.Hash) ([]store.Entry, error) {
		page, err := s.cfg.Archive.Query(ctx, &store.Query{IncludeData: true, Hashes: hashes, Forward: true, Limit: fetchSize})
		if err != nil {
			return nil, err
		}
		return page.Messages, nil
	})
}

// transfer sends p messages on one stream and waits until p has read to its
// end. What fetch does not find is passed over.
func transfer(ctx context.Context, h host.Host, p peer.ID, ids []store.ID, fetch func(context.Context, []message.Hash) ([]store.Entry, error)) (sent, bytes int, err error) {
	if len(ids) == 0 {
		return 0, 0, nil
	}
	stream, err := open(ctx, h, p, TransferID)
	if err != nil {
		return 0, 0, err
	}
	g := watch(ctx, stream)
	defer func() { g.release(err) }()
	w := bufio.NewWriterSize(g, 32<<10)
	for len(ids) > 0 {
		n := min(len(ids), fetchSize)
		hashes := make([]message.Hash, n)
		for i := range hashes {
			hashes[i] = ids[i].Hash
		}
		ids = ids[n:]
		entries, err := fetch(ctx, hashes)
		if err != nil {
			return sent, bytes, err
		}
		for i := range entries {
			m := &wakupb.SyncMessage{PubsubTopic: &entries[i].PubsubTopic, Message: entries[i].Message}
			if err := wire.Write(w, m); err != nil {
				return sent, bytes, err
			}
			sent++
			bytes += proto.Size(m)
		}
	}
	if err := w.Flush(); err != nil {
		return sent, bytes, err
	}
	if err := g.CloseWrite(); err != nil {
		return sent, bytes, err
	}
	// The peer's end of the stream says that it is through. Not every peer
	// ends it well, and everything is written: that is no error.
	_, _ = io.CopyN(io.Discard, g, 1)
	return sent, bytes, nil
}

// receive takes the messages that a peer transfers, as far as they were asked
// for.
func (s *Service) receive(stream network.Stream) {
	p := stream.Conn().RemotePeer()
	if !s.streams.Enter(p) {
		_ = stream.Reset()
		return
	}
	defer s.streams.Leave(p)
	if !s.transfers.Enter(p) {
		_ = stream.Reset()
		return
	}
	defer s.transfers.Leave(p)
	start := time.Now()
	g := watch(s.ctx, stream)
	in, err := s.take(g, p)
	g.release(err)
	s.observe(TransferID, p, start, in, 0)
	if err != nil {
		s.log.Debug("transfer ended", "peer", p, "cause", err)
	}
}

// take reads messages until the end of the stream; it returns the bytes read.
func (s *Service) take(g *guard, p peer.ID) (in int, err error) {
	if !s.ledger.known(p) {
		return 0, fmt.Errorf("%w: no session with the peer", ErrTransfer)
	}
	ctx, cancel := context.WithTimeout(s.ctx, SessionTimeout)
	defer cancel()
	r := bufio.NewReader(g)
	b := batch{s: s, p: p}
	defer func() { err = errors.Join(err, b.flush()) }()
	for {
		frame, err := readFrame(r, MaxFrame)
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return in, err
		}
		in += len(frame)
		e, err := decodeTransfer(frame)
		if err != nil {
			return in, err
		}
		v := s.ledger.take(ctx, p, idOf(&e))
		if v == wanted && !s.storable(&e) {
			v = s.ledger.reject(p, &e)
		}
		switch v {
		case refused:
			return in, fmt.Errorf("%w: not asked for, or not to be stored: %s", ErrTransfer, e.Hash)
		case stray:
			continue
		}
		b.entries = append(b.entries, e)
		b.bytes += len(frame)
		if r.Buffered() == 0 || b.full() {
			if err := b.flush(); err != nil {
				return in, err
			}
		}
	}
}

// storable says whether a message may be kept here.
func (s *Service) storable(e *store.Entry) bool {
	return store.Storable(e.Message, time.Now()) == nil && slices.Contains(s.cfg.PubsubTopics(), e.PubsubTopic)
}

// batch is what goes into the archive together.
type batch struct {
	s       *Service
	p       peer.ID
	entries []store.Entry
	bytes   int
}

func (b *batch) full() bool { return len(b.entries) >= maxBatch || b.bytes >= maxBatchBytes }

func (b *batch) flush() error {
	if len(b.entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.s.ctx), insertTimeout)
	defer cancel()
	err := b.s.cfg.Archive.Insert(ctx, b.entries...)
	b.s.ledger.settle(b.p, b.entries, err == nil)
	b.entries, b.bytes = nil, 0
	return err
}
