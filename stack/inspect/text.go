package inspect

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// shownBytes is how many bytes the text form of Layers shows of a longer byte
// string: enough for keys, ids and signatures. JSON has all of them.
const shownBytes = 72

// WriteText writes a result of this package for people: one line "key: value"
// for each field, aligned, what is inside indented. Layers are a tree with the
// name of each on a line of its own; byte strings in it are cut short. Foreign
// text that a terminal could mistake for something else is quoted.
func WriteText(w io.Writer, v any) error {
	t := &textWriter{w: bufio.NewWriter(w)}
	if l, ok := v.(Layer); ok {
		t.short = true
		t.layer(l, "")
		if l.Truncated {
			t.line("", "The rest is left out: too many layers or values.")
		}
		return t.w.Flush()
	}
	v, err := generic(v)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case Fields:
		t.fields(v, "")
	case []any:
		for i, item := range v {
			if i > 0 {
				t.line("", "")
			}
			if f, ok := item.(Fields); ok {
				t.fields(f, "")
			} else {
				t.line("", t.inline(item))
			}
		}
	default:
		t.line("", t.inline(v))
	}
	return t.w.Flush()
}

type textWriter struct {
	w *bufio.Writer // keeps the first error
	// short cuts byte strings.
	short bool
}

func (t *textWriter) line(indent, s string) {
	if s == "" {
		indent = ""
	}
	fmt.Fprintf(t.w, "%s%s\n", indent, s)
}

func (t *textWriter) layer(l Layer, indent string) {
	t.line(indent, l.Name)
	indent += "  "
	fields := l.Fields
	if l.Error != "" {
		fields = append(Fields{{"error", l.Error}}, fields...)
	}
	if l.Bytes != nil {
		fields = append(Fields{{"bytes", l.Bytes}}, fields...)
	}
	t.fields(fields, indent)
	for _, inner := range l.Inner {
		t.layer(inner, indent)
	}
}

// fields writes an object. Values on a line of their own do not widen the
// column of the others.
func (t *textWriter) fields(fields Fields, indent string) {
	width := 0
	for _, f := range fields {
		if isInline(f.Value) {
			width = max(width, utf8.RuneCountInString(quoted(f.Name)))
		}
	}
	for _, f := range fields {
		name := quoted(f.Name) + ":"
		if isInline(f.Value) {
			t.line(indent, fmt.Sprintf("%-*s %s", width+1, name, t.inline(f.Value)))
			continue
		}
		t.line(indent, name)
		t.block(f.Value, indent+"  ")
	}
}

// block writes a value that takes lines of its own.
func (t *textWriter) block(v any, indent string) {
	switch v := v.(type) {
	case Fields:
		t.fields(v, indent)
	case []any:
		for _, item := range v {
			if isInline(item) {
				t.line(indent, "- "+t.inline(item))
				continue
			}
			// The first line of the item stands behind the dash.
			var b bytes.Buffer
			inner := &textWriter{bufio.NewWriter(&b), t.short}
			inner.block(item, indent+"  ")
			inner.w.Flush()
			t.w.WriteString(indent + "- " + strings.TrimPrefix(b.String(), indent+"  "))
		}
	}
}

// isInline reports whether a value fits behind its name.
func isInline(v any) bool {
	switch v := v.(type) {
	case Fields:
		return len(v) == 0
	case []any:
		for _, item := range v {
			switch item := item.(type) {
			case Fields:
				return false
			case []any:
				if !isInline(item) {
					return false
				}
			}
		}
	}
	return true
}

// inline writes a value on one line.
func (t *textWriter) inline(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return quoted(v)
	case carried:
		return fmt.Sprintf("%d bytes, below", len(v.Hex))
	case Hex:
		if t.short && len(v) > shownBytes {
			return fmt.Sprintf("%s… (%d bytes)", v[:shownBytes/2], len(v))
		}
		return v.String()
	case Fields:
		return "-"
	case []any:
		if len(v) == 0 {
			return "-"
		}
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = t.inline(item)
			if _, ok := item.([]any); ok {
				items[i] = "(" + items[i] + ")"
			}
		}
		return strings.Join(items, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// quoted returns a text as it is, or as a Go string literal when it has runes
// that do not print or could be mistaken for what this package writes itself.
func quoted(s string) string {
	if s == "" || s == "-" || s != strings.TrimSpace(s) || strings.HasPrefix(s, `"`) {
		return strconv.Quote(s)
	}
	for _, r := range s {
		if !printable(r) || r == utf8.RuneError {
			return strconv.Quote(s)
		}
	}
	return s
}

// generic returns what a value is in JSON: Fields, []any, string, json.Number,
// bool or nil.
func generic(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return ordered(d)
}

// ordered reads the next value of JSON with objects as Fields.
func ordered(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		fields := Fields{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			fields = append(fields, Field{name.(string), value})
		}
		_, err = d.Token()
		return fields, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	}
	return token, nil
}
