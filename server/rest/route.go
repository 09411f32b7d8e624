package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// reply is an answer: text, or a value written as JSON.
type reply struct {
	status int
	text   string
	value  any
	// stream, when given, writes the whole answer itself.
	stream func(http.ResponseWriter, *http.Request)
}

func ok() reply { return text(http.StatusOK, "OK") }

func text(status int, s string) reply { return reply{status: status, text: s} }

func textf(status int, format string, args ...any) reply {
	return text(status, fmt.Sprintf(format, args...))
}

func value(status int, v any) reply { return reply{status: status, value: v} }

func (a reply) write(w http.ResponseWriter) {
	contentType, body := "text/plain", []byte(a.text)
	if a.value != nil {
		raw, err := encode(a.value)
		if err != nil {
			a.status, body = http.StatusInternalServerError, []byte(err.Error())
		} else {
			contentType, body = "application/json", raw
		}
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(body)
}

// sentence is the text of an error as callers see it: errors begin small, and
// nwaku's texts do not.
func sentence(err error) string {
	s := err.Error()
	for _, e := range []error{errNoBody, errType, errStatic, ErrAutoshard} {
		if errors.Is(err, e) && s != "" {
			return strings.ToUpper(s[:1]) + s[1:]
		}
	}
	return s
}

// encode writes JSON without escaping what only matters inside HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// call is a call of the API. What it takes is in the fields of a struct:
// those tagged path or query are text from there, and Body is the JSON of the
// request's body.
type call struct {
	method, path string
	id, summary  string
	// out is the JSON of success, nil for text.
	out any
	// media is the content type of success where it is neither.
	media string
	// errors are the statuses of failure; those in json carry out.
	errors, json []int
	// badBody answers a body that does not decode; nil for what nwaku's relay
	// answers.
	badBody func(error) reply
}

// routes are the calls and their description.
type routes struct {
	mux      *http.ServeMux
	doc      huma.OpenAPI
	registry huma.Registry
}

func newRoutes(version string) *routes {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	return &routes{
		mux: http.NewServeMux(), registry: registry,
		doc: huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "Parley node", Version: version, Description: "REST API of a Waku service node."},
			Components: &huma.Components{Schemas: registry},
		},
	}
}

// methods are those with which the path of a request could be called.
func (rs *routes) methods(r *http.Request) (out []string) {
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := *r
		other.Method = m
		if _, pattern := rs.mux.Handler(&other); pattern != "" {
			out = append(out, m)
		}
	}
	return out
}

// describe serves the description, which is complete now.
func (rs *routes) describe() error {
	asJSON, err := rs.doc.MarshalJSON()
	if err != nil {
		return fmt.Errorf("rest: %w", err)
	}
	asYAML, err := rs.doc.YAML()
	if err != nil {
		return fmt.Errorf("rest: %w", err)
	}
	for name, raw := range map[string][]byte{"json": asJSON, "yaml": asYAML} {
		rs.mux.HandleFunc("GET /openapi."+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/openapi+"+name)
			_, _ = w.Write(raw)
		})
	}
	return nil
}

// register adds a call to the table and to the description.
func register[In any](rs *routes, c call, handle func(context.Context, *In) reply) {
	fields := reflect.TypeFor[In]()
	rs.doc.AddOperation(c.operation(fields, rs.registry))
	rs.mux.HandleFunc(c.method+" "+c.path, func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		if refused := c.read(w, r, reflect.ValueOf(in).Elem()); refused != nil {
			refused.write(w)
			return
		}
		a := handle(r.Context(), in)
		if a.stream != nil {
			a.stream(w, r)
			return
		}
		a.write(w)
	})
}

// read fills the fields of a call from a request.
func (c call) read(w http.ResponseWriter, r *http.Request, in reflect.Value) *reply {
	query := r.URL.Query()
	for i := range in.NumField() {
		f := in.Type().Field(i)
		switch {
		case f.Tag.Get("path") != "":
			in.Field(i).SetString(r.PathValue(f.Tag.Get("path")))
		case f.Tag.Get("query") != "":
			in.Field(i).SetString(query.Get(f.Tag.Get("query")))
		case f.Name == "Body":
			if err := readBody(w, r, in.Field(i).Addr().Interface()); err != nil {
				refused := c.refuseBody(err)
				return &refused
			}
		}
	}
	return nil
}

// Errors of request bodies.
var (
	errNoBody = errors.New("missing content body")
	errType   = errors.New("wrong Content-Type, expected application/json or text/plain")
)

func (c call) refuseBody(err error) reply {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return textf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", tooLarge.Limit)
	}
	if c.badBody != nil {
		return c.badBody(err)
	}
	if errors.Is(err, errNoBody) || errors.Is(err, errType) {
		return text(http.StatusBadRequest, sentence(err))
	}
	return text(http.StatusBadRequest, "Invalid content body, could not decode: "+err.Error())
}

// readBody reads a body of JSON, whether it is called JSON or text.
func readBody(w http.ResponseWriter, r *http.Request, into any) error {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(BodyTimeout)) // where there is a connection
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return err
	}
	_ = control.SetReadDeadline(time.Time{})
	if len(raw) == 0 {
		return errNoBody
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		media, _, err := mime.ParseMediaType(t)
		if err != nil || media != "application/json" && media != "text/plain" {
			return errType
		}
	}
	return json.Unmarshal(raw, into)
}

// operation describes a call.
func (c call) operation(in reflect.Type, registry huma.Registry) *huma.Operation {
	namespace, _, _ := strings.Cut(strings.TrimPrefix(c.path, "/"), "/")
	op := &huma.Operation{
		Method: c.method, Path: c.path, OperationID: c.id, Summary: c.summary,
		Tags: []string{namespace}, Responses: make(map[string]*huma.Response),
	}
	str := &huma.Schema{Type: huma.TypeString}
	for i := range in.NumField() {
		f := in.Field(i)
		for _, where := range []string{"path", "query"} {
			if name := f.Tag.Get(where); name != "" {
				op.Parameters = append(op.Parameters, &huma.Param{
					Name: name, In: where, Required: where == "path",
					Description: f.Tag.Get("doc"), Schema: str,
				})
			}
		}
		if f.Name == "Body" {
			op.Responses["413"] = &huma.Response{Description: describeStatus(http.StatusRequestEntityTooLarge), Content: map[string]*huma.MediaType{"text/plain": {Schema: str}}}
			op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				"application/json": {Schema: registry.Schema(f.Type, true, c.id)},
			}}
		}
	}
	plain := map[string]*huma.MediaType{"text/plain": {Schema: str}}
	success := plain
	switch {
	case c.media != "":
		success = map[string]*huma.MediaType{c.media: {Schema: str}}
	case c.out != nil:
		success = map[string]*huma.MediaType{"application/json": {Schema: registry.Schema(reflect.TypeOf(c.out), true, c.id)}}
	}
	op.Responses["200"] = &huma.Response{Description: "OK", Content: success}
	for _, status := range c.errors {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: describeStatus(status), Content: plain}
	}
	for _, status := range c.json {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: describeStatus(status), Content: success}
	}
	return op
}

// describeStatus is a description, which every response must have.
func describeStatus(status int) string {
	if s := http.StatusText(status); s != "" {
		return s
	}
	return "Refused with code " + strconv.Itoa(status)
}

// noInput is the input of a call that takes none.
type noInput struct{}
