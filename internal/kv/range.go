package kv

import "errors"

// Range is a part of an ordered store.
type Range struct {
	// From is the least key, To the first key after the part; an empty To
	// means up to the end.
	From, To string
	// Reverse visits the greatest key first.
	Reverse bool
	// KeysOnly spares reading values: those handed out may be nil.
	KeysOnly bool
	// Expect is how many entries the visitor will probably take before it
	// stops: a hint for how far to read ahead, 0 for none.
	Expect int
}

// Prefix is the range of all keys with a prefix.
func Prefix(prefix string) Range { return Range{From: prefix, To: PrefixEnd(prefix)} }

// PrefixEnd returns the first key after all keys with a prefix, empty when
// there is none.
func PrefixEnd(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// Ranger is a store that visits a part of itself from either end, at the cost
// of what is visited.
type Ranger interface {
	Store
	// Range calls visit for every key of the range, in byte order or against
	// it, until visit returns an error; Stop ends it without being one. visit
	// may not write.
	Range(r Range, visit func(key string, value []byte) error) error
}

// Range implements Ranger.
func (m *Memory) Range(r Range, visit func(string, []byte) error) error {
	var err error
	step := func(key string, value []byte) bool {
		switch {
		case r.To != "" && key >= r.To:
			return r.Reverse // the pivot itself
		case key < r.From:
			return false
		}
		err = visit(key, value)
		return err == nil
	}
	switch {
	case !r.Reverse:
		m.m.Ascend(r.From, step)
	case r.To == "":
		m.m.Reverse(step)
	default:
		m.m.Descend(r.To, step)
	}
	if errors.Is(err, Stop) {
		return nil
	}
	return err
}
