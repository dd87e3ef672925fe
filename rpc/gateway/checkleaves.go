package gateway

import (
	"context"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// leafPage bounds the leaves of one answer, and rereadPage those that one
	// question has read off the disk.
	leafPage   = 16384
	rereadPage = 256
)

type leavesRequest struct {
	Group  uint32        `json:"group"`
	Cut    string        `json:"cut"`
	Reread bool          `json:"reread"`
	All    bool          `json:"all"`   // else those of Only
	After  *digest.Leaf  `json:"after"` // of all: only those behind it
	Only   []digest.Leaf `json:"only"`
}

type leavesAnswer struct {
	List antientropy.LeafList `json:"list"`
	More bool                 `json:"more"`
}

type detailRequest struct {
	Group uint32      `json:"group"`
	Cut   string      `json:"cut"`
	Leaf  digest.Leaf `json:"leaf"`
}

// Leaves implements antientropy.Witnesses, page by page.
func (c checkCluster) Leaves(ctx context.Context, group uint32, cut, node string, reread bool, only []digest.Leaf) (antientropy.LeafList, error) {
	if only == nil && reread {
		all, err := c.Leaves(ctx, group, cut, node, false, nil)
		if err != nil {
			return all, err
		}
		only = make([]digest.Leaf, len(all.Leaves))
		for i, l := range all.Leaves {
			only[i] = l.Leaf
		}
	}
	q := leavesRequest{Group: group, Cut: cut, Reread: reread, All: only == nil}
	var out antientropy.LeafList
	for first := true; ; first = false {
		page := leafPage
		if reread {
			page = rereadPage
		}
		page = min(page, len(only))
		q.Only, only = only[:page], only[page:]
		a, err := c.leafPage(ctx, node, q)
		if err != nil {
			return out, err
		}
		if !first && a.List.Place != out.Place {
			return out, fmt.Errorf("node %s gives leaves of two places: %w", node, antientropy.ErrNotPinned)
		}
		out.Place = a.List.Place
		out.Leaves = append(out.Leaves, a.List.Leaves...)
		out.BytesRead += a.List.BytesRead
		if q.All && a.More && len(a.List.Leaves) > 0 {
			q.After = &a.List.Leaves[len(a.List.Leaves)-1].Leaf
			continue
		}
		if len(only) == 0 {
			return out, nil
		}
	}
}

func (c checkCluster) leafPage(ctx context.Context, node string, q leavesRequest) (leavesAnswer, error) {
	limit := rootTimeout
	if q.Reread {
		limit = rereadTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return askNode[leavesAnswer](ctx, c, node, MethodLeaves, q)
}

// Detail implements antientropy.Witnesses.
func (c checkCluster) Detail(ctx context.Context, group uint32, cut, node string, leaf digest.Leaf) (antientropy.Detail, error) {
	ctx, cancel := context.WithTimeout(ctx, rootTimeout)
	defer cancel()
	return askNode[antientropy.Detail](ctx, c, node, MethodDetail, detailRequest{group, cut, leaf})
}

func (g *Gateway) serveLeaves(ctx context.Context, m leavesRequest) ([]byte, error) {
	if len(m.Only) > leafPage {
		return nil, fmt.Errorf("leaves: %w", errPayload)
	}
	x, err := g.examiner(m.Group)
	if err != nil {
		return answerOf(leavesAnswer{}, err)
	}
	only := m.Only
	if m.All {
		only = nil
	} else if only == nil {
		only = []digest.Leaf{}
	}
	list, err := x.Leaves(ctx, m.Group, m.Cut, m.Reread, only)
	a := leavesAnswer{List: list}
	if m.After != nil {
		i, found := slices.BinarySearchFunc(list.Leaves, *m.After, func(s antientropy.LeafStatement, l digest.Leaf) int { return s.Leaf.Compare(l) })
		if found {
			i++
		}
		a.List.Leaves = list.Leaves[i:]
	}
	if len(a.List.Leaves) > leafPage {
		a.List.Leaves, a.More = a.List.Leaves[:leafPage], true
	}
	return answerOf(a, err)
}

func (g *Gateway) serveDetail(ctx context.Context, m detailRequest) ([]byte, error) {
	x, err := g.examiner(m.Group)
	if err != nil {
		return answerOf(antientropy.Detail{}, err)
	}
	return answerOf(x.Detail(ctx, m.Group, m.Cut, m.Leaf))
}

// examiner is who examines this node's replica of a group.
func (g *Gateway) examiner(group uint32) (Examiner, error) {
	if _, err := g.held(group); err != nil {
		return nil, err
	}
	if g.cfg.Examiner == nil {
		return nil, fmt.Errorf("node %s examines no replicas", g.cfg.Self.Name)
	}
	return g.cfg.Examiner, nil
}
