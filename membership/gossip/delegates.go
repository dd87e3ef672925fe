package gossip

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/flotilla-db/flotilla/membership"
)

// NodeMeta implements memberlist.Delegate.
func (g *Gossip) NodeMeta(int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, err := g.meta.encode()
	if err != nil { // checked whenever it is set
		return nil
	}
	return b
}

// NotifyMsg implements memberlist.Delegate: there are no messages of ours.
func (g *Gossip) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (g *Gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (g *Gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (g *Gossip) MergeRemoteState([]byte, bool) {}

// NotifyAlive implements memberlist.AliveDelegate: nodes of another cluster,
// and what is no node of ours, do not become peers.
func (g *Gossip) NotifyAlive(peer *memberlist.Node) error {
	if err := g.judge(peer); err != nil {
		g.refusals.say(peer.Name, err)
		return err
	}
	return nil
}

// NotifyMerge implements memberlist.MergeDelegate: a join that would bring in
// a node of another cluster is refused as a whole.
func (g *Gossip) NotifyMerge(peers []*memberlist.Node) error {
	for _, peer := range peers {
		if peer.State != memberlist.StateAlive && peer.State != memberlist.StateSuspect {
			continue
		}
		if err := g.judge(peer); err != nil {
			g.refusals.say(peer.Name, err)
			g.noteForeign(err)
			return err
		}
	}
	return nil
}

// judge says why a node is none of ours, and takes note of its cluster.
func (g *Gossip) judge(peer *memberlist.Node) error {
	if _, err := membership.ParseNodeID(peer.Name); err != nil {
		return fmt.Errorf("%s is no Flotilla node: %w", peer.Address(), err)
	}
	meta, err := decodeMeta(peer.Meta)
	if err != nil {
		return fmt.Errorf("%s at %s: %w", peer.Name, peer.Address(), err)
	}
	ours := g.clusterID()
	if ours == "" {
		ours = g.book.observe(meta.ClusterID)
	}
	if meta.ClusterID != "" && meta.ClusterID != ours {
		return &foreignError{peer.Address(), fmt.Sprintf("%s at %s belongs to cluster %s, this node to %s: check --join, or use an empty --data-dir", peer.Name, peer.Address(), meta.ClusterID, ours)}
	}
	return nil
}

// NotifyConflict implements memberlist.ConflictDelegate: one name.incarnation
// is announced from two addresses.
func (g *Gossip) NotifyConflict(existing, other *memberlist.Node) {
	if existing.Name == g.cfg.Self.String() {
		g.noteMove()
		g.askTwin(other.Address())
		g.refusals.say(existing.Name, fmt.Errorf("the cluster knows this node at %s, it is at %s now: taken up when %s no longer answers; if another process runs there, the two are copies of one data directory: stop one", other.Address(), existing.Address(), other.Address()))
		return
	}
	g.refusals.say(other.Name, fmt.Errorf("%s is announced from %s and from %s: the new address is taken up when the old one no longer answers", other.Name, existing.Address(), other.Address()))
}

// events implements memberlist.EventDelegate.
type events struct{ g *Gossip }

// NotifyJoin implements memberlist.EventDelegate.
func (e events) NotifyJoin(n *memberlist.Node) {
	e.g.book.record(n, membership.NodeUp)
	if n.Name != e.g.cfg.Self.String() {
		e.g.logger.Info("a node is here", "peer", n.Name, "addr", n.Address())
	}
}

// NotifyLeave implements memberlist.EventDelegate.
func (e events) NotifyLeave(n *memberlist.Node) {
	e.g.book.record(n, membership.NodeDown)
	if n.Name != e.g.cfg.Self.String() {
		e.g.logger.Warn("a node is gone", "peer", n.Name, "addr", n.Address())
	}
}

// NotifyUpdate implements memberlist.EventDelegate.
func (e events) NotifyUpdate(n *memberlist.Node) { e.g.book.record(n, membership.NodeUp) }

// refusals says each reason once a minute: gossip repeats itself.
type refusals struct {
	logger *slog.Logger
	mu     sync.Mutex // guards said
	said   map[string]time.Time
}

const (
	sayAgainAfter = time.Minute
	maxSaid       = 256
)

func newRefusals(logger *slog.Logger) *refusals {
	return &refusals{logger: logger, said: map[string]time.Time{}}
}

func (r *refusals) say(about string, why error) {
	if r.due(about + why.Error()) {
		r.logger.Warn("refused by gossip", "peer", about, "why", why)
	}
}

func (r *refusals) due(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if last, before := r.said[key]; before && now.Sub(last) < sayAgainAfter {
		return false
	}
	if len(r.said) >= maxSaid {
		clear(r.said)
	}
	r.said[key] = now
	return true
}
