package sds

import (
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// An id that is in a filter is always found; one that is not is found as often
// as accident says, whatever the fill.
func TestFilterAccidents(t *testing.T) {
	t.Parallel()
	f := Default().Filter
	for _, n := range []int{1, 10, 100, 200, 500, 600} {
		hits, tries, expected := 0, 0, 0.0
		for salt := range uint64(200) {
			ids := make([]uint64, n)
			for i := range ids {
				ids[i] = f.prehash("", refOf(fmt.Sprint(salt, i)))
			}
			filter := f.build(ids, salt, f.size(n))
			if len(filter) > f.Bytes || !f.usable(filter) {
				t.Fatalf("%d bytes for %d ids", len(filter), n)
			}
			for _, id := range ids {
				if !f.contains(filter, id, salt) {
					t.Fatalf("an id is not found among %d", n)
				}
			}
			expected += f.accident(filter) * 100
			for i := range 100 {
				tries++
				if f.contains(filter, f.prehash("", refOf(fmt.Sprint("other", i))), salt) {
					hits++
				}
			}
		}
		// Below Doubt the two hashes are not as independent as the formula has
		// it, which is why less than Doubt is never counted on.
		least := float64(tries) * Doubt
		if low, high := expected-5*math.Sqrt(expected)-5, max(expected, least); float64(hits) < low || float64(hits) > high+5*math.Sqrt(high) {
			t.Errorf("%d ids: %d accidents, expected %.0f", n, hits, expected)
		}
		t.Logf("%d ids: %d bytes, %.4f by accident", n, f.size(n), float64(hits)/float64(tries))
	}
}

// The window holds exactly the newest ids, and what left it is not kept.
func TestFilterWindow(t *testing.T) {
	t.Parallel()
	for _, window := range []int{1, 63, 64, 65, 200} {
		c := Default()
		c.Filter.Window = window
		p := newParty(t, "alice", c)
		e := must(p.channel.open(p.st, p.now, p.rand))
		for i := range 700 {
			id := fmt.Sprint(i)
			if err := e.remember(id, refOf(id)); err != nil {
				t.Fatal(err)
			}
			ids := must(e.window())
			if len(ids) != min(i+1, window) || ids[len(ids)-1] != c.Filter.prehash(id, refOf(id)) {
				t.Fatalf("window %d has %d ids after %d", window, len(ids), i+1)
			}
			first := fmt.Sprint(i + 1 - len(ids))
			if ids[0] != c.Filter.prehash(first, refOf(first)) {
				t.Fatalf("the first is not %s", first)
			}
			if n, most := count(p.st, keyIDs), (window+idChunk-1)/idChunk+2; n > most {
				t.Fatalf("%d chunks for a window of %d", n, window)
			}
		}
	}
}

// headerSize is what the fields of a message other than its content take.
func headerSize(t *testing.T, data []byte) int {
	size := 0
	err := walk(data, func(f *field) error {
		if f.number != 20 {
			size += protowire.SizeTag(f.number)
			if f.typ == protowire.BytesType {
				size += protowire.SizeBytes(len(f.value))
			} else {
				size += protowire.SizeVarint(f.n)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// In a busy channel with a full window of 500 messages the header of every
// message has at most a kilobyte, with participant ids as short as compressed
// keys and as long as those of deployed clients, and with repair requests.
func TestHeaderSize(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]func(int) string{
		"compressed keys, 49 characters":    func(i int) string { return fmt.Sprintf("zQ3sh%044d", i) },
		"uncompressed keys, 132 characters": participant,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const channelID = "0x0212345678901234567890123456789012345678901234567890123456789012ab"
			var parties []*party
			for i := range 8 {
				p := newParty(t, id(i), Default())
				p.channel.ID = channelID
				parties = append(parties, p)
			}
			largest, sum, n, asking, largestAsking := 0, 0, 0, 0, 0
			for i := range 900 {
				now := start.Add(time.Duration(i) * time.Second)
				from := parties[(i*5+i/7)%len(parties)]
				from.now = now
				out, err := from.channel.Send(from.st, now, from.rand, fmt.Appendf(nil, "message %d", i))
				if err != nil {
					t.Fatal(err)
				}
				if err := from.channel.SetHint(from.st, out.ID, hintOf(out.Data)); err != nil {
					t.Fatal(err)
				}
				m := decoded(out.Data)
				size := headerSize(t, out.Data)
				if len(m.History) < 2 && i > 1 || len(m.Filter) < minFilter {
					t.Fatalf("message %d: history %d, filter %d bytes", i, len(m.History), len(m.Filter))
				}
				if size > 1024 {
					t.Errorf("message %d has a header of %d bytes", i, size)
				}
				if must(from.channel.open(from.st, now, nil)).s.ids >= 500 {
					sum, n, largest = sum+size, n+1, max(largest, size)
				}
				if len(m.Requests) > 0 {
					asking, largestAsking = asking+1, max(largestAsking, size)
				}
				for j, to := range parties {
					if to == from || (i*7+j)%40 == 0 { // some are lost
						continue
					}
					to.now = now.Add(300 * time.Millisecond)
					if _, err := to.channel.Receive(to.st, to.now, to.rand, out.Data, hintOf(out.Data)); err != nil {
						t.Fatal(err)
					}
				}
				for j, p := range parties { // answers come, sync messages do not matter here
					p.now = now.Add(500 * time.Millisecond)
					r, err := p.channel.Due(p.st, p.now, p.rand)
					if err != nil {
						t.Fatal(err)
					}
					for _, o := range r.Send {
						if s := headerSize(t, o.Data); s > 1024 {
							t.Errorf("a message for reason %d has a header of %d bytes", o.Reason, s)
						}
						for k, to := range parties {
							if k != j {
								if _, err := to.channel.Receive(to.st, to.now, to.rand, o.Data, hintOf(o.Data)); err != nil {
									t.Fatal(err)
								}
							}
						}
					}
				}
			}
			if n < 200 {
				t.Fatalf("only %d messages with a full window", n)
			}
			if asking == 0 {
				t.Error("no message asked for a repair: the test shows less than it says")
			}
			t.Logf("header %d bytes on average, %d at most; with repair requests at most %d (%d messages)", sum/n, largest, largestAsking, asking)
		})
	}
}
