package sim

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Clients use package time, and so they should: nothing of them is there for
// the laboratory's sake. What fakes that clock is testing/synctest, whose only
// door takes a *testing.T. Inside of it a goroutine's time stands still while
// anything runs and jumps to the next timer when all are waiting.
//
// Outside of "go test" a test has to be made up. The zero T is enough: it has
// no parent to report to and nothing is ever reported, failed or skipped by it.
// testing.Init is needed once, for the flags that package testing reads; they
// are registered with package flag, which nothing here uses. TestBubble runs
// this road, so that a version of Go that takes it away is noticed at once.

var testingInit = sync.OnceFunc(func() {
	if !testing.Testing() {
		testing.Init()
	}
})

// bubble runs f on a fake clock that begins at start. All goroutines that f
// starts must have ended when it returns.
func bubble(f func()) {
	testingInit()
	synctest.Test(new(testing.T), func(*testing.T) {
		time.Sleep(time.Until(epoch))
		f()
	})
}

// epoch is when every simulation begins.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
