package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-im/parley/app/activity"
)

// Whatever becomes of entries, pages, counts and marks are those of a plain
// list of them.
func TestActivityEqualsAModel(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		rng := rand.New(rand.NewPCG(5, 6))
		model := map[string]activity.Entry{}
		states := []activity.State{activity.Unread, activity.Read, activity.Accepted, activity.Dismissed}
		for range 25 {
			must(t, db.Update(func(tx *Tx) error {
				for range 8 {
					id := fmt.Sprint("id", rng.IntN(40))
					known, ok := model[id]
					switch op := rng.IntN(10); {
					case op < 5:
						e := activity.Entry{ID: id, Kind: activity.Kinds[rng.IntN(len(activity.Kinds))], State: activity.Unread, Clock: uint64(rng.IntN(30))}
						want := e
						if ok {
							want = activity.Merge(known, e)
						}
						got, err := tx.PutActivity(e)
						must(t, err)
						equal(t, "put", got, want)
						model[id] = want
					case op < 8:
						to := states[rng.IntN(len(states))]
						want, wantErr := known.To(to)
						got, there, err := tx.ChangeActivity(id, to)
						if there != ok || ok && (fmt.Sprint(err) != fmt.Sprint(wantErr) || got != want) {
							t.Fatalf("%s to %s: %+v, %v, %v", known.State, to, got, there, err)
						}
						if ok && err == nil {
							model[id] = want
						}
					case op == 8:
						must(t, tx.DeleteActivity(id))
						delete(model, id)
					default:
						upTo := uint64(rng.IntN(5))
						_, more, err := tx.ReadActivities(upTo)
						if more || err != nil {
							t.Fatal(more, err)
						}
						for id, e := range model {
							if e.State == activity.Unread && e.Clock <= upTo {
								e.State = activity.Read
								model[id] = e
							}
						}
					}
				}
				return nil
			}))
			must(t, db.View(func(tx *Tx) error { compareActivity(t, tx, model); return nil }))
		}
	})
}

func compareActivity(t *testing.T, tx *Tx, model map[string]activity.Entry) {
	t.Helper()
	wantCounts := map[activity.Kind]int{}
	for _, e := range model {
		if e.State == activity.Unread {
			wantCounts[e.Kind]++
		}
	}
	counts, err := tx.ActivityCounts()
	must(t, err)
	equal(t, "counts", counts, wantCounts)
	for _, q := range []ActivityQuery{
		{Limit: 3}, {Limit: 3, Unread: true}, {}, {Limit: 2, Kinds: []activity.Kind{activity.Mention, activity.Reply}},
		{Limit: 1, Unread: true, Kinds: []activity.Kind{activity.ContactRequest}},
	} {
		var want, got []activity.Entry
		for _, e := range model {
			if (!q.Unread || e.State == activity.Unread) && (q.Kinds == nil || slices.Contains(q.Kinds, e.Kind)) {
				want = append(want, e)
			}
		}
		slices.SortFunc(want, func(a, b activity.Entry) int {
			if activityPlace(a) > activityPlace(b) {
				return -1
			}
			return 1
		})
		for next := q; ; {
			p, err := tx.Activities(next)
			must(t, err)
			got = append(got, p.Entries...)
			if len(p.Entries) > pageLimit(q.Limit) {
				t.Fatalf("a page of %d", len(p.Entries))
			}
			if next.Next = p.Next; p.Next == "" {
				break
			}
		}
		equal(t, fmt.Sprintf("%+v", q), got, want)
	}
}

func TestActivityLimits(t *testing.T) {
	t.Parallel()
	backends(t, func(t *testing.T, db *DB) {
		must(t, db.Update(func(tx *Tx) error {
			if _, err := tx.PutActivity(activity.Entry{}); !errors.Is(err, activity.ErrEntry) {
				t.Errorf("an empty entry: %v", err)
			}
			for i := range WorkSlice + 3 {
				_, err := tx.PutActivity(activity.Entry{ID: fmt.Sprint(i), Kind: activity.Reply, State: activity.Unread, Clock: uint64(i)})
				must(t, err)
			}
			for i, want := range []bool{true, false} {
				if _, more, err := tx.ReadActivities(WorkSlice + 1); err != nil || more != want {
					t.Errorf("%d: more %v, %v", i, more, err)
				}
			}
			counts, err := tx.ActivityCounts()
			equal(t, "counts", counts, map[activity.Kind]int{activity.Reply: 1})
			for _, next := range []string{"x", "AAAAAAAAAAA", "=", string(make([]byte, 1000))} {
				if _, err := tx.Activities(ActivityQuery{Next: next}); !errors.Is(err, ErrPosition) {
					t.Errorf("%q: %v", next, err)
				}
			}
			return err
		}))
	})
}
