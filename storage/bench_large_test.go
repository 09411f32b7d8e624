package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/contact"
)

const (
	largeChats    = 1_000
	largeMessages = 1_000_000
	// benchMessages names an environment variable with another number.
	benchMessages = "PARLEY_BENCH_MESSAGES"
)

// large describes a database with many messages.
type large struct {
	path  string
	rooms []string
	// count is how many messages a room has.
	count []int
	words []string
	last  uint64
}

// pick returns small numbers more often than great ones.
func pick(rng *rand.Rand, n int) int {
	f := rng.Float64()
	return int(f * f * f * float64(n))
}

// build writes a database of 1,000 chats, the first of which are the largest,
// and their messages in the order of time.
func build(b *testing.B, messages int) *large {
	l := &large{path: filepath.Join(b.TempDir(), "large.db"), count: make([]int, largeChats)}
	db, err := Open(l.path, [KeySize]byte{1})
	must(b, err)
	defer db.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 30_000 {
		w := make([]byte, 2+rng.IntN(9))
		for i := range w {
			w[i] = byte('a' + rng.IntN(26))
		}
		l.words = append(l.words, string(w))
	}
	peers := make([]key.Public, largeChats)
	must(b, db.Update(func(tx *Tx) error {
		for i := range peers {
			k, err := key.PrivateFromBytes(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i)+1))
			must(b, err)
			peers[i] = k.Public()
			c := chat.NewOneToOne(peers[i])
			c.Active = true
			l.rooms = append(l.rooms, c.ID)
			must(b, tx.PutChat(c))
			must(b, tx.PutContact(contact.Contact{Key: peers[i], DisplayName: fmt.Sprint("Contact ", i), Local: contact.Sent, Remote: contact.Received}))
			must(b, PutRecord(tx, Groups, fmt.Sprint("group-", i), map[string]string{"name": fmt.Sprint("Group ", i)}))
		}
		return nil
	}))
	began := time.Now()
	l.last = 1_700_000_000_000
	const batch = 20_000
	for n := 0; n < messages; n += batch {
		must(b, db.Update(func(tx *Tx) error {
			// In each batch some chats are read at its end, others not.
			newest := make(map[string]uint64)
			for range min(batch, messages-n) {
				room := pick(rng, largeChats)
				l.count[room]++
				l.last += uint64(rng.IntN(60_000))
				m := &chat.Message{
					Chat: l.rooms[room], From: peers[room], Text: l.text(rng), Clock: l.last, Timestamp: l.last,
					State: chat.Received, ContentType: "text",
				}
				binary.BigEndian.PutUint64(m.ID[:], rng.Uint64())
				binary.BigEndian.PutUint64(m.ID[8:], rng.Uint64())
				newest[m.Chat] = m.Clock
				must(b, tx.PutMessageAs(m, Notice{Unread: true, Mention: rng.IntN(50) == 0}))
			}
			for id, clock := range newest {
				c, _, err := tx.Chat(id)
				must(b, err)
				c = c.Saw(clock)
				if rng.IntN(20) > 0 {
					c = c.MarkRead(clock - uint64(rng.IntN(2)))
				}
				must(b, tx.PutChat(c))
			}
			return nil
		}))
	}
	info, err := os.Stat(l.path)
	must(b, err)
	b.Logf("%d messages in %v, file %d MB", messages, time.Since(began).Round(time.Second), info.Size()>>20)
	return l
}

func (l *large) text(rng *rand.Rand) string {
	var t strings.Builder
	for range 3 + rng.IntN(12) {
		t.WriteString(l.words[pick(rng, len(l.words))])
		t.WriteByte(' ')
	}
	return t.String()
}

// BenchmarkLarge measures what people wait for, on an account of 1,000 chats
// and 1,000,000 messages.
func BenchmarkLarge(b *testing.B) {
	if testing.Short() {
		b.Skip("builds a database of 1,000,000 messages")
	}
	messages := largeMessages
	if n, err := strconv.Atoi(os.Getenv(benchMessages)); err == nil {
		messages = n
	}
	l := build(b, messages)
	open := func(b *testing.B) *DB {
		db, err := Open(l.path, [KeySize]byte{1})
		must(b, err)
		return db
	}
	view := func(b *testing.B, db *DB, f func(tx *Tx) error) {
		b.ReportAllocs()
		for b.Loop() {
			must(b, db.View(f))
		}
	}
	list := func(tx *Tx) error {
		all, err := tx.ChatList()
		if len(all) != largeChats {
			b.Errorf("%d chats", len(all))
		}
		return err
	}
	page := func(q PageQuery) func(tx *Tx) error {
		return func(tx *Tx) error {
			p, err := tx.Page(q)
			if len(p.Messages) != DefaultPage && messages == largeMessages {
				b.Errorf("%d messages on a page", len(p.Messages))
			}
			return err
		}
	}

	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			must(b, open(b).Close())
		}
	})
	// What the daemon reads when it starts.
	b.Run("start", func(b *testing.B) {
		for b.Loop() {
			db := open(b)
			must(b, db.View(func(tx *Tx) error {
				must(b, list(tx))
				_, err := tx.Contacts()
				must(b, err)
				_, err = Records[map[string]string](tx, Groups, "")
				return err
			}))
			must(b, db.Close())
		}
	})
	// The first things that are read after it was opened.
	for name, f := range map[string]func(tx *Tx) error{
		"list cold": list,
		"page cold": page(PageQuery{Chat: l.rooms[0]}),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				db := open(b)
				b.StartTimer()
				must(b, db.View(f))
				b.StopTimer()
				must(b, db.Close())
				b.StartTimer()
			}
		})
	}
	db := open(b)
	defer db.Close()
	b.Run("list", func(b *testing.B) { view(b, db, list) })
	for _, room := range []int{0, 500} {
		for _, at := range []struct {
			name string
			q    PageQuery
		}{
			{"newest", PageQuery{}},
			{"middle", PageQuery{Before: Position{Clock: (1_700_000_000_000 + l.last) / 2}}},
			{"oldest", PageQuery{Oldest: true}},
		} {
			at.q.Chat = l.rooms[room]
			b.Run(fmt.Sprintf("page/%s of %d", at.name, l.count[room]), func(b *testing.B) { view(b, db, page(at.q)) })
		}
	}
	b.Run("page/newest of all", func(b *testing.B) { view(b, db, page(PageQuery{})) })
	b.Run("page/middle of all", func(b *testing.B) {
		view(b, db, page(PageQuery{Before: Position{Clock: (1_700_000_000_000 + l.last) / 2}}))
	})
	for name, q := range map[string]Query{
		"frequent":        {Text: l.words[0]},
		"rare":            {Text: l.words[29_000]},
		"two":             {Text: l.words[0] + " " + l.words[1]},
		"prefix of 2":     {Text: l.words[0][:2]},
		"prefix of 3":     {Text: l.words[0] + l.words[1][:1]},
		"nothing":         {Text: "0123"},
		"frequent, chat":  {Text: l.words[0], Chat: l.rooms[900]},
		"frequent, other": {Text: l.words[0], From: someone(b, 250)},
	} {
		b.Run("search/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := db.Search(q)
				must(b, err)
			}
		})
	}
	clock := l.last
	b.Run("put", func(b *testing.B) {
		rng := rand.New(rand.NewPCG(3, 4))
		b.ReportAllocs()
		for b.Loop() {
			clock++
			m := &chat.Message{Chat: l.rooms[3], Text: l.text(rng), Clock: clock, State: chat.Received, ContentType: "text"}
			binary.BigEndian.PutUint64(m.ID[:], rng.Uint64())
			must(b, db.Update(func(tx *Tx) error { return tx.PutMessageAs(m, Notice{Unread: true}) }))
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			must(b, db.Update(func(tx *Tx) error { _, err := tx.MarkRead(l.rooms[2], clock); return err }))
		}
	})
	b.Run("clear and a slice of it", func(b *testing.B) {
		room := 0
		for b.Loop() {
			must(b, db.Update(func(tx *Tx) error { _, err := tx.ClearHistory(l.rooms[room%10]); return err }))
			_, err := db.Work()
			must(b, err)
			room++
		}
	})
}
