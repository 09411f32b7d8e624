// Package client calls the API of a running daemon from Go: the same calls as
// package parley has, over HTTP, with the same types and the same kinds of
// faults.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/parley-im/parley"
	"github.com/parley-im/parley/internal/fault"
)

// Config says which daemon to call.
type Config struct {
	// DataDir is the daemon's data directory: address and token are found
	// there.
	DataDir string
	// URL replaces the address of the data directory.
	URL string
	// Token replaces the token of the data directory.
	Token string
	// OnRetry sees why a followed event stream has to be resumed; may be nil.
	OnRetry func(error)
}

// Client calls a daemon. It is safe for concurrent use.
type Client struct {
	config   Config
	http     *http.Client
	maxEvent int
}

// callTimeout bounds every call but the event stream.
const callTimeout = time.Minute

// maxAnswer bounds the body of an answer, in bytes.
const maxAnswer = 256 << 20

// New makes a client; nothing is called or looked up yet.
func New(c Config) *Client {
	transport := &http.Transport{
		Proxy:                 nil, // what a daemon says is nobody else's business
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ResponseHeaderTimeout: callTimeout,
		IdleConnTimeout:       time.Minute,
	}
	return &Client{config: c, maxEvent: maxEvent, http: &http.Client{
		Transport: transport,
		// A daemon redirects nobody; the token goes nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// hintRun is what to do when there is no daemon.
const hintRun = "start the daemon with `parley run`"

// target is where the daemon is now, and what it asks for.
type target struct {
	url, token, account string
}

func (c *Client) target() (t target, err error) {
	t.url, t.token = c.config.URL, c.config.Token
	if t.url == "" {
		d, err := FindDaemon(c.config.DataDir)
		if err != nil {
			return t, err
		}
		t.url, t.account = d.API, d.Account
	}
	t.url = strings.TrimRight(t.url, "/")
	if u, err := url.Parse(t.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return t, fault.New(fault.Usage, "%q is not the URL of an API", t.url).WithHint("it looks like http://127.0.0.1:8645")
	}
	if t.token == "" {
		t.token, err = ReadToken(c.config.DataDir)
	}
	return t, err
}

// open sends a request; the caller closes the body of the answer, which is a
// successful one.
func (c *Client) open(ctx context.Context, t target, method, path string, query url.Values, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(raw)
	}
	address := t.url + "/api/v1" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "calling the daemon", err)
	}
	request.Header.Set("Authorization", "Bearer "+t.token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, unreachable(t.url, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		return nil, refusal(t.url, response)
	}
	return response, nil
}

// unreachable says why no answer came.
func unreachable(address string, err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // without the method and the whole URL
	}
	var timeout interface{ Timeout() bool }
	var network *net.OpError
	if dialling := errors.As(err, &network) && network.Op == "dial"; !dialling && errors.As(err, &timeout) && timeout.Timeout() {
		return fault.New(fault.Timeout, "the daemon at %s does not answer: %w", address, err).
			WithHint("see `parley doctor`")
	}
	if errors.Is(err, context.Canceled) {
		return fault.Wrap(fault.Internal, "calling the daemon", err)
	}
	return fault.New(fault.Unreachable, "no daemon answers at %s: %w", address, err).WithHint(hintRun)
}

// refusal turns the body of a failed call back into a fault.
func refusal(address string, response *http.Response) error {
	var body struct {
		Kind    fault.Kind `json:"kind"`
		Message string     `json:"message"`
		Hint    string     `json:"hint"`
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil || body.Kind == "" {
		return fault.New(fault.Unreachable, "what answers at %s is not a Parley daemon (HTTP status %d)", address, response.StatusCode).
			WithHint("give the daemon's URL with --api, or " + hintRun)
	}
	f := &fault.Error{Kind: body.Kind, Err: errors.New(body.Message), Hint: body.Hint}
	if response.StatusCode == http.StatusUnauthorized {
		f.Hint = "the token is in the file " + tokenFile + " of the daemon's data directory: use the same --data-dir"
	}
	return f
}

// call makes a request and reads its answer into result.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	t, err := c.target()
	if err != nil {
		return err
	}
	response, err := c.open(ctx, t, method, path, query, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/json" {
		return fault.New(fault.Unreachable, "what answers at %s is not a Parley daemon", t.url).WithHint(hintRun)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return unreachable(t.url, err)
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	return nil
}

// bytes makes a request whose answer is a file, and returns it with its media
// type.
func (c *Client) bytes(ctx context.Context, path string, query url.Values) (data []byte, media string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	t, err := c.target()
	if err != nil {
		return nil, "", err
	}
	response, err := c.open(ctx, t, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	if data, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return nil, "", unreachable(t.url, err)
	}
	return data, response.Header.Get("Content-Type"), nil
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (result T, err error) {
	err = c.call(ctx, http.MethodGet, path, query, nil, &result)
	return result, err
}

func post[T any](ctx context.Context, c *Client, path string, body any) (result T, err error) {
	err = c.call(ctx, http.MethodPost, path, nil, body, &result)
	return result, err
}

// place makes a path of its parts.
func place(parts ...string) string {
	path := ""
	for _, part := range parts {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// queryOf collects what is not empty, 0 or false.
type queryOf url.Values

func (q queryOf) text(name, value string) queryOf {
	if value != "" {
		url.Values(q).Set(name, value)
	}
	return q
}

func (q queryOf) number(name string, value uint64) queryOf {
	if value != 0 {
		url.Values(q).Set(name, strconv.FormatUint(value, 10))
	}
	return q
}

// limit sends a limit that is below zero, too: the daemon refuses it.
func (q queryOf) limit(value int) queryOf {
	if value != 0 {
		url.Values(q).Set("limit", strconv.Itoa(value))
	}
	return q
}

func (q queryOf) flag(name string, value bool) queryOf {
	if value {
		url.Values(q).Set(name, "true")
	}
	return q
}

func (q queryOf) values() url.Values { return url.Values(q) }

// Status returns the state of the daemon's client and node.
func (c *Client) Status(ctx context.Context) (s parley.Status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", nil, nil, &s)
}
