package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Chronicler is an Examiner that remembers what replicas have agreed upon, and
// says by the log alone what leaves hold. An Examiner that is none settles no
// dispute.
type Chronicler interface {
	// Agree keeps what all leaves hold, at a cut or ("") now, if that is the place
	// and they have that root.
	Agree(ctx context.Context, group uint32, cut string, at antientropy.Place, root digest.ID) error
	// Replay says what leaves hold at a cut. Of what its log does not tell it says
	// that it is unreadable, and why.
	Replay(ctx context.Context, group uint32, cut string, leaves []digest.Leaf) (antientropy.LeafList, error)
}

// errNoChronicle: the node keeps no agreements.
var errNoChronicle = errors.New("the node remembers no agreements")

type agreeRequest struct {
	Group uint32            `json:"group"`
	Cut   string            `json:"cut"`
	At    antientropy.Place `json:"at"`
	Root  digest.ID         `json:"root"`
}

type replayRequest struct {
	Group  uint32        `json:"group"`
	Cut    string        `json:"cut"`
	Leaves []digest.Leaf `json:"leaves"`
}

// agreed is what replicas were told last: where nothing has changed, they are not
// told again. One entry a replica.
type agreed struct {
	mu sync.Mutex
	of map[agreedBy]agreeRequest // guarded by mu
}

type agreedBy struct {
	group uint32
	node  membership.NodeID
}

// told reports whether a replica was told the same before.
func (a *agreed) told(by agreedBy, r agreeRequest) bool {
	r.Cut = ""
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of[by] == r
}

func (a *agreed) note(by agreedBy, r agreeRequest) {
	r.Cut = ""
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = make(map[agreedBy]agreeRequest)
	}
	a.of[by] = r
}

// Agree implements antientropy.Recorder.
func (c checkCluster) Agree(ctx context.Context, group uint32, cut, node string, at antientropy.Place, root digest.ID) error {
	id, err := c.id(node)
	if err != nil {
		return err
	}
	by, r := agreedBy{group, id}, agreeRequest{group, cut, at, root}
	if c.g.agreed.told(by, r) {
		return nil
	}
	if _, err := askNode[struct{}](ctx, c, node, MethodAgree, r); err != nil {
		return err
	}
	c.g.agreed.note(by, r)
	return nil
}

// Replay implements antientropy.Replayer: all replicas are asked, since the log
// of one may reach further back, or its leaf be the one that is still whole.
func (c checkCluster) Replay(ctx context.Context, group uint32, cut string, leaves []digest.Leaf) (antientropy.LeafList, error) {
	index, live := c.cuts.Load(cut)
	if !live {
		return antientropy.LeafList{}, antientropy.ErrNotPinned
	}
	nodes := c.g.cfg.Directory.Table().Assignments[group].Nodes()
	told := make([]antientropy.Told, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			told[i].Node = node
			told[i].List, told[i].Err = askNode[antientropy.LeafList](ctx, c, node, MethodReplay, replayRequest{group, cut, leaves})
		})
	}
	wg.Wait()
	at := antientropy.Place{Index: index.(uint64)}
	for _, t := range told {
		if t.Err == nil && t.List.Index == at.Index { // of another lineage than the check's it is refused there
			at.Lineage = t.List.Lineage
		}
	}
	return antientropy.Concur(at, leaves, told), ctx.Err()
}

// chronicler is the Chronicler of this node's replica of a group.
func (g *Gateway) chronicler(group uint32) (Chronicler, error) {
	x, err := g.examiner(group)
	if err != nil {
		return nil, err
	}
	c, can := x.(Chronicler)
	if !can {
		return nil, errNoChronicle
	}
	return c, nil
}

func (g *Gateway) serveAgree(ctx context.Context, m agreeRequest) ([]byte, error) {
	x, err := g.chronicler(m.Group)
	if err == nil {
		err = x.Agree(ctx, m.Group, m.Cut, m.At, m.Root)
	}
	return answerOf(struct{}{}, err)
}

func (g *Gateway) serveReplay(ctx context.Context, m replayRequest) ([]byte, error) {
	if len(m.Leaves) > leafPage {
		return nil, fmt.Errorf("replay: %w", errPayload)
	}
	x, err := g.chronicler(m.Group)
	if err != nil {
		return answerOf(antientropy.LeafList{}, err)
	}
	return answerOf(x.Replay(ctx, m.Group, m.Cut, m.Leaves))
}
