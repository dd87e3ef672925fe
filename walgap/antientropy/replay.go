package antientropy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Where no majority can say who is wrong, the log may: what a leaf held at a place where all were found equal, and what
// the log has written to it since. A Cluster that can tell keeps the first and replays the second.

// Recorder may be implemented by a Cluster, too: it has a replica keep what its leaves hold at a place where all replicas
// were found equal, with that root. It is told of each such place, and an error costs nothing but that knowledge.
type Recorder interface {
	// Agree: at the cut, or ("") at what is applied now, as long as that is the place.
	Agree(ctx context.Context, group uint32, cut, node string, at Place, root digest.ID) error
}

// Replayer may be implemented by a Cluster, too: it says what leaves hold at a cut by the log alone. A leaf of which it
// does not tell is unreadable, with the reason. It is asked where no majority can tell.
type Replayer interface {
	Replay(ctx context.Context, group uint32, cut string, leaves []digest.Leaf) (LeafList, error)
}

// agree has all replicas keep what they have agreed upon.
func (c *check) agree(ctx context.Context) {
	recorder, can := c.cluster().(Recorder)
	if !can || len(c.list) < 2 {
		return
	}
	ask(ctx, c.list, callBound, func(ctx context.Context, h *heard) (struct{}, error) {
		return struct{}{}, recorder.Agree(ctx, c.group, c.cut, h.Node, c.place, h.said.Root)
	}, func(h *heard, _ struct{}, err error) {
		if err != nil {
			c.logger.Debug("an agreement is not kept", "node", h.Node, "error", err)
		}
	})
}

// Told is what one replica's log says of leaves, or why it says nothing.
type Told struct {
	Node string
	List LeafList
	Err  error
}

// Concur makes one list of what the logs of several replicas say of leaves at a place: what any of them tells, and
// nothing where two tell different things.
func Concur(place Place, leaves []digest.Leaf, told []Told) LeafList {
	out := LeafList{Place: place}
	for _, leaf := range leaves {
		out.Leaves = append(out.Leaves, concur(place, leaf, told))
	}
	return out
}

func concur(place Place, leaf digest.Leaf, told []Told) LeafStatement {
	s := LeafStatement{Entry: digest.Entry{Leaf: leaf}, Unreadable: true}
	var by string
	var why []string
	for _, t := range told {
		said, reason := t.says(place, leaf)
		switch {
		case reason != "":
			why = append(why, t.Node+": "+reason)
		case by == "":
			s.LeafDigest, s.Unreadable, by = said, false, t.Node
		case s.LeafDigest != said:
			return LeafStatement{Entry: digest.Entry{Leaf: leaf}, Unreadable: true,
				Why: fmt.Sprintf("the logs of %s and %s say different things", by, t.Node)}
		}
	}
	if s.Unreadable {
		s.Why = text(strings.Join(why, "; "))
	}
	return s
}

// says is what one log tells of a leaf, or why it tells nothing.
func (t *Told) says(place Place, leaf digest.Leaf) (said digest.LeafDigest, why string) {
	if t.Err != nil {
		return said, t.Err.Error()
	}
	if err := t.List.Place.at(place); err != nil {
		return said, err.Error()
	}
	i := slices.IndexFunc(t.List.Leaves, func(s LeafStatement) bool { return s.Leaf == leaf })
	switch {
	case i < 0:
		return said, "it says nothing"
	case t.List.Leaves[i].Unreadable:
		return said, t.List.Leaves[i].Why
	}
	return t.List.Leaves[i].LeafDigest, ""
}
