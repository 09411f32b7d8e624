package relay

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/parley-im/parley/internal/eventually"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestQuiet: of GossipSub's own log warnings and errors are passed on, the rest
// is for who asks for debug messages.
func TestQuiet(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level][]string{
		slog.LevelDebug: {"DEBUG msg=trifle", "DEBUG msg=chatter", "WARN msg=weather", "ERROR msg=failure"},
		slog.LevelInfo:  {"WARN msg=weather", "ERROR msg=failure"},
		slog.LevelWarn:  {"WARN msg=weather", "ERROR msg=failure"},
		slog.LevelError: {"ERROR msg=failure"},
	} {
		var out lines
		log := slog.New(quiet{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})}).With("a", 1).WithGroup("g")
		log.Debug("trifle")
		log.Info("chatter")
		log.Warn("weather", "n", 2)
		log.Error("failure")
		got := out.String()
		if strings.Count(got, "\n") != len(want) {
			t.Errorf("at %s:\n%s", level, got)
		}
		for _, line := range want {
			if !strings.Contains(got, "level="+line+" a=1") {
				t.Errorf("at %s: no %s in\n%s", level, line, got)
			}
		}
		if strings.Contains(got, "weather") && !strings.Contains(got, "g.n=2") {
			t.Errorf("at %s: the group is gone:\n%s", level, got)
		}
		if log.Enabled(context.Background(), slog.LevelInfo) != (level == slog.LevelDebug) {
			t.Errorf("at %s: info is made or not", level)
		}
	}
}

// TestQuietEnd: that GossipSub ends is no news at level info.
func TestQuietEnd(t *testing.T) {
	t.Parallel()
	var out lines
	r, err := New(newHost(t), Config{Deliver: func(Delivery) {}, Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Subscribe(shard32); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the end in the log", func() bool { return strings.Contains(out.String(), "shutting down") })
	if got := out.String(); strings.Contains(got, "level=INFO") {
		t.Errorf("%s", got)
	}
}
