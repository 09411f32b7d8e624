package eventually

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a test that notes its end.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TestTrue: what becomes true is waited for, as long as there is patience and
// no longer, and what never does is named and explained.
func TestTrue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {time.Second, ""}, {Patience - every, ""}, {Patience + every, "not within 3m0s: the end"}} {
		synctest.Test(t, func(t *testing.T) {
			start, explained := time.Now(), false
			f := &failing{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				True(f, "the end", func() bool { return time.Since(start) >= c.after }, func() { explained = true })
			}()
			<-done
			if f.said != c.want || explained != (c.want != "") {
				t.Errorf("after %s: %q, explained %v", c.after, f.said, explained)
			}
			if took := time.Since(start); took > Patience || took > c.after+every {
				t.Errorf("after %s: waited %s", c.after, took)
			}
		})
	}
}

// TestCondition: it is looked at before any waiting, and may end the test.
func TestCondition(t *testing.T) {
	t.Parallel()
	looks := 0
	True(t, "at once", func() bool { looks++; return true })
	if looks != 1 {
		t.Errorf("looked %d times", looks)
	}
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		True(f, "never", func() bool { f.Fatalf("broken"); return false })
	}()
	<-done
	if !strings.HasPrefix(f.said, "broken") {
		t.Errorf("said %q", f.said)
	}
}
