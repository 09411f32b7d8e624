package sim

import (
	"runtime"
	"sync"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/storage"
	"github.com/parley-im/parley/waku/topic"
)

// topicKeys knows the symmetric keys of the topics that a scenario uses. A
// client derives each once, which takes tens of milliseconds; a hundred
// clients, and as many seeds, would do nothing else. So they are derived once
// for the process and put into a client's database before it starts, where it
// would have put them itself.
type topicKeys struct {
	people []key.Private
	// names are those that each person uses, all of them in byName.
	names  [][]string
	byName map[string][topic.KeySize]byte
}

// derived are the keys of this process, by name.
var derived sync.Map

// newTopicKeys derives what people who know each other need. It must not be
// called in a bubble.
func newTopicKeys(people int, know [][]int) (*topicKeys, error) {
	t := &topicKeys{names: make([][]string, people), byName: map[string][topic.KeySize]byte{}}
	for i := range people {
		t.people = append(t.people, identity(i))
	}
	for i, others := range know {
		t.names[i] = append(t.names[i], topic.ContactCodeName(t.people[i].Public()))
		for _, o := range others {
			secret, err := t.people[i].ECDH(t.people[o].Public())
			if err != nil {
				return nil, err
			}
			t.names[i] = append(t.names[i], topic.NegotiatedName(secret), topic.ContactCodeName(t.people[o].Public()))
		}
		for _, name := range t.names[i] {
			t.byName[name] = [topic.KeySize]byte{}
		}
	}
	t.derive()
	return t, nil
}

func (t *topicKeys) derive() {
	names := make(chan string)
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for name := range names {
				if _, ok := derived.Load(name); !ok {
					derived.Store(name, topic.Key(name))
				}
			}
		})
	}
	for name := range t.byName {
		names <- name
	}
	close(names)
	group.Wait()
	for name := range t.byName {
		k, _ := derived.Load(name)
		t.byName[name] = k.([topic.KeySize]byte)
	}
}

// put gives a person's keys to their database.
func (t *topicKeys) put(db *storage.DB, person int) error {
	return db.Update(func(tx *storage.Tx) error {
		for _, name := range t.names[person] {
			if err := tx.PutTopicKey(key.Keccak256([]byte(name)), t.byName[name]); err != nil {
				return err
			}
		}
		return nil
	})
}

// know returns who meets whom in a scenario, by number.
func (s *Scenario) know() [][]int {
	all := make([]map[int]bool, s.size())
	for i := range all {
		all[i] = map[int]bool{}
	}
	meet := func(a, b int) {
		if a != b {
			all[a][b], all[b][a] = true, true
		}
	}
	for _, c := range s.Contacts {
		of, with := s.find(c.Of), s.find(c.With)
		for i, a := range of {
			switch c.How {
			case "pairs":
				meet(a, with[i])
			case "star":
				for _, b := range with {
					meet(of[0], b)
				}
			case "all":
				for _, b := range of[i+1:] {
					meet(a, b)
				}
			}
		}
	}
	for _, g := range s.Groups {
		for _, members := range g.members(s) {
			for _, a := range members {
				for _, b := range members {
					meet(a, b)
				}
			}
		}
	}
	for _, t := range s.Traffic {
		if t.Requests != nil {
			from := s.find(t.From)
			for i, to := range s.find(t.To) {
				meet(from[i%len(from)], to)
			}
		}
	}
	out := make([][]int, len(all))
	for i, set := range all {
		for b := range len(all) {
			if set[b] {
				out[i] = append(out[i], b)
			}
		}
	}
	return out
}

// members distributes people over groups.
func (g Groups) members(s *Scenario) (all [][]int) {
	people := s.find(g.Of)
	next := 0
	for range g.Count {
		var members []int
		for range g.Members {
			members = append(members, people[next%len(people)])
			next++
		}
		all = append(all, members)
	}
	return all
}
