package reconcile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// A request is: group (4 B, big endian) | cut id (empty: describe).
// Its answer is: applied (8 B, big endian) | server id, or the root (32 B).

// ErrMessage is returned for bytes that are no request or answer.
var ErrMessage = errors.New("malformed reconcile message")

// Call sends a request to the Responder of another node.
type Call func(ctx context.Context, to membership.NodeID, request []byte) ([]byte, error)

// Remote is Peers over a Call.
type Remote struct{ Call Call }

// Describe implements Peers.
func (r Remote) Describe(ctx context.Context, node membership.NodeID, group uint32) (Replica, error) {
	answer, err := r.Call(ctx, node, binary.BigEndian.AppendUint32(nil, group))
	if err != nil {
		return Replica{}, err
	}
	if len(answer) < 8 {
		return Replica{}, ErrMessage
	}
	server, err := membership.ParseServerID(string(answer[8:]))
	if err != nil {
		return Replica{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	return Replica{Server: server, Applied: binary.BigEndian.Uint64(answer)}, nil
}

// Root implements Peers.
func (r Remote) Root(ctx context.Context, node membership.NodeID, group uint32, cutID string) (root digest.ID, err error) {
	answer, err := r.Call(ctx, node, append(binary.BigEndian.AppendUint32(nil, group), cutID...))
	if err != nil {
		return root, err
	}
	if len(answer) != len(root) {
		return root, ErrMessage
	}
	copy(root[:], answer)
	return root, nil
}

// Responder answers requests about the groups of this node.
type Responder struct{ Host *raftgroup.Host }

// Handle answers one request.
func (r Responder) Handle(ctx context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	if len(request) < 4 {
		return nil, ErrMessage
	}
	id := binary.BigEndian.Uint32(request)
	g, ok := r.Host.Group(id)
	if !ok {
		return nil, fmt.Errorf("group %d: %w", id, raftgroup.ErrUnknownGroup)
	}
	if cutID := string(request[4:]); cutID != "" {
		root, _, err := g.Root(ctx, cutID)
		if err != nil {
			return nil, err
		}
		return root[:], nil
	}
	shard := g.Shard()
	if shard == nil {
		return nil, fmt.Errorf("group %d: %w", id, raftgroup.ErrClosed)
	}
	answer := binary.BigEndian.AppendUint64(nil, shard.Applied().Index)
	return append(answer, g.Self().String()...), nil
}
