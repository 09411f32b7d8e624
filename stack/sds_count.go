package stack

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/reliability/mvds"
	"github.com/parley-im/parley/reliability/sds"
)

// CommunitySynced is what the channel of one community took since the start, and
// how it went. Bytes are those of the channel's messages, before encryption.
type CommunitySynced struct {
	// Community is its id, 0x02… or 0x03….
	Community string          `json:"community"`
	Sent      ChannelTraffic  `json:"sent"`
	Received  ChannelTraffic  `json:"received"`
	Repairs   ChannelOutcomes `json:"repairs"`
	// Acknowledged is how many messages of ours are known to have arrived
	// somewhere, Failed how many were given up.
	Acknowledged uint64 `json:"acknowledged"`
	Failed       uint64 `json:"failed"`
}

// ChannelTraffic is what went through a channel in one direction, by kind.
type ChannelTraffic struct {
	// Messages are those with content, from their author.
	Messages mvds.Count `json:"messages"`
	// Again are own ones that were sent before. Received, they are among
	// Messages.
	Again mvds.Count `json:"again"`
	// PassedOn are messages brought by others than their author.
	PassedOn mvds.Count `json:"passed_on"`
	// Periodic are those without content, which acknowledge and ask.
	Periodic mvds.Count `json:"periodic"`
}

// ChannelOutcomes is what became of messages that were lost on their way here.
type ChannelOutcomes struct {
	// Asked is how often store nodes were to be asked for one, Fetched how many
	// they gave, PassedOn how many another member gave, and Lost how many
	// nobody has.
	Asked    uint64 `json:"asked"`
	Fetched  uint64 `json:"fetched"`
	PassedOn uint64 `json:"passed_on"`
	Lost     uint64 `json:"lost"`
}

func (c CommunitySynced) messages() uint64 {
	return c.Sent.Messages.Count + c.Received.Messages.Count + c.Received.PassedOn.Count
}

// channelCounts counts what channels took. A step that fails may have counted
// what did not happen.
type channelCounts struct {
	mu  sync.Mutex
	all map[key.Public]*CommunitySynced
}

func (c *channelCounts) change(k key.Public, change func(c *CommunitySynced)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.all[k]
	if one == nil {
		if len(c.all) >= syncedMost {
			return
		}
		if c.all == nil {
			c.all = make(map[key.Public]*CommunitySynced)
		}
		one = &CommunitySynced{Community: k.CompressedHex()}
		c.all[k] = one
	}
	change(one)
}

func counting(c *mvds.Count, bytes int) { c.Count++; c.Bytes += uint64(bytes) }

func (c *channelCounts) sent(k key.Public, why sds.Reason, bytes int) {
	c.change(k, func(c *CommunitySynced) {
		switch why {
		case sds.Again:
			counting(&c.Sent.Again, bytes)
		case sds.Answer:
			counting(&c.Sent.PassedOn, bytes)
		case sds.Idling:
			counting(&c.Sent.Periodic, bytes)
		default:
			counting(&c.Sent.Messages, bytes)
		}
	})
}

func (c *channelCounts) received(k key.Public, kind sds.Kind, passedOn bool, bytes int) {
	c.change(k, func(c *CommunitySynced) {
		switch {
		case kind == sds.Sync:
			counting(&c.Received.Periodic, bytes)
		case passedOn:
			counting(&c.Received.PassedOn, bytes)
		default:
			counting(&c.Received.Messages, bytes)
		}
	})
}

// repaired counts a message that was not known and came another way than from
// its author.
func (c *channelCounts) repaired(k key.Public, fetched, passedOn bool) {
	c.change(k, func(c *CommunitySynced) {
		switch {
		case fetched:
			c.Repairs.Fetched++
		case passedOn:
			c.Repairs.PassedOn++
		}
	})
}

func (c *channelCounts) settled(k key.Public, r *sds.Result) {
	c.change(k, func(c *CommunitySynced) {
		c.Acknowledged += uint64(len(r.Acknowledged))
		c.Failed += uint64(len(r.Failed))
		c.Repairs.Asked += uint64(len(r.Fetch))
		c.Repairs.Lost += uint64(len(r.Lost))
	})
}

// list returns the busiest channels.
func (c *channelCounts) list() (all []CommunitySynced) {
	c.mu.Lock()
	defer c.mu.Unlock()
	byTraffic := func(a, b *CommunitySynced) int {
		return cmp.Or(cmp.Compare(b.messages(), a.messages()), cmp.Compare(a.Community, b.Community))
	}
	for _, one := range slices.SortedFunc(maps.Values(c.all), byTraffic) {
		if all = append(all, *one); len(all) == syncedShown {
			break
		}
	}
	return all
}
