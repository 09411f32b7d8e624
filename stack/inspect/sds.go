package inspect

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// sdsKind is how a field of an SDS message is written.
type sdsKind uint8

const (
	sdsText    sdsKind = iota
	sdsNumber          // a varint
	sdsBytes           // opaque
	sdsEntry           // a HistoryEntry, repeated
	sdsIDs             // a HistoryEntry or a bare message id, repeated
	sdsContent         // the next layer
)

type sdsField struct {
	number protowire.Number
	name   string
	kind   sdsKind
}

// sdsLayout is one numbering of the fields of an SDS message.
type sdsLayout struct {
	name   string
	fields []sdsField
	// all of these are in every message, and one of the others.
	all, one []string
}

// The specification (Scalable Data Sync) and deployed clients number the
// fields differently. Deployed clients wrote the causal history as bare ids,
// as entries, and as both.
var sdsLayouts = []sdsLayout{
	{
		name: "specification",
		fields: []sdsField{
			{1, "sender_id", sdsText},
			{2, "message_id", sdsText},
			{3, "channel_id", sdsText},
			{10, "lamport_timestamp", sdsNumber},
			{11, "causal_history", sdsEntry},
			{12, "bloom_filter", sdsBytes},
			{13, "repair_request", sdsEntry},
			{20, "content", sdsContent},
		},
		all: []string{"message_id", "channel_id"},
		one: []string{"lamport_timestamp", "content"},
	},
	{
		name: "deployed",
		fields: []sdsField{
			{7, "sender_id", sdsText},
			{1, "message_id", sdsText},
			{4, "channel_id", sdsText},
			{2, "lamport_timestamp", sdsNumber},
			{3, "causal_history", sdsIDs},
			{8, "causal_history_entries", sdsEntry},
			{6, "bloom_filter", sdsBytes},
			{13, "repair_request", sdsEntry},
			{5, "content", sdsContent},
		},
		all: []string{"message_id", "channel_id", "lamport_timestamp"},
	},
}

// historyEntry has the same numbers in both layouts.
var historyEntry = []sdsField{
	{1, "message_id", sdsText},
	{2, "retrieval_hint", sdsBytes},
	{3, "sender_id", sdsText},
}

// sds reads a message of Scalable Data Sync in either numbering.
func (w walker) sds(raw []byte, depth int) *Layer {
	for _, layout := range sdsLayouts {
		if !layout.fits(raw) {
			continue
		}
		fields, content := w.sdsFields(layout.fields, raw)
		l := &Layer{Name: LayerSDS, Fields: append(Fields{{"numbering", layout.name}}, fields...)}
		if content != nil {
			l.Inner = []Layer{w.open(content, depth+1)}
		}
		return l
	}
	return nil
}

func (l sdsLayout) fits(raw []byte) bool {
	seen := make(map[string]bool)
	if !eachField(l.fields, raw, func(f sdsField, value []byte, _ uint64) { seen[f.name] = len(value) > 0 || f.kind != sdsText }) {
		return false
	}
	for _, name := range l.all {
		if !seen[name] {
			return false
		}
	}
	for _, name := range l.one {
		if seen[name] {
			return true
		}
	}
	return l.one == nil
}

// eachField visits the fields of a message and reports whether all of them
// are known and of their type.
func eachField(known []sdsField, raw []byte, visit func(f sdsField, value []byte, number uint64)) bool {
	for len(raw) > 0 {
		number, wireType, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return false
		}
		raw = raw[n:]
		f, ok := fieldOf(known, number)
		if !ok {
			return false
		}
		var value []byte
		var v uint64
		switch {
		case f.kind == sdsNumber && wireType == protowire.VarintType:
			v, n = protowire.ConsumeVarint(raw)
		case f.kind != sdsNumber && wireType == protowire.BytesType:
			value, n = protowire.ConsumeBytes(raw)
		default:
			return false
		}
		if n < 0 || !f.holds(value) {
			return false
		}
		raw = raw[n:]
		visit(f, value, v)
	}
	return true
}

func fieldOf(known []sdsField, number protowire.Number) (sdsField, bool) {
	for _, f := range known {
		if f.number == number {
			return f, true
		}
	}
	return sdsField{}, false
}

// holds reports whether a field's bytes are what it has.
func (f sdsField) holds(value []byte) bool {
	switch f.kind {
	case sdsText:
		return utf8.Valid(value)
	case sdsEntry:
		return isEntry(value)
	case sdsIDs:
		return isEntry(value) || utf8.Valid(value)
	}
	return true
}

func isEntry(value []byte) bool {
	return eachField(historyEntry, value, func(sdsField, []byte, uint64) {})
}

// sdsFields returns the fields of a message in the order of the table, and
// its content, nil when it has none.
func (w walker) sdsFields(known []sdsField, raw []byte) (fields Fields, content []byte) {
	values := make(map[string]any)
	eachField(known, raw, func(f sdsField, value []byte, number uint64) {
		if !w.value() {
			return
		}
		switch f.kind {
		case sdsText:
			values[f.name] = string(value)
		case sdsNumber:
			values[f.name] = number
		case sdsBytes:
			values[f.name] = Hex(value)
		case sdsContent:
			content = value
			values[f.name] = carried{Hex(value)}
		case sdsEntry, sdsIDs:
			list, _ := values[f.name].([]any)
			values[f.name] = append(list, w.historyEntry(value))
		}
	})
	for _, f := range known {
		if v, ok := values[f.name]; ok {
			fields = append(fields, Field{f.name, v})
		}
	}
	return fields, content
}

// historyEntry returns an entry's fields, or the text of a bare message id.
func (w walker) historyEntry(value []byte) any {
	if !isEntry(value) {
		return string(value)
	}
	fields, _ := w.sdsFields(historyEntry, value)
	if fields == nil {
		return Fields{}
	}
	return fields
}
