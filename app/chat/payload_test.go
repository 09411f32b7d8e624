package chat

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fill puts something into every field that v leads to.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes([]byte("payload"))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

// Everything of bytes that a message can have is a payload, but for the
// signature of a transaction, which is short. Detaching takes all of them and
// leaves the message as it was, and can be done again.
func TestDetach(t *testing.T) {
	t.Parallel()
	m := new(Message)
	fill(reflect.ValueOf(m).Elem())
	m.Transaction.Signature = nil
	encoded := base64.StdEncoding.EncodeToString([]byte("payload"))
	text := func(m *Message) string {
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	before := text(m)
	all := strings.Count(before, encoded)
	out, payloads := m.Detach()
	if text(m) != before {
		t.Error("the message itself has changed")
	}
	after := text(out)
	if all < 20 || len(payloads) != all || strings.Contains(after, encoded) || strings.Count(after, `bytes":7`) != all {
		t.Errorf("%d of %d payloads were detached, and left is %s", len(payloads), all, after)
	}
	if again, more := out.Detach(); again != out || more != nil {
		t.Errorf("detaching again gives %d", len(more))
	}
	names, were := out.Payloads(), m.Payloads()
	slices.Sort(names)
	slices.Sort(were)
	if !slices.Equal(names, were) || len(slices.Compact(names)) != all {
		t.Errorf("%q, before it %q", names, were)
	}
	for _, name := range []string{PayloadImage, PayloadAudio, PayloadCommunity, PayloadLink(0), PayloadLink(1)} {
		if string(payloads[name]) != "payload" {
			t.Errorf("there is no %s", name)
		}
	}
	if out, payloads := (&Message{Text: "x", Image: &Image{}}).Detach(); payloads != nil || out.Image.Bytes != 0 {
		t.Errorf("%v, %v", out, payloads)
	}
}
