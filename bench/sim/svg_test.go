package sim

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A report is written, its pictures are XML, and what runs say is in them.
func TestReport(t *testing.T) {
	t.Parallel()
	d := distribution([]time.Duration{3 * time.Second, time.Second, 2 * time.Second})
	if d.Count != 3 || d.P50.D() != 2*time.Second || d.Max.D() != 3*time.Second || d.Mean.D() != 2*time.Second || len(d.Quantiles) != 101 {
		t.Errorf("%+v", d)
	}
	run := &Result{Scenario: "x", Seed: 4, History: strings.Repeat("ab", 32), Outcome: Outcome{Said: 3, Settled: true, Latency: d, Acked: d}, Cost: &Cost{
		Copies: 1.5, CopiesOf: append([]int{0, 2, 1}, make([]int, copiesMost-2)...),
		Usage: []Usage{{Mode: "light", Clients: 1, Messages: 3, PerMessage: 5000, PerHour: 1e6}},
		Kinds: []Kind{{Name: "CHAT<&>", Envelopes: 2, Bytes: 2000, Opened: 2, Layers: Layers{Text: 20, Application: 500, Padding: 1480}}, {Name: "none", Envelopes: 1, Bytes: 5}},
	}}
	r := &Report{Scenario: "x", Runs: []*Result{run}}
	if !r.OK() {
		t.Error("a good run is not")
	}
	dir := filepath.Join(t.TempDir(), "new")
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"latency": "seed 4", "layers": "chat&lt;&amp;&gt;", "copies": "envelopes to one recipient"} {
		raw, err := os.ReadFile(filepath.Join(dir, "x-"+name+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s says nothing of %q", name, want)
		}
		decoder := xml.NewDecoder(strings.NewReader(string(raw)))
		for err == nil {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var text strings.Builder
	if err := run.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"x, seed 4: all there, nothing twice", "median 2s", "1.50 envelopes", "5000 bytes a message", "chat<&>"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	run.Lost, run.Failures = 1, 1
	if r.OK() {
		t.Error("a bad run is good")
	}
	text.Reset()
	run.WriteText(&text)
	if !strings.Contains(text.String(), "FAILED: 1 lost") {
		t.Error(text.String())
	}
	if err := (&Report{Scenario: "y", Runs: []*Result{{}}}).Save(dir); err != nil {
		t.Error(err) // nothing to draw
	}
}
