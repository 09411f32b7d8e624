package service

import (
	"reflect"
	"slices"

	"github.com/libp2p/go-libp2p/core/peer"
)

// effect is what becomes of a change of one part of a Config while the node
// runs: exactly one of these is set.
type effect struct {
	// restart is the name, as operators know it, of a setting that counts from
	// the next start on.
	restart string
	// applied says that Reload takes it over.
	applied bool
	// neither says why it is none of both.
	neither string
}

// effects has every field of Config, or the fields of those that are structs.
var effects = map[string]effect{
	"Cluster":    {restart: "cluster"},
	"Shards":     {restart: "shard"},
	"NumShards":  {restart: "num-shards"},
	"MaxFrame":   {restart: "network"},
	"TimeWindow": {restart: "time-window"},
	"Protected":  {restart: "protected-shard"},

	"Key":      {neither: "keys are not read again; Origin says when it would be another"},
	"Listen":   {restart: "listen"},
	"Announce": {restart: "announce"},
	"TLS":      {neither: "has functions, which cannot be compared, and reads a renewed certificate by itself; Origin says when it would be another"},

	"NAT.Detect":       {restart: "nat"},
	"NAT.Private":      {restart: "nat"},
	"NAT.PortMap":      {restart: "nat"},
	"NAT.HolePunch":    {restart: "nat"},
	"NAT.RelayService": {restart: "nat"},
	"NAT.Relays":       {restart: "nat-relay"},
	"NAT.RelaySource":  {neither: "is a function, and no setting makes one"},

	"Limits.MaxConns":       {restart: "max-connections"},
	"Limits.ConnsPerIP":     {restart: "limits"},
	"Limits.StreamsPerPeer": {restart: "limits"},
	"Limits.Memory":         {restart: "limits"},
	"Limits.Store":          {restart: "store-rate"},
	"Limits.Filter":         {restart: "filter-rate"},
	"Limits.Lightpush":      {restart: "lightpush-rate"},

	"Origin.Key":            {restart: "nodekey-file"},
	"Origin.Certificate":    {restart: "tls-cert"},
	"Origin.CertificateKey": {restart: "tls-key"},
	"Origin.ACMEDomains":    {restart: "acme-domain"},
	"Origin.ACMEEmail":      {restart: "acme-email"},

	"Without.Relay":     {restart: "relay"},
	"Without.Filter":    {restart: "filter"},
	"Without.Lightpush": {restart: "lightpush"},
	"Without.Store":     {restart: "store"},
	"NoPeerExchange":    {restart: "peer-exchange"},
	"NoSync":            {restart: "store-sync"},

	"Archive":   {restart: "store-url"},
	"Retention": {applied: true},
	"Resume":    {neither: "is for the start alone, which is over"},

	"Peers":      {applied: true}, // new ones; Reload itself names "peer" where one is missing
	"Bootstrap":  {restart: "bootstrap"},
	"Discv5":     {restart: "discv5"},
	"PublicOnly": {restart: "network"},
	"MDNS":       {restart: "mdns"},
	"DataDir":    {restart: "data-dir"},

	"REST":        {restart: "rest"},
	"Metrics":     {restart: "metrics"},
	"Hosts":       {restart: "rest-host"},
	"Admin":       {restart: "rest-admin"},
	"AllowOrigin": {restart: "rest-allow-origin"},

	"Version":  {neither: "is the program's, not a setting"},
	"Log":      {neither: "is the program's, not a setting"},
	"LogLevel": {neither: "is changed in place by whoever reads the settings"},
}

// Reload takes over what of a configuration can change while the node runs,
// its retention and peers that are new, and names what has changed and cannot.
func (s *Service) Reload(next Config) (fixed []string, err error) {
	static, err := parsePeers(next.Peers)
	if err != nil {
		return nil, err
	}
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.archive != nil {
		s.archive.bound(next.Retention)
	}
	fixed = s.cfg.changed(next)
	for id := range s.static {
		if !slices.ContainsFunc(static, func(p peer.AddrInfo) bool { return p.ID == id }) {
			fixed = append(fixed, "peer") // stays connected
			break
		}
	}
	for _, p := range static {
		s.static[p.ID] = true
		s.finder.Keep(p)
	}
	return fixed, nil
}

// changed names the settings of next that are not as they were and need a
// restart.
func (c Config) changed(next Config) (names []string) {
	fields("", reflect.ValueOf(c), reflect.ValueOf(next), func(path string, was, is reflect.Value) {
		e, known := effects[path]
		if !known {
			e.restart = path // better a strange name than none
		}
		if e.restart != "" && !slices.Contains(names, e.restart) && !same(was, is) {
			names = append(names, e.restart)
		}
	})
	return names
}

// fields visits the fields of two structs of one type, and in place of those
// that are structs and not in effects themselves their fields.
func fields(prefix string, a, b reflect.Value, visit func(path string, a, b reflect.Value)) {
	for i := range a.NumField() {
		f := a.Type().Field(i)
		path := prefix + f.Name
		if _, known := effects[path]; !known && f.Type.Kind() == reflect.Struct {
			fields(path+".", a.Field(i), b.Field(i), visit)
			continue
		}
		visit(path, a.Field(i), b.Field(i))
	}
}

// same says whether two values are the same setting: an empty list is no list.
func same(a, b reflect.Value) bool {
	if k := a.Kind(); (k == reflect.Slice || k == reflect.Map) && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
