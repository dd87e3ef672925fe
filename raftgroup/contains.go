package raftgroup

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
)

// The hand-shake after an install. The log of a leader begins behind what an
// installed replica needed, and Raft's next index for a known peer only falls: it
// goes on only if InstallSnapshot says that the peer has the record's entry. So
// the leader asks.
//
// Question: a frame of one term question, then index and term of the entry.
// Answer: version (1 B) | 0: not here, 1: here, 2: here, and it contains the
// entry | current term. Numbers are unsigned varints.

// containsTimeout bounds one question; below the leader's lease, or an answer
// would be a sign of life that is too old (sendLatestSnapshot, raft 1.7.3, counts
// it as one when it arrives).
const containsTimeout = time.Second

// containment is what a replica says of an entry.
type containment struct {
	here, contains bool
	currentTerm    uint64
}

func appendContainsQuestion(dst []byte, q termQuestion, entry storage.Position) []byte {
	dst = appendTermQuestions(dst, []termQuestion{q})
	dst = binary.AppendUvarint(dst, entry.Index)
	return binary.AppendUvarint(dst, entry.Term)
}

func decodeContainsQuestion(b []byte) (termQuestion, storage.Position, error) {
	r := frameReader{rest: b}
	count := r.header()
	q := termQuestion{group: r.uint32(), generation: r.uint32(), lineage: r.text(maxLineageBytes)}
	entry := storage.Position{Index: r.uvarint(), Term: r.uvarint()}
	if r.failed || count != 1 || len(r.rest) > 0 {
		return termQuestion{}, storage.Position{}, fmt.Errorf("question for an entry: %w", errTermFrame)
	}
	return q, entry, nil
}

func (c containment) append(dst []byte) []byte {
	state := byte(0)
	switch {
	case c.here && c.contains:
		state = 2
	case c.here:
		state = 1
	}
	return binary.AppendUvarint(append(dst, termFrameVersion, state), c.currentTerm)
}

func decodeContainment(b []byte) (containment, error) {
	if len(b) < 2 || b[0] != termFrameVersion || b[1] > 2 {
		return containment{}, fmt.Errorf("answer about an entry: %w", errTermFrame)
	}
	r := frameReader{rest: b[2:]}
	c := containment{here: b[1] > 0, contains: b[1] == 2, currentTerm: r.uvarint()}
	if r.failed || len(r.rest) > 0 {
		return containment{}, fmt.Errorf("answer about an entry: %w", errTermFrame)
	}
	return c, nil
}

// askContains asks a peer, by its server id, whether it has an entry.
func (in *instance) askContains(ctx context.Context, peer membership.ServerID, entry storage.Position) (containment, error) {
	ctx, cancel := context.WithTimeout(ctx, containsTimeout)
	defer cancel()
	q := termQuestion{group: in.group, generation: peer.Generation, lineage: in.lineage}
	reply, err := in.call(ctx, peer.NodeID, MethodContains, appendContainsQuestion(nil, q, entry))
	if err != nil {
		return containment{}, fmt.Errorf("ask %s for entry %d: %w", peer, entry.Index, err)
	}
	return decodeContainment(reply)
}

// containment says whether this replica has an entry for good: in its log, or
// in what it started from. It says yes only where Raft would take the next entry.
func (in *instance) containment(entry storage.Position) containment {
	c := containment{here: true}
	if term, ok := in.termOf(entry.Index); ok {
		c.contains = term == entry.Term
	} else {
		c.contains = in.startedBehind(entry.Index)
	}
	c.currentTerm = in.raft.CurrentTerm() // read last: a term only rises
	return c
}
