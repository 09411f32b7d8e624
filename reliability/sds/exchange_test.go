package sds

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/parley-im/parley/internal/vectors"
)

// jsExchange is a conversation of three channels of @waku/sds.
type jsExchange struct {
	Name    string
	Options struct {
		CausalHistorySize, PossibleAcksThreshold int
		EnableRepair                             *bool
	}
	Channel           string
	Initial           map[string]struct{ Lamport string }
	Messages          map[string]jsMessage
	Timeline          []jsStep
	FirstDeliveries   map[string][]string
	FinalHistoryOrder map[string][]string
	Final             map[string]struct {
		Lamport      string
		Outgoing     []string
		PossibleAcks map[string]uint64
		Bloom        struct{ SHA256 vectors.Hex }
		RepairOut    []any
		RepairIn     []any
	}
}

type jsStep struct {
	Step          int
	Now           int64
	Actor, Action string
	Message       string
	Messages      []string
	RetrievalHint vectors.Hex
	Events        []jsEvent
}

type jsEvent struct {
	Ev, MessageID                        string
	Count                                uint64
	TReq, TResp                          int64
	Missing                              []jsEntry
	Unacknowledged, PossiblyAcknowledged []string
}

// of returns the message ids of the events of a name.
func (s jsStep) of(name string) (ids []string) {
	for _, e := range s.Events {
		if e.Ev == name {
			ids = append(ids, e.MessageID)
		}
	}
	return ids
}

// config is that of a recorded exchange. Nothing is done on our own: the
// recording says when.
func (x jsExchange) config() Config {
	c := Interop()
	c.History, c.Heads = 200, 0
	if n := x.Options.CausalHistorySize; n > 0 {
		c.History = n
	}
	if n := x.Options.PossibleAcksThreshold; n > 0 {
		c.Filter.Confirm = n
	}
	if on := x.Options.EnableRepair; on != nil {
		c.Repair.Off = !*on
	}
	c.Fetch.Lost, c.Fetch.Tries = 0, 0
	return c
}

// replay is a recorded exchange on its way through our channels. Everybody is
// fed what @waku/sds sent, so that a difference does not spread.
type replay struct {
	*testing.T
	jsExchange
	parties map[string]*party
	// delivered is what each has handed to the application, asked who was
	// asked for what before.
	delivered map[string][]string
	asked     map[string]map[string]bool
	// logs are what each had in its log when it was recorded.
	logs map[string][]Logged
	// differs counts the places where @waku/sds deviates from the
	// specification and we do not, by what it is.
	differs map[string]int
}

// The recorded exchanges give the same messages, byte for byte, the same
// acknowledgements, deliveries, repair times and order in our channels, except
// where @waku/sds deviates from the specification:
//
//   - "early": a dependency in the incoming buffer counts as met, so that a
//     message is delivered, and named in causal histories, before what it
//     depends on;
//   - "sweep": what waited is delivered when the buffer is swept next, which is
//     allowed, and not when the last dependency comes;
//   - "once": a repair is asked for once, and we ask again for what did not
//     come;
//   - "senders": causal histories name senders without repair too, where the
//     specification says that they are only there with it;
//   - "twice": a second copy of a delivered message is delivered again.
//
// Each is checked to be what it is called.
func TestVectorsExchanges(t *testing.T) {
	t.Parallel()
	for _, x := range recording(t).Exchanges {
		t.Run(x.Name, func(t *testing.T) {
			t.Parallel()
			r := &replay{t, x, map[string]*party{}, map[string][]string{}, map[string]map[string]bool{}, map[string][]Logged{}, map[string]int{}}
			for name, initial := range x.Initial {
				channel := must(New(x.Channel, name, x.config()))
				p := newParty(t, name, x.config())
				p.channel, p.now = channel, time.UnixMilli(must(strconv.ParseInt(initial.Lamport, 10, 64)))
				r.parties[name], r.asked[name] = p, map[string]bool{}
				if err := must(channel.open(p.st, p.now, nil)).close(); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range x.Timeline {
				p := r.parties[s.Actor]
				p.now = time.UnixMilli(s.Now)
				r.step(p, s)
				p.check()
				if t.Failed() {
					t.Fatalf("at step %d, %s %s %s", s.Step, s.Actor, s.Action, s.Message)
				}
			}
			for name, p := range r.parties {
				r.end(name, p)
			}
			t.Log("deviations of @waku/sds: ", r.differs)
		})
	}
}

func (r *replay) step(p *party, s jsStep) {
	switch s.Action {
	case "send":
		out, err := p.channel.Send(p.st, p.now, p.rand, r.Messages[s.Message].Fields.Content)
		if err != nil {
			r.Fatal(err)
		}
		r.logged(p, out.ID)
		r.written(p, s, out.Data)
		if err := p.channel.SetHint(p.st, out.ID, s.RetrievalHint); err != nil {
			r.Fatal(err)
		}
	case "ephemeral":
		out, err := p.channel.Ephemeral(p.rand, r.Messages[s.Message].Fields.Content)
		if err != nil {
			r.Fatal(err)
		}
		if !bytes.Equal(out.Data, r.Messages[s.Message].Hex) {
			r.Errorf("ephemeral %x", out.Data)
		}
	case "sync":
		e := must(p.channel.open(p.st, p.now, p.rand))
		if s.Message == "" { // skipped: there is nothing to tell
			if asks := must(e.eligible(1)); e.s.logged > 0 || len(asks) > 0 {
				r.Error("there is something to tell")
			}
			return
		}
		m := r.Messages[s.Message]
		if err := e.sync(m.Fields.MessageID); err != nil {
			r.Fatal(err)
		}
		if err := e.close(); err != nil {
			r.Fatal(err)
		}
		r.written(p, s, e.out.Send[0].Data)
	case "receive":
		r.receive(p, s)
	case "sweep":
		r.sweep(p, s)
	case "repair":
		r.repair(p, s)
	case "resend":
		for _, name := range s.Messages {
			raw, ok, err := p.st.Get(refOf(r.Messages[name].Fields.MessageID).key(keyOwnRaw))
			if err != nil || !ok {
				r.Errorf("%s is not in the outgoing buffer: %v", name, err)
			}
			r.like(p, name, raw)
			// A further broadcast has another hint: the recorded one gave none.
			if err := p.channel.SetHint(p.st, r.Messages[name].Fields.MessageID, s.RetrievalHint); err != nil {
				r.Fatal(err)
			}
		}
	case "lost":
	default:
		r.Fatalf("unknown action %q", s.Action)
	}
}

// written compares a message with the recorded one, and notes what it asks
// for.
func (r *replay) written(p *party, s jsStep, data []byte) {
	r.like(p, s.Message, data)
	for _, q := range decoded(data).Requests {
		r.asked[s.Actor][q.ID] = true
	}
}

// like compares a message with the recorded one.
func (r *replay) like(p *party, name string, data []byte) {
	if bytes.Equal(data, r.Messages[name].Hex) {
		return
	}
	got := decoded(data)
	want := decoded(r.Messages[name].Hex)
	// once: what we ask for again.
	got.Requests = slices.DeleteFunc(got.Requests, func(q Entry) bool {
		again := r.asked[p.channel.Self][q.ID] && !slices.ContainsFunc(want.Requests, func(w Entry) bool { return w.ID == q.ID })
		if again {
			r.differs["once"]++
		}
		return again
	})
	if len(got.Requests) == 0 {
		got.Requests = nil
	}
	// senders: without repair.
	if p.channel.Config.Repair.Off {
		for i := range want.History {
			want.History[i].Sender = ""
		}
		r.differs["senders"]++
	}
	// early, sweep: not the same is delivered.
	if !slices.EqualFunc(got.History, want.History, func(a, b Entry) bool { return a.ID == b.ID }) {
		log := slices.DeleteFunc(slices.Clone(r.logs[p.channel.Self]), func(l Logged) bool { return l.ID == want.ID })
		log = log[max(0, len(log)-p.channel.Config.History):]
		if !slices.EqualFunc(log, want.History, func(a Logged, b Entry) bool { return a.ID == b.ID }) {
			r.Errorf("%s depends on %v, recorded are %v", name, want.History, log)
		}
		r.sameLog(p)
		got.History = want.History
		r.differs["history"]++
	}
	if back, err := got.Encode(Standard); err != nil || !bytes.Equal(back, must(want.Encode(Standard))) {
		got.Filter, want.Filter = nil, nil // long
		r.Errorf("%s is written as %+v, not %+v, or with another filter", name, got, want)
	}
}

// sameLog explains how our log differs from the recorded one: by messages that
// we hold, which @waku/sds delivered before their dependencies, and by those
// that we delivered when the last dependency came, which @waku/sds does when
// it sweeps.
func (r *replay) sameLog(p *party) {
	recorded := r.logs[p.channel.Self]
	for _, l := range recorded {
		if known := must(table{p.st}.has(refOf(l.ID).key(keyKnown))); !known && !r.early(p)[l.ID] {
			r.Errorf("%s is recorded in the log and not in ours", l.ID)
		}
	}
	for _, l := range must(p.channel.Log(p.st)) {
		if slices.ContainsFunc(recorded, func(o Logged) bool { return o.ID == l.ID }) {
			continue
		}
		if !slices.Contains(r.delivered[p.channel.Self], l.ID) {
			r.Errorf("%s is in our log and not recorded there", l.ID)
		}
		r.differs["sweep"]++
	}
}

// logged notes that a message entered a recorded log.
func (r *replay) logged(p *party, id string) {
	for _, m := range r.Messages {
		if m.Fields.MessageID != id {
			continue
		}
		l := Logged{Entry{ID: id}, decoded(m.Hex).Lamport}
		at, found := slices.BinarySearchFunc(r.logs[p.channel.Self], l, func(a, b Logged) int {
			return cmp.Or(cmp.Compare(a.Lamport, b.Lamport), cmp.Compare(a.ID, b.ID))
		})
		if !found {
			r.logs[p.channel.Self] = slices.Insert(r.logs[p.channel.Self], at, l)
		}
	}
}

// early are the messages that @waku/sds has delivered at this point and that
// we hold.
func (r *replay) early(p *party) map[string]bool {
	list := map[string]bool{}
	for _, l := range r.logs[p.channel.Self] {
		if h := must(table{p.st}.heldRecord(refOf(l.ID))); h != nil {
			list[l.ID] = true
		}
	}
	return list
}

func (r *replay) receive(p *party, s jsStep) {
	in, err := p.channel.Receive(p.st, p.now, p.rand, r.Messages[s.Message].Hex, s.RetrievalHint)
	if r.Messages[s.Message].Fields.ChannelID != r.Channel {
		if err == nil || len(s.Events) > 0 {
			r.Errorf("took a message of another channel: %+v, %v", in, err)
		}
		return
	}
	if err != nil {
		r.Fatal(err)
	}
	if want := s.of("acknowledged"); !slices.Equal(in.Acknowledged, want) {
		r.Errorf("acknowledged %v, not %v", in.Acknowledged, want)
	}
	for _, e := range s.Events {
		switch e.Ev {
		case "possibly-acknowledged":
			if o := must(table{p.st}.ownRecord(refOf(e.MessageID))); o == nil || o.hits != e.Count || o.state != PossiblyAcknowledged {
				r.Errorf("own message %+v, not possibly acknowledged for the %d. time", o, e.Count)
			}
		case "repair-request-queued":
			if d := must(table{p.st}.missingRecord(refOf(e.MessageID))); d == nil || d.ask/1e6 != e.TReq {
				r.Errorf("missing %+v, not with T_req %d", d, e.TReq)
			}
		case "repair-response-queued":
			key := timerKey(e.TResp*1e6, timerAnswer, refOf(e.MessageID))
			if ok := must(table{p.st}.has(key)); !ok {
				r.Errorf("no answer for %s at %d", e.MessageID, e.TResp)
			}
		}
	}
	r.deliveries(p, s, in.Delivered)
}

// deliveries compares what a step delivered. Ours may come earlier than the
// recording's, which waits for the next sweep, and later where it does not
// wait for dependencies; the order and the sum are compared at the end.
func (r *replay) deliveries(p *party, s jsStep, list []Delivery) {
	name := p.channel.Self
	var got []string
	for _, d := range list {
		if !d.Ephemeral {
			got = append(got, d.ID)
		}
	}
	r.delivered[name] = append(r.delivered[name], got...)
	for _, id := range s.of("delivered") {
		r.logged(p, id)
		switch {
		case slices.Contains(got, id):
		case must(table{p.st}.heldRecord(refOf(id))) != nil:
			r.differs["early"]++
		case slices.Contains(r.delivered[name], id):
			if s.Action == "receive" { // else it is what the sweep found
				r.differs["twice"]++
			}
		default:
			r.Errorf("%s is not delivered", id)
		}
	}
}

func (r *replay) sweep(p *party, s jsStep) {
	r.deliveries(p, s, nil)
	states := map[State][]string{}
	for _, o := range must(p.channel.Pending(p.st, p.now)) {
		states[o.State] = append(states[o.State], o.ID)
	}
	for _, e := range s.Events {
		if e.Ev != "swept" {
			continue
		}
		if !slices.Equal(states[Unacknowledged], e.Unacknowledged) || !slices.Equal(states[PossiblyAcknowledged], e.PossiblyAcknowledged) {
			r.Errorf("outgoing %v, not %v and %v", states, e.Unacknowledged, e.PossiblyAcknowledged)
		}
		for _, m := range e.Missing {
			if d := must(table{p.st}.missingRecord(refOf(m.MessageID))); d == nil || d.sender != m.SenderID || !bytes.Equal(d.hints[0], m.RetrievalHint) {
				r.Errorf("missing %+v, not %+v", d, m)
			}
		}
		if got := count(p.st, keyMissing); len(e.Missing) == 0 && got > 0 {
			r.Errorf("%d are missing", got)
		}
	}
}

func (r *replay) repair(p *party, s jsStep) {
	e := must(p.channel.open(p.st, p.now, p.rand))
	for _, k := range must(e.timers()) {
		if timer(k[1+numberSize]) == timerAnswer {
			if err := e.answer(ref([]byte(k[len(k)-refSize:]))); err != nil {
				r.Fatal(err)
			}
		}
	}
	if err := e.close(); err != nil {
		r.Fatal(err)
	}
	var got [][]byte
	for _, o := range e.out.Send {
		got = append(got, o.Data)
	}
	var want [][]byte
	for _, name := range s.Messages {
		want = append(want, r.Messages[name].Hex)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		r.Errorf("answered %d, not %v", len(got), s.Messages)
	}
}

// acausal returns a message that comes before one that it depends on, or
// nothing.
func (r *replay) acausal(order []string) string {
	for i, id := range order {
		for _, m := range r.Messages {
			if m.Fields.MessageID != id {
				continue
			}
			for _, h := range m.Fields.CausalHistory {
				if slices.Index(order, h.MessageID) > i {
					return id
				}
			}
		}
	}
	return ""
}

// end compares what is left of an exchange.
func (r *replay) end(name string, p *party) {
	want := r.Final[name]
	names := map[string]string{}
	for n, m := range r.Messages {
		names[m.Fields.MessageID] = n
	}
	called := func(ids []string) (list []string) {
		for _, id := range ids {
			list = append(list, names[id])
		}
		return list
	}
	early := r.early(p)
	held := func(n string) bool { return early[r.Messages[n].Fields.MessageID] }
	if got, want := called(p.log()), slices.DeleteFunc(slices.Clone(r.FinalHistoryOrder[name]), held); !slices.Equal(got, want) {
		r.Errorf("%s has %v, not %v", name, got, want)
	}
	// The same messages are delivered, each once; in the same order too,
	// unless the recording delivers early.
	got := called(r.delivered[name])
	first := slices.DeleteFunc(slices.Clone(r.FirstDeliveries[name]), held)
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(first))) {
		r.Errorf("%s delivered %v, not %v", name, got, first)
	}
	if bad := r.acausal(r.delivered[name]); bad != "" {
		r.Errorf("%s delivered %s before its dependency", name, names[bad])
	}
	if !slices.Equal(got, first) {
		var recorded []string
		for _, n := range first {
			recorded = append(recorded, r.Messages[n].Fields.MessageID)
		}
		if r.acausal(recorded) == "" {
			r.Errorf("%s delivered in the order %v, not %v", name, got, first)
		}
		r.differs["early"]++
	}
	e := must(p.channel.open(p.st, p.now, nil))
	if got := fmt.Sprint(e.s.lamport); got != want.Lamport && len(early) == 0 {
		r.Errorf("%s has Lamport timestamp %s, not %s", name, got, want.Lamport)
	}
	f := p.channel.Config.Filter
	if sum := sha256.Sum256(f.build(must(e.window()), 0, f.Bytes)); !bytes.Equal(sum[:], want.Bloom.SHA256) {
		r.Errorf("%s has filter %x", name, sum)
	}
	var outgoing []string
	for _, o := range must(p.channel.Pending(p.st, p.now)) {
		outgoing = append(outgoing, o.ID)
		if hits := must(e.ownRecord(refOf(o.ID))).hits; hits != want.PossibleAcks[o.ID] {
			r.Errorf("%s has %s in %d filters, not %d", name, names[o.ID], hits, want.PossibleAcks[o.ID])
		}
	}
	if !slices.Equal(outgoing, want.Outgoing) {
		r.Errorf("%s waits for %v, not %v", name, called(outgoing), called(want.Outgoing))
	}
	if got := count(p.st, keyAnswer); got != len(want.RepairIn) {
		r.Errorf("%s has %d answers waiting, not %d", name, got, len(want.RepairIn))
	}
}
