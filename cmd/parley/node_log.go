package main

import (
	"context"
	"log/slog"
	"slices"
)

// libraryLog is where libp2p logs: its errors alone, for what it warns of is
// the weather of any network, and not those of its start, which it returns too.
type libraryLog struct {
	slog.Handler
	silent bool
}

// Enabled implements slog.Handler.
func (l libraryLog) Enabled(ctx context.Context, level slog.Level) bool {
	return !l.silent && level >= slog.LevelError && l.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l libraryLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	starting := slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == "logger" && a.Value.String() == "p2p-config" })
	return libraryLog{l.Handler.WithAttrs(attrs), l.silent || starting}
}

// WithGroup implements slog.Handler.
func (l libraryLog) WithGroup(name string) slog.Handler {
	return libraryLog{l.Handler.WithGroup(name), l.silent}
}
