package message

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// circle is who may take part in a function of the app, whomever one message of
// it addresses.
type circle string

const (
	everybody  circle = "whoever has the app"
	aCommunity circle = "whoever is in one community"
	oneself    circle = "the owner of the account"
)

// What a function's messages are.
const (
	control = false
	content = true
)

// function is something the app does by messages.
type function struct {
	name string
	of   circle
	// content: what people say themselves, not what keeps the app going.
	content bool
	// chat is where types serve this function that occur in several kinds of chat.
	chat  ChatKind
	types []Type
	// heard is why its messages are listened to or asked for.
	heard useCase
}

// useCase is a reason to subscribe to a content topic or to ask for its
// history. Whoever has it wants everything of it.
type useCase string

const (
	talk        useCase = "all that passes between two people, devices or members"
	atHome      useCase = "what is for one key alone, by query"
	whoIs       useCase = "who somebody is and whether they are there"
	publicTalk  useCase = "a public chat"
	about       useCase = "what a community is"
	channels    useCase = "what is said in a community"
	atControl   useCase = "what a control node is asked for"
	shards      useCase = "on which shards a community is"
	pushServers useCase = "which push server somebody has"
	nobody      useCase = "" // what never travels
)

// said are the types of what is said in chats.
var said = []Type{1, 22, 28, 29, 31, 93}

// functions are all there are, each with every type that serves it.
var functions = []function{
	{"talking to somebody", everybody, content, OneToOne, said, talk},
	{"talking in a private group", everybody, content, PrivateGroup, said, talk},
	{"talking in a public chat", everybody, content, PublicChat, said, publicTalk},
	{"talking in a community", aCommunity, content, Community, said, channels},
	{"payments between two people", everybody, content, NoChat, []Type{6, 7, 8, 9, 10, 11}, talk},
	{"private groups and their members", everybody, control, NoChat, []Type{3, 23}, talk},
	{"becoming contacts", everybody, control, NoChat, []Type{2, 24, 46, 47}, talk},
	{"asking who somebody is", everybody, control, NoChat, []Type{50, 51, 52, 61}, talk},
	{"being found and seen", everybody, control, NoChat, []Type{15, 30}, whoIs},
	{"asking a push server, and its answers", everybody, control, NoChat, []Type{17, 19, 20, 21}, talk},
	{"registering with a push server", everybody, control, NoChat, []Type{16}, atHome},
	{"finding somebody's push server", everybody, control, NoChat, []Type{18}, pushServers},
	{"measuring the app", everybody, control, NoChat, []Type{33}, nobody},
	{"what a community is, for all who look at it", aCommunity, control, NoChat, []Type{25, 67, 83, 85, 86}, about},
	{"a community's archive", aCommunity, control, NoChat, []Type{43}, channels},
	{"asking a control node", aCommunity, control, NoChat, []Type{27, 57, 60, 68, 84, 87, 89}, atControl},
	{"a control node's answers to one member", aCommunity, control, NoChat, []Type{26, 48, 72, 73, 81, 88, 90}, talk},
	{"on which shards a community is", aCommunity, control, NoChat, []Type{79}, shards},
	{"devices of one account", oneself, control, NoChat, slices.Concat(
		[]Type{4, 5, 12, 13, 32, 34, 35, 37, 38, 39, 40, 41, 42, 44, 45, 49, 53, 54, 56, 58, 59, 62, 63, 64},
		[]Type{69, 70, 74, 75, 76, 77, 78, 80, 82, 92}), talk},
	{"keeping a copy of the account", oneself, control, NoChat, []Type{36}, atHome},
	{"moving to another device", oneself, control, NoChat, []Type{91}, nobody},
}

// eachFunction calls f for every function with the rows of the table that serve
// it, and tells of types and rows that serve none, or two.
func eachFunction(t *testing.T, f func(of function, rows []Rule)) {
	t.Helper()
	serves := map[string]string{}
	for _, of := range functions {
		var rows []Rule
		for _, typ := range of.types {
			rule, ok := RuleFor(typ, of.chat)
			if !ok || rule.Chat != of.chat {
				t.Errorf("%s: no row for %s/%s", of.name, Name(typ), of.chat)
				continue
			}
			row := fmt.Sprint(Name(typ), "/", rule.Chat)
			if before, twice := serves[row]; twice {
				t.Errorf("%s serves %s and %s", row, before, of.name)
			}
			serves[row] = of.name
			rows = append(rows, rule)
		}
		f(of, rows)
	}
	for _, r := range Rules() {
		if row := fmt.Sprint(Name(r.Type), "/", r.Chat); serves[row] == "" {
			t.Errorf("%s serves no function: say in this test who may take part in what it is for", row)
		}
	}
}

// A message's scope is who may take part in its function, not whom it
// addresses. Of what addresses one single other, some is global, some is a
// community's and some local; and the functions of communities address
// everybody in them, one member or the control node, with one scope.
//
// Proves: SP-02.
func TestScopeIsTheFunctionsAudience(t *testing.T) {
	t.Parallel()
	scopes := map[circle]map[bool]Scope{
		everybody:  {control: GlobalControl, content: GlobalContent},
		aCommunity: {control: CommunityControl, content: CommunityContent},
		oneself:    {control: Local},
	}
	// Which circles share an addressing, and which addressings a circle has.
	circles, addressings := map[TopicRule]map[circle]bool{}, map[circle]map[TopicRule]bool{}
	eachFunction(t, func(of function, rows []Rule) {
		for _, r := range rows {
			if want := scopes[of.of][of.content]; r.Scope != want {
				t.Errorf("%s, %s/%s: scope %s, %s may take part: %s", of.name, Name(r.Type), r.Chat, r.Scope, of.of, want)
			}
			if r.Topic == TopicNone {
				continue
			}
			if circles[r.Topic] == nil {
				circles[r.Topic] = map[circle]bool{}
			}
			if addressings[of.of] == nil {
				addressings[of.of] = map[TopicRule]bool{}
			}
			circles[r.Topic][of.of], addressings[of.of][r.Topic] = true, true
		}
	})
	// Otherwise the scope could be told from the addressees.
	if len(circles[TopicPairwise]) != len(scopes) {
		t.Errorf("one single other is addressed for functions of %v only", slices.Collect(maps.Keys(circles[TopicPairwise])))
	}
	for who := range scopes {
		if len(addressings[who]) < 2 {
			t.Errorf("functions of %s address in one way only: %v", who, addressings[who])
		}
	}
}

// Content topics are made for the filter use cases, one for each: all that is
// listened to or fetched together has the same, and nothing else has it.
//
// Proves: SP-14, SP-16.
func TestTopicsAreUseCases(t *testing.T) {
	t.Parallel()
	topics, cases := map[useCase]TopicRule{}, map[TopicRule]useCase{}
	eachFunction(t, func(of function, rows []Rule) {
		for _, r := range rows {
			if topic, ok := topics[of.heard]; ok && topic != r.Topic {
				t.Errorf("%s, %s/%s: topic %s, what is heard with it has %s", of.name, Name(r.Type), r.Chat, r.Topic, topic)
			}
			if other, ok := cases[r.Topic]; ok && other != of.heard {
				t.Errorf("%s, %s/%s: topic %s is that of %q, too", of.name, Name(r.Type), r.Chat, r.Topic, other)
			}
			topics[of.heard], cases[r.Topic] = r.Topic, of.heard
		}
	})
	if topics[nobody] != TopicNone {
		t.Errorf("what never travels has the topic %s", topics[nobody])
	}
	if all := int(TopicPushQuery) + 1; len(topics) != all || len(cases) != all {
		t.Errorf("%d use cases and %d topics, of %d that there are", len(topics), len(cases), all)
	}
	// A copy goes where something else is heard, not to a topic of its own. Those
	// on the topics of channels are none of the specification's: a network has
	// them for older clients alone.
	for _, r := range Rules() {
		if r.Also == TopicChannel {
			continue
		}
		if r.Also != TopicNone && (r.Also == r.Topic || cases[r.Also] == nobody) {
			t.Errorf("%s: a copy to %s", Name(r.Type), r.Also)
		}
	}
}
