package segment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/parley-im/parley/internal/kv"
)

// makeRoom drops old open payloads until group id, growing from g to merged,
// is within the limits. It refuses, without dropping anything, a group that is
// beyond them by itself.
func (a Assembler) makeRoom(st kv.Store, id string, g, merged group) (dropped []Open, err error) {
	senderBytes, totalBytes := uint64(or(a.SenderBytes, SenderBytes)), uint64(or(a.TotalBytes, TotalBytes))
	if limit := min(senderBytes, totalBytes); merged.Bytes > limit {
		return nil, fmt.Errorf("%w: %d bytes to keep, at most %d", ErrTooLarge, merged.Bytes, limit)
	}
	if dropped, err = roomOfSender(st, id, merged, senderBytes, or(a.SenderGroups, SenderGroups)); err != nil {
		return nil, err
	}
	for {
		var t totals
		if err := load(st, totalsKey, &t); err != nil {
			return nil, err
		}
		if t.Bytes+merged.Bytes-g.Bytes <= totalBytes {
			return dropped, nil
		}
		ids, err := oldest(st, openPrefix, ^uint64(0), 2)
		if err != nil {
			return nil, err
		}
		ids = slices.DeleteFunc(ids, func(other string) bool { return other == id })
		if len(ids) == 0 {
			return nil, ErrState // the sum counts payloads that are not there
		}
		o, err := giveUp(st, ids[0])
		if err != nil {
			return nil, err
		}
		dropped = append(dropped, o)
	}
}

func roomOfSender(st kv.Store, id string, merged group, maxBytes uint64, maxGroups int) (dropped []Open, err error) {
	type other struct {
		id string
		group
	}
	var others []other
	bytes := merged.Bytes
	sender, _, _ := strings.Cut(id, "/")
	err = st.Scan(groupPrefix+sender+"/", func(name string, b []byte) error {
		o := other{id: name[len(groupPrefix):]}
		if o.id == id {
			return nil
		}
		if err := decode(b, &o.group); err != nil {
			return err
		}
		bytes += o.Bytes
		others = append(others, o)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(others, func(x, y other) int {
		return cmp.Or(cmp.Compare(x.First, y.First), strings.Compare(x.id, y.id))
	})
	for len(others) > 0 && (len(others) >= maxGroups || bytes > maxBytes) {
		o, err := giveUp(st, others[0].id)
		if err != nil {
			return nil, err
		}
		dropped = append(dropped, o)
		bytes -= others[0].Bytes
		others = others[1:]
	}
	return dropped, nil
}
