package sds

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Decode reads a message in either layout. The layouts differ in the wire type
// of field 2, which both require: text in Standard (the message id), a number
// in Nim (the Lamport timestamp). A known field of another wire type, a
// singular field that comes twice, text that is not UTF-8 and a required field
// that is absent are errors, so that no bytes can be read in two ways; unknown
// fields are skipped. The errors are ErrNotMessage, ErrLimit and ErrKind.
//
// The message shares memory with data.
func Decode(data []byte) (*Message, Layout, error) {
	if len(data) > MaxSize {
		return nil, 0, fmt.Errorf("%w: %d bytes, limit %d", ErrLimit, len(data), MaxSize)
	}
	layout, err := layoutOf(data)
	if err != nil {
		return nil, 0, err
	}
	m := &Message{}
	if layout == Nim {
		err = m.readNim(data)
	} else {
		err = m.readStandard(data)
	}
	if err != nil {
		return nil, 0, err
	}
	if m.ID == "" || m.Channel == "" || m.Sender == "" && layout == Standard {
		return nil, 0, fmt.Errorf("%w: an id is absent", ErrNotMessage)
	}
	return m, layout, nil
}

// layoutOf looks at the first field 2. That every further one is of the same
// type is for those who read on.
func layoutOf(data []byte) (Layout, error) {
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return 0, fmt.Errorf("%w: %w", ErrNotMessage, protowire.ParseError(n))
		}
		if number == 2 {
			switch typ {
			case protowire.BytesType:
				return Standard, nil
			case protowire.VarintType:
				return Nim, nil
			}
			break
		}
		size := protowire.ConsumeFieldValue(number, typ, data[n:])
		if size < 0 {
			return 0, fmt.Errorf("%w: %w", ErrNotMessage, protowire.ParseError(size))
		}
		data = data[n+size:]
	}
	return 0, fmt.Errorf("%w: field 2 is neither text nor a number", ErrNotMessage)
}

func (m *Message) readStandard(data []byte) error {
	timed := false
	err := walk(data, func(f *field) (err error) {
		switch f.number {
		case 1:
			m.Sender, err = f.text("sender id")
		case 2:
			m.ID, err = f.text("message id")
		case 3:
			m.Channel, err = f.text("channel id")
		case 10:
			m.Lamport, err = f.integer("Lamport timestamp")
			timed = true
		case 11:
			err = f.entry("causal history", &m.History, MaxHistory)
		case 12:
			m.Filter, err = f.bytes("bloom filter", MaxFilter)
		case 13:
			err = f.entry("repair requests", &m.Requests, MaxRequests)
		case 20:
			m.Content, err = f.bytes("content", MaxSize)
		}
		return err
	})
	if err != nil {
		return err
	}
	switch full := len(m.Content) > 0; {
	case timed && full:
		m.Kind = Content
	case timed:
		m.Kind = Sync
	case full:
		m.Kind = Ephemeral
	default:
		return fmt.Errorf("%w: neither Lamport timestamp nor content", ErrKind)
	}
	return nil
}

func (m *Message) readNim(data []byte) error {
	var known []Entry
	err := walk(data, func(f *field) (err error) {
		switch f.number {
		case 1:
			m.ID, err = f.text("message id")
		case 2:
			m.Lamport, err = f.integer("Lamport timestamp")
		case 3:
			err = f.nimHistory(&m.History)
		case 4:
			m.Channel, err = f.text("channel id")
		case 5:
			m.Content, err = f.bytes("content", MaxSize)
		case 6:
			m.Filter, err = f.bytes("bloom filter", MaxFilter)
		case 7:
			m.Sender, err = f.optionalText("sender id")
		case 8:
			err = f.entry("history metadata", &known, MaxHistory)
		case 13:
			err = f.entry("repair requests", &m.Requests, MaxRequests)
		}
		return err
	})
	if err != nil {
		return err
	}
	m.Kind = Content
	if len(m.Content) == 0 {
		m.Kind = Sync
	}
	for i, e := range m.History {
		at := slices.IndexFunc(known, func(k Entry) bool { return k.ID == e.ID })
		if at >= 0 && e.Hint == nil && e.Sender == "" {
			m.History[i] = known[at]
		}
	}
	return nil
}

// field is one field of a message on its way through walk.
type field struct {
	number protowire.Number
	typ    protowire.Type
	// value is that of a length-delimited field, integer that of a varint.
	value []byte
	n     uint64
	// seen are the numbers that came before.
	seen uint32
}

// walk calls visit for every field.
func walk(data []byte, visit func(*field) error) error {
	var f field
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrNotMessage, protowire.ParseError(n))
		}
		data = data[n:]
		f.number, f.typ, f.value, f.n = number, typ, nil, 0
		switch typ {
		case protowire.BytesType:
			f.value, n = protowire.ConsumeBytes(data)
		case protowire.VarintType:
			f.n, n = protowire.ConsumeVarint(data)
		default:
			n = protowire.ConsumeFieldValue(number, typ, data)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrNotMessage, protowire.ParseError(n))
		}
		data = data[n:]
		if err := visit(&f); err != nil {
			return err
		}
		if number < 32 {
			f.seen |= 1 << number
		}
	}
	return nil
}

// expect checks the wire type of a field, and of a singular one that it did
// not come before.
func (f *field) expect(name string, typ protowire.Type, repeated bool) error {
	if f.typ != typ {
		return fmt.Errorf("%w: %s of wire type %d", ErrNotMessage, name, f.typ)
	}
	if !repeated && f.seen&(1<<f.number) != 0 {
		return fmt.Errorf("%w: %s comes twice", ErrNotMessage, name)
	}
	return nil
}

func (f *field) integer(name string) (uint64, error) {
	return f.n, f.expect(name, protowire.VarintType, false)
}

func (f *field) bytes(name string, most int) ([]byte, error) {
	if err := f.expect(name, protowire.BytesType, false); err != nil {
		return nil, err
	}
	return f.value, atMost(name, "bytes", len(f.value), most)
}

func (f *field) text(name string) (string, error) {
	if err := f.expect(name, protowire.BytesType, false); err != nil {
		return "", err
	}
	if err := checkText(name, f.value); err != nil {
		return "", err
	}
	return string(f.value), nil
}

func (f *field) optionalText(name string) (string, error) {
	if f.typ == protowire.BytesType && len(f.value) == 0 {
		return "", f.expect(name, protowire.BytesType, false)
	}
	return f.text(name)
}

// entry adds a history entry to a list.
func (f *field) entry(name string, list *[]Entry, most int) error {
	if err := f.expect(name, protowire.BytesType, true); err != nil {
		return err
	}
	if err := atMost(name, "entries", len(*list)+1, most); err != nil {
		return err
	}
	e, err := decodeEntry(f.value)
	*list = append(*list, e)
	return err
}

func decodeEntry(data []byte) (e Entry, err error) {
	err = walk(data, func(f *field) (err error) {
		switch f.number {
		case 1:
			e.ID, err = f.text("message id")
		case 2:
			e.Hint, err = f.bytes("retrieval hint", MaxHint)
		case 3:
			e.Sender, err = f.optionalText("sender id")
		}
		return err
	})
	if err == nil && e.ID == "" {
		err = fmt.Errorf("%w: history entry without a message id", ErrNotMessage)
	}
	return e, err
}

// entryTag is the first byte of an encoded history entry: field 1, text.
const entryTag = 1<<3 | byte(protowire.BytesType)

// nimHistory adds an element of the causal history of nim-sds: the bare id, or
// an encoded entry in some builds. An entry begins with the tag of its first
// field, a line feed, with which no id in use begins; so what begins with one
// is an entry or an error.
func (f *field) nimHistory(list *[]Entry) error {
	if len(f.value) > 0 && f.value[0] == entryTag {
		return f.entry("causal history", list, MaxHistory)
	}
	if err := f.expect("causal history", protowire.BytesType, true); err != nil {
		return err
	}
	if err := atMost("causal history", "entries", len(*list)+1, MaxHistory); err != nil {
		return err
	}
	if err := checkText("message id", f.value); err != nil {
		return err
	}
	*list = append(*list, Entry{ID: string(f.value)})
	return nil
}

func atMost(name, unit string, n, most int) error {
	if n > most {
		return fmt.Errorf("%w: %s of %d %s, limit %d", ErrLimit, name, n, unit, most)
	}
	return nil
}

func checkText(name string, value []byte) error {
	switch {
	case len(value) == 0:
		return fmt.Errorf("%w: empty %s", ErrNotMessage, name)
	case len(value) > MaxID:
		return fmt.Errorf("%w: %s of %d bytes, limit %d", ErrLimit, name, len(value), MaxID)
	case !utf8.Valid(value):
		return fmt.Errorf("%w: %s is not UTF-8", ErrNotMessage, name)
	}
	return nil
}
