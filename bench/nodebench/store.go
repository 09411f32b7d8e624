package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/relay"
	"github.com/parley-im/parley/waku/store"
)

const (
	storePage = 100
	// storePages are the pages and lookups measured, storeInFlight how many of
	// them are asked for at a time.
	storePages    = 1000
	storeInFlight = 4
	// legacyStore is the store protocol that go-waku serves.
	legacyStore protocol.ID = "/vac/waku/store/2.0.0-beta4"
	maxAnswer               = 20 << 20
)

// store measures how fast relayed messages are kept, pages with data, and
// lookups of hashes.
func (b *bench) store(ctx context.Context) ([]Measurement, error) {
	const topics = 10
	// A second peer tells when the node has passed a message on: without that
	// the sender's own queue would overflow.
	passed := newArrivals(relayInFlight)
	receiver, err := b.relayer(ctx, func(d relay.Delivery) { passed.note(d.Message.GetPayload()) })
	if err != nil {
		return nil, err
	}
	defer receiver.close()
	sender, err := b.relayer(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer sender.close()
	known, err := sender.Peerstore().SupportsProtocols(b.node.ID, store.ProtocolID, legacyStore)
	if err != nil || len(known) == 0 {
		return nil, fmt.Errorf("%w: store", errUnsupported)
	}
	page := b.page
	if known[0] != store.ProtocolID {
		page = b.legacyPage
	}
	// Timestamps must differ: the legacy store orders by them.
	var hashes []message.Hash
	g := b.begin()
	for n := range b.messages {
		m := b.message(n, b.contentTopic("store", n%topics))
		hashes = append(hashes, message.HashOf(b.pubsub, m))
		passed.enter(ctx)
		if _, err := sender.Publish(ctx, b.pubsub, m); err != nil {
			return nil, err
		}
	}
	// The last message of each topic being there, so are the others.
	var kept int
	err = until(ctx, "the archive", func() bool {
		kept = 0
		for i := range topics {
			n, err := b.count(ctx, sender.client, page, b.contentTopic("store", i))
			if err != nil {
				return false
			}
			kept += n
		}
		return kept >= b.messages
	})
	insert := g.end("store: messages by relay until all are found", kept, nil)
	insert.Lost = b.messages - kept
	all := []Measurement{insert}
	if err != nil && kept == 0 {
		return all, err
	}
	var cursors [topics]any
	pages, err := b.several("store: pages of 100 with data", topics, func(_, topic int) error {
		got, next, err := page(ctx, sender.client, b.contentTopic("store", topic), cursors[topic])
		if got < storePage {
			next = nil // round again
		}
		cursors[topic] = next
		return err
	})
	pages.Note = string(known[0])
	if all = append(all, pages); err != nil || known[0] != store.ProtocolID {
		return all, err
	}
	asker := store.NewClient(sender.client)
	lookups, err := b.several("store: lookups of 100 hashes with data", topics, func(n, _ int) error {
		from := n * storePage % (len(hashes) - storePage)
		p, err := asker.Query(ctx, b.node.ID, &store.Query{Hashes: hashes[from : from+storePage], IncludeData: true, Limit: storePage, Forward: true})
		if err == nil && len(p.Messages) == 0 {
			err = errors.New("store: no message by its hash")
		}
		return err
	})
	return append(all, lookups), err
}

// several makes storePages requests, storeInFlight at a time, in n lanes of one
// at a time each.
func (b *bench) several(what string, n int, ask func(i, lane int) error) (Measurement, error) {
	type outcome struct {
		took time.Duration
		err  error
	}
	outcomes := make([]outcome, storePages)
	lanes := make(chan int, n)
	for lane := range n {
		lanes <- lane
	}
	room := make(chan struct{}, storeInFlight)
	var group sync.WaitGroup
	g := b.begin()
	for i := range storePages {
		room <- struct{}{}
		group.Go(func() {
			lane, at := <-lanes, time.Now()
			outcomes[i].err = ask(i, lane)
			outcomes[i].took = time.Since(at)
			lanes <- lane
			<-room
		})
	}
	group.Wait()
	var took []time.Duration
	var errs []error
	for _, o := range outcomes {
		took, errs = append(took, o.took), append(errs, o.err)
	}
	return g.end(fmt.Sprintf("%s, %d at a time", what, storeInFlight), storePages, took), errors.Join(errs...)
}

// pager asks for a page of a content topic from a cursor on, nil for the
// beginning, and returns the number of messages and the next cursor, nil at
// the end.
type pager func(ctx context.Context, c *client, contentTopic string, cursor any) (n int, next any, err error)

// count reads all pages.
func (b *bench) count(ctx context.Context, c *client, page pager, contentTopic string) (total int, err error) {
	for cursor := any(nil); ; {
		n, next, err := page(ctx, c, contentTopic, cursor)
		if err != nil {
			return total, err
		}
		total += n
		if next == nil || n == 0 {
			return total, nil
		}
		cursor = next
	}
}

func (b *bench) page(ctx context.Context, c *client, contentTopic string, cursor any) (int, any, error) {
	q := &store.Query{IncludeData: true, PubsubTopic: b.pubsub, ContentTopics: []string{contentTopic}, Limit: storePage, Forward: true}
	if h, ok := cursor.(*message.Hash); ok {
		q.Cursor = h
	}
	p, err := store.NewClient(c).Query(ctx, b.node.ID, q)
	if err != nil {
		return 0, nil, err
	}
	if p.Cursor == nil {
		return len(p.Messages), nil, nil
	}
	return len(p.Messages), p.Cursor, nil
}

// legacyPage asks in the legacy protocol, whose messages are written and read
// by hand: HistoryRPC{request_id 1, query 2, response 3},
// HistoryQuery{pubsub_topic 2, content_filters 3 {content_topic 1},
// paging_info 4 {page_size 1, cursor 2, direction 3}},
// HistoryResponse{messages 2, paging_info 3}.
func (b *bench) legacyPage(ctx context.Context, c *client, contentTopic string, cursor any) (n int, next any, err error) {
	paging := protowire.AppendTag(nil, 1, protowire.VarintType)
	paging = protowire.AppendVarint(paging, storePage)
	if raw, ok := cursor.([]byte); ok {
		paging = appendBytes(paging, 2, raw)
	}
	paging = protowire.AppendTag(paging, 3, protowire.VarintType)
	paging = protowire.AppendVarint(paging, 1) // forward
	query := appendBytes(nil, 2, []byte(b.pubsub))
	query = appendBytes(query, 3, appendBytes(nil, 1, []byte(contentTopic)))
	query = appendBytes(query, 4, paging)
	request := appendBytes(appendBytes(nil, 1, []byte("bench")), 2, query)
	s, err := c.NewStream(ctx, b.node.ID, legacyStore)
	if err != nil {
		return 0, nil, err
	}
	defer s.Reset()
	if _, err := s.Write(append(protowire.AppendVarint(nil, uint64(len(request))), request...)); err != nil {
		return 0, nil, err
	}
	if err := s.CloseWrite(); err != nil {
		return 0, nil, err
	}
	raw, err := readFrame(bufio.NewReader(s))
	if err != nil {
		return 0, nil, err
	}
	response := field(raw, 3)
	for rest := response; len(rest) > 0; {
		num, typ, size := protowire.ConsumeTag(rest)
		if size < 0 {
			return n, nil, protowire.ParseError(size)
		}
		rest = rest[size:]
		skip := protowire.ConsumeFieldValue(num, typ, rest)
		if skip < 0 {
			return n, nil, protowire.ParseError(skip)
		}
		if num == 2 {
			v, _ := protowire.ConsumeBytes(rest)
			if err := proto.Unmarshal(v, new(wakupb.WakuMessage)); err != nil {
				return n, nil, err
			}
			n++
		}
		rest = rest[skip:]
	}
	if at := field(field(response, 3), 2); len(at) > 0 && n > 0 {
		return n, at, nil
	}
	return n, nil, nil
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

// field returns the first value of a field of bytes.
func field(b []byte, want protowire.Number) []byte {
	for len(b) > 0 {
		num, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil
		}
		b = b[size:]
		skip := protowire.ConsumeFieldValue(num, typ, b)
		if skip < 0 {
			return nil
		}
		if num == want && typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			return v
		}
		b = b[skip:]
	}
	return nil
}

func readFrame(r *bufio.Reader) ([]byte, error) {
	size, shift := uint64(0), 0
	for {
		c, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		size |= uint64(c&0x7f) << shift
		if c < 0x80 {
			break
		}
		if shift += 7; shift > 63 {
			return nil, errors.New("not a frame")
		}
	}
	if size > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes", size)
	}
	raw := make([]byte, size)
	for read := 0; read < len(raw); {
		n, err := r.Read(raw[read:])
		if err != nil {
			return nil, err
		}
		read += n
	}
	return raw, nil
}
