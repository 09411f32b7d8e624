package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/stack"
)

// eventsRequest says which part of the stream is wanted.
type eventsRequest struct {
	Since       uint64 `query:"since" doc:"Only events with a higher sequence number"`
	Follow      bool   `query:"follow" doc:"Go on as events happen"`
	Accept      string `header:"Accept" doc:"text/event-stream for server-sent events, else JSON lines"`
	LastEventID string `header:"Last-Event-ID" doc:"Resume a stream of server-sent events"`
}

// registerEvents adds the durable event stream, as server-sent events or as
// JSON lines.
func (a *apiServer) registerEvents(api huma.API) {
	schemas := api.OpenAPI().Components.Schemas
	event := schemas.Schema(reflect.TypeFor[parley.Event](), true, "Event")
	described := schemas.SchemaFromRef(event.Ref)
	data := &huma.Schema{Description: "What the type says"}
	known := make(map[string]bool)
	for _, e := range stack.EventTypes() {
		described.Properties["type"].Enum = append(described.Properties["type"].Enum, e.Name)
		if s := schemas.Schema(e.Data, true, ""); !known[s.Ref] {
			known[s.Ref] = true
			data.AnyOf = append(data.AnyOf, s)
		}
	}
	described.Properties["data"] = data
	op := operation("events", http.MethodGet, "/events", "The durable event stream")
	op.Responses = map[string]*huma.Response{"200": {
		Description: "One event a line, or one server-sent event each with its sequence number as id",
		Content: map[string]*huma.MediaType{
			"application/jsonl": {Schema: event},
			"text/event-stream": {},
		},
	}}
	huma.Register(api, op, func(_ context.Context, in *eventsRequest) (*huma.StreamResponse, error) {
		since := in.Since
		if in.LastEventID != "" {
			n, err := strconv.ParseUint(in.LastEventID, 10, 64)
			if err != nil {
				return nil, failure(fault.New(fault.Usage, "Last-Event-ID %q is not a sequence number", in.LastEventID))
			}
			since = n
		}
		format := jsonLines
		sse := strings.HasPrefix(in.Accept, serverSent.contentType)
		if sse {
			format = serverSent
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			a.stream(ctx, since, in.Follow || sse, format)
		}}, nil
	})
}

// format is how one event is written on the wire.
type format struct {
	contentType string
	event       func(raw []byte, e parley.Event) []byte
	alive       string
}

var (
	jsonLines = format{"application/jsonl", func(raw []byte, _ parley.Event) []byte {
		return append(raw, '\n')
	}, "\n"}
	serverSent = format{"text/event-stream", func(raw []byte, e parley.Event) []byte {
		return fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, raw)
	}, ": alive\n\n"}
)

// eventSource is the method Events of a client.
type eventSource func(ctx context.Context, since uint64, follow bool, yield func(parley.Event) error) error

func (a *apiServer) stream(ctx huma.Context, since uint64, follow bool, f format) {
	ctx.SetHeader("Content-Type", f.contentType)
	ctx.SetHeader("Cache-Control", "no-store")
	w := ctx.BodyWriter()
	flush := func() {}
	if fl, ok := w.(http.Flusher); ok {
		flush = fl.Flush
	}
	run, cancel := context.WithCancel(ctx.Context())
	events, failed, finished := make(chan parley.Event), make(chan error, 1), make(chan struct{})
	go func() {
		defer close(finished)
		failed <- a.events(run, since, follow, func(e parley.Event) error {
			select {
			case events <- e:
				return nil
			case <-run.Done():
				return run.Err()
			}
		})
	}()
	defer func() { // nothing reads the database once the call is over
		cancel()
		<-finished
	}()
	var stopped <-chan struct{} // what is there already can be read to its end
	if follow {
		stopped = a.client.Done()
		w.Write([]byte(f.alive)) // the reader knows at once that it is connected
	}
	flush()
	alive := time.NewTicker(a.keepAlive)
	defer alive.Stop()
	for {
		select {
		case e := <-events:
			raw, err := json.Marshal(e)
			if err != nil {
				return
			}
			if _, err := w.Write(f.event(raw, e)); err != nil {
				return
			}
			flush()
		case <-alive.C:
			if _, err := w.Write([]byte(f.alive)); err != nil {
				return
			}
			flush()
		case err := <-failed:
			if err != nil && run.Err() == nil {
				a.log.Error("the event stream ends", "cause", err)
				// The reader must not take this for the end of what there is.
				panic(http.ErrAbortHandler)
			}
			return
		case <-stopped:
			return
		}
	}
}
