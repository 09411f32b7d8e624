package sds

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/internal/vectors"
)

// jsFile is the recording of @waku/sds.
type jsFile struct {
	MessageID struct {
		Examples []struct{ Text, ID string }
	}
	Hash struct {
		Vectors []jsHash
	}
	Bloom          []jsBloom
	Messages       []jsMessage
	RepairTiming   []jsTiming
	LostDependency jsLost
	Exchanges      []jsExchange
}

type jsHash struct {
	ID        string
	UTF8      vectors.Hex
	Murmur    uint32 `json:"murmur3_32"`
	MurmurB   uint32 `json:"murmur3_32_b"`
	Of150000  []int  `json:"hashN_150000"`
	Of1000    []int  `json:"hashN_1000"`
	ASCIIOnly bool
}

type jsBloom struct {
	Name    string
	K, M    int
	Words   int
	Bytes   int
	IDs     any
	SHA256  vectors.Hex
	Hex     vectors.Hex
	SetBits []int
	Hashes  map[string][]int
	Lookup  map[string]bool
}

type jsEntry struct {
	MessageID     string
	RetrievalHint vectors.Hex
	SenderID      string
}

type jsFields struct {
	Kind, SenderID, MessageID, ChannelID string
	LamportTimestamp                     *string
	CausalHistory, RepairRequest         []jsEntry
	Content                              vectors.Hex
	BloomFilter                          *struct {
		Bytes   int
		SHA256  vectors.Hex
		SetBits []int
	}
}

type jsMessage struct {
	Name   string
	Hex    vectors.Hex
	Fields jsFields
}

type jsTiming struct {
	ParticipantID, SenderID, MessageID string
	Config                             struct{ TMin, TMax, NumResponseGroups int }
	TReqOffset, TRespOffset            int
	InResponseGroup                    bool
}

func (f jsFields) compare(m *Message) error {
	entries := func(list []jsEntry) (out []Entry) {
		for _, e := range list {
			out = append(out, Entry{e.MessageID, e.RetrievalHint, e.SenderID})
		}
		return out
	}
	same := func(a, b []Entry) bool {
		return slices.EqualFunc(a, b, func(a, b Entry) bool {
			return a.ID == b.ID && a.Sender == b.Sender && bytes.Equal(a.Hint, b.Hint)
		})
	}
	lamport := uint64(0)
	if f.LamportTimestamp != nil {
		lamport = must(strconv.ParseUint(*f.LamportTimestamp, 10, 64))
	}
	switch {
	case m.Kind.String() != f.Kind, m.Sender != f.SenderID, m.ID != f.MessageID, m.Channel != f.ChannelID,
		m.Lamport != lamport, !bytes.Equal(m.Content, f.Content),
		!same(m.History, entries(f.CausalHistory)), !same(m.Requests, entries(f.RepairRequest)):
		return fmt.Errorf("read as %+v", m)
	case f.BloomFilter == nil && m.Filter != nil, f.BloomFilter != nil && len(m.Filter) != f.BloomFilter.Bytes:
		return fmt.Errorf("filter of %d bytes", len(m.Filter))
	}
	if f.BloomFilter != nil {
		if sum := sha256.Sum256(m.Filter); !bytes.Equal(sum[:], f.BloomFilter.SHA256) {
			return fmt.Errorf("filter with SHA-256 %x", sum)
		}
	}
	return nil
}

// Messages of @waku/sds are read, and written again to the same bytes; so are
// all of the exchanges.
func TestVectorsMessages(t *testing.T) {
	t.Parallel()
	file := recording(t)
	list := file.Messages
	for _, e := range file.Exchanges {
		for name, m := range e.Messages {
			m.Name = e.Name + " " + name
			list = append(list, m)
		}
	}
	for _, c := range list {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			m, layout, err := Decode(c.Hex)
			if err != nil || layout != Standard {
				t.Fatal(layout, err)
			}
			if err := c.Fields.compare(m); err != nil {
				t.Error(err)
			}
			if back, err := m.Encode(Standard); err != nil || !bytes.Equal(back, c.Hex) {
				t.Errorf("written as %x, error %v", back, err)
			}
		})
	}
}

// The ids of @waku/sds are those of ContentID.
func TestVectorsMessageID(t *testing.T) {
	t.Parallel()
	for _, c := range recording(t).MessageID.Examples {
		t.Run(c.Text, func(t *testing.T) {
			t.Parallel()
			p := newParty(t, "me", Interop())
			if out := p.send(c.Text); out.ID != c.ID {
				t.Errorf("sent as %s, not %s", out.ID, c.ID)
			}
		})
	}
}

// murmurBits are the bits of an id in a filter like that of @waku/sds.
func murmurBits(id string, k, m int) []int {
	f := Filter{Hash: Murmur, Hashes: k, Bits: m}
	var list []int
	f.positions(f.prehash(id, refOf(id)), 0, murmurBytes(m), func(at int, mask byte) bool {
		bit := 0
		for ; mask > 1; mask >>= 1 {
			bit++
		}
		list = append(list, 64*(at/8)+8*(7-at%8)+bit)
		return true
	})
	return list
}

func TestVectorsHash(t *testing.T) {
	t.Parallel()
	for _, c := range recording(t).Hash.Vectors {
		t.Run(fmt.Sprintf("%q", c.ID), func(t *testing.T) {
			t.Parallel()
			if c.ASCIIOnly { // the recorded hash is over UTF-8, the bits are over UTF-16
				pre := (Filter{Hash: Murmur}).prehash(c.ID, refOf(c.ID))
				if uint32(pre>>32) != c.Murmur || uint32(pre) != c.MurmurB {
					t.Errorf("hashes %d and %d", pre>>32, uint32(pre))
				}
			}
			for m, want := range map[int][]int{150_000: c.Of150000, 1000: c.Of1000} {
				if got := murmurBits(c.ID, len(want), m); !slices.Equal(got, want) {
					t.Errorf("bits %v of %d, not %v", got, m, want)
				}
			}
		})
	}
}

// Filters of @waku/sds have the same bytes, whatever their parameters, and the
// same ids in them.
func TestVectorsBloom(t *testing.T) {
	t.Parallel()
	for _, c := range recording(t).Bloom {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			f := Filter{Hash: Murmur, Window: 1, Bytes: c.Bytes, Hashes: c.K, Bits: c.M}
			if !f.valid() || c.Bytes != 8*c.Words {
				t.Fatalf("a filter of %d bits in %d bytes is not valid", c.M, c.Bytes)
			}
			var ids []string
			switch list := c.IDs.(type) {
			case []any:
				for _, id := range list {
					ids = append(ids, id.(string))
				}
			default: // described, not listed: the thousand of the recording
				for i := range 1000 {
					sum := sha256.Sum256(fmt.Append(nil, "message ", i))
					ids = append(ids, hex.EncodeToString(sum[:]))
				}
			}
			var pre []uint64
			for _, id := range ids {
				pre = append(pre, f.prehash(id, refOf(id)))
				if want, ok := c.Hashes[id]; ok && !slices.Equal(murmurBits(id, c.K, c.M), want) {
					t.Errorf("%s has bits %v, not %v", id, murmurBits(id, c.K, c.M), want)
				}
			}
			filter := f.build(pre, 0, f.size(len(pre)))
			if sum := sha256.Sum256(filter); !bytes.Equal(filter, c.Hex) || !bytes.Equal(sum[:], c.SHA256) {
				t.Errorf("filter %x", filter)
			}
			for id, want := range c.Lookup {
				if got := f.usable(c.Hex) && f.contains(c.Hex, f.prehash(id, refOf(id)), 0); got != want {
					t.Errorf("%s is in it: %v, not %v", id, got, want)
				}
			}
		})
	}
}

func TestVectorsRepairTiming(t *testing.T) {
	t.Parallel()
	for i, c := range recording(t).RepairTiming {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			config := Interop()
			config.Repair.TMin = time.Duration(c.Config.TMin) * time.Millisecond
			config.Repair.TMax = time.Duration(c.Config.TMax) * time.Millisecond
			config.Repair.Groups = c.Config.NumResponseGroups
			channel := must(New("vectors", c.ParticipantID, config))
			if got := channel.requestDelay(c.MessageID).Milliseconds(); got != int64(c.TReqOffset) {
				t.Errorf("asks after %d ms, not %d", got, c.TReqOffset)
			}
			if got := channel.answerDelay(c.SenderID, c.MessageID).Milliseconds(); got != int64(c.TRespOffset) {
				t.Errorf("answers after %d ms, not %d", got, c.TRespOffset)
			}
			if got := inGroup(c.ParticipantID, c.SenderID, c.MessageID, c.Config.NumResponseGroups); got != c.InResponseGroup {
				t.Errorf("in the response group: %v", got)
			}
		})
	}
}

// jsLost is a message whose dependency never comes, in a channel that gives
// up after a minute.
type jsLost struct {
	Hex    vectors.Hex
	Events []struct {
		Ev            string
		MessageID     string
		TReq          int64
		Missing, Lost []jsEntry
	}
	FinalHistory []any
}

// A lost dependency is asked for and given up at the times of @waku/sds. What
// follows differs: @waku/sds drops the message that waited, and we deliver it,
// since the specification calls the dependency lost and not the message.
func TestVectorsLostDependency(t *testing.T) {
	t.Parallel()
	file := recording(t)
	c := file.LostDependency
	config := Interop()
	config.Fetch.Lost = time.Minute
	m, _, err := Decode(c.Hex)
	if err != nil {
		t.Fatal(err)
	}
	// The recording names neither the receiver nor the time of arrival: they
	// are those that explain T_req, within a minute after the message.
	sent := time.UnixMilli(int64(m.Lamport) - 1)
	tried := false
	for _, self := range slices.Sorted(maps.Keys(file.Exchanges[0].Initial)) {
		channel := must(New(m.Channel, self, config))
		for _, event := range c.Events {
			if event.Ev != "repair-request-queued" {
				continue
			}
			now := time.UnixMilli(event.TReq).Add(-channel.requestDelay(event.MessageID))
			if self == m.Sender || now.Before(sent) || now.Sub(sent) > time.Minute {
				continue
			}
			tried = true
			t.Run(self, func(t *testing.T) { c.replay(t, channel, now) })
		}
	}
	if !tried {
		t.Error("nobody's T_req is the recorded one")
	}
}

func (c jsLost) replay(t *testing.T, channel *Channel, now time.Time) {
	st, rnd := kv.NewMemory(), chacha(1)
	in, err := channel.Receive(st, now, rnd, c.Hex, nil)
	if err != nil || len(in.Delivered) > 0 {
		t.Fatal(in, err)
	}
	for _, e := range c.Events {
		switch e.Ev {
		case "repair-request-queued":
			d, err := (table{st}).missingRecord(refOf(e.MessageID))
			if err != nil || d == nil || d.ask/1e6 != e.TReq {
				t.Errorf("missing %+v, error %v; want T_req %d", d, err, e.TReq)
			}
		case "lost":
			due := now.Add(time.Minute)
			if r, err := channel.Due(st, due.Add(-time.Millisecond), rnd); err != nil || len(r.Lost) > 0 {
				t.Fatalf("lost too early: %+v, %v", r, err)
			}
			r, err := channel.Due(st, due, rnd)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(r.Lost, e.Lost, func(l Entry, want jsEntry) bool { return l.ID == want.MessageID }) {
				t.Errorf("lost %v, not %v", r.Lost, e.Lost)
			}
			if len(c.FinalHistory) != 0 || len(r.Delivered) != 1 || r.Delivered[0].ID != in.Message.ID {
				t.Errorf("delivered %+v, recorded %v", r.Delivered, c.FinalHistory)
			}
		}
	}
}
