package directory

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

// MaxRequests bounds the requests of other nodes and of this one that the
// leader works on at once. Beyond it they are told to try again.
const MaxRequests = 1024

// Serve answers a request of another node: the other end of Caller. The error
// is nil for everything that has an answer, refusals included.
func (d *Directory) Serve(ctx context.Context, from membership.NodeID, payload []byte) ([]byte, error) {
	q, err := decodeRequest(payload)
	if err != nil {
		return nil, fmt.Errorf("serve %s: %w", from, err)
	}
	if q.op == opStatus {
		return d.serveStatus(q.body).encode(), nil
	}
	return d.serveLeader(ctx, q).encode(), nil
}

// serveLeader does what only the leader may.
func (d *Directory) serveLeader(ctx context.Context, q request) reply {
	select {
	case <-d.stopped:
		return reply{code: codeNotApplied, text: ErrClosed.Error()}
	default:
	}
	if !d.IsLeader() {
		return d.failed(raft.ErrNotLeader)
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return reply{code: codeNotApplied, text: fmt.Sprintf("more than %d requests wait", MaxRequests)}
	}
	switch q.op {
	case opApply:
		c, err := Decode(q.body)
		if err == nil {
			err = c.check()
		}
		if err != nil {
			return reply{code: codeInvalid, text: err.Error()}
		}
		return d.applyHere(ctx, q.body)
	case opRound:
		groups, err := decodeGroups(q.body)
		if err != nil {
			return reply{code: codeInvalid, text: err.Error()}
		}
		return d.births.ask(ctx, groups)
	case opJoin:
		j, err := decodeJoin(q.body)
		if err != nil {
			return reply{code: codeInvalid, text: err.Error()}
		}
		return d.admit(ctx, j)
	}
	return reply{code: codeInvalid, text: fmt.Sprintf("request of kind %d: this binary does not know it", q.op)}
}

// serveStatus says where this replica stands, if it is the one that is asked:
// a node never answers for another generation.
func (d *Directory) serveStatus(body []byte) reply {
	r := &reader{b: body}
	asked := r.server()
	if err := r.end(); err != nil || asked != d.self {
		return reply{code: codeInvalid, text: fmt.Sprintf("asked for %q, this is %q", asked, d.self)}
	}
	return reply{code: codeOK, body: standing{
		term: d.raft().CurrentTerm(), last: d.raft().LastIndex(), applied: d.raft().AppliedIndex(),
	}.encode()}
}

// askStanding asks another member where it stands.
func (d *Directory) askStanding(ctx context.Context, of membership.ServerID) (standing, error) {
	w := &writer{}
	w.server(of)
	b, err := d.cfg.Caller.Call(ctx, of.NodeID, request{op: opStatus, body: w.b}.encode())
	if err != nil {
		return standing{}, fmt.Errorf("ask %s: %w", of, err)
	}
	p, err := decodeReply(b)
	if err != nil {
		return standing{}, fmt.Errorf("ask %s: %w", of, err)
	}
	if p.code != codeOK {
		return standing{}, fmt.Errorf("ask %s: %s: %w", of, p.text, ErrInvalid)
	}
	return decodeStanding(p.body)
}
