package community

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	apppb "github.com/parley-im/parley/pb/app"
)

// RequestLife is how long a request to join may wait, and how long one that was
// declined stands in the way of the next (deployed clients).
const RequestLife = 7 * 24 * time.Hour

// MaxPending is how many requests may wait for a decision at one time.
const MaxPending = 100

// MaxAutoMembers is how many members a community may have before new ones are
// let in by hand only.
const MaxAutoMembers = 5000

// MaxRequestSize is the largest message to or from a control node, but for
// responses, in bytes.
const MaxRequestSize = 1 << 20

// RequestState is how far a request to join has come. The texts are stable.
type RequestState string

// The states.
const (
	NotAsked RequestState = ""
	Pending  RequestState = "pending"
	Declined RequestState = "declined"
	Accepted RequestState = "accepted"
	Canceled RequestState = "canceled"
)

// Errors of requests.
var (
	ErrUnknown  = errors.New("no description of the community is known")
	ErrGated    = errors.New("the community is gated by tokens, which is not supported yet")
	ErrBanned   = errors.New("banned from the community")
	ErrENS      = errors.New("the community asks for an ENS name")
	ErrJoined   = errors.New("already a member of the community")
	ErrNotAsked = errors.New("no request to join waits for an answer")
	ErrExpired  = errors.New("the request to join has expired")
	ErrDeclined = errors.New("the request to join was declined less than seven days ago")
	ErrDecided  = errors.New("the request to join is not to be decided any more")
	ErrFull     = errors.New("too many requests to join are waiting")
	ErrElse     = errors.New("about another community")
	ErrNoMember = errors.New("not a member of the community")
	ErrOwner    = errors.New("the owner cannot be removed")
)

// OwnRequest is what we keep of our own request to join.
type OwnRequest struct {
	State RequestState `json:"state,omitempty"`
	// Clock is that of the request, in seconds.
	Clock uint64 `json:"clock,omitempty"`
}

// Open tells whether being listed as a member makes us one.
func (r OwnRequest) Open() bool { return r.State == Pending || r.State == Accepted }

// Request is a request to join: the message, and what a control node keeps of
// it. Its accounts are for the control node and, in later messages, owners and
// token masters; see [Request.WithoutAccounts] for all others.
type Request struct {
	Member    key.Public `json:"member"`
	Community key.Public `json:"community"`
	// Clock is Unix time in seconds, unlike other clocks (deployed clients).
	Clock       uint64 `json:"clock"`
	ENSName     string `json:"ens_name,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	// Color is the id of the member's colour, 0 for none.
	Color    uint32       `json:"color,omitempty"`
	Accounts []Account    `json:"accounts,omitempty"`
	State    RequestState `json:"state,omitempty"`
}

// ID names the request.
func (r Request) ID() RequestID { return NewRequestID(r.Member, r.Community) }

// WithoutAccounts returns what others than the control node may see.
func (r Request) WithoutAccounts() Request { r.Accounts = nil; return r }

// Encode returns the payload of type COMMUNITY_REQUEST_TO_JOIN.
func (r Request) Encode() ([]byte, error) {
	return message.Encode(&apppb.CommunityRequestToJoin{
		Clock: r.Clock, EnsName: r.ENSName, CommunityId: idBytes(r.Community), DisplayName: r.DisplayName,
		RevealedAccounts: accountsWire(r.Accounts), CustomizationColor: r.Color,
	})
}

// ParseRequest reads a request to join that member signed. Who gets it checks
// it with [Community.Admit].
func ParseRequest(member key.Public, payload []byte) (Request, error) {
	var m apppb.CommunityRequestToJoin
	k, err := parse(payload, &m, &m.CommunityId)
	if err != nil {
		return Request{}, err
	}
	r := Request{
		Member: member, Community: k, Clock: m.Clock,
		ENSName: m.EnsName, DisplayName: m.DisplayName, Color: m.CustomizationColor,
	}
	// The JavaScript client writes milliseconds. What is neither is left alone.
	if r.Clock >= firstMilliseconds && r.Clock < firstMilliseconds*1000 {
		r.Clock /= 1000
	}
	if err := checkNames(r.ENSName, r.DisplayName); err != nil {
		return Request{}, err
	}
	r.Accounts, err = parseAccounts(m.RevealedAccounts)
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

// parse reads one of the messages that name their community, after its size
// was checked.
func parse(payload []byte, m proto.Message, id *[]byte) (key.Public, error) {
	if len(payload) > MaxRequestSize {
		return key.Public{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(payload), MaxRequestSize)
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return key.Public{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return parseID(*id)
}

// parseID reads a community's id from its 33 bytes.
func parseID(id []byte) (key.Public, error) {
	if len(id) != key.CompressedSize {
		return key.Public{}, fmt.Errorf("%w: id of %d bytes, want %d", ErrMalformed, len(id), key.CompressedSize)
	}
	k, err := key.PublicFromBytes(id)
	if err != nil {
		return key.Public{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return k, nil
}

func idBytes(k key.Public) []byte { c := k.Compressed(); return c[:] }

func checkNames(names ...string) error {
	for _, name := range names {
		if n := utf8.RuneCountInString(name); n > MaxLabel {
			return fmt.Errorf("%w: name of %d characters, at most %d", ErrText, n, MaxLabel)
		}
	}
	return nil
}

// Asking is what one says of oneself in a request to join.
type Asking struct {
	ENSName, DisplayName string
	// Color is the id of one's colour, 0 for none.
	Color uint32
}

// Ask makes a request to join; it replaces one that waits. The account that it
// reveals is made for this community, see [AddressKey].
func (c Community) Ask(me key.Private, a Asking, now time.Time) (Community, Request, error) {
	self := me.Public()
	switch d := c.Description; {
	case d.IsZero():
		return c, Request{}, ErrUnknown
	case c.Joined:
		return c, Request{}, ErrJoined
	case d.Gated:
		return c, Request{}, ErrGated
	case c.IsBanned(self):
		return c, Request{}, ErrBanned
	case d.ENSOnly && a.ENSName == "":
		return c, Request{}, ErrENS
	case d.Access != AutoAccept && d.Access != ManualAccept:
		return c, Request{}, fmt.Errorf("%w: %s", ErrAccess, d.Access)
	}
	if err := checkNames(a.ENSName, a.DisplayName); err != nil {
		return c, Request{}, err
	}
	account, err := c.account(me, Proof(self, c.Key))
	if err != nil {
		return c, Request{}, err
	}
	r := Request{
		Member: self, Community: c.Key, Clock: max(seconds(now), c.Request.Clock+1),
		ENSName: a.ENSName, DisplayName: a.DisplayName, Color: a.Color,
		Accounts: []Account{account}, State: Pending,
	}
	c.Request = OwnRequest{State: Pending, Clock: r.Clock}
	return c, r, nil
}

// account is the one that we reveal to this community.
func (c Community) account(me key.Private, proof [32]byte) (Account, error) {
	wallet, err := AddressKey(me, c.Key)
	if err != nil {
		return Account{}, err
	}
	return NewAccount(wallet, proof)
}

// Expire forgets our own request if it has waited too long, and tells whether
// it did.
func (c Community) Expire(now time.Time) (Community, bool) {
	if c.Request.State != Pending || !expired(c.Request.Clock, now) {
		return c, false
	}
	c.Request = OwnRequest{}
	return c, true
}

// expired tells whether a request of that clock is older than RequestLife.
func expired(clock uint64, now time.Time) bool {
	// Written so that no clock overflows.
	return seconds(now) >= uint64(RequestLife/time.Second) && clock <= seconds(now)-uint64(RequestLife/time.Second)
}

// Desk is what a control node knows when a request comes.
type Desk struct {
	// Before is the last request of the same member, zero for none.
	Before Request
	// Pending is how many requests of others wait.
	Pending int
	// ENSVerified tells that the ENS name was looked up and is theirs.
	ENSVerified bool
	Now         time.Time
}

// Admit decides, as the control node, about a request. It returns the request
// to be kept: Accepted, to be followed by [Community.AddMembers] and a response;
// Pending, for the owner to decide; or Declined, for a false proof. An error
// means that it is to be dropped and Before kept.
//
// A request that reveals no account is as good as any: nothing in a community
// that is not gated depends on one, and the JavaScript client has none to
// reveal. Deployed control nodes drop it. It must have come on a topic of the
// community: deployed clients also send copies without accounts to people.
func (c Community) Admit(r Request, at Desk) (Request, error) {
	d := c.Description
	switch {
	case d.IsZero():
		return r, ErrUnknown
	case r.Community != c.Key:
		return r, ErrElse
	case d.Gated:
		return r, ErrGated
	case c.IsBanned(r.Member):
		return r, ErrBanned
	case d.ENSOnly && r.ENSName == "":
		return r, ErrENS
	case expired(r.Clock, at.Now):
		return r, ErrExpired
	}
	if limit := seconds(at.Now) + uint64(message.MaxClockAhead/time.Second); r.Clock > limit {
		return r, fmt.Errorf("%w: %d s, at most %d", message.ErrClockAhead, r.Clock, limit)
	}
	switch at.Before.State {
	case Declined:
		if r.Clock < at.Before.Clock+uint64(RequestLife/time.Second) {
			return r, ErrDeclined
		}
	case Pending, Accepted, Canceled:
		if r.Clock <= at.Before.Clock {
			return r, fmt.Errorf("%w: %d s, want more than %d", ErrOutdated, r.Clock, at.Before.Clock)
		}
	}
	if len(r.Accounts) > 0 && checkAccounts(r.Accounts, Proof(r.Member, r.Community)) != nil {
		r.State = Declined
		return r, nil
	}
	auto := d.Access == AutoAccept && len(d.Members) < MaxAutoMembers && (!d.ENSOnly || at.ENSVerified)
	if auto || c.IsMember(r.Member) {
		r.State = Accepted
		return r, nil
	}
	if at.Pending >= MaxPending {
		return r, fmt.Errorf("%w: %d", ErrFull, at.Pending)
	}
	r.State = Pending
	return r, nil
}

// Accept records the owner's yes to a request that waits or was declined;
// [Community.AddMembers] and a response follow.
func (r Request) Accept() (Request, error) {
	if r.State != Pending && r.State != Declined {
		return r, ErrDecided
	}
	r.State = Accepted
	return r, nil
}

// Decline records the owner's no. Nothing is sent: deployed clients stay
// silent, too.
func (r Request) Decline() (Request, error) {
	if r.State != Pending {
		return r, ErrDecided
	}
	r.State = Declined
	return r, nil
}

// Expired tells whether a request has waited too long.
func (r Request) Expired(now time.Time) bool { return r.State == Pending && expired(r.Clock, now) }
