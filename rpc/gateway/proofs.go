package gateway

import (
	"maps"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// proofs remembers when a check that this node ran last found all assigned
// replicas of a group equal. It is lost with the process; the newest of all
// nodes is the group's last_proof_at.
type proofs struct {
	mu sync.Mutex
	at map[uint32]api.Time // guarded by mu
}

func (p *proofs) note(group uint32, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[uint32]api.Time{}
	}
	p.at[group] = api.At(now)
}

func (p *proofs) all() map[uint32]api.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.at)
}

// of gives those of some groups.
func (p *proofs) of(groups []uint32) map[uint32]api.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[uint32]api.Time{}
	for _, id := range groups {
		if at, ok := p.at[id]; ok {
			out[id] = at
		}
	}
	return out
}

// Proofs gives when this node last found groups equal, or was told so.
func (g *Gateway) Proofs() map[uint32]api.Time { return g.proofs.all() }
