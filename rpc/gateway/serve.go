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
	if answer, known := g.handlers[method]; known {
		return answer(ctx, from, payload)
	}
	return nil, fmt.Errorf("method %d of node %s is not known", method, from)
}

// handler answers one method.
type handler func(ctx context.Context, from membership.NodeID, payload []byte) ([]byte, error)

func (g *Gateway) allHandlers() map[Method]handler {
	return map[Method]handler{
		MethodWrite:          raw(g.serveWrite),
		MethodQuery:          raw(g.serveQuery),
		MethodCollections:    asked("collections", g.serveCollections),
		MethodReport:         asked("report", g.serveReport),
		MethodJobs:           asked("jobs", g.serveJobs),
		MethodCancelJob:      asked("cancel", g.serveCancel),
		MethodCut:            asked("cut", g.serveCut),
		MethodRoots:          asked("root", g.serveRoots),
		MethodTrim:           asked("trim", g.serveTrim),
		MethodStepDown:       asked("step down", g.serveStepDown),
		MethodTrimPlan:       asked("trim plan", g.serveTrimPlan),
		MethodStepDownTarget: asked("step-down target", g.serveStepDownTarget),
		MethodResync:         asked("resync", g.serveResync),
		MethodEvents:         asked("events", g.serveEvents),
		MethodLeaves:         asked("leaves", g.serveLeaves),
		MethodInspect:        asked("inspect", g.serveInspect),
		MethodDetail:         asked("detail", g.serveDetail),
		MethodAccuse:         asked("accuse", g.serveAccuse),
		MethodRepair:         asked("repair", g.serveRepair),
		MethodDrill:          askedBy("drill", g.serveDrill),
		MethodAgree:          asked("agree", g.serveAgree),
		MethodReplay:         asked("replay", g.serveReplay),
		MethodMany:           g.serveMany,
	}
}

// raw is a handler that reads its payload itself.
func raw(answer func(ctx context.Context, payload []byte) ([]byte, error)) handler {
	return func(ctx context.Context, _ membership.NodeID, payload []byte) ([]byte, error) {
		return answer(ctx, payload)
	}
}

// asked is a handler of one of the rare questions, which are JSON.
func asked[Q any](what string, answer func(context.Context, Q) ([]byte, error)) handler {
	return askedBy(what, func(ctx context.Context, _ membership.NodeID, q Q) ([]byte, error) { return answer(ctx, q) })
}

// askedBy is asked where it matters who asks.
func askedBy[Q any](what string, answer func(context.Context, membership.NodeID, Q) ([]byte, error)) handler {
	return func(ctx context.Context, from membership.NodeID, payload []byte) ([]byte, error) {
		var q Q
		if err := json.Unmarshal(payload, &q); err != nil {
			return nil, fmt.Errorf("%s: %w", what, errPayload)
		}
		return answer(ctx, from, q)
	}
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
	Away       bool   `json:"away,omitempty"`
	Structure  bool   `json:"structure,omitempty"`
	Late       bool   `json:"late"` // its time ended first
	Error      string `json:"error"`
}
