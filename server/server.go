// Package server is the HTTP face of a client: an API described by OpenAPI
// 3.1, an event stream that resumes where its reader stopped, and a web page.
// It has no logic of its own.
//
// Every call needs the token (Authorization: Bearer …), except the page
// itself and the health checks. Requests for a foreign host name are refused,
// so that no web site can reach the API by rebinding its name to loopback.
package server

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
)

// Config is what a server needs.
type Config struct {
	Client *parley.Client
	// Token must be presented by every caller; not empty.
	Token string
	// Hosts are names, without port, that callers may use besides localhost.
	// IP addresses may always be used.
	Hosts []string
	// KeepAlive is how often a quiet event stream shows that it is there; zero
	// is DefaultKeepAlive.
	KeepAlive time.Duration
	// Log takes the log; nil drops it.
	Log *slog.Logger
}

// DefaultKeepAlive is shorter than what proxies and browsers wait for.
const DefaultKeepAlive = 15 * time.Second

// Version of the API, in its description and its paths.
const Version = "v1"

// prefix of every path of the API.
const prefix = "/api/" + Version

// New returns the handler of the API and the web page.
func New(c Config) (http.Handler, error) {
	if c.Token == "" {
		return nil, fault.New(fault.Usage, "the API needs a token")
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = DefaultKeepAlive
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	calls := http.NewServeMux() // behind the token
	config := huma.DefaultConfig("Parley", Version)
	config.Info.Description = "One Status account: contacts, chats, messages, groups, events."
	config.OpenAPIPath = "/openapi"
	config.DocsPath = "" // its page would load scripts from elsewhere
	// Bodies are what they are: no links to schemas in them, no schemas beside
	// the description.
	config.SchemasPath = ""
	config.CreateHooks = nil
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer"},
	}
	config.Security = []map[string][]string{{"token": {}}}
	api := humago.New(calls, config)
	a := &apiServer{client: c.Client, events: c.Client.Events, keepAlive: c.KeepAlive, log: c.Log}
	a.register(api)
	a.registerEvents(api)
	calls.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, fault.NotFound, "there is no call "+r.Method+" "+r.URL.Path)
	})
	open := http.NewServeMux()
	open.HandleFunc("GET /healthz", a.healthz)
	open.HandleFunc("GET /readyz", a.readyz)
	open.Handle("/", page())
	for _, pattern := range []string{"/api/", config.OpenAPIPath + ".json", config.OpenAPIPath + ".yaml"} {
		open.Handle(pattern, needToken(calls, c.Token))
	}
	return needHost(open, c.Hosts), nil
}

// schemaName names a type in the description: its own name, with its package's
// in front where that tells more.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch pkg := path.Base(t.PkgPath()); {
	case t.Name() == "", pkg == "parley", pkg == "server", pkg == "storage", pkg == "view", pkg == ".":
		return name
	default:
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
}

// apiServer answers for one client.
type apiServer struct {
	client    *parley.Client
	events    eventSource
	keepAlive time.Duration
	log       *slog.Logger
}

// needHost refuses requests for a host name that is not ours, before anything
// else.
func needHost(next http.Handler, hosts []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !hostAllowed(r.Host, hosts) {
			problem(w, http.StatusMisdirectedRequest, fault.Denied, "this host name is not served here")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// needToken refuses requests without the token.
func needToken(next http.Handler, token string) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, fault.Denied, "the token is missing or wrong")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed tells whether a Host header is one of ours. An address is always
// allowed: what a hostile site can point at us is a name of its own.
func hostAllowed(host string, allowed []string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.Trim(name, "[]")
	if strings.EqualFold(name, "localhost") || net.ParseIP(name) != nil {
		return true
	}
	for _, a := range allowed {
		if strings.EqualFold(a, name) {
			return true
		}
	}
	return false
}

// Error is the body of every failed call. Kind is stable.
type Error struct {
	Status  int        `json:"status"`
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// GetStatus implements huma.StatusError.
func (e *Error) GetStatus() int { return e.Status }

// statuses of the kinds of faults.
var statuses = map[fault.Kind]int{
	fault.Usage:       http.StatusBadRequest,
	fault.Invalid:     http.StatusUnprocessableEntity,
	fault.Denied:      http.StatusForbidden,
	fault.NotFound:    http.StatusNotFound,
	fault.Conflict:    http.StatusConflict,
	fault.Timeout:     http.StatusGatewayTimeout,
	fault.Unreachable: http.StatusBadGateway,
}

// failure turns any error into the body of a response.
func failure(err error) error {
	if err == nil {
		return nil
	}
	kind := fault.KindOf(err)
	status, ok := statuses[kind]
	if !ok {
		status = http.StatusInternalServerError
	}
	return &Error{Status: status, Kind: kind, Message: err.Error(), Hint: fault.HintOf(err)}
}

func problem(w http.ResponseWriter, status int, kind fault.Kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(Error{Status: status, Kind: kind, Message: message})
}

func init() {
	// What huma itself refuses has the same body as what the client refuses.
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		kind := fault.Internal
		if status < http.StatusInternalServerError {
			kind = fault.Usage
		}
		for k, s := range statuses {
			if s == status {
				kind = k
			}
		}
		if err := errors.Join(errs...); err != nil {
			message += ": " + err.Error()
		}
		return &Error{Status: status, Kind: kind, Message: message}
	}
}

func (a *apiServer) healthz(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-a.client.Done():
		problem(w, http.StatusServiceUnavailable, fault.Internal, "the client has stopped")
	default:
		w.Write([]byte("ok\n"))
	}
}

// readyz tells whether messages can be sent now: some peer is connected.
func (a *apiServer) readyz(w http.ResponseWriter, r *http.Request) {
	s, err := a.client.Status(r.Context())
	if err == nil && len(s.Node.Peers) > 0 {
		w.Write([]byte("ready\n"))
		return
	}
	problem(w, http.StatusServiceUnavailable, fault.Unreachable, "no peer is connected")
}
