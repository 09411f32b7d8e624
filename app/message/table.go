package message

import apppb "github.com/parley-im/parley/pb/app"

// Rows that many types share. Each function leaves only the type to be said.

// toPeer is control between people, over the session of a 1:1 chat.
func toPeer(t Type) Rule {
	return Rule{Type: t, Scope: GlobalControl, Topic: TopicPairwise, Reliability: MVDS, Encryption: Pairwise}
}

// toSelf is for one's own devices and nobody else.
func toSelf(t Type) Rule {
	return Rule{Type: t, Scope: Local, Topic: TopicPairwise, Reliability: MVDS, Encryption: Pairwise, Shard: ShardLocal}
}

// push is between a client and a push notification server: signed, and secret
// by what is inside, so that neither side needs a session with the other.
func push(t Type, topic TopicRule) Rule {
	return Rule{Type: t, Scope: GlobalControl, Topic: topic, Encryption: Raw}
}

// transaction is a request or answer about a payment in a 1:1 chat.
func transaction(t Type) Rule {
	return Rule{Type: t, Scope: GlobalContent, Topic: TopicPairwise, Reliability: MVDS, Encryption: Pairwise, Retired: true}
}

// request goes to the control node of a community, sealed with its key.
func request(t Type) Rule {
	return Rule{Type: t, Scope: CommunityControl, Topic: TopicCommunityRequests, Encryption: Raw, Shard: ShardCommunityRequest}
}

// toMember is community control for one member.
func toMember(t Type, encryption Encryption) Rule {
	return Rule{Type: t, Scope: CommunityControl, Topic: TopicPairwise, Encryption: encryption, Shard: ShardCommunityControl}
}

// announcement goes to everybody who follows a community.
func announcement(t Type) Rule {
	return Rule{Type: t, Scope: CommunityControl, Topic: TopicCommunity, Reliability: SDS, Encryption: Raw, Shard: ShardCommunityControl}
}

// in places content in one kind of chat. Who can be counted on one's fingers
// gets MVDS, a community SDS, and a public chat, whose readers nobody knows,
// nothing.
func in(chat ChatKind, t Type) Rule {
	rule := Rule{Type: t, Chat: chat, Scope: GlobalContent}
	switch chat {
	case OneToOne, PrivateGroup:
		rule.Topic, rule.Reliability, rule.Encryption = TopicPairwise, MVDS, Pairwise
	case PublicChat:
		rule.Topic, rule.Encryption = TopicPublicChat, Public
	case Community:
		rule.Scope, rule.Shard = CommunityContent, ShardCommunityContent
		rule.Topic, rule.Also, rule.Reliability, rule.Encryption = TopicUniversal, TopicChannel, SDS, GroupKey
	}
	return rule
}

func handled(r Rule) Rule { r.Handled = true; return r }
func retired(r Rule) Rule { r.Retired = true; return r }

// table is THE TABLE: the stack reads it, and nothing else decides these
// things. UNKNOWN is the one number of the enumeration that is no message and
// has no row.
var table = []Rule{
	handled(in(OneToOne, apppb.ApplicationMetadataMessage_CHAT_MESSAGE)),
	handled(in(PrivateGroup, apppb.ApplicationMetadataMessage_CHAT_MESSAGE)),
	handled(in(Community, apppb.ApplicationMetadataMessage_CHAT_MESSAGE)),
	in(PublicChat, apppb.ApplicationMetadataMessage_CHAT_MESSAGE),
	handled(toPeer(apppb.ApplicationMetadataMessage_CONTACT_UPDATE)),
	// Carries both a private group's events and its chat messages; MVDS
	// because losing one of either loses the group.
	handled(toPeer(apppb.ApplicationMetadataMessage_MEMBERSHIP_UPDATE_MESSAGE)),
	// Own devices that are not paired yet have no session, so neither MVDS nor
	// the ratchet can reach them.
	{Type: apppb.ApplicationMetadataMessage_SYNC_PAIR_INSTALLATION, Scope: Local, Topic: TopicPairwise, Encryption: DH, Shard: ShardLocal, Handled: true},
	retired(unreliable(toSelf(apppb.ApplicationMetadataMessage_DEPRECATED_SYNC_INSTALLATION))),
	transaction(apppb.ApplicationMetadataMessage_REQUEST_ADDRESS_FOR_TRANSACTION),
	transaction(apppb.ApplicationMetadataMessage_ACCEPT_REQUEST_ADDRESS_FOR_TRANSACTION),
	transaction(apppb.ApplicationMetadataMessage_DECLINE_REQUEST_ADDRESS_FOR_TRANSACTION),
	transaction(apppb.ApplicationMetadataMessage_REQUEST_TRANSACTION),
	transaction(apppb.ApplicationMetadataMessage_SEND_TRANSACTION),
	transaction(apppb.ApplicationMetadataMessage_DECLINE_REQUEST_TRANSACTION),
	handled(toSelf(apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_CONTACT_V2)),
	unreliable(toSelf(apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_ACCOUNT)),
	{Type: apppb.ApplicationMetadataMessage_CONTACT_CODE_ADVERTISEMENT, Scope: GlobalControl, Topic: TopicContactCode, Also: TopicUniversal, Encryption: Public, Handled: true},
	push(apppb.ApplicationMetadataMessage_PUSH_NOTIFICATION_REGISTRATION, TopicPersonal),
	push(apppb.ApplicationMetadataMessage_PUSH_NOTIFICATION_REGISTRATION_RESPONSE, TopicPairwise),
	push(apppb.ApplicationMetadataMessage_PUSH_NOTIFICATION_QUERY, TopicPushQuery),
	push(apppb.ApplicationMetadataMessage_PUSH_NOTIFICATION_QUERY_RESPONSE, TopicPairwise),
	push(apppb.ApplicationMetadataMessage_PUSH_NOTIFICATION_REQUEST, TopicPairwise),
	push(apppb.ApplicationMetadataMessage_PUSH_NOTIFICATION_RESPONSE, TopicPairwise),
	handled(in(OneToOne, apppb.ApplicationMetadataMessage_EMOJI_REACTION)),
	handled(in(PrivateGroup, apppb.ApplicationMetadataMessage_EMOJI_REACTION)),
	handled(in(Community, apppb.ApplicationMetadataMessage_EMOJI_REACTION)),
	in(PublicChat, apppb.ApplicationMetadataMessage_EMOJI_REACTION),
	handled(toPeer(apppb.ApplicationMetadataMessage_GROUP_CHAT_INVITATION)),
	handled(unreliable(toPeer(apppb.ApplicationMetadataMessage_CHAT_IDENTITY))),
	handled(announcement(apppb.ApplicationMetadataMessage_COMMUNITY_DESCRIPTION)),
	retired(toMember(apppb.ApplicationMetadataMessage_COMMUNITY_INVITATION, Pairwise)),
	handled(request(apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN)),
	handled(in(OneToOne, apppb.ApplicationMetadataMessage_PIN_MESSAGE)),
	handled(in(PrivateGroup, apppb.ApplicationMetadataMessage_PIN_MESSAGE)),
	handled(in(Community, apppb.ApplicationMetadataMessage_PIN_MESSAGE)),
	in(PublicChat, apppb.ApplicationMetadataMessage_PIN_MESSAGE),
	handled(in(OneToOne, apppb.ApplicationMetadataMessage_EDIT_MESSAGE)),
	handled(in(PrivateGroup, apppb.ApplicationMetadataMessage_EDIT_MESSAGE)),
	handled(in(Community, apppb.ApplicationMetadataMessage_EDIT_MESSAGE)),
	in(PublicChat, apppb.ApplicationMetadataMessage_EDIT_MESSAGE),
	{Type: apppb.ApplicationMetadataMessage_STATUS_UPDATE, Scope: GlobalControl, Topic: TopicContactCode, Ephemeral: IfAutomatic, Encryption: Public, Handled: true},
	handled(in(OneToOne, apppb.ApplicationMetadataMessage_DELETE_MESSAGE)),
	handled(in(PrivateGroup, apppb.ApplicationMetadataMessage_DELETE_MESSAGE)),
	handled(in(Community, apppb.ApplicationMetadataMessage_DELETE_MESSAGE)),
	in(PublicChat, apppb.ApplicationMetadataMessage_DELETE_MESSAGE),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_INSTALLATION_COMMUNITY),
	retired(Rule{Type: apppb.ApplicationMetadataMessage_ANONYMOUS_METRIC_BATCH, Scope: GlobalControl}),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_CHAT_REMOVED),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_CHAT_MESSAGES_READ),
	retired(Rule{Type: apppb.ApplicationMetadataMessage_BACKUP, Scope: Local, Topic: TopicPersonal, Encryption: Raw, Shard: ShardLocal}),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACTIVITY_CENTER_READ),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACTIVITY_CENTER_ACCEPTED),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACTIVITY_CENTER_DISMISSED),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_BOOKMARK),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_CLEAR_HISTORY),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_SETTING),
	{Type: apppb.ApplicationMetadataMessage_COMMUNITY_MESSAGE_ARCHIVE_MAGNETLINK, Scope: CommunityControl, Topic: TopicUniversal, Reliability: SDS, Encryption: Public, Shard: ShardCommunityControl, Handled: true},
	toSelf(apppb.ApplicationMetadataMessage_SYNC_PROFILE_PICTURES),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACCOUNT),
	handled(toPeer(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_REQUEST)),
	handled(toPeer(apppb.ApplicationMetadataMessage_RETRACT_CONTACT_REQUEST)),
	handled(toMember(apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_JOIN_RESPONSE, Raw)),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_COMMUNITY_SETTINGS),
	handled(toPeer(apppb.ApplicationMetadataMessage_REQUEST_CONTACT_VERIFICATION)),
	handled(toPeer(apppb.ApplicationMetadataMessage_ACCEPT_CONTACT_VERIFICATION)),
	handled(toPeer(apppb.ApplicationMetadataMessage_DECLINE_CONTACT_VERIFICATION)),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_TRUSTED_USER),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_VERIFICATION_REQUEST),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_CONTACT_REQUEST_DECISION),
	handled(request(apppb.ApplicationMetadataMessage_COMMUNITY_REQUEST_TO_LEAVE)),
	handled(toSelf(apppb.ApplicationMetadataMessage_SYNC_DELETE_FOR_ME_MESSAGE)),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_SAVED_ADDRESS),
	handled(request(apppb.ApplicationMetadataMessage_COMMUNITY_CANCEL_REQUEST_TO_JOIN)),
	handled(toPeer(apppb.ApplicationMetadataMessage_CANCEL_CONTACT_VERIFICATION)),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_KEYPAIR),
	retired(unreliable(toSelf(apppb.ApplicationMetadataMessage_SYNC_SOCIAL_LINKS))),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ENS_USERNAME_DETAIL),
	announcement(apppb.ApplicationMetadataMessage_COMMUNITY_EVENTS_MESSAGE),
	handled(request(apppb.ApplicationMetadataMessage_COMMUNITY_EDIT_SHARED_ADDRESSES)),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACCOUNT_CUSTOMIZATION_COLOR),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACCOUNTS_POSITIONS),
	toMember(apppb.ApplicationMetadataMessage_COMMUNITY_PRIVILEGED_USER_SYNC_MESSAGE, Raw),
	retired(reliable(toMember(apppb.ApplicationMetadataMessage_COMMUNITY_SHARD_KEY, Pairwise))),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_CHAT),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACTIVITY_CENTER_DELETED),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACTIVITY_CENTER_UNREAD),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_ACTIVITY_CENTER_COMMUNITY_REQUEST_DECISION),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_TOKEN_PREFERENCES),
	retired(Rule{Type: apppb.ApplicationMetadataMessage_COMMUNITY_PUBLIC_SHARD_INFO, Scope: CommunityControl, Topic: TopicShardInfo, Encryption: Raw, Shard: ShardCommunityRequest}),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_COLLECTIBLE_PREFERENCES),
	handled(toMember(apppb.ApplicationMetadataMessage_COMMUNITY_USER_KICKED, Raw)),
	toSelf(apppb.ApplicationMetadataMessage_SYNC_PROFILE_SHOWCASE_PREFERENCES),
	retired(unreliable(announcement(apppb.ApplicationMetadataMessage_COMMUNITY_PUBLIC_STORENODES_INFO))),
	request(apppb.ApplicationMetadataMessage_COMMUNITY_REEVALUATE_PERMISSIONS_REQUEST),
	handled(announcement(apppb.ApplicationMetadataMessage_DELETE_COMMUNITY_MEMBER_MESSAGES)),
	announcement(apppb.ApplicationMetadataMessage_COMMUNITY_UPDATE_GRANT),
	request(apppb.ApplicationMetadataMessage_COMMUNITY_ENCRYPTION_KEYS_REQUEST),
	toMember(apppb.ApplicationMetadataMessage_COMMUNITY_TOKEN_ACTION, Pairwise),
	request(apppb.ApplicationMetadataMessage_COMMUNITY_SHARED_ADDRESSES_REQUEST),
	toMember(apppb.ApplicationMetadataMessage_COMMUNITY_SHARED_ADDRESSES_RESPONSE, Raw),
	// Only ever inside local pairing, never in a Waku message: no topic.
	{Type: apppb.ApplicationMetadataMessage_BACKED_UP_MESSAGE_BATCH, Scope: Local, Shard: ShardLocal},
	toSelf(apppb.ApplicationMetadataMessage_SYNC_THREAD_MESSAGES_READ),
	handled(in(OneToOne, apppb.ApplicationMetadataMessage_THREAD_METADATA)),
	handled(in(PrivateGroup, apppb.ApplicationMetadataMessage_THREAD_METADATA)),
	handled(in(Community, apppb.ApplicationMetadataMessage_THREAD_METADATA)),
	in(PublicChat, apppb.ApplicationMetadataMessage_THREAD_METADATA),
}

func unreliable(r Rule) Rule { r.Reliability = NoReliability; return r }
func reliable(r Rule) Rule   { r.Reliability = MVDS; return r }
