package gateway

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
)

// Serve answers a request of a peer. The composition root registers it for
// each of Methods. An error travels as its text.
func (g *Gateway) Serve(ctx context.Context, from membership.NodeID, method Method, payload []byte) ([]byte, error) {
	switch method {
	case MethodWrite:
		return g.serveWrite(ctx, payload)
	case MethodQuery:
		return g.serveQuery(ctx, payload)
	case MethodCollections:
		return g.serveCollections(ctx, payload)
	case MethodReport:
		return g.serveReport(payload)
	case MethodJobs:
		return g.serveJobs(ctx, payload)
	case MethodCancelJob:
		return g.serveCancel(payload)
	case MethodCut:
		return g.serveCut(ctx, payload)
	case MethodRoots:
		return g.serveRoots(ctx, payload)
	case MethodTrim:
		return g.serveTrim(ctx, payload)
	case MethodStepDown:
		return g.serveStepDown(ctx, payload)
	case MethodTrimPlan:
		return g.serveTrimPlan(payload)
	case MethodStepDownTarget:
		return g.serveStepDownTarget(ctx, payload)
	case MethodResync:
		return g.serveResync(ctx, payload)
	case MethodEvents:
		return g.serveEvents(payload)
	case MethodLeaves:
		return g.serveLeaves(ctx, payload)
	case MethodInspect:
		return g.serveInspect(ctx, payload)
	case MethodDetail:
		return g.serveDetail(ctx, payload)
	case MethodAccuse:
		return g.serveAccuse(ctx, payload)
	case MethodRepair:
		return g.serveRepair(ctx, payload)
	case MethodDrill:
		return g.serveDrill(ctx, from, payload)
	case MethodAgree:
		return g.serveAgree(ctx, payload)
	case MethodReplay:
		return g.serveReplay(ctx, payload)
	case MethodMany:
		return g.serveMany(ctx, from, payload)
	}
	return nil, fmt.Errorf("method %d of node %s is not known", method, from)
}

// askJSON asks a node, this one included, one of the rare questions.
func (g *Gateway) askJSON(ctx context.Context, to membership.NodeID, method Method, request, reply any) error {
	return askOver(ctx, g.call, to, method, request, reply)
}

// caller carries a question to a node.
type caller func(ctx context.Context, to membership.NodeID, method Method, payload []byte) ([]byte, error)

// call is the caller for all questions.
func (g *Gateway) call(ctx context.Context, to membership.NodeID, method Method, payload []byte) ([]byte, error) {
	if to == g.cfg.Self {
		return g.Serve(ctx, to, method, payload)
	}
	return g.cfg.Peers.Call(ctx, to, method, payload)
}

func askOver(ctx context.Context, call caller, to membership.NodeID, method Method, request, reply any) error {
	payload, err := json.Marshal(request)
	if err != nil {
		return err
	}
	b, err := call(ctx, to, method, payload)
	if err != nil {
		return fmt.Errorf("node %s: %w", to.Name, err)
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("answer of node %s: %w", to.Name, errPayload)
	}
	return nil
}

// replicaReply is the answer to a question about one replica. What went wrong
// on the replica is data here, so that the asker can tell it from a broken
// connection.
type replicaReply[T any] struct {
	Value      T      `json:"value"`
	NotLeader  bool   `json:"not_leader"`
	Leader     string `json:"leader"`
	NotPinned  bool   `json:"not_pinned"`
	Refused    bool   `json:"refused"`
	NotApplied bool   `json:"not_applied"`
	Structure  bool   `json:"structure,omitempty"`
	Late       bool   `json:"late"` // its time ended first
	Error      string `json:"error"`
}
