package service

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/eventually"
	"github.com/parley-im/parley/internal/fault"
)

// TestReload: new peers and another retention are taken over, and the log hears
// of what is not.
func TestReload(t *testing.T) {
	t.Parallel()
	other := start(t, nil)
	s := start(t, nil)
	next := s.cfg
	next.Peers = other.Addrs()
	fixed, err := s.Reload(next)
	if err != nil || len(fixed) != 0 {
		t.Fatalf("%v, %v", fixed, err)
	}
	eventually.True(t, "the new peer", func() bool { return meshed(s) })
	hashes := publish(t, s, 3)
	eventually.True(t, "the archive", func() bool { return has(t, s, hashes) })
	next.Retention.Messages = 1
	if fixed, err := s.Reload(next); err != nil || len(fixed) != 0 {
		t.Fatalf("%v, %v", fixed, err)
	}
	eventually.True(t, "the archive within its new bounds", func() bool {
		stats, err := s.archive.Stats(t.Context())
		return err == nil && stats.Messages == 1
	})
	next.Shards, next.REST, next.Without.Filter, next.Peers = []uint16{64}, ":1", true, nil
	for range 2 { // until the restart
		if fixed, err := s.Reload(next); err != nil || !slices.Equal(fixed, []string{"shard", "filter", "rest", "peer"}) {
			t.Errorf("%v, %v", fixed, err)
		}
	}
	next.Peers = []string{"nobody"}
	if _, err := s.Reload(next); fault.KindOf(err) != fault.Usage {
		t.Errorf("%v", err)
	}
}

// TestEffects: of each field of the configuration, those of its parts included,
// it is known what a reload does with a change, and it does that. A field that
// is added without a thought fails here.
func TestEffects(t *testing.T) {
	t.Parallel()
	c := newConfig(t)
	seen := map[string]bool{}
	fields("", reflect.ValueOf(c), reflect.ValueOf(c), func(path string, _, _ reflect.Value) {
		seen[path] = true
		e, known := effects[path]
		ways := 0
		for _, is := range []bool{e.restart != "", e.applied, e.neither != ""} {
			if is {
				ways++
			}
		}
		if !known || ways != 1 {
			t.Errorf("what becomes of a change of %s? %+v", path, e)
		}
		next := c
		fields("", reflect.ValueOf(c), reflect.ValueOf(&next).Elem(), func(p string, _, is reflect.Value) {
			if p == path {
				alter(t, path, is)
			}
		})
		var want []string
		if e.restart != "" {
			want = []string{e.restart}
		}
		if got := c.changed(next); !slices.Equal(got, want) {
			t.Errorf("%s is another: %q need a restart, want %q", path, got, want)
		}
		if got := next.changed(c); !slices.Equal(got, want) {
			t.Errorf("%s is another, the other way: %q need a restart, want %q", path, got, want)
		}
	})
	for path := range effects {
		if !seen[path] {
			t.Errorf("there is no %s", path)
		}
	}
	if got := c.changed(c); len(got) != 0 {
		t.Errorf("nothing is another: %q", got)
	}
	none := c
	none.Announce, none.Bootstrap = []string{}, []string{}
	if got := c.changed(none); len(got) != 0 {
		t.Errorf("empty lists are none: %q", got)
	}
}

// alter makes a value another one.
func alter(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint16:
		v.SetUint(v.Uint() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Slice:
		v.Set(reflect.Append(v.Slice3(0, v.Len(), v.Len()), reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
		v.Set(m)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Interface:
		v.SetZero()
	case reflect.Func:
		v.Set(reflect.MakeFunc(v.Type(), func([]reflect.Value) []reflect.Value { panic("called") }))
	case reflect.Struct:
		alter(t, path, v.Field(0))
	default:
		t.Fatalf("%s is a %s: how is it changed?", path, v.Kind())
	}
}

// TestAppliedEffects: what is said to be taken over is.
func TestAppliedEffects(t *testing.T) {
	t.Parallel()
	s, other := start(t, nil), start(t, nil)
	applied := map[string]struct {
		change func(c *Config)
		is     func() bool
	}{
		"Retention": {
			func(c *Config) { c.Retention.Age = time.Hour },
			func() bool { return s.archive.retain.Load().Age == time.Hour },
		},
		"Peers": {
			func(c *Config) { c.Peers = other.Addrs() },
			func() bool { return connected(s, other) },
		},
	}
	next := s.cfg
	for path, e := range effects {
		if !e.applied {
			continue
		}
		a, ok := applied[path]
		if !ok {
			t.Errorf("%s is said to be applied; show it", path)
			continue
		}
		a.change(&next)
		if fixed, err := s.Reload(next); err != nil || len(fixed) != 0 {
			t.Errorf("%s: %v, %v", path, fixed, err)
		}
		eventually.True(t, path+" is taken over", a.is)
	}
}
