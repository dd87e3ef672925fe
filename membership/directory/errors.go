package directory

import (
	"errors"
	"fmt"
)

// Refusals: the state machine looked at the command and changed nothing.
var (
	// ErrStale: the object changed meanwhile. Read the table again and decide anew.
	ErrStale = errors.New("changed meanwhile")
	// ErrNotFound: there is no such node, database, collection or group.
	ErrNotFound = errors.New("not found")
	// ErrExists: it exists, and differs from what was asked for.
	ErrExists = errors.New("exists already, and differs")
	// ErrReplaced: another incarnation has taken this node's places. The
	// process must stop: its data directory belongs to no node any more.
	ErrReplaced = errors.New("replaced by a newer incarnation")
	// ErrInvalid: the command is malformed or breaks a bound. Do not retry.
	ErrInvalid = errors.New("invalid")
	// ErrForeign: the request names another cluster. Do not retry.
	ErrForeign = errors.New("another cluster")
)

// Failures of a request.
var (
	// ErrNoLeader: no leader took the request in time. It was not applied: retry.
	ErrNoLeader = errors.New("the meta group has no leader that answers")
	// ErrNoNodes: no node may be given replicas yet. Not applied: retry.
	ErrNoNodes = errors.New("no node can hold replicas yet")
	// ErrUnknown: the outcome is unknown; it may still be applied.
	ErrUnknown = errors.New("outcome unknown")
	// ErrNotDelivered is for Callers: they wrap it when the request has
	// certainly not reached the other node.
	ErrNotDelivered = errors.New("not delivered")
	// ErrClosed: this Directory was closed.
	ErrClosed = errors.New("directory closed")
	// ErrStateLost: the directory was used before and holds no state now. Its
	// vote is forgotten: start as a new incarnation.
	ErrStateLost = errors.New("state of the meta group is lost")
)

// refusal is an answer of the state machine that travels over the wire.
type refusal struct {
	code code
	text string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return refusalSentinels[r.code] }

// code is the outcome of a request on the wire. Values are fixed.
type code uint8

const (
	codeOK         code = 0
	codeNotLeader  code = 1 // not applied; the reply may name the leader
	codeNotApplied code = 2 // not applied for another reason: try again
	codeUnknown    code = 3
	codeNoNodes    code = 4 // not applied

	codeStale    code = 16
	codeNotFound code = 17
	codeExists   code = 18
	codeReplaced code = 19
	codeInvalid  code = 20
	codeForeign  code = 21
)

var refusalSentinels = map[code]error{
	codeStale: ErrStale, codeNotFound: ErrNotFound, codeExists: ErrExists,
	codeReplaced: ErrReplaced, codeInvalid: ErrInvalid, codeForeign: ErrForeign,
}

// refuse builds a refusal whose text ends with its sentinel's.
func refuse(c code, format string, args ...any) error {
	return &refusal{code: c, text: fmt.Sprintf(format, args...) + ": " + refusalSentinels[c].Error()}
}
