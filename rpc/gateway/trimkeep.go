package gateway

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// A trim keeps what a replica that runs has not got yet: it may be a few
// entries behind, being just born or just back, and a log that begins behind
// what it has makes it need a copy of everything. Replicas that are offline
// hold nothing back.

// logKeep is how far the logs of a group may be trimmed, and for whom not
// further.
type logKeep struct {
	through uint64 // what all have; where more is applied, this entry itself stays: the next one refers to it
	held    []api.TrimReplica
	needy   []string // what they lack is in no log any more: they need a copy already
}

// has is the last entry that a replica certainly shares with the group. The
// end of its log may be one that its leader gave up, unless that leader's term
// is the latest.
func (p TrimPlan) has(term uint64) uint64 {
	if p.LastTerm == term {
		return p.LastIndex
	}
	return min(p.LastIndex, p.Applied)
}

// keepFor decides how far a group's logs may be trimmed, from what its replicas
// tell. Of those in silent it is only known that they live: what they have is
// not, so nothing may go. It is a pure function.
func keepFor(group uint32, plans map[string]TrimPlan, silent map[string]string) logKeep {
	k := logKeep{through: math.MaxUint64}
	term, most := uint64(0), uint64(0) // most: what would go if nobody were behind
	for _, p := range plans {
		term, most = max(term, p.Term), max(most, p.Through)
	}
	has := map[string]uint64{}
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		next := plans[name].has(term) + 1
		inSomeLog := len(plans) == 1
		for other, p := range plans {
			inSomeLog = inSomeLog || other != name && p.First <= next
		}
		if !inSomeLog {
			k.needy = append(k.needy, name)
			continue
		}
		has[name] = next - 1
		k.through = min(k.through, next-1)
	}
	if len(silent) > 0 {
		k.through = 0
	}
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if has[name] < most {
			k.held = append(k.held, api.TrimReplica{GroupID: group, Node: name,
				Detail: fmt.Sprintf("its log ends at %d: the others keep theirs from %d on until it has it", has[name], max(has[name], 1))})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(silent)) {
		k.held = append(k.held, api.TrimReplica{GroupID: group, Node: name,
			Detail: "it does not tell how far its log reaches, so nothing is dropped: " + silent[name]})
	}
	return k
}

// limit bounds the plan of one replica.
func (k logKeep) limit(p TrimPlan) TrimPlan {
	through := k.through
	if through > 0 && p.Applied > through {
		through--
	}
	if p.Through <= through {
		return p
	}
	before := p.Through
	if p.Through, p.Bytes = through, -1; p.Through < p.First {
		p.Through, p.Bytes = p.First-1, 0
	}
	if p.Through < before && len(k.held) > 0 {
		p.Why = fmt.Sprintf("kept for %s: %s", k.held[0].Node, k.held[0].Detail)
	}
	return p
}

// entries is how many a trim would drop.
func (p TrimPlan) entries() uint64 {
	if p.Through < p.First {
		return 0
	}
	return p.Through - p.First + 1
}

// logKeeps asks the replicas of some groups how far their logs reach.
func (g *Gateway) logKeeps(ctx context.Context, groups []uint32) (map[uint32]logKeep, map[string]trimPlanReply) {
	t := g.cfg.Directory.Table()
	ask := map[string][]uint32{}
	for _, id := range groups {
		for _, name := range t.Assignments[id].Nodes() {
			if node, known := t.Nodes[name]; known {
				if state, _ := g.seen(node); state != membership.NodeDown {
					ask[name] = append(ask[name], id)
				}
			}
		}
	}
	replies := g.trimPlans(ctx, ask)
	keeps := make(map[uint32]logKeep, len(groups))
	for _, id := range groups {
		plans, silent := map[string]TrimPlan{}, map[string]string{}
		for _, name := range t.Assignments[id].Nodes() {
			reply := replies[name]
			if p, told := reply.Plans[id]; told {
				plans[name] = p
			} else if why := reply.Problems[id]; why != "" && !reply.offline {
				silent[name] = why
			}
		}
		keeps[id] = keepFor(id, plans, silent)
	}
	return keeps, replies
}
