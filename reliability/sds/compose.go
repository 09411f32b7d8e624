package sds

import (
	"encoding/binary"

	"google.golang.org/protobuf/proto"
)

// compose fills in causal history, repair requests and filter of a content or
// sync message, and encodes it.
func (e *step) compose(m *Message, r ref) ([]byte, error) {
	if err := e.addHistory(m); err != nil {
		return nil, err
	}
	asked, err := e.request(m)
	if err != nil {
		return nil, err
	}
	if err := e.addFilter(m, r); err != nil {
		return nil, err
	}
	raw, err := m.Encode(e.Config.Layout)
	if err != nil {
		return nil, err
	}
	return raw, e.requested(asked)
}

// addFilter puts the filter into a message, as long as the header allows.
func (e *step) addFilter(m *Message, r ref) error {
	f := e.Config.Filter
	if f.Hash == NoFilter {
		return nil
	}
	ids, err := e.window()
	if err != nil {
		return err
	}
	size := f.size(len(ids))
	if e.Config.Header > 0 && f.Hash == Salted {
		size = max(minFilter, min(size, e.Config.Header-m.header(e.Config.Layout)-filterTag))
	}
	m.Filter = f.build(ids, salt(r), size)
	return nil
}

// filterTag is what tag and length of a filter below 16 KB take.
const filterTag = 3

// salt is what a Salted filter in a message is hashed with.
func salt(r ref) uint64 { return binary.BigEndian.Uint64(r[:]) }

// header is the length in bytes of the encoded message without its content.
func (m *Message) header(layout Layout) int {
	if layout == Nim {
		return proto.Size(m.toNim()) - len(m.Content)
	}
	return proto.Size(m.toStandard()) - len(m.Content)
}

// request adds the repair requests whose time has come, and returns what was
// asked for. The header bounds those beyond the first, which always has room
// when ids have at most half of MaxID.
func (e *step) request(m *Message) ([]ref, error) {
	if e.Config.Repair.Off {
		return nil, nil
	}
	due, err := e.eligible(e.Config.Repair.Requests)
	if err != nil {
		return nil, err
	}
	var asked []ref
	for _, d := range due {
		m.Requests = append(m.Requests, e.requestEntry(d))
		if most := e.Config.Header; most > 0 && len(asked) > 0 && m.header(e.Config.Layout)+filterTag+minFilter > most {
			m.Requests = m.Requests[:len(m.Requests)-1]
			break
		}
		asked = append(asked, refOf(d.id))
	}
	return asked, nil
}

// requestEntry is a missing dependency as it is asked for. The hint goes with
// it where there is no bound to keep, as deployed clients have it; responders
// have no use for it.
func (e *step) requestEntry(d *missing) Entry {
	entry := Entry{ID: d.id, Sender: d.sender}
	if e.Config.Header == 0 && len(d.hints) > 0 {
		entry.Hint = d.hints[0]
	}
	return entry
}
