package fakecluster

import (
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// examiner examines the shards of one node. It repairs nothing.
type examiner struct{ n *Node }

func (x examiner) view(ctx context.Context, group uint32, cut string) (*storage.View, string, error) {
	l := x.n.c.log(group)
	if cut == "" {
		v, err := l.shard(x.n.Name).Look(ctx)
		return v, l.lineage, err
	}
	v, err := l.shard(x.n.Name).AwaitView(ctx, cut)
	return v, l.lineage, err
}

// Leaves implements gateway.Testifier.
func (x examiner) Leaves(ctx context.Context, group uint32, cut string, reread bool, only []digest.Leaf) (antientropy.LeafList, error) {
	v, lineage, err := x.view(ctx, group, cut)
	if err != nil {
		return antientropy.LeafList{}, err
	}
	defer v.Close()
	return gateway.LeavesOf(ctx, v, lineage, reread, only)
}

// Inspect implements gateway.Testifier.
func (x examiner) Inspect(ctx context.Context, group uint32, cut string, progress func(int64)) (antientropy.Inspected, error) {
	v, lineage, err := x.view(ctx, group, cut)
	if err != nil {
		return antientropy.Inspected{}, err
	}
	defer v.Close()
	in, err := v.Inspect(ctx, func(bytes int) error { progress(int64(bytes)); return nil })
	return gateway.InspectedOf(lineage, v.Index(), &in), err
}

// Detail implements gateway.Testifier.
func (x examiner) Detail(ctx context.Context, group uint32, cut string, leaf digest.Leaf) (antientropy.Detail, error) {
	v, _, err := x.view(ctx, group, cut)
	if err != nil {
		return antientropy.Detail{}, err
	}
	defer v.Close()
	return gateway.DetailOf(ctx, v, leaf)
}

// Accuse implements gateway.Accused.
func (x examiner) Accuse(context.Context, uint32, antientropy.Suspicion) error { return nil }

// Acquit implements gateway.Accused.
func (x examiner) Acquit(context.Context, uint32, []digest.Leaf) error { return nil }

// Repair implements gateway.Accused.
func (x examiner) Repair(context.Context, uint32, antientropy.Repair) (api.Job, bool, error) {
	return api.Job{}, false, errors.New("a fake repairs nothing")
}
