package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what several runs of a scenario came to.
type Report struct {
	Scenario string    `json:"scenario"`
	About    string    `json:"about"`
	Runs     []*Result `json:"runs"`
}

// OK tells whether every run ended as it should.
func (r *Report) OK() bool {
	for _, run := range r.Runs {
		if !run.OK() || !run.Settled {
			return false
		}
	}
	return true
}

// Save writes the report into a folder: NAME.json, and as pictures
// NAME-latency.svg, NAME-layers.svg and NAME-copies.svg, as far as there is
// something to show.
func (r *Report) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, r.Scenario+".json"), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	for name, p := range map[string]*plot{"latency": r.latency(), "layers": r.layers(), "copies": r.copies()} {
		if p == nil {
			continue
		}
		f, err := os.Create(filepath.Join(dir, r.Scenario+"-"+name+".svg"))
		if err != nil {
			return err
		}
		if err := p.write(f); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// latency plots the share of messages that have arrived after a time, one line
// for each run, and of those known to have arrived for the first.
func (r *Report) latency() *plot {
	p := &plot{title: r.Scenario + ": from saying to …", x: "seconds", y: "per cent"}
	add := func(name string, d Distribution) {
		if d.Count == 0 || len(p.series) == len(colours) {
			return
		}
		s := series{name: name}
		for i, q := range d.Quantiles {
			s.points = append(s.points, [2]float64{q.D().Seconds(), float64(i)})
		}
		p.series = append(p.series, s)
	}
	for i, run := range r.Runs {
		add(fmt.Sprintf("there, seed %d", run.Seed), run.Latency)
		if i == 0 {
			add(fmt.Sprintf("acknowledged, seed %d", run.Seed), run.Acked)
		}
	}
	if len(p.series) == 0 {
		return nil
	}
	return p
}

// layers plots the mean envelope of each kind by layer.
func (r *Report) layers() *plot {
	p := &plot{title: r.Scenario + ": bytes of an envelope by layer", y: "bytes", parts: layerNames}
	for _, k := range r.first().Kinds {
		if k.Opened == 0 || len(p.bars) == 10 {
			continue
		}
		b := bar{name: strings.ReplaceAll(strings.ToLower(k.Name), "_", " ")}
		for _, part := range k.Layers.parts() {
			b.parts = append(b.parts, float64(part)/float64(k.Opened))
		}
		p.bars = append(p.bars, b)
	}
	if len(p.bars) == 0 {
		return nil
	}
	return p
}

// copies plots how many envelopes it took to bring a message to one recipient.
func (r *Report) copies() *plot {
	p := &plot{title: r.Scenario + ": messages by the envelopes that each took", x: "envelopes to one recipient", y: "messages", parts: []string{"messages"}}
	sum := make([]float64, copiesMost+1)
	any := false
	for _, run := range r.Runs {
		if run.Cost == nil {
			continue
		}
		for i, n := range run.Cost.CopiesOf {
			sum[i] += float64(n)
			any = any || n > 0
		}
	}
	if !any {
		return nil
	}
	for i, n := range sum {
		name := fmt.Sprint(i)
		if i == copiesMost {
			name += "+"
		}
		p.bars = append(p.bars, bar{name, []float64{n}})
	}
	return p
}

func (r *Report) first() *Cost {
	for _, run := range r.Runs {
		if run.Cost != nil {
			return run.Cost
		}
	}
	return new(Cost)
}

// WriteText writes a run for people.
func (r *Result) WriteText(w io.Writer) error {
	verdict := "all there, nothing twice"
	switch {
	case !r.OK():
		verdict = fmt.Sprintf("FAILED: %d lost, %d twice, %d forged, %d forgotten, %d unacknowledged, %d chats differ, %d requests unanswered",
			r.Lost, r.Twice, r.Forged, r.Forgotten, r.Unacknowledged, r.Different, r.Unanswered)
	case !r.Settled:
		verdict = "FAILED: not settled in time"
	}
	fmt.Fprintf(w, "%s, seed %d: %s\n", r.Scenario, r.Seed, verdict)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("messages", "%d said, %d to arrive, %d crashes", r.Said, r.Deliveries, r.Crashes)
	if r.Latency.Count > 0 {
		row("latency", "median %v, 90 %% %v, 99 %% %v, longest %v", r.Latency.P50.round(), r.Latency.P90.round(), r.Latency.P99.round(), r.Latency.Max.round())
	}
	if r.Acked.Count > 0 {
		row("acknowledged after", "median %v, 99 %% %v, longest %v", r.Acked.P50.round(), r.Acked.P99.round(), r.Acked.Max.round())
	}
	row("time", "%v simulated in %v, settled %v after the last fault", r.Virtual.round(), r.Took.round(), r.SettledAfter.round())
	if c := r.Cost; c != nil {
		if r.Said > 0 {
			row("copies", "%.2f envelopes for a message to one recipient", c.Copies)
		}
		for _, u := range c.Usage {
			if u.Messages > 0 {
				row(u.Mode+" clients", "%.0f bytes a message both ways, %.1f kB an hour", u.PerMessage, u.PerHour/1000)
			} else {
				row(u.Mode+" clients", "%.1f kB an hour both ways", u.PerHour/1000)
			}
		}
	}
	if r.History != "" {
		row("history", "%s", r.History[:16])
	}
	for _, s := range r.Skipped {
		row("left out", "%s", s)
	}
	for _, p := range r.Problems {
		row("problem", "%s", p)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Cost == nil || len(r.Cost.Kinds) == 0 {
		return nil
	}
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\n  envelopes\tbytes each\t%s\t  \n", strings.Join(layerNames, "\t"))
	for _, k := range r.Cost.Kinds {
		fmt.Fprintf(t, "  %d\t%d\t", k.Envelopes, k.Bytes/k.Envelopes)
		for _, part := range k.Layers.parts() {
			if k.Opened == 0 {
				fmt.Fprint(t, "-\t")
			} else {
				fmt.Fprintf(t, "%d\t", part/k.Opened)
			}
		}
		fmt.Fprintf(t, "  %s\n", strings.ToLower(k.Name))
	}
	return t.Flush()
}

func (d Duration) round() time.Duration {
	if d.D() > time.Minute {
		return d.D().Round(time.Second)
	}
	return d.D().Round(time.Millisecond)
}
