package community

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/parley-im/parley/account/key"
	"github.com/parley-im/parley/app/message"
	"github.com/parley-im/parley/internal/vectors"
	apppb "github.com/parley-im/parley/pb/app"
)

// descriptionCase is a description as a deployed client published it, or a
// grant beside one.
type descriptionCase struct {
	Name, CommunityID, OwnerPublicKey            string
	EncryptedChannel                             string
	Clock, Expires                               uint64
	Encrypted                                    bool
	CommunityPrivateKey                          vectors.Hex
	Description, Wrapped, Grant, OwnerPrivateKey vectors.Hex
	MemberPrivateKey, AdminPrivateKey            vectors.Hex
	MemberID, ChatID                             string
	DescriptionJSON                              struct {
		Clock    uint64
		Members  map[string]struct{ Roles []int }
		Identity struct {
			DisplayName string `json:"display_name"`
			Description string
			Color       string
		}
		Permissions struct{ Access int32 }
		Chats       map[string]struct {
			Identity struct {
				DisplayName string `json:"display_name"`
			}
			CategoryID string `json:"category_id"`
		}
		Categories       map[string]struct{ Name string }
		IntroMessage     string `json:"intro_message"`
		OutroMessage     string `json:"outro_message"`
		Tags             []string
		TokenPermissions map[string]any `json:"token_permissions"`
		PrivateData      map[string]any
	}
}

func privateKey(t testing.TB, raw []byte) key.Private {
	t.Helper()
	k, err := key.PrivateFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Proves: AP-036, AP-041, AP-177.
func TestVectorsDescription(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[descriptionCase](t, "community_description") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			k := privateKey(t, c.CommunityPrivateKey)
			if k.Public().CompressedHex() != c.CommunityID {
				t.Fatalf("id %s", k.Public().CompressedHex())
			}
			if len(c.Grant) > 0 {
				checkGrant(t, c, k)
				return
			}
			checkDescription(t, c, k)
		})
	}
}

func checkGrant(t *testing.T, c descriptionCase, k key.Private) {
	member, err := key.ParsePublic(c.MemberID)
	if err != nil {
		t.Fatal(err)
	}
	made := time.UnixMilli(int64(c.Expires)).Add(-GrantLife)
	got, err := NewGrant(k, member, c.ChatID, c.Clock, made)
	if err != nil || !bytes.Equal(got, c.Grant) {
		t.Errorf("grant\n%x, recorded\n%x (%v)", got, []byte(c.Grant), err)
	}
}

func checkDescription(t *testing.T, c descriptionCase, k key.Private) {
	author, payload, err := Unwrap(c.Wrapped)
	if err != nil || author != k.Public() || !bytes.Equal(payload, c.Description) {
		t.Fatalf("unwrapped %x of %s, %v", payload, author.Hex(), err)
	}
	var m apppb.CommunityDescription
	if err := proto.Unmarshal(payload, &m); err != nil || len(m.ProtoReflect().GetUnknown()) > 0 {
		t.Errorf("fields that are not described: %x, %v", m.ProtoReflect().GetUnknown(), err)
	}
	// Maps were written in any order, so the lengths and the fields are equal.
	var back apppb.CommunityDescription
	again, err := message.Encode(&m)
	if err != nil || len(again) != len(payload) || proto.Unmarshal(again, &back) != nil || !proto.Equal(&back, &m) {
		t.Errorf("encoded\n%x, recorded\n%x (%v)", again, payload, err)
	}
	at := time.UnixMilli(int64(c.Clock))
	var owner key.Public
	if len(c.OwnerPrivateKey) > 0 {
		owner = privateKey(t, c.OwnerPrivateKey).Public()
	}
	got, changes, err := Community{}.ReceiveWrapped(c.Wrapped, Incoming{Self: owner, At: at})
	if err != nil || got.Key != k.Public() || kinds(changes) != string(Known) {
		t.Fatalf("received with %s, %v", kinds(changes), err)
	}
	roundTrip(t, got)
	d, want := got.Description, c.DescriptionJSON
	if d.Clock != want.Clock || d.Name != want.Identity.DisplayName || d.Text != want.Identity.Description ||
		d.Color != want.Identity.Color || d.Intro != want.IntroMessage || d.Outro != want.OutroMessage ||
		len(d.Tags) != len(want.Tags) || len(d.Members) != len(want.Members) || len(d.Channels) != len(want.Chats) ||
		len(d.Categories) != len(want.Categories) || int32(accessNumbers[d.Access]) != want.Permissions.Access ||
		d.Permissions != len(want.TokenPermissions) || d.Sealed != len(want.PrivateData) {
		t.Errorf("read as %+v", d)
	}
	if d.Gated != c.Encrypted {
		t.Errorf("gated: %v, recorded %v", d.Gated, c.Encrypted)
	}
	for id, its := range want.Members {
		role := map[int]Role{0: Plain, 1: Owner, 4: Admin, 5: TokenMaster}
		m, ok := d.Member(ID(id))
		if !ok || (len(its.Roles) == 0 && m.Role != Plain) || (len(its.Roles) > 0 && m.Role != role[its.Roles[0]]) {
			t.Errorf("member %s is %+v", id, m)
		}
	}
	for id, its := range want.Chats {
		ch, ok := d.Channel(id)
		if !ok || ch.Name != its.Identity.DisplayName || ch.Category != its.CategoryID || ch.Encrypted != (id == c.EncryptedChannel) {
			t.Errorf("channel %s is %+v", id, ch)
		}
		if !ch.Restricted && len(ch.Members) != len(d.Members) {
			t.Errorf("channel %s has %d members, the community %d", id, len(ch.Members), len(d.Members))
		}
		if _, ok := channelOf(got, ChannelID(got.Key, id)); !ok {
			t.Errorf("channel %s is not found by its chat id", id)
		}
		// Who is in the community may write where no permission says otherwise,
		// and in a channel whose members are not known, nobody but its owner.
		for _, raw := range []vectors.Hex{c.OwnerPrivateKey, c.MemberPrivateKey, c.AdminPrivateKey} {
			if len(raw) > 0 && got.CanPost(privateKey(t, raw).Public(), id) == ch.Encrypted {
				t.Errorf("channel %s: a member may post: %v", id, !ch.Encrypted)
			}
		}
	}
	if owner != (key.Public{}) && !c.Encrypted && got.Role(owner) != Owner {
		t.Errorf("the owner is %q", got.Role(owner))
	}
	if c.Encrypted || d.Sealed > 0 {
		if _, err := got.Edit(Control{Key: k, Now: at}, params()); err == nil {
			t.Error("a gated community was edited")
		}
		return
	}
	recreate(t, c, k, owner)
}

// recreate makes a community that was just created again, byte for byte.
func recreate(t *testing.T, c descriptionCase, k key.Private, owner key.Public) {
	want := c.DescriptionJSON
	if len(want.Chats) != 1 || len(want.Members) != 1 || len(want.Categories) > 0 {
		return
	}
	var general uuid.UUID
	for id := range want.Chats {
		general = uuid.MustParse(id)
	}
	made, err := Create(Control{Key: k, Now: time.UnixMilli(int64(want.Clock)), Rand: bytes.NewReader(general[:])}, owner, Params{
		Name: want.Identity.DisplayName, Text: want.Identity.Description, Color: want.Identity.Color,
		Intro: want.IntroMessage, Outro: want.OutroMessage, Tags: want.Tags,
		Access: accessOf(apppb.CommunityPermissions_Access(want.Permissions.Access)),
	})
	if err != nil || !bytes.Equal(made.Wrapped, c.Wrapped) {
		t.Errorf("created\n%x, recorded\n%x (%v)", made.Wrapped, []byte(c.Wrapped), err)
	}
}

// accountCase is a revealed account of a request as a deployed client makes it.
type accountCase struct {
	Address, CommunityID, MemberPublicKeyHex string
	DataToSign, PersonalSignHash             vectors.Hex
	RequestID, Signature                     vectors.Hex
	MemberPrivateKey, WalletPrivateKey       vectors.Hex
}

func TestVectorsJoinRequest(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[accountCase](t, "community_join_request") {
		t.Run(c.Address, func(t *testing.T) {
			t.Parallel()
			community, err := key.ParsePublic(c.CommunityID)
			if err != nil {
				t.Fatal(err)
			}
			member := privateKey(t, c.MemberPrivateKey).Public()
			if member.Hex() != c.MemberPublicKeyHex {
				t.Fatalf("member %s", member.Hex())
			}
			if id := NewRequestID(member, community); !bytes.Equal(id[:], c.RequestID) {
				t.Errorf("request id %s", id)
			}
			proof := Proof(member, community)
			if digest := personal(proof); !bytes.Equal(proof[:], c.DataToSign) || !bytes.Equal(digest[:], c.PersonalSignHash) {
				t.Errorf("signs %x, which is %x", proof, digest)
			}
			a, err := NewAccount(privateKey(t, c.WalletPrivateKey), proof)
			if err != nil || a.Address != c.Address || !bytes.Equal(a.Signature, c.Signature) {
				t.Errorf("account %+v, %v", a, err)
			}
			recorded := Account{Address: c.Address, Signature: c.Signature}
			if err := recorded.Check(proof); err != nil {
				t.Error(err)
			}
			// The same signature with a recovery id of 0 or 1.
			recorded.Signature = bytes.Clone(c.Signature)
			recorded.Signature[64] -= 27
			if err := recorded.Check(proof); err != nil {
				t.Error(err)
			}
			if recorded.Check(EditProof(member, community)) == nil {
				t.Error("the signature also proves something else")
			}
		})
	}
}

func TestVectorsTags(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(vectors.Variable)
	if dir == "" {
		dir = filepath.Join("..", "..", "testdata", "vectors")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "community_tags.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Tags []Tag }
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Tags) == 0 {
		t.Fatal(err)
	}
	if got := Tags(); len(got) != len(file.Tags) {
		t.Fatalf("%d tags, recorded %d", len(got), len(file.Tags))
	}
	for i, want := range file.Tags {
		got, ok := TagAt(i)
		place, known := TagIndex(want.Name)
		if !ok || got != want || !known || place != i {
			t.Errorf("tag %d is %+v at %d, recorded %+v", i, got, place, want)
		}
	}
}

// conversation is what three deployed clients said to each other.
type conversation struct {
	Name    string
	Parties []struct {
		Name           string
		ChatPrivateKey vectors.Hex
	}
	Envelopes []struct {
		Hash      string
		Timestamp int64
	}
	Communities []struct {
		ID, Name   string
		Encrypted  bool
		PrivateKey vectors.Hex
	}
	Decoded []struct {
		By, From, Type, ID, EnvelopeHash, HandlerError string
		Payload                                        vectors.Hex
	}
}

// Every description, request and response of the conversation is read, is
// encoded to the same bytes, and leads where it led the deployed clients.
//
// Proves: AP-185.
func TestVectorsConversation(t *testing.T) {
	t.Parallel()
	for _, c := range vectors.Cases[conversation](t, "conversation") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			replayConversation(t, c)
		})
	}
}

func replayConversation(t *testing.T, c conversation) {
	times, selves, gatedOnes := map[string]time.Time{}, map[string]key.Private{}, map[string]bool{}
	for _, e := range c.Envelopes {
		times[e.Hash] = time.Unix(0, e.Timestamp)
	}
	for _, p := range c.Parties {
		selves[p.Name] = privateKey(t, p.ChatPrivateKey)
	}
	for _, g := range c.Communities {
		gatedOnes[g.ID] = g.Encrypted
	}
	known := map[[2]string]Community{}
	requests := map[string]Request{}
	count := map[string]int{}
	for _, d := range c.Decoded {
		from, err := key.ParsePublic(d.From)
		if err != nil {
			t.Fatal(err)
		}
		self := selves[d.By].Public()
		where := [2]string{d.By, from.CompressedHex()}
		at := times[d.EnvelopeHash]
		switch d.Type {
		case "COMMUNITY_DESCRIPTION":
			count[d.Type]++
			before := known[where]
			wrapped := wrap(t, d.Payload, from, c)
			after, _, err := before.Receive(Incoming{Author: from, Wrapped: wrapped, Payload: d.Payload, Self: self, At: at})
			if outdated := err != nil; outdated && before.IsZero() {
				t.Fatalf("%s: %v", d.ID, err)
			}
			known[where] = after
			roundTrip(t, after)
		case "COMMUNITY_REQUEST_TO_JOIN":
			count[d.Type]++
			r, err := ParseRequest(from, d.Payload)
			if err != nil {
				t.Fatalf("%s: %v", d.ID, err)
			}
			if again, err := r.Encode(); err != nil || !bytes.Equal(again, d.Payload) {
				t.Errorf("%s: encoded\n%x, %v", d.ID, again, err)
			}
			err = checkAccounts(r.Accounts, Proof(r.Member, r.Community))
			if (err == nil) != (d.HandlerError == "") {
				t.Errorf("%s: accounts: %v; the deployed client said %q", d.ID, err, d.HandlerError)
			}
			at := [2]string{d.By, r.Community.CompressedHex()}
			decided, err := known[at].Admit(r, Desk{Before: requests[r.ID().String()], Now: times[d.EnvelopeHash]})
			switch {
			case d.HandlerError != "":
				if err == nil {
					t.Errorf("%s: taken as %s", d.ID, decided.State)
				}
			case gatedOnes[r.Community.CompressedHex()]:
				// What came before the gate was closed is decided as usual.
				if err == nil && known[at].Description.Gated {
					t.Errorf("%s: a gated community lets in", d.ID)
				}
			case err != nil || decided.State != Pending:
				t.Errorf("%s: %s, %v", d.ID, decided.State, err)
			default:
				requests[r.ID().String()] = decided
			}
		case "COMMUNITY_REQUEST_TO_JOIN_RESPONSE":
			count[d.Type]++
			r, err := ParseResponse(d.Payload)
			if err != nil || !r.Accepted || r.Community != from || r.Clock == 0 || len(r.Grant) == 0 {
				t.Fatalf("%s: %+v, %v", d.ID, r, err)
			}
			author, payload, err := Unwrap(r.Wrapped)
			if err != nil || author != from {
				t.Fatalf("%s: %v", d.ID, err)
			}
			description, err := Parse(author, payload)
			if err != nil {
				t.Fatalf("%s: %v", d.ID, err)
			}
			was := known[where].with(author, Description{}, nil)
			was.Request = OwnRequest{State: Pending, Clock: r.Clock / 1000}
			after, changes, err := was.Answered(r, Incoming{Author: from, Self: self, At: at})
			if err != nil || after.Request.State != Accepted || after.Joined == description.Gated {
				t.Errorf("%s: joined %v with %s, %v", d.ID, after.Joined, kinds(changes), err)
			}
		}
	}
	for _, typ := range []string{"COMMUNITY_DESCRIPTION", "COMMUNITY_REQUEST_TO_JOIN", "COMMUNITY_REQUEST_TO_JOIN_RESPONSE"} {
		if count[typ] == 0 {
			t.Errorf("no %s was recorded", typ)
		}
	}
	// All who saw a community last at one clock saw the same.
	for a, x := range known {
		if x.Description.Gated != gatedOnes[a[1]] {
			t.Errorf("%s: %s is gated: %v", a[0], a[1], x.Description.Gated)
		}
		for b, y := range known {
			if a[1] == b[1] && x.Description.Clock == y.Description.Clock && !x.Description.Gated &&
				!bytes.Equal(x.Description.Encode(), y.Description.Encode()) {
				t.Errorf("%s and %s know two descriptions of %s", a[0], b[0], a[1])
			}
		}
	}
}

// wrap signs a recorded payload as its community.
func wrap(t testing.TB, payload []byte, from key.Public, c conversation) []byte {
	t.Helper()
	for _, its := range c.Communities {
		k := privateKey(t, its.PrivateKey)
		if k.Public() != from {
			continue
		}
		raw, _, err := message.Wrap(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION, payload, k)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	t.Fatalf("no community of %s", from.Hex())
	return nil
}
