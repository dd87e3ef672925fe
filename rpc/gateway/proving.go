package gateway

// Proving counts what was done since the start of this node to keep proving
// that replicas are equal.
type Proving struct {
	Checked  // by checks that this node made
	Scrubbed // by its scrub
	Background
	ReadsElsewhere uint64         // reads that another replica answered, because leaves of one asked are not trusted
	States         map[string]int // replicas of this node, by their state
}

// Scrubbed counts what a node has re-read.
type Scrubbed struct {
	ScrubBytes int64
	ScrubParts uint64 // shards, logs and votes that were read to their end
	ScrubBad   uint64 // leaves and records that were found bad
}

// Background is how a node's work on whole replicas (deep checks, scrubs, copies) gives way to its clients.
type Background struct {
	Why         string  // for people; "": it does not
	Share       float64 // of a core that it may take now; 1: all that it wants
	WaitSeconds float64 // since the node's start
}

// proving gives the counters; the replicas are those of a report.
func (g *Gateway) proving(replicas []ReplicaStatus) Proving {
	p := Proving{Checked: g.checks.counts(), ReadsElsewhere: g.readsElsewhere.Load(), States: map[string]int{}}
	if g.cfg.Scrubbed != nil {
		p.Scrubbed = g.cfg.Scrubbed()
	}
	p.Share = 1
	if g.cfg.Background != nil {
		p.Background = g.cfg.Background()
	}
	for i := range replicas {
		p.States[replicas[i].Replica.State]++
	}
	return p
}
