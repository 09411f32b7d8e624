package sds

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/kv"
	"github.com/parley-im/parley/reliability/sds"
)

// effect is what a call of a participant brought about.
type effect struct {
	send                    []frame
	delivered, acknowledged []string
	// missing are the hints of what a participant looks for.
	missing [][]byte
}

// frame is a message on its way.
type frame struct {
	// why is "first", "again", "answer" or "sync".
	why, id string
	data    []byte
}

// hintOf stands for the Waku message hash of a frame.
func hintOf(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// place is a message in the order of a history.
type place struct {
	Lamport uint64
	ID      string
}

// participant is one of either implementation.
type participant interface {
	say(now time.Time, content []byte) (effect, error)
	hear(now time.Time, data, hint []byte) (effect, error)
	// due does what is due, and returns when to call again.
	due(now time.Time) (effect, time.Time, error)
	// history is that of the participant, with the number of own messages
	// that are not acknowledged.
	history(now time.Time) ([]place, int, error)
}

// ours is a participant of Parley.
type ours struct {
	channel *sds.Channel
	st      *kv.Memory
	rand    io.Reader
}

var reasons = map[sds.Reason]string{sds.First: "first", sds.Again: "again", sds.Answer: "answer", sds.Idling: "sync"}

func effectOf(r sds.Result) (effect, error) {
	e := effect{acknowledged: r.Acknowledged}
	for _, o := range r.Send {
		e.send = append(e.send, frame{reasons[o.Reason], o.ID, o.Data})
	}
	for _, d := range r.Delivered {
		e.delivered = append(e.delivered, d.ID)
	}
	for _, f := range r.Fetch {
		e.missing = append(e.missing, f.Hints...)
	}
	if len(r.Failed)+len(r.Stale)+len(r.Evicted) > 0 {
		return e, fmt.Errorf("gave up %v, dropped %v and %v", r.Failed, r.Stale, r.Evicted)
	}
	return e, nil
}

func (p *ours) say(now time.Time, content []byte) (effect, error) {
	out, err := p.channel.Send(p.st, now, p.rand, content)
	if err != nil {
		return effect{}, err
	}
	hint := hintOf(out.Data)
	if err := p.channel.SetHint(p.st, out.ID, hint); err != nil {
		return effect{}, err
	}
	return effectOf(sds.Result{Send: []sds.Outgoing{*out}})
}

func (p *ours) hear(now time.Time, data, hint []byte) (effect, error) {
	in, err := p.channel.Receive(p.st, now, p.rand, data, hint)
	if err != nil {
		return effect{}, err
	}
	return effectOf(in.Result)
}

func (p *ours) due(now time.Time) (effect, time.Time, error) {
	r, err := p.channel.Due(p.st, now, p.rand)
	if err != nil {
		return effect{}, now, err
	}
	e, err := effectOf(*r)
	return e, now.Add(time.Second), err
}

func (p *ours) history(now time.Time) (list []place, pending int, err error) {
	log, err := p.channel.Log(p.st)
	if err != nil {
		return nil, 0, err
	}
	for _, l := range log {
		list = append(list, place{l.Lamport, l.ID})
	}
	own, err := p.channel.Pending(p.st, now)
	return list, len(own), err
}

// theirs is a participant of @waku/sds in a process of Node, which is opened
// anew for every test.
type theirs struct {
	in  io.Writer
	out *bufio.Reader
	// repeated counts what the library delivered a second time.
	repeated int
}

// start runs Node until the test ends, or the time is up.
func start(t *testing.T, limit time.Duration) *theirs {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd := exec.CommandContext(ctx, "node", "--import", "./lib/node20.mjs", "lib/sds-peer.mjs")
	cmd.Dir, cmd.Stderr = "../js", os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error("Node:", err)
		}
		cancel()
	})
	return &theirs{in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

// answer is a line of the process.
type answer struct {
	Send []struct {
		Why, ID, Data string
	}
	Delivered, Acknowledged []string
	Repeated, Pending       int
	Missing                 []struct{ Hint string }
	Errors                  []string
	History                 []place
}

func (p *theirs) ask(what string, now time.Time, more map[string]any) (effect, *answer, error) {
	request := map[string]any{"do": what, "now": now.UnixMilli()}
	for k, v := range more {
		request[k] = v
	}
	line, err := json.Marshal(request)
	if err != nil {
		return effect{}, nil, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return effect{}, nil, fmt.Errorf("asking Node: %w", err)
	}
	raw, err := p.out.ReadBytes('\n')
	if err != nil {
		return effect{}, nil, fmt.Errorf("Node does not answer: %w", err)
	}
	a := &answer{}
	if err := json.Unmarshal(raw, a); err != nil {
		return effect{}, nil, err
	}
	if len(a.Errors) > 0 {
		return effect{}, nil, fmt.Errorf("@waku/sds fails: %v", a.Errors)
	}
	p.repeated += a.Repeated
	e := effect{delivered: a.Delivered, acknowledged: a.Acknowledged}
	for _, s := range a.Send {
		data, err := hex.DecodeString(s.Data)
		if err != nil {
			return effect{}, nil, err
		}
		e.send = append(e.send, frame{s.Why, s.ID, data})
	}
	for _, m := range a.Missing {
		hint, err := hex.DecodeString(m.Hint)
		if err != nil {
			return effect{}, nil, err
		}
		e.missing = append(e.missing, hint)
	}
	return e, a, nil
}

func (p *theirs) open(now time.Time, channel, self string, seed uint64) error {
	p.repeated = 0
	_, _, err := p.ask("open", now, map[string]any{"channel": channel, "self": self, "seed": uint32(seed)})
	return err
}

func (p *theirs) say(now time.Time, content []byte) (effect, error) {
	e, _, err := p.ask("send", now, map[string]any{"content": hex.EncodeToString(content)})
	return e, err
}

func (p *theirs) hear(now time.Time, data, hint []byte) (effect, error) {
	e, _, err := p.ask("receive", now, map[string]any{"data": hex.EncodeToString(data), "hint": hex.EncodeToString(hint)})
	return e, err
}

func (p *theirs) due(now time.Time) (effect, time.Time, error) {
	e, _, err := p.ask("tick", now, nil)
	return e, now.Add(time.Second), err
}

func (p *theirs) history(now time.Time) ([]place, int, error) {
	_, a, err := p.ask("history", now, nil)
	if err != nil {
		return nil, 0, err
	}
	return a.History, a.Pending, nil
}
