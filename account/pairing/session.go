package pairing

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
)

// cookieSize is the length in bytes of the name of a session.
const cookieSize = 32

// step is a call that the client has to make in its turn.
type step struct {
	route, method string
	// challenged says that the call must answer a challenge.
	challenged bool
	// limit bounds the sealed body.
	limit int64
	// do takes the opened body and returns the answer that is to be sealed.
	do func(body []byte) ([]byte, error)
}

// session is a pairing from the side of the device that shows the code: one
// client, at one address, that makes every call once and in order. Whoever
// shows not to know the code ends it.
type session struct {
	key   [keySize]byte
	steps []step
	rand  io.Reader
	// done has the end, once.
	done chan error

	mu sync.Mutex
	// client is where the first request came from; no other is answered.
	client netip.Addr
	// cookie names the client's session, challenge is what it has to answer
	// next; both empty before it asks.
	cookie    string
	challenge []byte
	next      int
	// working says that a step is being done, ending why nothing may follow it,
	// over that nothing is answered any more.
	working, over bool
	ending        error
}

func newSession(k [keySize]byte, steps []step, rand io.Reader) *session {
	return &session{key: k, steps: steps, rand: rand, done: make(chan error, 1)}
}

// finish ends the session. The caller has locked it.
func (s *session) finish(err error) {
	if !s.over {
		s.over = true
		s.done <- err
	}
}

// end ends the session from outside with a reason, unless it has ended; what is
// being done is waited for. What came of it is in done.
func (s *session) end(reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.working {
		s.ending = reason
		return
	}
	s.finish(reason)
}

func refuse(w http.ResponseWriter, status int) { http.Error(w, http.StatusText(status), status) }

// ServeHTTP answers a call.
func (s *session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !s.admit(r) {
		refuse(w, http.StatusForbidden)
		return
	}
	if r.URL.Path == routeChallenge {
		s.giveChallenge(w, r)
		return
	}
	for i, step := range s.steps {
		if r.URL.Path == step.route {
			s.take(w, r, i)
			return
		}
	}
	refuse(w, http.StatusNotFound)
}

// admit says whether a request comes from the one client.
func (s *session) admit(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	addr := from.Addr().Unmap()
	if !s.over && !s.client.IsValid() {
		s.client = addr
	}
	return !s.over && s.client == addr
}

// giveChallenge answers with the challenge, and opens the one session.
func (s *session) giveChallenge(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cookie == "" {
		name := make([]byte, cookieSize)
		if _, err := io.ReadFull(s.rand, name); err != nil || s.renew() != nil {
			refuse(w, http.StatusInternalServerError)
			return
		}
		s.cookie = base64.RawURLEncoding.EncodeToString(name)
		http.SetCookie(w, &http.Cookie{
			Name: challengeHeader, Value: s.cookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		})
	} else if !s.known(r) {
		refuse(w, http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(s.challenge)
}

// renew makes up a challenge.
func (s *session) renew() error {
	challenge := make([]byte, challengeSize)
	if _, err := io.ReadFull(s.rand, challenge); err != nil {
		return err
	}
	s.challenge = challenge
	return nil
}

// known says whether a request belongs to the session.
func (s *session) known(r *http.Request) bool {
	cookie, err := r.Cookie(challengeHeader)
	return err == nil && s.cookie != "" && subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(s.cookie)) == 1
}

// take does step i if it is its turn.
func (s *session) take(w http.ResponseWriter, r *http.Request, i int) {
	step := s.steps[i]
	if r.Method != step.method {
		refuse(w, http.StatusMethodNotAllowed)
		return
	}
	if status := s.begin(r, i); status != http.StatusOK {
		refuse(w, status)
		return
	}
	var body []byte
	var err error
	if step.method == http.MethodPost {
		body, err = s.read(w, r, step.limit)
	}
	answer, status, err := s.work(i, body, err)
	s.complete(i, err)
	if status != http.StatusOK {
		refuse(w, status)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(answer)
}

// begin checks the turn and the answer to the challenge, and makes up the next
// one. A wrong answer ends the session; a missing one does not, since deployed
// clients do not punish it.
func (s *session) begin(r *http.Request, i int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return http.StatusForbidden
	}
	if s.steps[i].challenged {
		given := r.Header.Get(challengeHeader)
		if given == "" || !s.known(r) {
			return http.StatusForbidden
		}
		if !right(s.key, given, s.challenge) {
			s.finish(ErrIntruder)
			return http.StatusForbidden
		}
		if s.renew() != nil {
			return http.StatusInternalServerError
		}
	}
	if s.working || i != s.next {
		return http.StatusConflict
	}
	s.working = true
	return http.StatusOK
}

// errBroken says that a body did not come whole, which the client may mend.
var errBroken = errors.New("the body did not come")

// read reads and opens a body.
func (s *session) read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	sealed, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, ErrSize
	}
	if err != nil {
		return nil, errBroken
	}
	plain, err := open(s.key, sealed)
	if err != nil {
		return nil, ErrIntruder // nobody who knows the code seals like that
	}
	return plain, nil
}

// work does step i, and seals its answer.
func (s *session) work(i int, body []byte, err error) (answer []byte, status int, _ error) {
	if err == nil {
		answer, err = s.steps[i].do(body)
	}
	if err == nil && s.steps[i].method == http.MethodGet {
		answer, err = seal(s.key, answer, s.rand)
	}
	switch {
	case err == nil:
		return answer, http.StatusOK, nil
	case errors.Is(err, ErrSize):
		return nil, http.StatusRequestEntityTooLarge, err
	case errors.Is(err, ErrIntruder):
		return nil, http.StatusForbidden, err
	case errors.Is(err, errBroken):
		return nil, http.StatusBadRequest, err
	case errors.Is(err, ErrPayload):
		return nil, http.StatusUnprocessableEntity, err
	}
	return nil, http.StatusInternalServerError, err
}

// complete notes what came of step i.
func (s *session) complete(i int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working = false
	switch {
	case err == nil:
		s.next = i + 1
		if s.next == len(s.steps) {
			s.finish(nil)
		}
	case !errors.Is(err, errBroken):
		s.finish(err)
	}
	if s.ending != nil {
		s.finish(s.ending)
	}
}
