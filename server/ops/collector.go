package ops

import (
	"context"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/parley-im/parley/waku/node"
	"github.com/parley-im/parley/waku/topic"
)

var (
	versionDesc      = prometheus.NewDesc("waku_version", "Version of the program.", []string{"version"}, nil)
	peersDesc        = prometheus.NewDesc("libp2p_peers", "Connected peers.", nil, nil)
	peerStoreDesc    = prometheus.NewDesc("waku_peer_store_size", "Peers the node has heard of.", nil, nil)
	protocolsDesc    = prometheus.NewDesc("waku_connected_peers", "Connected peers by direction and protocol.", []string{"direction", "protocol"}, nil)
	shardsDesc       = prometheus.NewDesc("waku_connected_peers_per_shard", "Connected peers by the shards they say they relay.", []string{"shard"}, nil)
	agentsDesc       = prometheus.NewDesc("waku_connected_peers_per_agent", "Connected peers by the name of their software.", []string{"agent"}, nil)
	topicsDesc       = prometheus.NewDesc("libp2p_pubsub_topics", "Topics that are relayed.", nil, nil)
	relayPeersDesc   = prometheus.NewDesc("libp2p_gossipsub_peers_per_topic_gossipsub", "Peers that relay a topic.", []string{"topic"}, nil)
	meshDesc         = prometheus.NewDesc("libp2p_gossipsub_peers_per_topic_mesh", "Peers of a topic's mesh.", []string{"topic"}, nil)
	messagesDesc     = prometheus.NewDesc("waku_archive_messages", "Messages kept.", []string{"type"}, nil)
	shardStoreDesc   = prometheus.NewDesc("waku_archive_messages_per_shard", "Messages kept by shard.", []string{"shard"}, nil)
	bytesDesc        = prometheus.NewDesc("parley_archive_bytes", "Room of the archive on disk.", nil, nil)
	diskFreeDesc     = prometheus.NewDesc("parley_disk_free_bytes", "Free room on the archive's disk.", nil, nil)
	clientsDesc      = prometheus.NewDesc("parley_service_clients", "Clients served in the last 24 hours, by protocol.", []string{"service"}, nil)
	relayedDesc      = prometheus.NewDesc("waku_node_messages_total", "Messages accepted, by where they came from.", []string{"type"}, nil)
	relayBytesDesc   = prometheus.NewDesc("waku_relay_network_bytes_total", "Bytes of relayed messages by topic, direction, and gross or net of repetitions.", []string{"topic", "type", "direction"}, nil)
	rejectedDesc     = prometheus.NewDesc("parley_relay_rejected_total", "Relayed messages refused, by reason.", []string{"topic", "reason"}, nil)
	duplicatesDesc   = prometheus.NewDesc("parley_relay_duplicates_total", "Relayed messages that were known.", []string{"topic"}, nil)
	subscribersDesc  = prometheus.NewDesc("waku_filter_subscriptions", "Filter subscribers.", nil, nil)
	criteriaDesc     = prometheus.NewDesc("parley_filter_criteria", "Topics that filter subscribers wait for.", nil, nil)
	queuedDesc       = prometheus.NewDesc("parley_filter_queued", "Pushes that wait for their subscribers.", nil, nil)
	pushedDesc       = prometheus.NewDesc("parley_filter_pushed_total", "Messages pushed to filter subscribers.", nil, nil)
	pushErrorsDesc   = prometheus.NewDesc("waku_filter_errors_total", "Pushes that were lost, by reason.", []string{"type"}, nil)
	archiveQueueDesc = prometheus.NewDesc("parley_archive_queued", "Messages that wait to be written to the archive.", nil, nil)
	archiveLostDesc  = prometheus.NewDesc("parley_archive_lost_total", "Messages that were accepted and could not be written to the archive.", nil, nil)
	readyDesc        = prometheus.NewDesc("parley_ready", "Whether a mounted protocol does what it is there for.", []string{"protocol"}, nil)
	scrapeErrorDesc  = prometheus.NewDesc("parley_scrape_errors", "Whether the archive could not be counted for this scrape.", nil, nil)
)

// collector reads the state of the node at every scrape.
type collector struct{ s *Server }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		versionDesc, peersDesc, peerStoreDesc, protocolsDesc, shardsDesc, agentsDesc, topicsDesc, relayPeersDesc,
		meshDesc, messagesDesc, shardStoreDesc, bytesDesc, diskFreeDesc, clientsDesc, readyDesc, scrapeErrorDesc,
		relayedDesc, relayBytesDesc, rejectedDesc, duplicatesDesc, subscribersDesc, criteriaDesc, queuedDesc,
		pushedDesc, pushErrorsDesc, archiveQueueDesc, archiveLostDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(versionDesc, 1, c.s.cfg.Version)
	status := c.s.cfg.Status()
	c.peers(status, gauge)
	gauge(topicsDesc, float64(len(status.Relay)))
	for name, t := range status.Relay {
		gauge(relayPeersDesc, float64(t.Peers), name)
		gauge(meshDesc, float64(t.Mesh), name)
	}
	for _, p := range c.s.healthOf(status).Protocols {
		if p.Mounted {
			ready := 0.0
			if p.Ready {
				ready = 1
			}
			gauge(readyDesc, ready, p.Protocol)
		}
	}
	for _, use := range c.s.cfg.Recorder.services() {
		gauge(clientsDesc, float64(use.Clients), use.Protocol)
	}
	c.traffic(ch, gauge)
	c.archive(gauge)
}

// traffic are the counts of the protocols.
func (c *collector) traffic(ch chan<- prometheus.Metric, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	if c.s.cfg.Stats == nil {
		return
	}
	stats := c.s.cfg.Stats()
	if stats.Relay != nil {
		accepted := uint64(0)
		for name, t := range stats.Relay.Topics {
			accepted += t.Delivered
			count(relayBytesDesc, t.BytesIn, name, "gross", "in")
			count(relayBytesDesc, t.BytesNew, name, "net", "in")
			count(relayBytesDesc, t.BytesOut, name, "gross", "out")
			count(duplicatesDesc, t.Duplicates, name)
			for reason, n := range t.Rejected {
				count(rejectedDesc, n, name, string(reason))
			}
		}
		count(relayedDesc, accepted, "relay")
	}
	if f := stats.Filter; f != nil {
		gauge(subscribersDesc, float64(f.Subscribers))
		gauge(criteriaDesc, float64(f.Criteria))
		gauge(queuedDesc, float64(f.Queued))
		count(pushedDesc, f.Pushed)
		count(pushErrorsDesc, f.Failed, "push_failed")
		count(pushErrorsDesc, f.Dropped, "queue_full")
	}
	if a := stats.Archive; a != nil {
		gauge(archiveQueueDesc, float64(a.Queued))
		count(archiveLostDesc, a.Lost)
	}
}

func (c *collector) peers(status node.Status, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	gauge(peersDesc, float64(len(status.Peers)))
	if c.s.cfg.Known != nil {
		gauge(peerStoreDesc, float64(c.s.cfg.Known()))
	}
	type pair struct{ direction, protocol string }
	protocols, shards, agents := map[pair]int{}, map[uint16]int{}, map[string]int{}
	for _, p := range status.Peers {
		for _, id := range p.Protocols {
			if strings.HasPrefix(id, "/vac/waku/") {
				protocols[pair{p.Direction, id}]++
			}
		}
		for _, shard := range p.Shards {
			shards[shard]++
		}
		agents[agentName(p.Agent)]++
	}
	for k, n := range protocols {
		gauge(protocolsDesc, float64(n), k.direction, k.protocol)
	}
	for shard, n := range shards {
		gauge(shardsDesc, float64(n), strconv.Itoa(int(shard)))
	}
	for agent, n := range agents {
		gauge(agentsDesc, float64(n), agent)
	}
}

// knownAgents are the names that count as themselves: what a stranger calls
// itself must not make a series of its own.
var knownAgents = []string{"parley", "nwaku", "logos-delivery", "go-waku", "js-waku", "nim-libp2p", "js-libp2p", "go-libp2p"}

func agentName(agent string) string {
	for _, name := range knownAgents {
		if strings.Contains(strings.ToLower(agent), name) {
			return name
		}
	}
	return "other"
}

func (c *collector) archive(gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	if c.s.stats == nil {
		return
	}
	stats, err := c.s.stats.get(context.Background())
	if err != nil {
		c.s.cfg.Log.Warn("the archive cannot be counted", "cause", err)
		gauge(scrapeErrorDesc, 1)
		return
	}
	gauge(scrapeErrorDesc, 0)
	gauge(messagesDesc, float64(stats.Messages), "stored")
	gauge(bytesDesc, float64(stats.Bytes))
	shards := map[string]int64{}
	for _, d := range stats.Days {
		shards[shardName(d.PubsubTopic)] += d.Messages
	}
	for shard, n := range shards {
		gauge(shardStoreDesc, float64(n), shard)
	}
	if c.s.cfg.Disk == nil {
		return
	}
	if free, _, err := c.s.cfg.Disk(); err == nil {
		gauge(diskFreeDesc, float64(free))
	}
}

// shardName is the number of a topic's shard, or the topic where it has none.
func shardName(pubsubTopic string) string {
	if _, shard, err := topic.ParsePubsub(pubsubTopic); err == nil {
		return strconv.Itoa(int(shard))
	}
	return pubsubTopic
}
