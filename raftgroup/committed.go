package raftgroup

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// A replica that has just started knows no leader, and of nothing that is
// committed above what its shard holds. A leader without anything new says both
// with its next AppendEntries, one to two commit timeouts later (replicate, raft
// 1.7.3): heartbeats carry no commit index. Each resync would end with that wait.
// So whoever starts asks the other voters, once, and gives its Raft what the
// leader would have sent: an AppendEntries without entries, behind the last one
// that is committed. Raft takes or refuses it as it does any other: it may be
// lost, late, or come twice.
//
// Question: a frame of one term question. Answer: version (1 B) | 0: does not
// lead here, 1: leads | its term | index and term of the last entry that it knows
// to be committed. Numbers are unsigned varints.

// committedTimeout bounds one question, and what comes of it: the leader says it
// by itself soon after.
const committedTimeout = time.Second

// commitNotice is what a leader knows to be committed.
type commitNotice struct {
	leads bool
	term  uint64
	at    storage.Position
}

func (n commitNotice) append(dst []byte) []byte {
	leads := byte(0)
	if n.leads {
		leads = 1
	}
	dst = binary.AppendUvarint(append(dst, termFrameVersion, leads), n.term)
	dst = binary.AppendUvarint(dst, n.at.Index)
	return binary.AppendUvarint(dst, n.at.Term)
}

func decodeCommitNotice(b []byte) (commitNotice, error) {
	if len(b) < 2 || b[0] != termFrameVersion || b[1] > 1 {
		return commitNotice{}, fmt.Errorf("what is committed: %w", errTermFrame)
	}
	r := frameReader{rest: b[2:]}
	n := commitNotice{leads: b[1] == 1, term: r.uvarint(), at: storage.Position{Index: r.uvarint(), Term: r.uvarint()}}
	if r.failed || len(r.rest) > 0 {
		return commitNotice{}, fmt.Errorf("what is committed: %w", errTermFrame)
	}
	return n, nil
}

// committed answers whoever has just started. It leads in the term that it names:
// the state is looked at before and after, and a term is led once.
func (in *instance) committed() commitNotice {
	term, leads := in.leads()
	if !leads {
		return commitNotice{}
	}
	in.gaps.wake()
	index := in.raft.CommitIndex()
	at, known := in.termOf(index)
	if now, still := in.leads(); !still || now != term || !known || index == 0 {
		return commitNotice{}
	}
	return commitNotice{leads: true, term: term, at: storage.Position{Index: index, Term: at}}
}

// hearCommitted asks the voters. It does not wait.
func (in *instance) hearCommitted() {
	for _, voter := range votersOf(in.configuration()) {
		if voter.NodeID == in.self.NodeID {
			continue
		}
		in.wg.Go(func() {
			ctx, cancel := in.whileOpen()
			defer cancel()
			ctx, cancel = context.WithTimeout(ctx, committedTimeout)
			defer cancel()
			if err := in.hearCommittedFrom(ctx, voter); err != nil {
				in.log.Debug("what is committed is not heard at once", "peer", voter, "error", err)
			}
		})
	}
}

func (in *instance) hearCommittedFrom(ctx context.Context, peer membership.ServerID) error {
	q := termQuestion{group: in.group, generation: peer.Generation, lineage: in.lineage}
	reply, err := in.call(ctx, peer.NodeID, MethodCommitted, appendTermQuestions(nil, []termQuestion{q}))
	if err != nil {
		return fmt.Errorf("ask %s what is committed: %w", peer, err)
	}
	n, err := decodeCommitNotice(reply)
	if err != nil || !n.leads {
		return err
	}
	id := []byte(peer.String())
	return in.transport.Deliver(ctx, in.rebase(&raft.AppendEntriesRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: protocolVersion, ID: id, Addr: id},
		Term:      n.term, PrevLogEntry: n.at.Index, PrevLogTerm: n.at.Term,
		LeaderCommitIndex: n.at.Index, // never above the entry that Raft checks: see rebase
	}))
}
