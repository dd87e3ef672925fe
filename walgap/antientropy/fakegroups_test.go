package antientropy

import (
	"context"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// manyGroups is a Cluster of several groups, a world each.
type manyGroups struct{ of map[uint32]*world }

func (m manyGroups) Members(ctx context.Context, g uint32) ([]Member, error) {
	return m.of[g].Members(ctx, g)
}

func (m manyGroups) Standing(ctx context.Context, g uint32, node string) (Statement, error) {
	return m.of[g].Standing(ctx, g, node)
}

func (m manyGroups) Cut(ctx context.Context, g uint32) (string, uint64, error) {
	return m.of[g].Cut(ctx, g)
}

func (m manyGroups) Renew(ctx context.Context, g uint32, id string) error {
	return m.of[g].Renew(ctx, g, id)
}

func (m manyGroups) EndCut(ctx context.Context, g uint32, id string) error {
	return m.of[g].EndCut(ctx, g, id)
}

func (m manyGroups) Root(ctx context.Context, g uint32, cut, node string) (Statement, error) {
	return m.of[g].Root(ctx, g, cut, node)
}

func (m manyGroups) Leaves(ctx context.Context, g uint32, cut, node string, reread bool, only []digest.Leaf) (LeafList, error) {
	return m.of[g].Leaves(ctx, g, cut, node, reread, only)
}

func (m manyGroups) Inspect(ctx context.Context, g uint32, cut, node string) (Inspected, error) {
	return m.of[g].Inspect(ctx, g, cut, node)
}

func (m manyGroups) Detail(ctx context.Context, g uint32, cut, node string, leaf digest.Leaf) (Detail, error) {
	return m.of[g].Detail(ctx, g, cut, node, leaf)
}

func (m manyGroups) Accuse(ctx context.Context, g uint32, node string, s Suspicion) error {
	return m.of[g].Accuse(ctx, g, node, s)
}

func (m manyGroups) Acquit(ctx context.Context, g uint32, node string, leaves []digest.Leaf) error {
	return m.of[g].Acquit(ctx, g, node, leaves)
}

func (m manyGroups) Repair(ctx context.Context, g uint32, node string, r Repair) error {
	return m.of[g].Repair(ctx, g, node, r)
}
