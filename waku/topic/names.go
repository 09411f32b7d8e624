package topic

import (
	"crypto/sha3"
	"encoding/hex"
	"math/big"
	"strconv"

	"github.com/parley-im/parley/account/key"
)

// Partitions is the number of content topics over which the first messages to
// all users are spread (54/WAKU2-X3DH-SESSIONS, Discovery).
const Partitions = 5000

// pushQuerySize is the number of SHAKE-256 bytes in a push query name.
const pushQuerySize = 64

// PartitionedName names the topic on which anybody reaches the owner of pub
// before a secret is agreed: "contact-discovery-" and X modulo Partitions.
func PartitionedName(pub key.Public) string {
	x := pub.X()
	n := new(big.Int).SetBytes(x[:])
	n.Mod(n, big.NewInt(Partitions))
	return "contact-discovery-" + strconv.FormatInt(n.Int64(), 10)
}

// PersonalName names the personal discovery topic, which carries what a user
// sends to themself: "contact-discovery-" and the uncompressed key without 0x.
func PersonalName(pub key.Public) string {
	return "contact-discovery-" + hex.EncodeToString(pub.Bytes())
}

// ContactCodeName names the topic on which the owner of pub publishes bundles:
// the contact id and "-contact-code".
func ContactCodeName(pub key.Public) string { return pub.Hex() + "-contact-code" }

// NegotiatedName names the topic of two parties that share a secret: its 64
// hexadecimal digits. The name is as secret as the secret itself, for the
// symmetric key comes from it.
func NegotiatedName(secret [key.SharedSize]byte) string { return hex.EncodeToString(secret[:]) }

// CommunityName names the topic of a community's description and events: the
// community id, 0x and the compressed key.
func CommunityName(community key.Public) string { return community.CompressedHex() }

// UniversalName names the topic of member updates and, in clients from 2025 on,
// of every channel of the community.
func UniversalName(community key.Public) string { return CommunityName(community) + "-memberUpdate" }

// PingName names the topic of status updates inside a community (clients up to
// 2024).
func PingName(community key.Public) string { return CommunityName(community) + "-ping" }

// MagnetlinksName names the topic of a community's archive links (clients up
// to 2024).
func MagnetlinksName(community key.Public) string { return CommunityName(community) + "-magnetlinks" }

// ShardInfoName names the topic on which a community tells its shard.
func ShardInfoName(community key.Public) string { return CommunityName(community) + "-shard-info" }

// ChannelName names the topic of one channel, and is the channel's chat id:
// the community id directly followed by the channel's UUID.
func ChannelName(community key.Public, uuid string) string { return CommunityName(community) + uuid }

// ControlName names the topic of requests to a community's control node: the
// uncompressed key without 0x.
func ControlName(community key.Public) string { return hex.EncodeToString(community.Bytes()) }

// PushQueryName names the topic on which a push notification server answers
// queries for the owner of pub: the hexadecimal digits of 64 bytes of SHAKE-256
// over the compressed key, without 0x as in deployed clients.
func PushQueryName(pub key.Public) string {
	c := pub.Compressed()
	return hex.EncodeToString(sha3.SumSHAKE256(c[:], pushQuerySize))
}
