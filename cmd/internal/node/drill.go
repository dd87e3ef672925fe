package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
)

// drills damages replicas of this node on purpose, in the real file while it is
// in use. Nothing of the node is told: it has to find out.
type drills struct{ node *Node }

// spoilings are what the kinds of a drill mean.
var spoilings = map[string]storage.Spoiling{
	api.DrillBitflip: storage.SpoilBitflip, api.DrillTruncate: storage.SpoilTruncate, api.DrillStale: storage.SpoilStale,
	api.DrillDivergent: storage.SpoilDivergent, api.DrillMissing: storage.SpoilMissing,
}

// Damage implements gateway.Drills.
func (d drills) Damage(ctx context.Context, group uint32, kind string) (string, error) {
	how, known := spoilings[kind]
	host := d.node.hosts.host.Load()
	if !known || host == nil {
		return "", fmt.Errorf("%w: kind %q, or the node has no groups yet", gateway.ErrRefused, kind)
	}
	g, ok := host.Group(group)
	if !ok {
		return "", fmt.Errorf("%w: group %d is not on this node", gateway.ErrRefused, group)
	}
	if s := g.Status(); s.State != raftgroup.ReplicaReady || d.node.syncs.Busy(group) {
		return "", fmt.Errorf("%w: the replica is %s", gateway.ErrRefused, s.State)
	}
	shard := g.Shard()
	if shard == nil {
		return "", fmt.Errorf("%w: the replica is not open", gateway.ErrRefused)
	}
	done, err := shard.Spoil(ctx, how, rand.IntN)
	if errors.Is(err, storage.ErrNothingToSpoil) {
		return "", fmt.Errorf("%w: %w", gateway.ErrRefused, err)
	}
	if err != nil {
		return "", fmt.Errorf("drill: %w", err)
	}
	return done.Text, nil
}
