package inspect

import (
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/app/share"
	"github.com/parley-im/parley/internal/fault"
	"github.com/parley-im/parley/waku/discovery"
)

// URL is a share URL taken apart (Status URL Scheme, Status URL Data).
type URL struct {
	Kind share.Kind `json:"kind"`
	// Key is zQ3sh…, nil when the URL names a user by ENSName.
	Key       *string `json:"key"`
	PublicKey *string `json:"public_key"` // 0x04…
	ENSName   string  `json:"ens_name,omitempty"`
	// Data is the preview, unsigned: every field of it, or none at all when
	// the URL has no preview. A channel's always has its uuid.
	Data Fields `json:"data"`
	// Shard is cluster and index, when the URL has them.
	Shard Fields `json:"shard,omitempty"`
}

// ParseURL reads a share URL. What is none is share.ErrNotShare, of kind
// fault.Usage; a bad key or preview one of share's other errors, of kind
// fault.Invalid.
func ParseURL(s string) (URL, error) {
	const hint = "a share URL is https://status.app/u#…, …/c#… or …/cc/…#…"
	s, err := text(s, hint)
	if err != nil {
		return URL{}, err
	}
	u, err := share.Parse(s)
	switch {
	case errors.Is(err, share.ErrNotShare):
		return URL{}, usage(err, hint)
	case err != nil:
		return URL{}, invalid("reading the share URL", err)
	}
	out := URL{Kind: u.Kind, ENSName: u.ENSName, Data: Fields{}}
	out.Key, out.PublicKey = keyForms(u.Key)
	var data proto.Message
	switch {
	case u.Channel != nil:
		data = u.Channel
	case u.Community != nil:
		data = u.Community
	case u.User != nil:
		data = u.User
	}
	if data != nil {
		out.Data = messageFields(data.ProtoReflect(), everyField, newBudget())
	}
	if u.Shard != nil {
		out.Shard = messageFields(u.Shard.ProtoReflect(), everyField, newBudget())
	}
	return out, nil
}

// ENR is a node record (31/WAKU2-ENR). Record is nil when it is not valid.
type ENR struct {
	Valid bool   `json:"valid"`
	Error string `json:"error,omitempty"`
	*discovery.Record
}

// ParseENR reads the text form enr:… and checks its signature. A record that
// is not valid is described too, beside its error of kind fault.Invalid.
func ParseENR(s string) (ENR, error) {
	s, err := text(s, "a node record is enr:…")
	if err != nil {
		return ENR{}, err
	}
	r, err := discovery.ParseENR(s)
	if err != nil {
		return ENR{Error: err.Error()}, &fault.Error{Kind: fault.Invalid, Op: "reading the node record", Err: err,
			Hint: "a node record is enr: and base64 in the URL alphabet, copied as a whole"}
	}
	return ENR{Valid: true, Record: r}, nil
}

// Multiaddr is a multiaddr in its parts.
type Multiaddr struct {
	Valid     bool   `json:"valid"`
	Error     string `json:"error,omitempty"`
	Multiaddr string `json:"multiaddr,omitempty"`
	// Components are the parts from left to right.
	Components []Component `json:"components,omitempty"`
	// PeerID is the node at the end of the address; empty when it names none.
	PeerID string `json:"peer_id,omitempty"`
	// Bytes is the binary form.
	Bytes Hex `json:"bytes,omitempty"`
}

// Component is one part of a multiaddr.
type Component struct {
	Protocol string `json:"protocol"`
	// Code is the protocol's number in the multicodec table.
	Code int `json:"code"`
	// Value is empty for protocols without one, such as ws.
	Value string `json:"value,omitempty"`
}

// ParseMultiaddr reads a multiaddr. One that is not valid is described too,
// beside its error of kind fault.Invalid.
func ParseMultiaddr(s string) (Multiaddr, error) {
	const hint = "a multiaddr is /ip4/192.0.2.1/tcp/30303/p2p/16Uiu2…, or /dns4/… with a name"
	s, err := text(s, hint)
	if err != nil {
		return Multiaddr{}, err
	}
	m, err := multiaddr.NewMultiaddr(s)
	if err != nil {
		return Multiaddr{Error: err.Error()}, &fault.Error{Kind: fault.Invalid, Op: "reading the multiaddr", Err: err, Hint: hint}
	}
	out := Multiaddr{Valid: true, Multiaddr: m.String(), Bytes: m.Bytes()}
	for _, c := range m {
		p := c.Protocol()
		out.Components = append(out.Components, Component{p.Name, p.Code, c.Value()})
	}
	if _, id := peer.SplitAddr(m); id != "" {
		out.PeerID = id.String()
	}
	return out, nil
}
