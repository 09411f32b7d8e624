package storage

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parley-im/parley/app/chat"
	"github.com/parley-im/parley/app/message"
)

// found searches and returns the texts, newest first.
func found(t testing.TB, db *DB, q Query) (texts []string) {
	t.Helper()
	f, err := db.Search(q)
	must(t, err)
	for _, m := range f.Messages {
		texts = append(texts, m.Text)
	}
	return texts
}

// What a person types finds what they mean, in any script.
func TestSearchScripts(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		for _, test := range []struct {
			text string
			find []string
			not  []string
		}{
			{"Hello World", []string{"hello", "WORLD", "wor", "hel wor", "world hello", "hello,world"[:5], `"hello world"`}, []string{"ello", "hello there", `"hell"`, `"world hello"`, "world-hello", "h"}},
			{"I don't care", []string{"don't", "dont"[:3], "i", "don't ca"}, []string{"dont", "c"}},
			{"Übergröße Straße Ärger", []string{"ubergrosse", "ÜBERGRÖSSE", "strasse", "STRASSE", "arger", "Ärg"}, []string{"aerger"}},
			{"crème brûlée", []string{"creme", "BRÛLÉE", "bru", "cre\u0300me"}, nil},
			{"Ёлка и ёж", []string{"елка", "ЁЛКА", "еж", "и"}, []string{"лка"}},
			{"ΑΘΗΝΑ Οδυσσεύς", []string{"αθήνα", "οδυσσευσ", "Οδυσσεύς"}, nil},
			{"世界你好，朋友", []string{"世界", "你好", "界你", "好，朋", "朋友 世界", "友"}, []string{"世你", "友朋", "好 世 x"}},
			{"東京タワーへ行く", []string{"東京", "タワー", "へ行", "東京タワー"}, []string{"京東", "ﾀﾜ東"}},
			{"半角ﾀﾜｰ", []string{"タワー", "半角タ"}, nil},
			{"안녕하세요 세계", []string{"안녕", "안녕하세요", "세계"}, []string{"녕하"}},
			{"สวัสดีชาวโลก", []string{"สวัสดี", "ชาว", "โลก"}, []string{"โลกชาว"}},
			{"नमस्ते दुनिया", []string{"नमस्ते", "दुनि", "दुनिया"}, []string{"मस्ते"}},
			{"שָׁלוֹם עולם", []string{"שלום", "עול"}, nil},
			{"السَّلامُ عليكم", []string{"السلام", "عليكم"}, nil},
			{"great 👍🏽 job 🎉", []string{"👍", "👍🏿", "great 🎉", "🎉"}, []string{"🎈"}},
			{"see https://example.com/a_b?c=1", []string{"example", "example.com", "https://example.com", "a_b", "com/a"}, []string{"com/b", "example_com/b"}},
			{"x² ½ ﬁne ①", []string{"x2", "fine", "1"}, nil},
			{"𐐀𐐁 Ⅷ", []string{"𐐨𐐩", "viii"}, nil},
			{"NEAR AND OR NOT words place", []string{"and", "or not", "near", "words", "place"}, []string{"c0", "words : x"}},
			{strings.Repeat("long", 30), []string{"long", strings.Repeat("long", 30), strings.Repeat("long", 17)}, []string{"ong"}},
			{"soft\u00adhyphen zero\u200bwidth", []string{"softhyphen", "zerowidth"}, nil},
			{"bad \xff utf\xfe8", []string{"bad", "utf"}, nil},
		} {
			id := message.ID{1}
			must(t, db.Update(func(tx *Tx) error {
				return tx.PutMessage(&chat.Message{ID: id, Chat: "a", Text: test.text, Clock: 1, State: chat.Received})
			}))
			for _, q := range test.find {
				if len(found(t, db, Query{Text: q})) != 1 {
					t.Errorf("%q does not find %q", q, test.text)
				}
			}
			for _, q := range test.not {
				if len(found(t, db, Query{Text: q})) != 0 {
					t.Errorf("%q finds %q", q, test.text)
				}
			}
			must(t, db.Update(func(tx *Tx) error { return tx.DeleteMessage(id) }))
		}
	})
}

func TestSearchLimits(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.PutMessage(textMessage(t, "a", 1, 1, 1, strings.Repeat("many ", MaxIndexedText/5)+" behind")))
			must(t, tx.PutMessage(textMessage(t, "a", 2, 1, 1, strings.Repeat("w ", MaxQueryWords)+"last")))
			return tx.PutMessage(textMessage(t, "a", 3, 1, 1, strings.Repeat("é", MaxIndexedText))) // cut within a letter
		}))
		for q, want := range map[string]int{
			"many": 1, "behind": 0,
			strings.Repeat("w ", MaxQueryWords-1) + "last":    1,
			strings.Repeat("w ", MaxQueryWords-1) + "nowhere": 0,
			strings.Repeat("w ", MaxQueryWords) + "nowhere":   1, // words past the limit do not count
			"many" + strings.Repeat(" ", MaxQueryText-4):      1,
			strings.Repeat("é", MaxQueryText/2):               1,
			"m":                                               0,
		} {
			if got := len(found(t, db, Query{Text: q})); got != want {
				t.Errorf("%.20q… of %d bytes finds %d, not %d", q, len(q), got, want)
			}
		}
		for _, q := range []Query{{}, {Text: " .,;\"' "}, {Text: "many" + strings.Repeat(" ", MaxQueryText-3)}, {Text: "\x00"}, {Text: "*"}, {Text: "\u0301"}} {
			if _, err := db.Search(q); !errors.Is(err, ErrQuery) {
				t.Errorf("%q: %v", q.Text, err)
			}
		}
		for _, next := range []string{"x", "AAAA", "__________8", strings.Repeat("A", 12), "AAAAAAAAAAB"} {
			if _, err := db.Search(Query{Text: "many", Next: next}); !errors.Is(err, ErrPosition) {
				t.Errorf("next %q: %v", next, err)
			}
		}
	})
}

// Messages of one millisecond, with ids made to collide, and of clocks that no
// row can hold, are all found, once each and newest first.
func TestSearchCollisions(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		var want []string
		must(t, db.Update(func(tx *Tx) error {
			for n, clock := range []uint64{0, 1, rowClocks - 1, rowClocks, rowClocks + 1, math.MaxUint64} {
				for i := range 5 {
					for _, first := range []byte{0, 0xff} {
						m := &chat.Message{ID: message.ID{first, first, first, 30: byte(n), 31: byte(i)}, Chat: "a", Clock: clock, Text: fmt.Sprint("same ", clock, first, i), State: chat.Received}
						want = append(want, m.Text)
						must(t, tx.PutMessage(m))
					}
				}
			}
			return nil
		}))
		var got []string
		for q := (Query{Text: "same", Limit: 7}); ; {
			f, err := db.Search(q)
			must(t, err)
			for _, m := range f.Messages {
				got = append(got, m.Text)
			}
			if q.Next = f.Next; q.Next == "" {
				break
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		equal(t, "found", got, want)
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.DeleteMessage(message.ID{0, 0, 0, 30: 1, 31: 2}))
			return tx.PutMessage(&chat.Message{ID: message.ID{0, 0, 0, 30: 1, 31: 3}, Chat: "a", Clock: 1, Text: "changed", State: chat.Received})
		}))
		equal(t, "after a change", found(t, db, Query{Text: "changed"}), []string{"changed"})
		equal(t, "after changes", len(found(t, db, Query{Text: "same", Limit: 100})), len(want)-2)
	})
}

// What is written in a transaction that fails, or in a step of one, leaves no
// trace in the word index; what is deleted and comes back is found.
func TestSearchFollowsTransactions(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		one := textMessage(t, "a", 1, 1, 1, "one")
		edited := *one
		edited.Text = "two"
		err := db.Update(func(tx *Tx) error { must(t, tx.PutMessage(one)); return errTest })
		if err != errTest {
			t.Fatal(err)
		}
		equal(t, "dropped", len(found(t, db, Query{Text: "one"})), 0)
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.PutMessage(one))
			if err := tx.Try(func(tx *Tx) error { must(t, tx.PutMessage(&edited)); return errTest }); err != errTest {
				t.Error(err)
			}
			return nil
		}))
		equal(t, "kept", []int{len(found(t, db, Query{Text: "one"})), len(found(t, db, Query{Text: "two"}))}, []int{1, 0})
		// Deleted and written again, in one transaction and in steps of it.
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.DeleteMessage(one.ID))
			return tx.Try(func(tx *Tx) error { return tx.PutMessage(&edited) })
		}))
		equal(t, "changed", []int{len(found(t, db, Query{Text: "one"})), len(found(t, db, Query{Text: "two"}))}, []int{0, 1})
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.Try(func(tx *Tx) error { return tx.PutMessage(one) }))
			must(t, tx.Try(func(tx *Tx) error { return tx.PutMessage(&edited) }))
			must(t, tx.Try(func(tx *Tx) error { return tx.DeleteMessage(one.ID) }))
			return nil
		}))
		equal(t, "deleted", []int{len(found(t, db, Query{Text: "one"})), len(found(t, db, Query{Text: "two"}))}, []int{0, 0})
		must(t, db.Update(func(tx *Tx) error {
			must(t, tx.PutMessage(one))
			must(t, tx.PutMessage(&edited))
			must(t, tx.DeleteMessage(one.ID))
			must(t, tx.PutMessage(&edited))
			return tx.PutMessage(one)
		}))
		equal(t, "in the end", []int{len(found(t, db, Query{Text: "one"})), len(found(t, db, Query{Text: "two"}))}, []int{1, 0})
	})
}

// Whatever is typed is a search or ErrQuery, and both back ends find the same.
func FuzzSearch(f *testing.F) {
	for _, s := range []string{"hello", `"a b" c*`, "a NEAR b", "words:x", "{words place}: y", "^a", "a OR", "(", "\"", "世界", "👍🏽", "\xff", "e\u0301", "ﬃ", "a\x00b", "-", "c0123456789abcdef", "İ", "ſ"} {
		f.Add(s, "hello "+s)
	}
	file, err := Open(filepath.Join(f.TempDir(), "a.db"), [KeySize]byte{1})
	must(f, err)
	f.Cleanup(func() { file.Close() })
	f.Fuzz(func(t *testing.T, query, text string) {
		if !utf8.ValidString(text) {
			return // no protobuf text
		}
		var got [2]int
		var failed [2]bool
		for i, db := range []*DB{NewMemory(), file} {
			must(t, db.Update(func(tx *Tx) error {
				return tx.PutMessage(&chat.Message{ID: message.ID{1}, Chat: "a", Clock: 1, Text: text, State: chat.Received})
			}))
			found, err := db.Search(Query{Text: query})
			if err != nil && !errors.Is(err, ErrQuery) {
				t.Fatalf("%q: %v", query, err)
			}
			got[i], failed[i] = len(found.Messages), err != nil
			// A text without quotes finds itself, as far as it counts.
			if w := words(text); len(w) > 0 && len(w) <= MaxQueryWords && len(text) <= MaxQueryText {
				if found, err := db.Search(Query{Text: text}); err != nil || len(found.Messages) != 1 {
					t.Fatalf("%q does not find itself: %d, %v", text, len(found.Messages), err)
				}
			}
			must(t, db.Update(func(tx *Tx) error { return tx.DeleteMessage(message.ID{1}) }))
		}
		if got[0] != got[1] || failed[0] != failed[1] {
			t.Fatalf("%q in %q: %v, %v", query, text, got, failed)
		}
	})
}
