package ops

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("capacity").Funcs(template.FuncMap{
	"bytes": humanBytes,
	"count": humanCount,
	"took":  humanSeconds,
	"shard": shardName,
	"days":  humanDays,
}).Parse(pageText))

// pageData is what the capacity page shows.
type pageData struct {
	Version, PeerID string
	Cluster         uint16
	At              time.Time
	Peers           int
	Health          Health
	Capacity
	// Bars are the widths of the query histogram, in percent.
	Bars []bar
	// Days are the last ones, newest first, with a column for each shard.
	Topics []string
	Days   []dayRow
	// Error says why the archive is missing.
	Error string
}

type bar struct {
	Label   string
	Count   uint64
	Percent float64
}

type dayRow struct {
	Day   time.Time
	Cells []cell
}

type cell struct{ Messages, Bytes int64 }

// shownDays and shownTopics bound the table of the page; the JSON has all.
const (
	shownDays   = 14
	shownTopics = 8
)

func (s *Server) capacityPage(w http.ResponseWriter, r *http.Request) {
	status := s.cfg.Status()
	data := pageData{
		Version: s.cfg.Version, PeerID: status.PeerID, Cluster: status.Cluster,
		At: s.cfg.Now().UTC(), Peers: len(status.Peers), Health: s.healthOf(status),
	}
	var err error
	if data.Capacity, err = s.Capacity(r.Context()); err != nil {
		s.cfg.Log.Warn("the archive cannot be counted", "cause", err)
		data.Error = "The archive cannot be counted now; the log says why."
	}
	data.Bars = bars(data.Queries)
	if data.Archive != nil {
		data.Topics, data.Days = table(data.Archive)
	}
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, data); err != nil {
		s.cfg.Log.Error("the capacity page", "cause", err)
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	header.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(page.Bytes())
}

// bars are the buckets of a histogram between the first and the last that
// hold something.
func bars(l Latency) []bar {
	var out []bar
	most, below := uint64(1), uint64(0)
	for _, b := range l.Buckets {
		most, below = max(most, b.Count), below+b.Count
	}
	over := l.Count - below
	most = max(most, over)
	add := func(label string, n uint64) {
		out = append(out, bar{label, n, 100 * float64(n) / float64(most)})
	}
	for _, b := range l.Buckets {
		add("≤ "+humanSeconds(b.LE), b.Count)
	}
	if over > 0 {
		add("more", over)
	}
	empty := func(b bar) bool { return b.Count == 0 }
	for len(out) > 0 && empty(out[0]) {
		out = out[1:]
	}
	for len(out) > 0 && empty(out[len(out)-1]) {
		out = out[:len(out)-1]
	}
	return out
}

// table lays out the newest days with the busiest topics.
func table(a *ArchiveUse) (topics []string, rows []dayRow) {
	total := map[string]int64{}
	for _, d := range a.Days {
		total[d.PubsubTopic] += d.Bytes
	}
	for name := range total {
		topics = append(topics, name)
	}
	slices.SortFunc(topics, func(x, y string) int {
		if c := total[y] - total[x]; c != 0 {
			return int(c / max(c, -c))
		}
		return slices.Compare([]byte(x), []byte(y))
	})
	topics = topics[:min(len(topics), shownTopics)]
	for i := len(a.Days) - 1; i >= 0; i-- {
		d := a.Days[i]
		if len(rows) == 0 || !rows[len(rows)-1].Day.Equal(d.Day) {
			if len(rows) == shownDays {
				break
			}
			rows = append(rows, dayRow{d.Day, make([]cell, len(topics))})
		}
		if column := slices.Index(topics, d.PubsubTopic); column >= 0 {
			rows[len(rows)-1].Cells[column] = cell{d.Messages, d.Bytes}
		}
	}
	return topics, rows
}

func humanBytes(n any) string {
	var v float64
	switch n := n.(type) {
	case int64:
		v = float64(n)
	case uint64:
		v = float64(n)
	case float64:
		v = n
	}
	units := []string{"B", "kB", "MB", "GB", "TB"}
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// humanCount sets thin spaces between thousands.
func humanCount(n any) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

func humanDays(d *float64) string {
	if *d >= 3650 {
		return "> 10 years"
	}
	return fmt.Sprintf("%.0f days", *d)
}

func humanSeconds(s float64) string {
	switch {
	case s < 0:
		return "more than 10 s"
	case s == 0:
		return "–"
	case s < 1:
		return fmt.Sprintf("%g ms", s*1000)
	}
	return fmt.Sprintf("%g s", s)
}
