package inspect

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Field is one named value: a string, bool, integer, Hex, nil, Fields, []any
// of these, or a struct of this package.
type Field struct {
	Name  string
	Value any
}

// Fields is a JSON object whose members have an order.
type Fields []Field

// MarshalJSON writes an object with the members in their order.
func (f Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, field := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(field.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Get returns the value of the first field of a name, nil when there is none.
func (f Fields) Get(name string) any {
	for _, field := range f {
		if field.Name == name {
			return field.Value
		}
	}
	return nil
}

// carried is a byte string that is shown below as a layer of its own, so that
// the text form need not repeat it. JSON has it in both places.
type carried struct{ Hex }

// carry marks a field as carried, when it is there.
func (f Fields) carry(name string) {
	for i, field := range f {
		if h, ok := field.Value.(Hex); ok && field.Name == name {
			f[i].Value = carried{h}
		}
	}
}

// budget bounds how much is shown of one input.
type budget struct {
	values, layers int
	// spent tells that something was left out.
	spent bool
}

func newBudget() *budget { return &budget{values: MaxValues, layers: MaxLayers} }

// value takes one value from the budget.
func (b *budget) value() bool { return b.take(&b.values) }

func (b *budget) layer() bool { return b.take(&b.layers) }

func (b *budget) take(left *int) bool {
	if *left == 0 {
		b.spent = true
		return false
	}
	*left--
	return true
}

// everyField shows fields that are not set with their default, setFields
// leaves them out.
const (
	everyField = true
	setFields  = false
)

// messageFields returns the fields of a message by their names in the .proto
// file: bytes as Hex, enumerations by name. Messages that are not set are left
// out in any case. Fields that the message's type does not know come last, as
// unknown_fields.
func messageFields(m protoreflect.Message, every bool, b *budget) Fields {
	fields := Fields{}
	descriptors := m.Descriptor().Fields()
	for i := range descriptors.Len() {
		fd := descriptors.Get(i)
		if !m.Has(fd) && (!every || fd.Message() != nil && !fd.IsList() && !fd.IsMap() || fd.ContainingOneof() != nil) {
			continue
		}
		if !b.value() {
			break
		}
		fields = append(fields, Field{fd.TextName(), fieldValue(fd, m.Get(fd), every, b)})
	}
	return appendUnknown(fields, m, b)
}

// appendUnknown adds the fields of a message that its type does not know.
func appendUnknown(fields Fields, m protoreflect.Message, b *budget) Fields {
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		fields = append(fields, Field{"unknown_fields", dump(unknown, 0, b)})
	}
	return fields
}

func fieldValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, every bool, b *budget) any {
	switch {
	case fd.IsList():
		list, out := v.List(), []any{}
		for i := range list.Len() {
			if !b.value() {
				break
			}
			out = append(out, singleValue(fd, list.Get(i), every, b))
		}
		return out
	case fd.IsMap():
		out := Fields{}
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			if !b.value() {
				return false
			}
			out = append(out, Field{k.String(), singleValue(fd.MapValue(), v, every, b)})
			return true
		})
		slices.SortFunc(out, func(a, b Field) int { return cmp.Compare(a.Name, b.Name) })
		return out
	}
	return singleValue(fd, v, every, b)
}

func singleValue(fd protoreflect.FieldDescriptor, v protoreflect.Value, every bool, b *budget) any {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return messageFields(v.Message(), every, b)
	case protoreflect.BytesKind:
		return Hex(v.Bytes())
	case protoreflect.EnumKind:
		if d := fd.Enum().Values().ByNumber(v.Enum()); d != nil {
			return string(d.Name())
		}
		return int32(v.Enum()) // a number without a name, as JSON of protobuf has it
	}
	return v.Interface()
}

// dump lists the fields of bytes that are protobuf of an unknown type, and
// returns nil for bytes that are not. Each has its number, its wire type and
// one of three: value, text (of bytes that are printable UTF-8) or message (of
// bytes that are protobuf themselves). The last two are guesses.
func dump(raw []byte, depth int, b *budget) []any {
	if !isProtobuf(raw) {
		return nil
	}
	list := []any{}
	for len(raw) > 0 && b.value() {
		number, wireType, n := protowire.ConsumeTag(raw)
		size := protowire.ConsumeFieldValue(number, wireType, raw[n:])
		value := raw[n : n+size]
		raw = raw[n+size:]
		list = append(list, dumpField(number, wireType, value, depth, b))
	}
	return list
}

// isProtobuf reports whether bytes are one or more fields.
func isProtobuf(raw []byte) bool {
	if len(raw) == 0 {
		return false
	}
	for len(raw) > 0 {
		_, _, n := protowire.ConsumeField(raw)
		if n < 0 {
			return false
		}
		raw = raw[n:]
	}
	return true
}

func dumpField(number protowire.Number, wireType protowire.Type, value []byte, depth int, b *budget) Fields {
	f := Fields{{"field", int32(number)}}
	switch wireType {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		return append(f, Field{"type", "varint"}, Field{"value", v})
	case protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(value)
		return append(f, Field{"type", "fixed32"}, Field{"value", v})
	case protowire.Fixed64Type:
		v, _ := protowire.ConsumeFixed64(value)
		return append(f, Field{"type", "fixed64"}, Field{"value", v})
	case protowire.BytesType:
		f = append(f, Field{"type", "bytes"})
		value, _ = protowire.ConsumeBytes(value)
		if isText(value) {
			return append(f, Field{"text", string(value)})
		}
	case protowire.StartGroupType:
		f = append(f, Field{"type", "group"})
		value, _ = protowire.ConsumeGroup(number, value)
	}
	if depth+1 < MaxDepth {
		if inner := dump(value, depth+1, b); len(inner) > 0 {
			return append(f, Field{"message", inner})
		}
	}
	return append(f, Field{"value", Hex(value)})
}

// isText reports whether bytes are text that a person can read.
func isText(b []byte) bool {
	if len(b) == 0 || !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !printable(r) && r != '\n' && r != '\t' {
			return false
		}
	}
	return true
}

// printable reports whether a terminal shows a rune as what it is. Zero-width
// joiners hold emoji together; other invisible runes could disguise a text.
func printable(r rune) bool { return unicode.IsPrint(r) || r == '\u200d' }
