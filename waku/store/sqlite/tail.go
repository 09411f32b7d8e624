package sqlite

import (
	"slices"
	"sort"

	"github.com/parley-im/parley/waku/message"
)

// tail is the index of the newest rows of a slice, in memory. They become a
// chunk when there are enough of them.
type tail struct {
	rows   []record // as they came
	byKey  []uint32 // places in rows, in the order of entries
	topics map[uint32]*tailTopic
	ids    map[topic]uint32
	hashes *hashIndex // has the numbers of rows
}

// tailTopic are the rows of one topic pair.
type tailTopic struct {
	name  topic
	byKey []uint32
}

func newTail() *tail {
	return &tail{topics: make(map[uint32]*tailTopic), ids: make(map[topic]uint32), hashes: newHashIndex()}
}

// reset forgets everything.
func (t *tail) reset() {
	t.rows, t.byKey = t.rows[:0], t.byKey[:0]
	clear(t.topics)
	clear(t.ids)
	t.hashes.reset()
}

// add adds a row that is not there.
func (t *tail) add(r record, name topic) {
	at := uint32(len(t.rows))
	t.rows = append(t.rows, r)
	t.hashes.add(&r.hash)
	t.byKey = t.place(t.byKey, at)
	of, ok := t.topics[r.topic]
	if !ok {
		of = &tailTopic{name: name}
		t.topics[r.topic] = of
		t.ids[name] = r.topic
	}
	of.byKey = t.place(of.byKey, at)
}

// place puts a row where it belongs in a list; most belong to its end.
func (t *tail) place(list []uint32, at uint32) []uint32 {
	r := t.rows[at]
	if n := len(list); n == 0 || compareRecords(t.rows[list[n-1]], r) < 0 {
		return append(list, at)
	}
	i := sort.Search(len(list), func(i int) bool { return compareRecords(t.rows[list[i]], r) >= 0 })
	return slices.Insert(list, i, at)
}

// find returns the row of a hash.
func (t *tail) find(h *message.Hash) (record, bool) {
	at, ok := t.hashes.find(h)
	if !ok {
		return record{}, false
	}
	return t.rows[at], true
}

// scan appends the rows of a topic pair within w, or of all when there is no
// pair, to found.
func (t *tail) scan(found []record, of *topic, w *within) []record {
	list := t.byKey
	if of != nil {
		id, ok := t.ids[*of]
		if !ok {
			return found
		}
		list = t.topics[id].byKey
	}
	lower := func(k key) int {
		return sort.Search(len(list), func(i int) bool { return compareKeys(t.rows[list[i]].key(), k) >= 0 })
	}
	for from, to := w.cut(lower(w.from), lower(w.to)); from < to; from++ {
		found = append(found, t.rows[list[from]])
	}
	return found
}

// name returns the topic pair of a number.
func (t *tail) name(id uint32) (topic, bool) {
	of, ok := t.topics[id]
	if !ok {
		return topic{}, false
	}
	return of.name, true
}
