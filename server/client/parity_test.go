package client

import (
	"reflect"
	"testing"

	"github.com/parley-im/parley"
)

// TestParity: whatever can be done with a client can be done with that of a
// daemon, by the same method.
func TestParity(t *testing.T) {
	t.Parallel()
	local := map[string]bool{ // of the process itself
		"Account": true, "Close": true, "Done": true, "Resolve": true, "ResolveChat": true, "Self": true, "String": true,
	}
	there := reflect.TypeFor[*Client]()
	for m := range reflect.TypeFor[*parley.Client]().Methods() {
		if local[m.Name] {
			continue
		}
		other, ok := there.MethodByName(m.Name)
		if !ok {
			t.Errorf("there is no %s", m.Name)
			continue
		}
		if a, b := signature(m.Type), signature(other.Type); a != b {
			t.Errorf("%s is %s here and %s there", m.Name, b, a)
		}
	}
}

// signature is that of a method without its receiver.
func signature(f reflect.Type) string {
	var in, out []reflect.Type
	for i := 1; i < f.NumIn(); i++ {
		in = append(in, f.In(i))
	}
	for i := range f.NumOut() {
		out = append(out, f.Out(i))
	}
	return reflect.FuncOf(in, out, f.IsVariadic()).String()
}
