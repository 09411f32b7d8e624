package message

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	apppb "github.com/parley-im/parley/pb/app"
)

var update = flag.Bool("update", false, "write docs/messages.md instead of comparing with it")

var chatKinds = []ChatKind{OneToOne, PrivateGroup, Community, PublicChat}

// types returns every number of the enumeration but UNKNOWN, in order.
func types() []Type {
	var all []Type
	for number := range apppb.ApplicationMetadataMessage_Type_name {
		if number != 0 {
			all = append(all, Type(number))
		}
	}
	slices.Sort(all)
	return all
}

func TestName(t *testing.T) {
	t.Parallel()
	for _, typ := range types() {
		if name := Name(typ); name == "" || strings.HasPrefix(name, "UNKNOWN_") {
			t.Errorf("%d: %q", typ, name)
		}
	}
	// Reserved in every version, removed in some, and far outside.
	for _, number := range []int32{14, 55, 65, 66, 71, 94, -1, 1<<31 - 1, -1 << 31} {
		if got, want := Name(Type(number)), "UNKNOWN_"+strconv.Itoa(int(number)); got != want {
			t.Errorf("Name(%d) = %s, want %s", number, got, want)
		}
	}
	if got := Name(0); got != "UNKNOWN" {
		t.Errorf("Name(0) = %s", got)
	}
}

// Every type has a rule; each rule has exactly one scope, and one answer to
// each question for each kind of chat. No rule is for a number that is no type.
//
// Proves: SP-01, SP-08, SP-20.
func TestTableCoversEnumeration(t *testing.T) {
	t.Parallel()
	seen := map[Type]map[ChatKind]bool{}
	for i, r := range Rules() {
		if i > 0 && (r.Type < table[i-1].Type || r.Type == table[i-1].Type && r.Chat <= table[i-1].Chat) {
			t.Errorf("%s/%s is out of order", Name(r.Type), r.Chat)
		}
		if seen[r.Type] == nil {
			seen[r.Type] = map[ChatKind]bool{}
		}
		if seen[r.Type][r.Chat] {
			t.Errorf("%s/%s has two rows", Name(r.Type), r.Chat)
		}
		seen[r.Type][r.Chat] = true
		if r.Scope < GlobalControl || r.Scope > Local {
			t.Errorf("%s/%s has no scope", Name(r.Type), r.Chat)
		}
		if r.Ephemeral > IfAutomatic || r.Reliability > SDS || r.Encryption > GroupKey || r.Shard > ShardLocal || max(r.Topic, r.Also) > TopicChannel {
			t.Errorf("%s/%s has a value outside its enumeration: %+v", Name(r.Type), r.Chat, r)
		}
	}
	all := types()
	for _, typ := range all {
		kinds := seen[typ]
		switch {
		case len(kinds) == 0:
			t.Errorf("%s has no row", Name(typ))
		case kinds[NoChat] && len(kinds) > 1:
			t.Errorf("%s has a row for every chat and rows for some", Name(typ))
		}
		for _, kind := range append([]ChatKind{NoChat}, chatKinds...) {
			rule, ok := RuleFor(typ, kind)
			if want := kinds[NoChat] || kinds[kind]; ok != want {
				t.Errorf("RuleFor(%s, %s): %v, want %v", Name(typ), kind, ok, want)
			}
			if ok && rule.Type != typ {
				t.Errorf("RuleFor(%s, %s) is a rule for %s", Name(typ), kind, Name(rule.Type))
			}
		}
	}
	if len(seen) != len(all) {
		t.Errorf("rows for %d types, the enumeration has %d", len(seen), len(all))
	}
	for _, number := range []Type{0, 14, 55, 65, 66, 71, 94} {
		if _, ok := RuleFor(number, OneToOne); ok {
			t.Errorf("a rule for %s", Name(number))
		}
	}
}

// Messages of 1:1 chats and private groups are global, those of communities
// community-wide, those to oneself local.
//
// Proves: SP-04, SP-05, SP-06, SP-07.
func TestScopes(t *testing.T) {
	t.Parallel()
	global := []Scope{GlobalControl, GlobalContent}
	community := []Scope{CommunityControl, CommunityContent}
	for _, r := range Rules() {
		name := Name(r.Type)
		switch {
		case r.Chat == OneToOne || r.Chat == PrivateGroup:
			if !slices.Contains(global, r.Scope) {
				t.Errorf("%s in %s: %s", name, r.Chat, r.Scope)
			}
		case r.Chat == Community || strings.Contains(name, "COMMUNITY_") && !strings.HasPrefix(name, "SYNC_"):
			if !slices.Contains(community, r.Scope) {
				t.Errorf("%s of communities: %s", name, r.Scope)
			}
		case strings.Contains(name, "SYNC_") || strings.HasPrefix(name, "BACK"):
			if r.Scope != Local {
				t.Errorf("%s to oneself: %s", name, r.Scope)
			}
		case strings.Contains(name, "CONTACT") || strings.Contains(name, "GROUP") || strings.Contains(name, "MEMBERSHIP"):
			if r.Scope != GlobalControl {
				t.Errorf("%s between people: %s", name, r.Scope)
			}
		}
	}
}

// The shard class follows the scope.
//
// Proves: SP-09.
func TestShardsFollowScopes(t *testing.T) {
	t.Parallel()
	allowed := map[Scope][]Shard{
		GlobalControl:    {ShardGlobal},
		GlobalContent:    {ShardGlobal},
		CommunityControl: {ShardCommunityControl, ShardCommunityRequest},
		CommunityContent: {ShardCommunityContent},
		Local:            {ShardLocal},
	}
	for _, r := range Rules() {
		if !slices.Contains(allowed[r.Scope], r.Shard) {
			t.Errorf("%s/%s: scope %s on shard class %s", Name(r.Type), r.Chat, r.Scope, r.Shard)
		}
		if (r.Shard == ShardCommunityRequest) != (r.Topic == TopicCommunityRequests || r.Topic == TopicShardInfo) {
			t.Errorf("%s: shard class %s with topic %s", Name(r.Type), r.Shard, r.Topic)
		}
	}
}

// Every type that travels has a content topic, and all content of one chat has
// the same.
//
// Proves: SP-13, SP-15, SP-17.
func TestTopics(t *testing.T) {
	t.Parallel()
	content := map[ChatKind]TopicRule{}
	for _, r := range Rules() {
		offWire := r.Type == apppb.ApplicationMetadataMessage_BACKED_UP_MESSAGE_BATCH ||
			r.Type == apppb.ApplicationMetadataMessage_ANONYMOUS_METRIC_BATCH
		if r.Topic == TopicChannel || (r.Also == TopicChannel) != (r.Chat == Community) {
			t.Errorf("%s/%s: topics %s and %s; a channel's own topic has copies of content alone", Name(r.Type), r.Chat, r.Topic, r.Also)
		}
		if (r.Topic == TopicNone) != offWire {
			t.Errorf("%s/%s: topic %s", Name(r.Type), r.Chat, r.Topic)
		}
		if r.Chat == NoChat {
			continue
		}
		if first, ok := content[r.Chat]; ok && first != r.Topic {
			t.Errorf("%s in %s: topic %s, others use %s", Name(r.Type), r.Chat, r.Topic, first)
		}
		content[r.Chat] = r.Topic
	}
	// What passes between two people, chat or control, is filtered together.
	for _, typ := range []Type{1, 2, 24, 46, 47} {
		if r, _ := RuleFor(typ, OneToOne); r.Topic != content[OneToOne] {
			t.Errorf("%s: topic %s", Name(typ), r.Topic)
		}
	}
}

// Proves: SP-20, SP-22, SP-24.
func TestEphemeral(t *testing.T) {
	t.Parallel()
	for _, r := range Rules() {
		if r.Ephemeral != Never && r.Reliability != NoReliability {
			t.Errorf("%s may be ephemeral and has %s", Name(r.Type), r.Reliability)
		}
		if (r.Ephemeral == IfAutomatic) != (r.Type == apppb.ApplicationMetadataMessage_STATUS_UPDATE) {
			t.Errorf("%s: ephemeral %s", Name(r.Type), r.Ephemeral)
		}
	}
	status, _ := RuleFor(apppb.ApplicationMetadataMessage_STATUS_UPDATE, NoChat)
	for kind := range apppb.StatusUpdate_StatusType_name {
		payload, err := Encode(&apppb.StatusUpdate{Clock: 1, StatusType: apppb.StatusUpdate_StatusType(kind)})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := status.IsEphemeral(payload), kind == int32(apppb.StatusUpdate_AUTOMATIC); got != want {
			t.Errorf("status %d: ephemeral %v, want %v", kind, got, want)
		}
	}
	if status.IsEphemeral([]byte{0xff}) {
		t.Error("a payload that is no status is ephemeral")
	}
	chat, _ := RuleFor(chatMessage, OneToOne)
	if chat.IsEphemeral([]byte{0x10, 1}) {
		t.Error("a chat message is ephemeral")
	}
	if !(Rule{Ephemeral: Always}).IsEphemeral(nil) {
		t.Error("always is not always")
	}
}

// The "Use MVDS" column of Status MVDS usage, with the three rows where the
// table differs for a reason.
//
// Proves: SP-25, SP-26.
func TestReliability(t *testing.T) {
	t.Parallel()
	pairwiseContent := []Type{1, 28, 29, 31} // yes in 1:1 chats and private groups
	yes := map[Type]bool{}
	for _, typ := range types() {
		name := Name(typ)
		yes[typ] = strings.HasPrefix(name, "SYNC_") || strings.HasSuffix(name, "_CONTACT_VERIFICATION") ||
			typ >= 6 && typ <= 11
	}
	for _, typ := range []Type{2, 23, 46, 47, 73, 93} {
		yes[typ] = true
	}
	for _, typ := range []Type{13, 63} { // no-op and removed
		yes[typ] = false
	}
	// Usage says no, but a group is lost with one lost event, and its chat
	// messages ride in these; usage says yes, but a device that is not paired
	// has no session to acknowledge in.
	yes[apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE] = true
	// Usage says that reactions need reliability and do not have it; the
	// protocol specification wants MVDS for all of a pairwise chat.
	yes[apppb.ApplicationMetadataMessage_EMOJI_REACTION] = true
	yes[apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION] = false

	for _, r := range Rules() {
		name := Name(r.Type)
		switch {
		case r.Chat == Community:
			if r.Reliability != SDS {
				t.Errorf("%s in communities: %s", name, r.Reliability)
			}
		case r.Chat == PublicChat:
			if r.Reliability != NoReliability {
				t.Errorf("%s in public chats: %s", name, r.Reliability)
			}
		default:
			want := yes[r.Type] || slices.Contains(pairwiseContent, r.Type)
			if got := r.Reliability == MVDS; got != want {
				t.Errorf("%s/%s: MVDS %v, want %v", name, r.Chat, got, want)
			}
		}
		// MVDS is between two parties over their session; SDS needs a channel
		// that all of a community read.
		if r.Reliability == MVDS && (r.Encryption != Pairwise || r.Topic != TopicPairwise) {
			t.Errorf("%s/%s: MVDS without a session", name, r.Chat)
		}
		if r.Reliability == SDS && r.Topic != TopicCommunity && r.Topic != TopicUniversal {
			t.Errorf("%s/%s: SDS on topic %s", name, r.Chat, r.Topic)
		}
	}
}

func TestHandled(t *testing.T) {
	t.Parallel()
	var got []string
	for _, r := range Rules() {
		if r.Handled {
			got = append(got, Name(r.Type)+" "+r.Chat.String())
		}
		if r.Handled && r.Retired {
			t.Errorf("%s is handled and retired", Name(r.Type))
		}
	}
	want := []string{
		"CHAT_MESSAGE 1:1", "CHAT_MESSAGE private group", "CHAT_MESSAGE community", "CONTACT_UPDATE –", "MEMBERSHIP_UPDATE_MESSAGE –",
		"SYNC_PAIR_INSTALLATION –", "SYNC_INSTALLATION_CONTACT_V2 –",
		"CONTACT_CODE_ADVERTISEMENT –", "EMOJI_REACTION 1:1", "EMOJI_REACTION private group", "EMOJI_REACTION community",
		"GROUP_CHAT_INVITATION –", "CHAT_IDENTITY –", "COMMUNITY_DESCRIPTION –", "COMMUNITY_REQUEST_TO_JOIN –",
		"PIN_MESSAGE 1:1", "PIN_MESSAGE private group", "PIN_MESSAGE community",
		"EDIT_MESSAGE 1:1", "EDIT_MESSAGE private group", "EDIT_MESSAGE community", "STATUS_UPDATE –", "DELETE_MESSAGE 1:1",
		"DELETE_MESSAGE private group", "DELETE_MESSAGE community", "COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK –",
		"ACCEPT_CONTACT_REQUEST –", "RETRACT_CONTACT_REQUEST –", "COMMUNITY_REQUEST_TO_JOIN_RESPONSE –",
		"REQUEST_CONTACT_VERIFICATION –", "ACCEPT_CONTACT_VERIFICATION –", "DECLINE_CONTACT_VERIFICATION –", "COMMUNITY_REQUEST_TO_LEAVE –",
		"SYNC_DELETE_FOR_ME_MESSAGE –", "COMMUNITY_CANCEL_REQUEST_TO_JOIN –", "CANCEL_CONTACT_VERIFICATION –",
		"COMMUNITY_EDIT_SHARED_ADDRESSES –", "COMMUNITY_USER_KICKED –", "DELETE_COMMUNITY_MEMBER_MESSAGES –",
		"THREAD_METADATA 1:1", "THREAD_METADATA private group", "THREAD_METADATA community",
	}
	if !slices.Equal(got, want) {
		t.Errorf("handled %q, want %q", got, want)
	}
}

// Every payload of 62/STATUS-PAYLOADS has its row, and is handled but for those
// of communities.
func TestSpecifiedPayloads(t *testing.T) {
	t.Parallel()
	const (
		now = iota
		ofCommunities
		ofDevices
	)
	for typ, when := range map[Type]int{
		apppb.ApplicationMetadataMessage_CHAT_MESSAGE:                         now,
		apppb.ApplicationMetadataMessage_CONTACT_UPDATE:                       now,
		apppb.ApplicationMetadataMessage_EMOJI_REACTION:                       now,
		apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE:            now,
		apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2:         ofDevices,
		apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION:               ofDevices,
		apppb.ApplicationMetadataMessage_CHAT_IDENTITY:                        now,
		apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION:                ofCommunities,
		apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN:            ofCommunities,
		apppb.ApplicationMetadataMessage_PIN_MESSAGE:                          now,
		apppb.ApplicationMetadataMessage_EDIT_MESSAGE:                         now,
		apppb.ApplicationMetadataMessage_DELETE_MESSAGE:                       now,
		apppb.ApplicationMetadataMessage_COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK: ofCommunities,
		apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST:               now,
		apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST:              now,
		apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE:   ofCommunities,
		apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_LEAVE:           ofCommunities,
		apppb.ApplicationMetadataMessage_REQUEST_CONTACT_VERIFICATION:         now,
		apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_VERIFICATION:          now,
		apppb.ApplicationMetadataMessage_DECLINE_CONTACT_VERIFICATION:         now,
		apppb.ApplicationMetadataMessage_CANCEL_CONTACT_VERIFICATION:          now,
		apppb.ApplicationMetadataMessage_COMMUNITY_CANCEL_REQUEST_TO_JOIN:     ofCommunities,
		apppb.ApplicationMetadataMessage_COMMUNITY_EDIT_SHARED_ADDRESSES:      ofCommunities,
	} {
		rule, ok := RuleFor(typ, OneToOne)
		if !ok || rule.Retired || !rule.Handled {
			t.Errorf("%s: %+v, %v", Name(typ), rule, ok)
		}
		if rule.Scope == Local && when != ofDevices || rule.Scope == CommunityControl && when != ofCommunities {
			t.Errorf("%s is %s", Name(typ), rule.Scope)
		}
	}
	// SyncInstallationPublicChat went with public chats; its number is not used
	// again.
	if _, ok := RuleFor(14, NoChat); ok {
		t.Error("number 14 is in use")
	}
}

// What a caller does to its copy must not reach the table.
func TestRulesIsACopy(t *testing.T) {
	t.Parallel()
	Rules()[0].Scope = Local
	if table[0].Scope == Local {
		t.Error("the table was changed through its copy")
	}
}

func TestWriteTable(t *testing.T) {
	t.Parallel()
	var page bytes.Buffer
	if err := WriteTable(&page); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("..", "..", "docs", "messages.md")
	if *update {
		if err := os.WriteFile(golden, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page.Bytes(), want) {
		t.Errorf("docs/messages.md is not what the table says; go test ./app/message -run TestWriteTable -update writes it")
	}
	for _, typ := range types() {
		if !strings.Contains(page.String(), "| "+strconv.Itoa(int(typ))+" | "+Name(typ)+" |") {
			t.Errorf("%s is missing", Name(typ))
		}
	}
	if strings.Contains(page.String(), "?") {
		t.Error("a value without a name")
	}
}

func TestNamesOutsideRange(t *testing.T) {
	t.Parallel()
	for _, got := range []string{ChatKind(99).String(), Scope(99).String(), TopicRule(99).String(), Ephemerality(99).String(), Reliability(99).String(), Encryption(99).String(), Shard(99).String()} {
		if got != "99?" {
			t.Errorf("got %q", got)
		}
	}
}

func TestChatKindText(t *testing.T) {
	t.Parallel()
	for _, kind := range append([]ChatKind{NoChat}, chatKinds...) {
		text, err := kind.MarshalText()
		var back ChatKind
		if err != nil || back.UnmarshalText(text) != nil || back != kind {
			t.Errorf("%s: %q, %v", kind, text, err)
		}
	}
	if _, err := ChatKind(99).MarshalText(); !errors.Is(err, ErrChatKind) {
		t.Errorf("got %v", err)
	}
	kind := Community
	if err := kind.UnmarshalText([]byte("crowd")); !errors.Is(err, ErrChatKind) || kind != Community {
		t.Errorf("got %v, %v", kind, err)
	}
}
