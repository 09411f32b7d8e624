package topic

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ShardsPerCluster is the number of static shards of a cluster
// (WAKU2-RELAY-SHARDING, Static Sharding); their indices begin with 0.
const ShardsPerCluster = 1024

const pubsubPrefix = "/waku/2/rs/"

// ErrPubsub is text that is not the pubsub topic of a static shard.
var ErrPubsub = errors.New("not the pubsub topic of a static shard")

// Pubsub returns the pubsub topic of a static shard,
// /waku/2/rs/<cluster>/<shard>.
func Pubsub(cluster, shard uint16) string {
	b := make([]byte, 0, len(pubsubPrefix)+len("65535/65535"))
	b = append(b, pubsubPrefix...)
	b = strconv.AppendUint(b, uint64(cluster), 10)
	b = append(b, '/')
	b = strconv.AppendUint(b, uint64(shard), 10)
	return string(b)
}

// ParsePubsub reads the pubsub topic of a static shard. It accepts exactly
// what Pubsub writes for shards below ShardsPerCluster: no leading zeros, no
// signs.
func ParsePubsub(s string) (cluster, shard uint16, err error) {
	rest, ok := strings.CutPrefix(s, pubsubPrefix)
	if !ok {
		return 0, 0, fmt.Errorf("%w: want %s<cluster>/<shard>", ErrPubsub, pubsubPrefix)
	}
	c, i, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, fmt.Errorf("%w: no shard index", ErrPubsub)
	}
	if cluster, ok = parseIndex(c); !ok {
		return 0, 0, fmt.Errorf("%w: cluster must be 0 to 65535", ErrPubsub)
	}
	if shard, ok = parseIndex(i); !ok || shard >= ShardsPerCluster {
		return 0, 0, fmt.Errorf("%w: shard index must be 0 to %d", ErrPubsub, ShardsPerCluster-1)
	}
	return cluster, shard, nil
}

func parseIndex(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || (len(s) > 1 && s[0] == '0') || s[0] == '+' {
		return 0, false
	}
	return uint16(n), true
}
