package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/message"
	"github.com/parley-im/parley/waku/store"
)

const (
	// listPage is the page size of listings, the largest there is; listMost is
	// how many hashes of one span a node may list.
	listPage = store.MaxPage
	listMost = 50_000
	// lookupMost is how many messages are asked for by hash at once, which
	// deployed clients also do; large ones fewer, so that an answer comes in
	// time over a slow line.
	lookupMost      = 50
	lookupMostLarge = 8
	// fetchMost is how many messages are fetched of one span at a time; there
	// may be more, the next time.
	fetchMost = 1000
	// vainMost is how often a hash is asked for that some node lists and none
	// gives. vainKept is how many such hashes are remembered.
	vainMost = 3
	vainKept = 20_000
)

var (
	errFetching = errors.New("missed messages are being fetched")
	errMore     = errors.New("there is more to fetch")
	errWithheld = errors.New("store nodes list messages that they do not give")
	errListMost = fmt.Errorf("more than %d hashes are listed", listMost)
)

func isIO(err error) bool { return errors.Is(err, storage.ErrIO) }

// outcome is what came of comparing a span, or several.
type outcome struct {
	// listed is how many hashes there are, fetched how many messages of them
	// were not here and are for us.
	listed, fetched int
	// err is why it is not complete.
	err error
}

func (o *outcome) add(other outcome) {
	o.listed += other.listed
	o.fetched += other.fetched
	if o.err == nil {
		o.err = other.err
	}
}

// vain counts how often hashes were asked for without success.
type vain map[message.Hash]int

func (v vain) again(h message.Hash) {
	if len(v) >= vainKept {
		clear(v)
	}
	v[h]++
}

// wanted is a hash that is missing here, with the nodes that list it.
type wantedHash struct {
	hash  message.Hash
	nodes []string
}

// reconcileSpan lists what some nodes have of a span and fetches what is
// missing here, so many at a time. It is complete when one node has listed
// everything and all of it is here, or not to be had.
func (r *reconciler) reconcileSpan(ctx context.Context, sp span, nodes, batch int) (o outcome) {
	listings := make(map[string][]message.Hash)
	var failed error
	complete := false
	for _, node := range r.choose(sp.pubsub) {
		if len(listings) == nodes || ctx.Err() != nil {
			break
		}
		hashes, err := r.list(ctx, node, sp)
		if err != nil {
			failed = err
			r.stores.failed(node, r.now(), err)
		} else {
			r.stores.answered(node, r.now())
		}
		if err == nil || errors.Is(err, errListMost) {
			listings[node] = hashes
		}
		complete = complete || err == nil
	}
	if len(listings) == 0 {
		return outcome{err: cmpErr(failed, errNoNode)}
	}
	missing, listed, err := r.unknown(listings)
	if err != nil {
		return outcome{err: err}
	}
	o.listed = listed
	if len(missing) > fetchMost {
		missing, o.err = missing[:fetchMost], errMore
	}
	fetched, err := r.fetchMissing(ctx, sp, missing, batch)
	o.fetched = fetched
	switch {
	case err != nil:
		o.err = err
	case !complete:
		o.err = cmpErr(o.err, failed)
	}
	return o
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// list asks a node for all hashes of a span.
func (r *reconciler) list(ctx context.Context, node string, sp span) (hashes []message.Hash, err error) {
	q := &store.Query{PubsubTopic: sp.pubsub, ContentTopics: sp.topics, TimeStart: sp.since.UnixNano(), Forward: true, Limit: listPage}
	if !sp.until.IsZero() {
		q.TimeEnd = sp.until.UnixNano()
	}
	cursors := make(map[message.Hash]bool)
	for {
		page, err := r.query(ctx, node, q)
		if err != nil {
			return hashes, err
		}
		for _, m := range page.Messages {
			hashes = append(hashes, m.Hash)
		}
		switch {
		case page.Cursor == nil || len(page.Messages) == 0:
			return hashes, nil
		case cursors[*page.Cursor]:
			return hashes, errRepeats
		case len(hashes) >= listMost:
			return hashes[:listMost], errListMost
		}
		cursors[*page.Cursor] = true
		q.Cursor = page.Cursor
	}
}

// unknown picks from what nodes list what is not here, those first that most of
// them list, and counts how the nodes differ.
func (r *reconciler) unknown(listings map[string][]message.Hash) (missing []wantedHash, listed int, err error) {
	nodes := make(map[message.Hash][]string)
	var order []message.Hash // that of time, as far as the first node has them
	for _, node := range slices.Sorted(maps.Keys(listings)) {
		for _, h := range listings[node] {
			by := nodes[h]
			if len(by) == 0 {
				order = append(order, h)
			}
			if !slices.Contains(by, node) {
				nodes[h] = append(by, node)
			}
		}
	}
	counts := make(map[string]counted, len(listings))
	err = r.db.View(func(tx *storage.Tx) error {
		for _, h := range order {
			by := nodes[h]
			known, err := r.known(tx, h)
			if err != nil {
				return err
			}
			if !known && r.vain[h] < vainMost {
				missing = append(missing, wantedHash{h, by})
			}
			for node := range listings {
				c := counts[node]
				if !slices.Contains(by, node) {
					c.lacking++
				} else if c.hashes++; !known {
					c.missing++
				}
				counts[node] = c
			}
		}
		return nil
	})
	r.stores.listed(counts, r.now())
	slices.SortStableFunc(missing, func(a, b wantedHash) int { return len(b.nodes) - len(a.nodes) })
	return missing, len(nodes), err
}

// known tells whether an envelope was looked at.
func (r *reconciler) known(tx *storage.Tx, h message.Hash) (bool, error) {
	if r.foreign.has(h) {
		return true, nil
	}
	if known, err := tx.Seen(h); known || err != nil {
		return known, err
	}
	return tx.Foreign(h)
}

// fetchMissing fetches messages by their hashes from the nodes that list them,
// and returns how many of them are for us. What one node does not give the next
// one is asked for.
func (r *reconciler) fetchMissing(ctx context.Context, sp span, missing []wantedHash, batch int) (ours int, err error) {
	f := fetcher{reconciler: r, sp: sp, batch: batch, out: map[string]bool{}}
	for holder := 0; len(missing) > 0 && ctx.Err() == nil; holder++ {
		byNode, rest := map[string][]message.Hash{}, missing[:0:0]
		for _, w := range missing {
			if holder < len(w.nodes) {
				byNode[w.nodes[holder]] = append(byNode[w.nodes[holder]], w.hash)
				rest = append(rest, w)
			} else if !f.failing(w.nodes) {
				r.vain.again(w.hash)
				f.withheld++
			}
		}
		got := map[message.Hash]bool{}
		for _, node := range slices.Sorted(maps.Keys(byNode)) {
			if err := f.from(ctx, node, byNode[node], got); err != nil {
				return f.ours, err
			}
		}
		missing = slices.DeleteFunc(rest, func(w wantedHash) bool { return got[w.hash] })
	}
	if err := f.noteForeign(); err != nil {
		return f.ours, err
	}
	if f.err == nil && f.withheld > 0 {
		f.err = errWithheld
	}
	return f.ours, cmpErr(f.err, ctx.Err())
}

// fetcher is one call of fetchMissing.
type fetcher struct {
	*reconciler
	sp    span
	batch int
	// out are nodes that are asked no more, because they fail or give nothing;
	// those that fail are in down.
	out, down map[string]bool
	ours      int
	withheld  int
	aliens    []message.Hash
	err       error
}

// failing tells whether some of the nodes could not be asked.
func (f *fetcher) failing(nodes []string) bool {
	return slices.ContainsFunc(nodes, func(n string) bool { return f.down[n] })
}

// from fetches what one node lists.
func (f *fetcher) from(ctx context.Context, node string, hashes []message.Hash, got map[message.Hash]bool) error {
	size := f.batch
	for len(hashes) > 0 && !f.out[node] && ctx.Err() == nil {
		part := hashes[:min(size, len(hashes))]
		page, err := f.query(ctx, node, &store.Query{IncludeData: true, Hashes: part, Limit: uint64(len(part)), Forward: true})
		switch {
		case errors.Is(err, store.ErrAnswerSize) && size > 1:
			size /= 2
			continue
		case err != nil:
			if f.down == nil {
				f.down = map[string]bool{}
			}
			f.out[node], f.down[node], f.err = true, true, err
			f.stores.failed(node, f.now(), err)
			return nil
		}
		given, err := f.take(node, part, page, got)
		if err != nil {
			return err
		}
		if given == 0 {
			f.out[node] = true
			f.stores.withholds(node, f.now(), len(part))
		} else if given < len(part) {
			f.stores.withheld(node, len(part)-given)
		}
		hashes = hashes[len(part):]
	}
	return nil
}

// take hands on what a node gave, as far as it was asked for.
func (f *fetcher) take(node string, asked []message.Hash, page *store.Page, got map[message.Hash]bool) (given int, err error) {
	wrong := len(page.Faults)
	for _, m := range page.Messages {
		if m.Message == nil || got[m.Hash] || !slices.Contains(asked, m.Hash) || m.PubsubTopic != f.sp.pubsub ||
			message.HashOf(m.PubsubTopic, m.Message) != m.Hash {
			wrong++
			continue
		}
		got[m.Hash] = true
		given++
		e := Envelope{PubsubTopic: m.PubsubTopic, Message: m.Message, Hash: m.Hash, Stored: true}
		if err := f.Receive(e); err != nil {
			return given, err
		}
		ours, err := f.seen(e)
		if err != nil {
			return given, err
		}
		if ours {
			f.ours++
		} else {
			f.aliens = append(f.aliens, m.Hash)
		}
	}
	if wrong > 0 {
		f.stores.wrong(node, f.now(), wrong)
	}
	return given, nil
}

// noteForeign remembers what was fetched and is not for us, so that it is not
// fetched again.
func (f *fetcher) noteForeign() error {
	if len(f.aliens) == 0 {
		return nil
	}
	return f.update(func(t *step) error {
		for _, h := range f.aliens {
			if err := t.MarkForeign(h, t.now); err != nil {
				return err
			}
		}
		return nil
	})
}
