package mvds

// Count is a number of things and their length on the wire in bytes.
type Count struct {
	Count uint64 `json:"count"`
	Bytes uint64 `json:"bytes"`
}

func (c *Count) add(n, bytes int) {
	c.Count += uint64(n)
	c.Bytes += uint64(bytes)
}

func (c *Count) plus(d Count) {
	c.Count += d.Count
	c.Bytes += d.Bytes
}

// Usage is what payloads of one direction took: all of them, and their parts by
// kind. Bytes are those of the encoded payload, before encryption.
type Usage struct {
	Payloads Count `json:"payloads"`
	Messages Count `json:"messages"`
	// Retries are those of the messages that were sent before. What is received
	// again is not told apart here.
	Retries  Count `json:"retries"`
	Acks     Count `json:"acks"`
	Offers   Count `json:"offers"`
	Requests Count `json:"requests"`
}

// Add adds what another usage took.
func (u *Usage) Add(v Usage) {
	u.Payloads.plus(v.Payloads)
	u.Messages.plus(v.Messages)
	u.Retries.plus(v.Retries)
	u.Acks.plus(v.Acks)
	u.Offers.plus(v.Offers)
	u.Requests.plus(v.Requests)
}

// Usage returns what the payload takes; Retries is left zero.
func (p *Payload) Usage() (u Usage) {
	u.Acks.add(len(p.Acks), len(p.Acks)*idSize)
	u.Offers.add(len(p.Offers), len(p.Offers)*idSize)
	u.Requests.add(len(p.Requests), len(p.Requests)*idSize)
	for _, m := range p.Messages {
		u.Messages.add(1, m.wireSize())
	}
	for _, o := range p.GroupOffers {
		u.Offers.add(len(o.IDs), o.wireSize())
	}
	u.Payloads.add(1, int(u.Acks.Bytes+u.Offers.Bytes+u.Requests.Bytes+u.Messages.Bytes))
	return u
}

// Usage returns what the payload takes.
func (o *Outgoing) Usage() Usage {
	u := o.Payload.Usage()
	u.Retries = o.Retries
	return u
}
