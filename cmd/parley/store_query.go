package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-im/parley/internal/fault"
	wakupb "github.com/parley-im/parley/pb/waku"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

func (a *app) storeQueryCommand() *cobra.Command {
	var f storeQueryFlags
	c := &cobra.Command{
		Use:   "query STORE",
		Short: "Show messages of a store",
		Long: `Show messages of a store as it keeps them, from the oldest to the newest, or the
other way with --backward. What is in them is most often encrypted.

With --json each is an object with hash, pubsub_topic, content_topic, payload and
meta (base64), timestamp (nanoseconds since 1970), version and ephemeral; with
--no-data the hash alone.

--hash looks messages up; when one is not there the exit code is 5. A store looks
for content topics of one pubsub topic; when only the one or the other is given,
all messages of the time are read and the choice is made here.

` + aboutTimes + "\n\n" + aboutStores,
		Example: `  parley store query /ip4/192.0.2.1/tcp/30303/p2p/16Uiu2… --since 2h --limit 20
  parley store query sqlite:archive --pubsub-topic /waku/2/rs/16/32 --content-topic /waku/1/0xadbf87cf/rfc26 --json
  parley store query sqlite:archive --hash 0x64cce733fed134e83da02b02c6f689814872b1a0ac97ea56b76095c3c72bfe05`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := parseStore("the store", args[0])
			if err != nil {
				return err
			}
			s, err := f.selection(time.Now())
			if err != nil {
				return err
			}
			return a.withStores(cmd.Context(), f.cluster, []storeAt{from}, never, func(open []openStore) error {
				return a.storeQuery(cmd.Context(), open[0], s)
			})
		},
	}
	f.register(c.Flags())
	return c
}

// storeQueryFlags are the flags of `parley store query`.
type storeQueryFlags struct {
	spanFlags
	pubsubTopic      string
	contentTopics    []string
	hashes           []string
	limit            int
	backward, noData bool
	cluster          uint16
}

func (f *storeQueryFlags) register(flags *pflag.FlagSet) {
	f.spanFlags.register(flags, "")
	flags.StringVar(&f.pubsubTopic, "pubsub-topic", "", "only messages of this pubsub topic")
	flags.StringArrayVar(&f.contentTopics, "content-topic", nil, "only messages of this content topic; may be repeated")
	flags.StringSliceVar(&f.hashes, "hash", nil, "only the message of this hash; may be repeated")
	flags.IntVar(&f.limit, "limit", 0, "at most so many; 0 is all")
	flags.BoolVar(&f.backward, "backward", false, "the newest first")
	flags.BoolVar(&f.noData, "no-data", false, "only the hashes of the messages")
	clusterFlag(flags, &f.cluster)
}

// selection is what to read of a store and what to show of it.
type selection struct {
	// queries are put one after the other.
	queries []store.Query
	limit   int // 0 is all
	noData  bool
	// here are the topics that are chosen here, because stores cannot.
	here struct {
		pubsubTopic   string
		contentTopics []string
	}
}

// selection is what the flags say at now.
func (f storeQueryFlags) selection(now time.Time) (s selection, err error) {
	span, err := f.span(now)
	if err != nil {
		return s, err
	}
	if f.limit < 0 {
		return s, fault.New(fault.Usage, "--limit is below zero")
	}
	s.limit, s.noData = f.limit, f.noData
	q := store.Query{
		IncludeData: !f.noData, PubsubTopic: f.pubsubTopic, ContentTopics: f.contentTopics,
		TimeStart: span.Start, TimeEnd: span.End, Forward: !f.backward, Limit: store.MaxPage,
	}
	if len(f.hashes) == 0 && (f.pubsubTopic == "") != (len(f.contentTopics) == 0) {
		s.here.pubsubTopic, s.here.contentTopics = f.pubsubTopic, f.contentTopics
		q.PubsubTopic, q.ContentTopics, q.IncludeData = "", nil, true
	}
	var hashes []message.Hash
	for _, text := range f.hashes {
		h, err := message.ParseHash(text)
		if err != nil {
			return s, fault.Wrap(fault.Usage, "--hash", err)
		}
		if !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	if len(hashes) == 0 {
		s.queries = []store.Query{q}
	}
	for some := range slices.Chunk(hashes, store.MaxHashes) {
		q.Hashes = some
		s.queries = append(s.queries, q)
	}
	return s, fault.Wrap(fault.Usage, "this cannot be asked", s.queries[0].Validate())
}

// shows says whether an entry that was read is one to show.
func (s *selection) shows(e *store.Entry) bool {
	if t := s.here.pubsubTopic; t != "" && e.PubsubTopic != t {
		return false
	}
	return len(s.here.contentTopics) == 0 || slices.Contains(s.here.contentTopics, e.Message.GetContentTopic())
}

// storeQuery prints what s selects.
func (a *app) storeQuery(ctx context.Context, from openStore, s selection) error {
	r := reading{selection: s, show: a.showEntry}
	for i := range s.queries {
		if err := r.read(ctx, from, s.queries[i]); err != nil {
			return from.fault(ctx, err)
		}
		if r.full() {
			break
		}
		r.looked += len(s.queries[i].Hashes)
	}
	if r.faults > 0 {
		a.say("%s of the answers were not what they claimed to be; the last one: %v", count(r.faults, "item", "items"), r.fault)
	}
	if missing := r.looked - r.shown; missing > 0 && !r.full() {
		return fault.New(fault.NotFound, "%d of %s not there", missing, count(r.looked, "message is", "messages are"))
	}
	return nil
}

// reading is what was read so far.
type reading struct {
	selection
	show          func(e *store.Entry, noData bool) error
	shown, looked int
	faults        int
	fault         error // the last one
}

func (r *reading) full() bool { return r.limit > 0 && r.shown >= r.limit }

// read reads the pages of a query until it ends or enough is shown.
func (r *reading) read(ctx context.Context, from openStore, q store.Query) error {
	seen := make(map[message.Hash]bool)
	choosing := r.here.pubsubTopic != "" || len(r.here.contentTopics) > 0
	size := q.Limit
	for {
		q.Limit = size
		if r.limit > 0 && !choosing {
			q.Limit = min(size, uint64(r.limit-r.shown))
		}
		page, err := from.ask(ctx, &q)
		if err == nil {
			err = ctx.Err() // pages of an archive may take no time
		}
		switch {
		case errors.Is(err, store.ErrAnswerSize) && q.Limit > 1:
			size = max(1, q.Limit/4)
			continue
		case err != nil:
			return err
		}
		if err := r.take(page, q.Forward); err != nil {
			return err
		}
		if r.full() || page.Cursor == nil || len(page.Messages)+len(page.Faults) == 0 {
			return nil
		}
		if seen[*page.Cursor] {
			return fmt.Errorf("%w: cursor %s again", store.ErrEndless, *page.Cursor)
		}
		seen[*page.Cursor] = true
		q.Cursor = page.Cursor
	}
}

// take shows what is wanted of a page.
func (r *reading) take(page *store.Page, forward bool) error {
	r.faults += len(page.Faults)
	for _, f := range page.Faults {
		r.fault = fmt.Errorf("%s: %w", f.Hash, f.Err)
	}
	if !forward {
		slices.Reverse(page.Messages)
	}
	for i := range page.Messages {
		e := &page.Messages[i]
		if !r.shows(e) {
			continue
		}
		if r.full() {
			return nil
		}
		if err := r.show(e, r.noData); err != nil {
			return err
		}
		r.shown++
	}
	return nil
}

// storedMessage is a message of a store as JSON.
type storedMessage struct {
	Hash         message.Hash `json:"hash"`
	PubsubTopic  string       `json:"pubsub_topic"`
	ContentTopic string       `json:"content_topic"`
	Payload      []byte       `json:"payload"`
	Timestamp    int64        `json:"timestamp"` // nanoseconds since 1970
	Version      uint32       `json:"version"`
	Ephemeral    bool         `json:"ephemeral"`
	Meta         []byte       `json:"meta"`
}

// showEntry prints one entry.
func (a *app) showEntry(e *store.Entry, noData bool) error {
	m := e.Message
	switch {
	case noData && a.json:
		return a.printJSON(struct {
			Hash message.Hash `json:"hash"`
		}{e.Hash})
	case noData:
		_, err := fmt.Fprintln(a.out, e.Hash)
		return err
	case a.json:
		return a.printJSON(storedMessage{
			Hash: e.Hash, PubsubTopic: e.PubsubTopic, ContentTopic: m.GetContentTopic(),
			Payload: append([]byte{}, m.GetPayload()...), Timestamp: m.GetTimestamp(),
			Version: m.GetVersion(), Ephemeral: m.GetEphemeral(), Meta: append([]byte{}, m.GetMeta()...),
		})
	}
	_, err := fmt.Fprintf(a.out, "%s  %d B\n", entryLine(e.Hash, e.PubsubTopic, m), len(m.GetPayload()))
	return err
}

// entryLine is a message of a store in a line: when, which, where.
func entryLine(h message.Hash, pubsubTopic string, m *wakupb.WakuMessage) string {
	return strings.Join([]string{
		time.Unix(0, m.GetTimestamp()).UTC().Format("2006-01-02T15:04:05.000Z"), h.String(),
		oneLine(pubsubTopic), oneLine(m.GetContentTopic()),
	}, "  ")
}

// oneLine makes a text from elsewhere safe for a line on a terminal.
func oneLine(s string) string { return strings.ReplaceAll(plain(s), "\n", " ") }
